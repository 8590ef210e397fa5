"""What an app hands over leaves the outbox as mail, and in no other way."""

from __future__ import annotations

import json
import logging

import pytest
from opentelemetry.sdk.trace import ReadableSpan

from flask_outbox.webhooks.kinds import WEBHOOK_KINDS
from tests.canaries import Canaries, hand_over
from tests.mail.conftest import MakeSite, make_site, server
from tests.mail.site import Site
from tests.servers import JournalSmtp
from tests.servers.webhook_receiver import SECRET, WebhookReceiver
from tests.traces.conftest import Spans, spans
from tests.waiting import WAIT_SECONDS

__all__ = ["make_site", "server", "spans"]

OF_OTHERS = ("reply", "words", "reason", "pause", "address")
"""What servers, providers and people have said is for the log and for webhooks, and so
is whom it concerns."""


def written(span: ReadableSpan) -> str:
    """All that an exporter gets of a span."""
    return str(span.to_json())


def look_at(site: Site, message_id: str) -> None:
    """Have a person read a mail."""
    args = ["outbox", "show", message_id, "--content"]
    result = site.app.test_cli_runner().invoke(args=args)
    assert result.exit_code == 0, result.output


def audited(site: Site) -> str:
    """The audit trail, as a person reads it."""
    result = site.app.test_cli_runner().invoke(args=["outbox", "audit", "--json"])
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)
    return result.stdout


def test_no_word_of_a_mail_is_in_metrics_traces_logs_webhooks_or_the_audit_trail(
    make_site: MakeSite,
    server: JournalSmtp,
    spans: Spans,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG, logger="flask_outbox")
    canaries = Canaries()
    with WebhookReceiver() as receiver:
        endpoint = {
            "url": receiver.url,
            "secrets": SECRET,
            "events": sorted(WEBHOOK_KINDS),
            "allow_private": True,
        }
        site = make_site(
            OUTBOX_METRICS="local",
            OUTBOX_TRACES=True,
            OUTBOX_WEBHOOKS={"crm": endpoint},
        )

        hand_over(site, server, canaries)
        with site.app.app_context():
            *_, first = site.mail.search().messages
        look_at(site, first.id)

        said = {
            "metrics": site.app.test_client().get("/outbox/metrics").text,
            "traces": "\n".join(map(written, spans.all)),
            "log": caplog.text,
            "webhooks": "\n".join(
                one.body.decode() for one in receiver.wait_for(12, WAIT_SECONDS)
            ),
            "audit": audited(site),
        }
    assert all(said.values())
    own = [one for one in canaries.words if not one.startswith(OF_OTHERS)]
    assert len(own) >= 200
    for place, text in said.items():
        assert [one for one in own if one in text] == [], place
