"""The audit trail: every act on the dashboard, and whose content was looked at."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import text

from flask_outbox import ConfigError, Message, State, signals
from flask_outbox.mime.parse import parse_message
from flask_outbox.outbox.audit import VIEW_SECONDS
from flask_outbox.outbox.records import AuditLine, AuditSearch
from tests.browser import chromium, opened, serious_findings
from tests.dashboard.conftest import OpenShop
from tests.dashboard.serving import served
from tests.dashboard.shop import Shop
from tests.mail.site import ADA, BOB
from tests.servers import Behaviour, JournalSmtp
from tests.servers.webhook_receiver import SECRET

if TYPE_CHECKING:
    from playwright.sync_api import Browser

EVA = "eva"
"""Who is logged in."""

SUBJECT, BODY, FILE = "Subject 5501", "Body 7702", "secret-9903.txt"

CRM = {"url": "http://127.0.0.1:9/", "secrets": SECRET, "allow_private": True}
"""Where nobody listens."""

Do = Callable[[], Any]
Expected = tuple[str, str, int, str]
"""Act, target, how many, and note."""


def hello() -> Message:
    mail = Message(SUBJECT, [ADA], f"{BODY}\n", html=f"<p>{BODY}</p>")
    mail.attach(FILE, "text/plain", b"17 euros")
    return mail


def lines(shop: Shop, **wanted: Any) -> tuple[AuditLine, ...]:
    return shop.outbox.trail.find(AuditSearch(**wanted)).lines


@pytest.fixture
def audited(open_shop: OpenShop) -> Shop:
    """A shop whose own courier works, and whose users have names."""
    return open_shop(
        OUTBOX_ENGINE="thread",
        OUTBOX_ON_UNKNOWN="hold",
        OUTBOX_AUDIT_USER=lambda: EVA,
        MAIL_TRANSPORTS={"kept": "inbox://"},
        OUTBOX_WEBHOOKS={"crm": CRM},
    )


@pytest.fixture
def there(audited: Shop, server: JournalSmtp) -> SimpleNamespace:
    """The ids of messages in each state, and of a batch."""
    server.behaviour = Behaviour(drop="journaled")
    unknown, dropped = audited.keep(hello()), audited.keep(hello())
    audited.wait_for(signals.message_unknown, 2)
    server.behaviour = Behaviour()
    sent = audited.keep(hello())
    kept = audited.keep(hello(), transport="kept")
    audited.wait_for(signals.message_sent, 2)
    with audited.app.app_context():
        rows = [Message("News", [f"user{row}@example.org"], "News") for row in range(3)]
        batch = audited.mail.send_many(rows, name="News", delay=3_600).id
        audited.mail.stop()
    later = audited.keep(hello(), delay=3_600)
    return SimpleNamespace(
        unknown=unknown, dropped=dropped, sent=sent, kept=kept, later=later, batch=batch
    )


def acts(shop: Shop, there: SimpleNamespace) -> Iterator[tuple[Do, Expected]]:
    """Every act that the dashboard offers, and the line that it leaves."""

    def post(path: str, **fields: str) -> Do:
        return lambda: shop.post(path, **fields)

    def get(path: str) -> Do:
        return lambda: shop.page(path)

    def act(action: str, id: str) -> Do:
        return post("/act", action=action, id=id)

    yield act("cancel", there.later), ("cancel", there.later, 1, "")
    yield act("retry", there.later), ("retry", there.later, 1, "")
    yield act("release", there.unknown), ("release", there.unknown, 1, "")
    yield act("drop", there.dropped), ("drop", there.dropped, 1, "")
    yield act("send-again", there.sent), ("send again", there.sent, 1, "")
    release = f"/inbox/{there.kept}/release"
    yield (
        post(release, by="default", to="other", address=BOB),
        ("send again", there.kept, 1, ""),
    )
    batch = f"/batches/{there.batch}/act"
    yield post(batch, action="pause"), ("pause batch", there.batch, 3, "")
    yield post(batch, action="resume"), ("resume batch", there.batch, 3, "")
    yield post(batch, action="cancel"), ("cancel batch", there.batch, 3, "")
    yield post("/lanes/kept/pause", reason=ADA), ("pause lane", "kept", 1, "")
    yield post("/lanes/kept/resume"), ("resume lane", "kept", 1, "")
    bob = {"address": BOB, "list": "news"}
    masked = "b…@e….org"
    yield (
        post("/suppressions/add", **bob, reason=ADA),
        ("suppress", masked, 1, "news"),
    )
    yield post("/suppressions/remove", **bob), ("unsuppress", masked, 1, "news")
    yield post("/suppressions/remove", **bob), ("unsuppress", masked, 0, "news")
    for name in ("pause", "resume", "test"):
        yield post(f"/webhooks/crm/{name}"), (f"{name} webhooks", "crm", 1, "")
    yield post("/webhooks/crm/replay"), ("replay webhooks", "crm", 0, "")
    mail = f"/messages/{there.sent}"
    yield get(mail), ("view", there.sent, 1, "")
    yield get(f"/messages/{there.later}/html"), ("view", there.later, 1, "")
    yield get(f"/messages/{there.unknown}/source"), ("view", there.unknown, 1, "")
    yield get(f"/inbox/{there.kept}"), ("view", there.kept, 1, "")
    for kind in ("csv", "json"):
        note = f"{kind}, all that match: Search, State sent"
        found = f"/messages.{kind}?is=sent&q={there.sent}"
        yield get(found), ("export messages", "", 1, note)
    yield get(f"{mail}/message.eml"), ("download", there.sent, 1, "")
    part = part_of(shop, there.sent)
    yield get(f"{mail}/parts/{part}"), ("download", there.sent, 1, f"part {part}")


def part_of(shop: Shop, id: str) -> int:
    """The number of the mail's attachment."""
    content = shop.outbox.content(id)
    assert content
    (part,) = parse_message(content).parts
    return part.number


