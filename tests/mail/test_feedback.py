"""An app's mail after the next hop: signals, the log, and what couriers do about it."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from flask_outbox import Fate, Feedback, Mail, Message, State, signals
from flask_outbox.outbox.records import Taking
from tests.mail.conftest import MakeSite
from tests.mail.site import ADA, BOB, Site
from tests.servers import Behaviour, JournalSmtp
from tests.transports.fakes import FakeResend
from tests.transports.test_apps import make_app
from tests.waiting import WAIT_SECONDS

NOBODY = "550 5.1.1 no such user"


def report(fate: Fate, **named: Any) -> Feedback:
    return Feedback(fate, "resend", f"{fate}-{named}", datetime.now(UTC), **named)


def test_the_app_is_told_what_is_reported(site: Site, caplog: pytest.LogCaptureFixture):
    receipt = site.send(ADA)
    site.settled(receipt)
    with caplog.at_level(logging.INFO, "flask_outbox"):
        taken = site.runtime.take_feedback(
            [report(Fate.BOUNCED, message_id=receipt.id, address=ADA)]
        )

    assert taken.count(Taking.APPLIED) == 1
    (told,) = site.told(signals.fate_changed)
    assert (told["message_id"], told["address"]) == (receipt.id, ADA)
    assert (told["fate"], told["before"], told["source"]) == (
        Fate.BOUNCED,
        None,
        "resend",
    )
    (suppressed,) = site.told(signals.address_suppressed)
    assert (suppressed["address"], suppressed["source"]) == (ADA, "bounce")
    said = f"Message {receipt.id} to {ADA}: bounced, as resend reports"
    assert said in caplog.messages
    assert f"{ADA} is suppressed: bounced" in caplog.messages


def test_what_is_our_own_fault_is_a_warning(
    site: Site, caplog: pytest.LogCaptureFixture
):
    receipt = site.send(ADA)
    site.settled(receipt)
    site.runtime.take_feedback(
        [report(Fate.BOUNCED, message_id=receipt.id, address=ADA, operator=True)]
    )

    (warning,) = [one for one in caplog.records if one.levelno == logging.WARNING]
    assert "because of the sender's own set-up" in warning.getMessage()
    assert [*site.mail.suppressions()] == []


def test_a_refused_address_is_suppressed_and_the_app_is_told(
    site: Site, server: JournalSmtp
):
    server.behaviour = Behaviour(recipients={BOB: NOBODY})
    receipt = site.send(ADA, BOB)
    assert site.settled(receipt).state is State.FAILED

    (told,) = site.wait_for(signals.address_suppressed)
    assert (told["address"], told["list"], told["source"]) == (BOB, "", "refusal")
    assert told["evidence"]["message_id"] == receipt.id
    (failed,) = site.told(signals.message_failed)
    assert failed["suppressed"]
    assert site.send(BOB).suppressed.keys() == {BOB}


def test_refusals_suppress_only_if_they_should(
    make_site: MakeSite, server: JournalSmtp
):
    site = make_site(OUTBOX_AUTO_SUPPRESS=["bounces", "complaints"])
    server.behaviour = Behaviour(at_rcpt=NOBODY)
    assert site.settled(site.send(ADA)).state is State.FAILED
    assert site.settled(site.send(ADA)).state is State.FAILED
    assert not any(one["suppressed"] for one in site.told(signals.message_failed))


def test_a_courier_applies_a_report_that_came_first(tmp_path: Path):
    """The provider's event is here before the attempt is recorded."""
    with FakeResend() as api:
        app = make_app(tmp_path, MAIL_URL=api.url())
        mail = Mail(app)
        site = Site(app, mail)
        provider_id = "49a3999c-0ce1-4ea6-ab68-afcd6dc2e794"
        early = report(Fate.DELIVERED, provider_id=provider_id, address=ADA)
        taken = site.runtime.take_feedback([early])
        assert taken.count(Taking.UNMATCHED) == 1
        with app.app_context():
            receipt = mail.send(Message("Hi", [ADA], body="Hello"))
            assert mail.drain(WAIT_SECONDS)

        (told,) = site.wait_for(signals.fate_changed)

        assert (told["message_id"], told["fate"]) == (receipt.id, Fate.DELIVERED)
        (recipient,) = mail.get(receipt.id).recipients
        assert recipient.fate is Fate.DELIVERED
        site.close()
