"""The page of metrics: who may read it, in which format, and what it says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from flask_outbox import ConfigError, Mail, Message, metrics
from flask_outbox.delivery import Reply
from flask_outbox.events import ATTEMPT_ENDS
from flask_outbox.feedback import Fate
from flask_outbox.metrics import OPENMETRICS_TYPE, OTHERS, TEXT_TYPE, Family, Sample
from flask_outbox.outbox import backlog
from flask_outbox.outbox.schema import tally
from tests.mail.conftest import MakeSite
from tests.mail.site import ADA, BOB, Site, make_app
from tests.metrics.reading import (
    families,
    openmetrics_families,
    samples,
    value,
)
from tests.reports import report
from tests.servers import Behaviour, JournalSmtp
from tests.waiting import eventually

PAGE = "/outbox/metrics"
SECRET = "whsec_" + "A" * 32
TOKEN = "a-token-of-24-characters"
PROMETHEUS = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,"
    "application/openmetrics-text;version=0.0.1;q=0.4,"
    "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,"
    "text/plain;version=0.0.4;q=0.2,*/*;q=0.1"
)
"""What a Prometheus of 2025 accepts."""


@pytest.fixture
def idle(make_site: MakeSite) -> Site:
    """An app with the page, in which nothing is delivered."""
    return make_site(OUTBOX_METRICS="local", OUTBOX_ENGINE="external")


def read(site: Site, accept: str = "", **environ: Any) -> str:
    """The text of the page."""
    client = site.app.test_client()
    response = client.get(PAGE, headers={"Accept": accept}, **environ)
    assert response.status_code == 200, response.text
    return response.text


# -------------------------------------------------------------------- who may read it


def test_without_the_setting_there_is_no_such_page(make_site: MakeSite) -> None:
    site = make_site(OUTBOX_ENGINE="external")

    assert site.app.test_client().get(PAGE).status_code == 404


def test_local_is_this_machine_and_no_proxy(idle: Site) -> None:
    client = idle.app.test_client()

    assert client.get(PAGE).status_code == 200
    for base, headers, peer, why in (
        (None, {}, "192.0.2.1", "came from another machine"),
        ("http://shop.example.com", {}, "127.0.0.1", "named a host other than"),
        (None, {"X-Forwarded-For": "192.0.2.1"}, "127.0.0.1", "through a proxy"),
    ):
        refused = client.get(
            PAGE, base_url=base, headers=headers, environ_base={"REMOTE_ADDR": peer}
        )
        assert refused.status_code == 403
        assert 'OUTBOX_METRICS is "local"' in refused.text
        assert why in refused.text
        assert "flask_outbox" not in refused.text


@pytest.mark.parametrize(
    "given",
    [
        None,
        f"Bearer {TOKEN}x",
        "Bearer é",
        "Bearer ",
        f"Basic {TOKEN}",
        "Basic YTpi",
        TOKEN,
        f"Bearer {TOKEN[:-1]}",
    ],
)
def test_a_token_lets_nobody_else_in(make_site: MakeSite, given: str | None) -> None:
    site = make_site(OUTBOX_METRICS=TOKEN, OUTBOX_ENGINE="external")
    headers = {"Authorization": given} if given else {}

    refused = site.app.test_client().get(PAGE, headers=headers)

    assert refused.status_code == 401
    assert refused.headers["WWW-Authenticate"].startswith("Bearer")
    assert "OUTBOX_METRICS" in refused.text
    assert TOKEN not in refused.text


@pytest.mark.parametrize("rule", [TOKEN, [TOKEN], ["another-token-of-24-char", TOKEN]])
def test_whoever_has_the_token_may_read(make_site: MakeSite, rule: Any) -> None:
    site = make_site(OUTBOX_METRICS=rule, OUTBOX_ENGINE="external")
    client = site.app.test_client()

    found = client.get(PAGE, headers={"Authorization": f"Bearer {TOKEN}"})

    assert found.status_code == 200
    assert TOKEN not in repr(site.runtime.settings)


@pytest.mark.parametrize("said", [True, False, None, 1, "yes"])
def test_a_function_decides(make_site: MakeSite, said: Any) -> None:
    site = make_site(OUTBOX_METRICS=lambda: said, OUTBOX_ENGINE="external")

    found = site.app.test_client().get(PAGE)

    assert found.status_code == (200 if said is True else 403)
    assert ("OUTBOX_METRICS did not return True" in found.text) is (said is not True)


# ----------------------------------------------------------------------- where it is


def test_its_path_may_be_another(make_site: MakeSite) -> None:
    site = make_site(
        OUTBOX_METRICS="local", OUTBOX_METRICS_PATH="/m", OUTBOX_ENGINE="external"
    )

    assert site.app.test_client().get("/m").status_code == 200
    assert site.app.test_client().get(PAGE).status_code == 404


def test_it_may_be_below_the_dashboard(make_site: MakeSite) -> None:
    site = make_site(
        OUTBOX_METRICS=TOKEN, OUTBOX_DASHBOARD=lambda: True, OUTBOX_ENGINE="external"
    )
    client = site.app.test_client()

    assert client.get("/outbox/").status_code == 200
    assert client.get(PAGE).status_code == 401
    site.mail.init_app(site.app)
    assert client.get("/outbox/").status_code == 200


def test_a_route_of_the_app_in_its_place_is_an_error(tmp_path: Path) -> None:
    app = make_app(tmp_path / "app", MAIL_URL="inbox://", OUTBOX_METRICS="local")
    app.add_url_rule(PAGE, "own", str)

    with pytest.raises(ConfigError, match="set OUTBOX_METRICS_PATH to another"):
        Mail(app)


# ------------------------------------------------------------------------- how it reads


@pytest.mark.parametrize(
    ("accept", "openmetrics"),
    [
        ("", False),
        ("*/*", False),
        ("text/plain", False),
        ("text/html,*/*;q=0.8", False),
        ("application/openmetrics-text", True),
        ("application/openmetrics-text; version=1.0.0", True),
        ("application/openmetrics-text; version=0.0.1", False),
        ("application/openmetrics-text;q=0", False),
        ("application/openmetrics-text;q=0.2,text/plain;q=0.3", False),
        ("application/openmetrics-text;q=0.3,text/plain;q=0.3", True),
        (PROMETHEUS, True),
        ("nonsense;;;=,\\", False),
    ],
)
def test_the_client_chooses_the_format(
    idle: Site, accept: str, openmetrics: bool
) -> None:
    response = idle.app.test_client().get(PAGE, headers={"Accept": accept})

    assert response.status_code == 200
    wanted = OPENMETRICS_TYPE if openmetrics else TEXT_TYPE
    assert response.headers["Content-Type"] == wanted
    assert response.headers["Vary"] == "Accept"
    assert response.headers["Cache-Control"] == "no-store"
    assert response.text.endswith("# EOF\n") is openmetrics


def test_both_formats_say_the_same(idle: Site) -> None:
    idle.send(delay=3_600)
    plain = families(read(idle))
    strict = openmetrics_families(read(idle, "application/openmetrics-text"))

    assert {*plain} == {*strict}
    for name, family in plain.items():
        assert family.type == strict[name].type
        assert family.documentation == strict[name].documentation
        assert [one[:3] for one in family.samples] == [
            one[:3] for one in strict[name].samples
        ]


@given(st.text(max_size=20))
@settings(deadline=None)
def test_any_label_is_read_as_it_was_meant(words: str) -> None:
    family = Family("messages", "gauge", "Any.", [Sample({"state": words}, 7)])
    text = "".join(metrics.lines([family], openmetrics=False))

    (one,) = families(text)["flask_outbox_messages"].samples
    assert one.labels == {"state": words}


# --------------------------------------------------------------------- what it says


def test_an_empty_outbox_has_all_metrics_at_zero(idle: Site) -> None:
    found = samples(read(idle))

    assert found
    assert not any(found.values())


def test_what_was_delivered_and_what_waits(
    make_site: MakeSite, server: JournalSmtp
) -> None:
    site = make_site(OUTBOX_METRICS="local")
    server.behaviour = Behaviour(recipients={BOB: "550 5.1.1 no"})
    for receipt in [site.send(), site.send(), site.send(BOB)]:
        site.settled(receipt)
    with site.app.app_context():
        site.mail.stop()
    site.send(delay=3_600)

    text = read(site)

    ends = {
        end: value(text, "attempts_total", lane="default", outcome=end)
        for end in ATTEMPT_ENDS
    }
    none: dict[str, float] = dict.fromkeys(ATTEMPT_ENDS, 0)
    assert ends == {**none, "sent": 2, "failed": 1}
    assert value(text, "wait_seconds_count", lane="default") == 2
    assert value(text, "wait_seconds_bucket", lane="default", le="+Inf") == 2
    assert value(text, "attempt_seconds_count", lane="default") == 3
    assert value(text, "attempt_seconds_sum", lane="default") > 0
    assert value(text, "lane_messages", lane="default", when="scheduled") == 1
    assert value(text, "lane_messages", lane="default", when="due") == 0
    assert value(text, "messages", state="pending") == 1


def test_who_lives_and_what_is_paused(make_site: MakeSite) -> None:
    site = make_site(OUTBOX_METRICS="local")
    site.make_ready()
    assert value(read(site), "couriers", engine="thread") == 1
    with site.app.app_context():
        site.mail.pause("default", reason="maintenance")

    text = read(site)

    assert value(text, "lanes_paused", lane="default", by="person") == 1
    assert value(text, "lanes_paused", lane="default", by="trouble") == 0
    assert "maintenance" not in text


def test_the_oldest_due_message_has_an_age(idle: Site) -> None:
    idle.send()
    idle.wait_until(
        lambda: value(read(idle), "lane_oldest_due_seconds", lane="default") > 0,
        "time passes",
    )
    assert value(read(idle), "lane_messages", lane="default", when="due") == 1


def test_a_large_backlog_is_counted_by_the_couriers(
    make_site: MakeSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backlog, "LARGE", 0)
    site = make_site(OUTBOX_METRICS="local")
    site.send(delay=3_600)
    site.make_ready()

    def kept() -> str | None:
        with site.outbox.database.reading() as connection:
            wanted = select(tally.c.counts).where(tally.c.name == backlog.NAME)
            return connection.scalar(wanted)

    eventually(kept)
    site.send(delay=3_600)
    clock = site.outbox.clock
    site.outbox.clock = lambda: clock() + 9
    text = read(site)

    assert value(text, "messages", state="pending") == 1
    assert value(text, "lane_messages", lane="default", when="scheduled") == 1
    assert value(text, "backlog_age_seconds") >= 9


def test_reports_and_suppressions_are_counted(idle: Site) -> None:
    receipt = idle.send(ADA, BOB)
    idle.outbox.take_feedback(
        [
            report(Fate.DELIVERED, receipt.id, address=BOB),
            report(Fate.BOUNCED, receipt.id),
            report(Fate.BOUNCED, "01J00000000000000000000000"),
        ]
    )

    text = read(idle)

    assert value(text, "reports_total", fate="bounced") == 2
    assert value(text, "reports_total", fate="delivered") == 1
    assert value(text, "reports_waiting") == 1
    assert value(text, "suppressions", source="bounce") == 1
    assert value(text, "suppressions", source="person") == 0


def test_alerts(make_site: MakeSite) -> None:
    site = make_site(
        OUTBOX_METRICS="local",
        OUTBOX_ENGINE="external",
        OUTBOX_ALERTS={"oldest_due_seconds": 60},
    )
    site.send()
    assert value(read(site), "alerts", alert="oldest_due") == 0
    clock = site.outbox.clock
    site.outbox.clock = lambda: clock() + 61
    site.outbox.look_for_alerts()
    assert value(read(site), "alerts", alert="oldest_due") == 1
    assert value(read(site), "alerts", alert="lane_down") == 0


def test_endpoints_of_webhooks(make_site: MakeSite) -> None:
    endpoint = {"url": "https://crm.example.com/in?key=secret", "secrets": [SECRET]}
    site = make_site(
        OUTBOX_METRICS="local",
        OUTBOX_ENGINE="external",
        OUTBOX_WEBHOOKS={"crm": endpoint},
    )
    site.runtime.webhooks.add_test("crm", 60.0)
    site.runtime.webhooks.pause("crm", "closed")

    text = read(site)

    assert value(text, "webhooks", endpoint="crm", state="waiting") == 1
    assert value(text, "webhooks", endpoint="crm", state="failed") == 0
    assert value(text, "webhook_endpoint_paused", endpoint="crm") == 1
    assert "crm.example.com" not in text


def test_few_lanes_are_named_and_the_rest_is_one(make_site: MakeSite) -> None:
    names = [f"lane-{number}" for number in range(60)]
    site = make_site(
        OUTBOX_METRICS="local",
        OUTBOX_ENGINE="external",
        MAIL_TRANSPORTS=dict.fromkeys(names, "smtp://127.0.0.1:1"),
    )
    for name in ["default", *names]:
        site.send(transport=name)
    with site.app.app_context():
        site.mail.pause("lane-58")
        site.mail.pause("lane-59")

    text = read(site)

    lanes = {labels["lane"] for labels in _labels(text) if "lane" in labels}
    assert len(lanes) == metrics.LANES + 1
    assert value(text, "lane_messages", lane="lane-3", when="due") == 1
    assert value(text, "lane_messages", lane=OTHERS, when="due") == 11
    assert value(text, "lanes_paused", lane=OTHERS, by="person") == 2


def test_lanes_of_tenants_are_one(make_site: MakeSite) -> None:
    site = make_site(OUTBOX_METRICS="local", OUTBOX_ENGINE="external")

    @site.mail.transport_resolver
    def find(name: str) -> str:
        return "smtp://127.0.0.1:1"

    for number in range(30):
        site.send(transport=f"tenant-{number}")

    text = read(site)

    assert "tenant" not in text
    assert value(text, "lane_messages", lane=OTHERS, when="due") == 30


def _labels(text: str) -> list[dict[str, str]]:
    return [dict(labels) for _, labels in samples(text)]


# ----------------------------------------------------------------------------- canary

CANARY = "canary"


def test_nothing_of_any_message_or_person_is_in_it(
    make_site: MakeSite, server: JournalSmtp
) -> None:
    site = make_site(
        OUTBOX_METRICS="local",
        OUTBOX_AUTO_SUPPRESS=True,
        OUTBOX_TRACK_TAGS=True,
        OUTBOX_TAG_CONCURRENCY={f"tag-{CANARY}": 2},
    )
    server.behaviour = Behaviour(
        recipients={f"refused-{CANARY}@example.org": f"550 5.1.1 {CANARY}"}
    )
    person = f"{CANARY}@{CANARY}.example.org"
    message = Message(
        f"Subject {CANARY}",
        [(f"Name {CANARY}", person), f"refused-{CANARY}@example.org"],
        f"Body {CANARY}",
        html=f"<p>{CANARY}</p>",
        sender=(CANARY, f"{CANARY}@example.com"),
        cc=[f"cc-{CANARY}@example.org"],
        bcc=[f"bcc-{CANARY}@example.org"],
        reply_to=f"reply-{CANARY}@example.org",
        extra_headers={f"X-{CANARY}": CANARY},
    )
    message.attach(f"{CANARY}.txt", "text/plain", CANARY.encode())
    options: dict[str, Any] = {
        "tag": f"tag-{CANARY}",
        "metadata": {CANARY: CANARY},
        "return_path": f"back-{CANARY}@example.com",
    }
    with site.app.app_context():
        receipt = site.mail.send(message, key=CANARY, **options)
        site.mail.send(message, key=f"{CANARY}-2", delay=3_600, **options)
        site.mail.suppress(f"other-{CANARY}@example.org", reason=CANARY)
    site.settled(receipt)
    for fate in Fate:
        told = report(
            fate,
            receipt.id,
            address=person,
            source=f"source-{CANARY}",
            event_id=f"event-{CANARY}-{fate}",
            provider_id=CANARY,
            reply=Reply(550, "5.1.1", CANARY),
            detail={"url": f"https://{CANARY}.example.org", "user_agent": CANARY},
        )
        site.outbox.take_feedback([told])
    with site.app.app_context():
        site.mail.pause("default", reason=CANARY)
        site.mail.stop()

    for accept in ("text/plain", "application/openmetrics-text"):
        text = read(site, accept)
        assert CANARY not in text
        assert receipt.id not in text
        assert "@" not in text
    assert value(read(site), "attempts_total", lane="default", outcome="failed") == 1
    assert value(read(site), "suppressions", source="api") == 1


# ----------------------------------------------------------------------------- trouble


def test_an_outbox_out_of_reach_is_503(tmp_path: Path) -> None:
    app = make_app(
        tmp_path / "app",
        MAIL_URL="smtp://127.0.0.1:1",
        OUTBOX_METRICS="local",
        OUTBOX_ENGINE="external",
        OUTBOX_URL="postgresql+psycopg://postgres@127.0.0.1:1/nowhere",
    )
    mail = Mail(app)

    response = app.test_client().get(PAGE)

    assert response.status_code == 503
    assert response.text == "The outbox cannot be read at present.\n"
    with app.app_context():
        mail.stop()


def test_the_command_prints_the_page(idle: Site) -> None:
    idle.send(delay=3_600)

    for options, accept in (
        ([], "text/plain"),
        (["--openmetrics"], "application/openmetrics-text"),
    ):
        result = idle.app.test_cli_runner().invoke(args=["outbox", "metrics", *options])
        assert result.exit_code == 0, result.output
        assert result.stdout == read(idle, accept)