def test_every_act_leaves_one_line(audited: Shop, there: SimpleNamespace) -> None:
    before = len(lines(audited))
    assert before == 0, "what the app does by itself leaves none"
    for number, (do, expected) in enumerate(acts(audited, there), 1):
        do()
        found = lines(audited)
        assert len(found) == number, expected
        newest = found[0]
        assert (newest.act, newest.target, newest.many, newest.note) == expected
        assert (newest.actor, newest.face) == (EVA, "dashboard")


def test_no_line_has_an_address_or_what_a_mail_says(
    audited: Shop, there: SimpleNamespace
) -> None:
    for do, _ in acts(audited, there):
        do()
    with audited.outbox.database.reading() as connection:
        stored = str(connection.execute(text("SELECT * FROM outbox_audit")).all())
    for page in (stored, audited.page("/audit")):
        assert EVA in page
        for secret in (ADA, BOB, SUBJECT, BODY, FILE, "euros", "user1"):
            assert secret not in page


def test_an_act_on_many_leaves_a_line_for_each_that_it_changed(audited: Shop) -> None:
    ids = [audited.keep(hello(), delay=3_600) for _ in range(3)]
    audited.post("/act", action="cancel", id=ids[0])
    audited.post("/act", action="cancel", id=ids)
    assert sorted(one.target for one in lines(audited, actor=EVA)) == sorted(ids)


def test_an_act_that_cannot_be_recorded_is_not_done(audited: Shop) -> None:
    id = audited.keep(hello(), delay=3_600)
    refuse_lines(audited)
    answer = audited.post("/act", action="cancel", id=id)
    assert answer.status_code == 503
    assert audited.outbox.get(id).state is State.PENDING


def refuse_lines(shop: Shop) -> None:
    """Have the database take no more lines."""
    with shop.outbox.database.engine.begin() as connection:
        connection.execute(
            text(
                "CREATE TRIGGER full BEFORE INSERT ON outbox_audit "
                "BEGIN SELECT RAISE(ABORT, 'no more'); END"
            )
        )


def test_content_that_cannot_be_recorded_as_viewed_is_not_shown(audited: Shop) -> None:
    id = audited.keep(hello(), delay=3_600)
    refuse_lines(audited)
    page = audited.page(f"/messages/{id}")
    assert "History" in page
    assert "It is not shown, because the audit trail" in page
    assert BODY not in page
    for path in ("html", "source", "message.eml", f"parts/{part_of(audited, id)}"):
        answer = audited.ask(f"/messages/{id}/{path}")
        assert answer.status_code == 503
        assert BODY not in answer.text


def test_looking_again_soon_is_the_same_look(
    audited: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    id = audited.keep(hello(), delay=3_600)
    for path in ("", "?view=text", "/html", "/source"):
        audited.page(f"/messages/{id}{path}")
    assert len(lines(audited, target=id)) == 1
    monkeypatch.setitem(audited.app.config, "OUTBOX_AUDIT_USER", lambda: "max")
    trail, later = audited.outbox.trail, audited.outbox.clock() + VIEW_SECONDS + 1
    monkeypatch.setattr(trail, "clock", lambda: later)
    audited.page(f"/messages/{id}")
    assert len(lines(audited, target=id)) == 2


def test_a_page_that_updates_itself_is_looked_at_once(audited: Shop) -> None:
    id = audited.keep(hello(), delay=3_600)
    update = audited.ask(f"/messages/{id}", headers={"HX-Request": "true"})
    assert BODY not in update.text
    assert "History" in update.text
    assert lines(audited) == ()


def test_who_may_not_see_the_content_has_not_looked_at_it(open_shop: OpenShop) -> None:
    shop = open_shop(OUTBOX_DASHBOARD=lambda: {"operate"})
    id = shop.keep(hello())
    shop.page(f"/messages/{id}")
    assert shop.ask(f"/messages/{id}/source").status_code == 403
    assert lines(shop) == ()


# ------------------------------------------------------------------------------ who


@pytest.mark.parametrize("answer", [None, ""])
def test_nameless_users_are_told_apart_by_address(
    open_shop: OpenShop, answer: str | None
) -> None:
    for setting in ({}, {"OUTBOX_AUDIT_USER": lambda: answer}):
        shop = open_shop(OUTBOX_DASHBOARD=lambda: True, **setting)
        token = shop.token()
        shop.ask(
            "/lanes/default/resume",
            "POST",
            data={"csrf_token": token},
            environ_overrides={"REMOTE_ADDR": "192.0.2.7"},
        )
        assert [one.actor for one in lines(shop)] == ["192.0.2.7"]


def test_a_name_must_be_text(open_shop: OpenShop) -> None:
    shop = open_shop(OUTBOX_AUDIT_USER=lambda: 17)
    with pytest.raises(ConfigError, match=r"OUTBOX_AUDIT_USER.* of type int"):
        shop.post("/lanes/default/resume")
    assert lines(shop) == ()


def test_a_name_cannot_write_on_the_page(open_shop: OpenShop) -> None:
    shop = open_shop(OUTBOX_AUDIT_USER=lambda: "<script>\x1b" + "x" * 300)
    shop.post("/lanes/default/resume")
    (line,) = lines(shop)
    assert line.actor.startswith("<script>\\u001b")
    assert len(line.actor) == 255
    assert "<script>\\" not in shop.page("/audit")


# ------------------------------------------------------------------------- the pages


def test_the_page_finds_lines_and_turns_pages(
    audited: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flask_outbox.dashboard.views.audit.ROWS", 2)
    id = audited.keep(hello(), delay=3_600)
    audited.post("/act", action="cancel", id=id)
    audited.post("/suppressions/add", address=BOB)
    audited.post("/lanes/kept/pause")

    newest = audited.page("/audit")
    assert 'class="unseen">Who did what' in newest
    assert "pause lane" in newest
    assert f'href="/outbox/messages/{id}"' not in newest
    older = audited.page(f"/audit?before={lines(audited)[1].id}")
    assert f'href="/outbox/messages/{id}"' in older
    assert 'rel="next"' in newest
    assert 'rel="next"' not in older

    def found(query: str) -> int:
        return audited.page(f"/audit?{query}").count('<tr id="audit-')

    assert found(f"actor={EVA}") == 2
    assert found("actor=nobody") == 0
    assert found("act=suppress") == 1
    assert found(f"target={id.lower()}") == 1
    assert found(f"target={BOB.upper()}") == 1
    assert found(f"target={ADA}") == 0


def test_a_message_says_who_did_what_to_it(audited: Shop) -> None:
    id = audited.keep(hello(), delay=3_600)
    audited.post("/act", action="cancel", id=id)
    page = audited.page(f"/messages/{id}")
    card = page.partition('id="audit-title"')[2]
    assert card.count('<tr id="audit-') == 2
    assert f'<a href="/outbox/audit?actor={EVA}">{EVA}</a>' in card


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.mark.parametrize(
    ("scheme", "width"), [("light", 1_280), ("dark", 360)], ids=["light", "dark"]
)
def test_the_page_is_accessible_and_fits_the_screen(
    audited: Shop, browser: Browser, scheme: str, width: int
) -> None:
    id = audited.keep(hello(), delay=3_600)
    audited.post("/act", action="cancel", id=id)
    audited.post("/suppressions/add", address=BOB, list="a" * 60)
    look = {"color_scheme": scheme, "viewport": {"width": width, "height": 740}}
    with (
        served(audited.app) as address,
        opened(browser, f"{address}/audit", **look) as page,
    ):
        for path in ("/audit", f"/messages/{id}", "/audit?actor=nobody"):
            page.goto(f"{address}{path}")
            assert serious_findings(page) == []
            assert page.evaluate("document.documentElement.scrollWidth") == width


def test_a_view_is_recorded_by_a_reader_that_is_named_in_the_api(
    audited: Shop,
) -> None:
    id = audited.keep(hello(), delay=3_600)
    with audited.app.app_context():
        content = audited.mail.content(id)
        assert lines(audited) == ()
        assert audited.mail.content(id, actor="max") == content
    (line,) = lines(audited)
    assert (line.act, line.actor, line.face) == ("view", "max", "api")
