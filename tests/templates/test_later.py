"""Rendered by the courier: what is stored and sent, and which errors there are."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path
from threading import Event
from types import MappingProxyType
from uuid import UUID

import pytest
from markupsafe import Markup
from sqlalchemy import select

from flask_outbox import Message, State, TemplateError, signals
from flask_outbox.courier import recorder
from flask_outbox.history import describe
from flask_outbox.outbox import dialects
from flask_outbox.outbox.schema import message
from tests.mail.conftest import MakeSite
from tests.mail.site import ADA, BOB
from tests.servers import Behaviour, JournalSmtp
from tests.templates.stationery import Stationery, opened, said
from tests.waiting import WAIT_SECONDS, eventually

BILL = "<p>Hello {{ name }}, that is {{ sum }} coins</p>"


@pytest.fixture
def desk(stationery: Stationery) -> Stationery:
    """A desk with the templates of a bill."""
    stationery.write("bill.html", BILL)
    stationery.write("bill.txt", "Hello {{ name }}, that is {{ sum }} coins\n")
    stationery.write("bill.subject.txt", "Your bill, {{ name }}")
    return stationery


def later(desk: Stationery, **given: object) -> Message:
    return desk.compose("bill", render="later", **{"name": "Ada", "sum": 7, **given})


def test_it_is_rendered_sent_and_recorded(
    desk: Stationery, server: JournalSmtp
) -> None:
    message = later(desk)
    assert message.template is not None
    assert (message.template.name, message.html, message.body) == ("bill", None, None)

    receipt = desk.site.mail.send(message)
    record = desk.site.settled(receipt)
    (mail,) = server.mails
    assert record.state is State.SENT
    assert said(mail.content, "html") == "<p>Hello Ada, that is 7 coins</p>"
    assert said(mail.content, "plain") == "Hello Ada, that is 7 coins"
    assert opened(mail.content)["Subject"] == record.subject == "Your bill, Ada"
    assert opened(mail.content)["Message-ID"] == receipt.rfc_message_id
    assert (record.template, record.size_bytes) == (None, len(mail.content))
    assert desk.site.outbox.content(receipt.id) == mail.content
    (told,) = [one for one in describe(record) if one.event.kind == "rendered"]
    assert told.event.detail["template"] == "bill"
    assert "The courier rendered the template bill" in told.what
    (payload,) = desk.site.told(signals.message_rendered)
    assert payload["version"] == told.event.detail["version"] in told.output


def test_all_other_arguments_are_kept(desk: Stationery, server: JournalSmtp) -> None:
    message = later(
        desk,
        recipients=[("Ada Ä", ADA)],
        subject="Two bills",
        sender=("The shop", "bills@example.com"),
        cc=[f"Bob <{BOB}>"],
        bcc=["cy@example.org"],
        reply_to="help@example.com",
        extra_headers={"X-Bill": "17"},
        alts={"calendar": "BEGIN:VCALENDAR"},
        date=86_400.0,
    )
    message.attach("bill.pdf", "application/pdf", b"%PDF-\x00\xff")
    message.attach("note.txt", "text/plain", "Grüße")
    desk.site.settled(desk.site.mail.send(message))
    (mail,) = server.mails
    got = opened(mail.content)
    assert mail.recipients == (ADA, BOB, "cy@example.org")
    assert mail.return_path == "bills@example.com"
    assert str(got["To"]) == f"Ada Ä <{ADA}>"
    assert str(got["From"]) == "The shop <bills@example.com>"
    assert (got["Subject"], got["X-Bill"]) == ("Two bills", "17")
    assert (got["Reply-To"], got["Bcc"]) == ("help@example.com", None)
    assert str(got["Date"]) == "Fri, 02 Jan 1970 00:00:00 +0000"
    assert [part.get_content() for part in got.iter_attachments()] == [
        b"%PDF-\x00\xff",
        "Grüße",
    ]
    kinds = [part.get_content_type() for part in got.walk()]
    assert kinds.index("text/html") < kinds.index("text/calendar")


def test_a_retry_sends_the_same_bytes(desk: Stationery, server: JournalSmtp) -> None:
    server.behaviour = Behaviour(at_data="451 4.3.0 later")
    receipt = desk.site.mail.send(later(desk))
    desk.site.wait_for(signals.message_deferred)
    kept = desk.site.outbox.content(receipt.id)
    desk.write("bill.html", "<p>Changed meanwhile</p>")
    server.behaviour = Behaviour()
    desk.site.settled(receipt)
    (mail,) = server.mails
    assert mail.content == kept
    assert len(desk.site.told(signals.message_rendered)) == 1


@pytest.mark.parametrize(
    ("mistake", "place", "reason"),
    [
        ("\n<p>{{ nobody }}</p>", "line 2", "'nobody' is undefined"),
        ("{% if %}", "line 1", "Expected an expression"),
        ("{% include 'mail/gone.html' %}", "line 1", "no template 'mail/gone.html'"),
        ("\n\n{{ name + 1 }}", "line 3", "TypeError: can only concatenate str"),
    ],
)
def test_a_template_error_fails_it_and_a_retry_succeeds_once_fixed(
    desk: Stationery, server: JournalSmtp, mistake: str, place: str, reason: str
) -> None:
    message = later(desk)
    desk.write("bill.html", mistake)
    receipt = desk.site.mail.send(message)
    record = desk.site.settled(receipt)
    assert record.state is State.FAILED
    assert record.subject == "(bill, not yet rendered)"
    assert record.template == message.template
    last = describe(record)[-1]
    assert last.what == "Failed: it could not be rendered"
    for text in ("mail/bill.html", place, reason):
        assert text in last.output
    assert str(record.recipients[0].reply) == last.output
    assert server.mails == []

    desk.write("bill.html", BILL)
    with desk.site.app.app_context():
        desk.site.mail.retry(receipt.id)
    desk.site.wait_for(signals.message_sent)
    assert said(server.mails[0].content, "html") == "<p>Hello Ada, that is 7 coins</p>"


def test_a_deleted_template_fails_it(desk: Stationery) -> None:
    message = later(desk)
    desk.remove("bill.html")
    desk.remove("bill.txt")
    record = desk.site.settled(desk.site.mail.send(message))
    assert record.state is State.FAILED
    assert "there is no mail/bill.html" in describe(record)[-1].output


def test_an_error_of_the_app_defers_it(desk: Stationery, server: JournalSmtp) -> None:
    away = [True]

    @desk.site.app.context_processor
    def ask_a_database() -> dict[str, str]:
        if away:
            raise ConnectionError("the database is away")
        return {}

    receipt = desk.site.mail.send(later(desk))
    (deferred, *_) = desk.site.wait_for(signals.message_deferred)
    assert "the database is away" in deferred["replies"][ADA]
    away.clear()
    assert desk.site.settled(receipt).state is State.SENT
    assert len(server.mails) == 1


@pytest.mark.parametrize("home", ["mariadb"], indirect=True)
def test_a_result_larger_than_max_allowed_packet_fails_alone(
    make_site: MakeSite,
    url: str,
    server: JournalSmtp,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The server closes the connection then, and the driver says nothing."""
    monkeypatch.setattr(recorder, "RETRY_WAIT_SECONDS", 0.05)
    desk = Stationery(make_site(OUTBOX_URL=url), tmp_path)
    desk.write("lines.txt", "{{ line * lines }}")
    desk.write("lines.subject.txt", "Lines")
    line = "a line that is a kilobyte long".ljust(1_023, ".") + "\n"
    with desk.site.outbox.database.reading() as connection:
        asked = connection.exec_driver_sql("SELECT @@max_allowed_packet")
        too_many = int(asked.scalar_one()) // len(line)
    receipts = [
        desk.keep_later("lines", line=line, lines=lines) for lines in (1, too_many, 1)
    ]
    desk.site.make_ready()
    before, large, after = (desk.site.settled(one) for one in receipts)
    assert [one.state for one in (before, large, after)] == [
        State.SENT,
        State.FAILED,
        State.SENT,
    ]
    assert len(server.mails) == 2
    reply = str(large.recipients[0].reply)
    assert "cannot be stored" in reply
    assert "larger than the server's max_allowed_packet" in reply
    assert "key=" not in reply
    assert not desk.site.told(signals.courier_stalled)


@pytest.mark.parametrize("home", ["postgresql", "mariadb"], indirect=True)
def test_a_result_whose_row_is_locked_is_stored_later(
    make_site: MakeSite,
    url: str,
    server: JournalSmtp,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(recorder, "RETRY_WAIT_SECONDS", 0.05)
    monkeypatch.setattr(dialects, "BUSY_SECONDS", 1.0)
    desk = Stationery(make_site(OUTBOX_URL=url), tmp_path)
    desk.write("bill.txt", "{{ wait() }}Hello")
    desk.write("bill.subject.txt", "Your bill")
    begun, locked = Event(), Event()

    def wait() -> str:
        begun.set()
        assert locked.wait(WAIT_SECONDS)
        return ""

    desk.site.app.jinja_env.globals["wait"] = wait
    receipt = desk.keep_later()
    desk.site.make_ready()
    assert begun.wait(WAIT_SECONDS)
    with desk.site.outbox.database.engine.begin() as connection:
        row = select(message.c.id).where(message.c.id == receipt.id)
        connection.execute(row.with_for_update())
        locked.set()
        waits = f"{receipt.id} cannot be recorded yet"
        eventually(lambda: [one for one in caplog.messages if waits in one])
    assert desk.site.settled(receipt).state is State.SENT
    assert len(server.mails) == 1


def test_rendering_now_later_and_by_send_now_gives_the_same(
    desk: Stationery, server: JournalSmtp
) -> None:
    given = {"name": "Ada & Bob", "sum": 7}
    desk.site.mail.send_now(desk.compose("bill", **given))
    desk.site.mail.send_now(later(desk, **given))
    desk.site.settled(desk.site.mail.send(later(desk, **given)))
    texts = {
        (said(one.content, "html"), said(one.content, "plain")) for one in server.mails
    }
    assert len(server.mails) == 3
    assert texts == {
        (
            "<p>Hello Ada &amp; Bob, that is 7 coins</p>",
            "Hello Ada & Bob, that is 7 coins",
        )
    }
    assert {opened(one.content)["Subject"] for one in server.mails} == {
        "Your bill, Ada & Bob"
    }


class NoJson:
    def __repr__(self) -> str:
        return "<NoJson>"


class Link:
    """It writes itself as HTML, as Markup does."""

    def __repr__(self) -> str:
        return "<Link>"

    def __html__(self) -> str:
        return "<a>"


@dataclass
class Share:
    """What Flask's provider writes as an object."""

    of: float


@pytest.mark.parametrize(
    ("context", "path"),
    [
        ({"user": NoJson()}, "context['user'] is <NoJson>, of type NoJson"),
        ({"rows": [1, {"a": {2, 3}}]}, "context['rows'][1]['a'] is {2, 3}"),
        ({"rows": {1: "a"}}, "context['rows'] has the key 1"),
        ({"share": float("nan")}, "context['share'] is nan"),
        ({"link": Markup("<b>")}, "context['link'] is Markup('<b>')"),
        ({"link": Link()}, "context['link'] is <Link>"),
        ({"share": Share(float("nan"))}, "context['share']['of'] is nan"),
        ({"half": {"\ud800": 1}}, "context['half'] has the key"),
        ({"text": "\ud800"}, r"context['text'] is '\ud800'"),
    ],
)
def test_a_value_that_is_not_json_is_refused_with_its_path(
    desk: Stationery, context: dict[str, object], path: str
) -> None:
    with pytest.raises(TemplateError) as raised:
        later(desk, context=context)
    assert path in str(raised.value)
    assert "render='now'" in str(raised.value)


def test_values_that_the_apps_json_provider_encodes_are_accepted(
    desk: Stationery, server: JournalSmtp
) -> None:
    sums = MappingProxyType({"of": Share(0.5), "on": date(2030, 1, 2)})
    message = later(desk, name=UUID(int=7), sum=[Decimal("1.50"), sums])
    desk.site.settled(desk.site.mail.send(message))
    text = said(server.mails[0].content, "plain")
    assert f"Hello {UUID(int=7)}, that is ['1.50', " in text
    assert "{'of': {'of': 0.5}, 'on': 'Wed, 02 Jan 2030 00:00:00 GMT'}]" in text


def test_errors_found_without_rendering_are_raised_at_once(desk: Stationery) -> None:
    with pytest.raises(TemplateError, match=r"there is no mail/nothing\.html"):
        desk.compose("nothing", render="later")
    desk.write("wrong.html", "{% extends 'mail/layout.html' %}")
    desk.write("layout.html", "<p>\n{% nonsense %}")
    with pytest.raises(TemplateError, match=r"mail/layout\.html, line 2: .*nonsense"):
        desk.compose("wrong", render="later")
    with pytest.raises(TemplateError, match="neither 'now' nor 'later'"):
        desk.compose("bill", render="soon")
    with pytest.raises(ValueError, match="recipients"):
        desk.site.mail.send(later(desk, recipients=[]))
    assert desk.site.counts() == {}


def test_a_body_that_the_template_would_overwrite_is_refused(desk: Stationery) -> None:
    for change in ({"body": "Hello"}, {"html": "<p>Hello</p>"}):
        message = later(desk)
        for name, text in change.items():
            setattr(message, name, text)
        with pytest.raises(TemplateError, match="bill: it sets body and html"):
            desk.site.mail.send(message)
    assert desk.site.counts() == {}


def test_later_changes_to_the_context_have_no_effect(
    desk: Stationery, server: JournalSmtp
) -> None:
    rows = ["Ada"]
    message = desk.compose("bill", render="later", name=rows, sum=7)
    rows.append("Bob")
    desk.site.settled(desk.site.mail.send(message))
    assert "Hello ['Ada']," in said(server.mails[0].content, "plain")


def test_a_message_never_rendered_can_be_sent_again(
    desk: Stationery, server: JournalSmtp
) -> None:
    receipt = desk.site.mail.send(later(desk), delay=3600.0)
    with desk.site.app.app_context():
        desk.site.mail.cancel(receipt.id)
        again = desk.site.mail.send_again(receipt.id)
    desk.site.settled(again)
    (mail,) = server.mails
    assert (
        opened(mail.content)["Message-ID"]
        == again.rfc_message_id
        != receipt.rfc_message_id
    )
    assert said(mail.content, "plain") == "Hello Ada, that is 7 coins"


def test_the_variables_of_a_template_are_found(desk: Stationery) -> None:
    desk.write("base.txt", "{{ shop }}{% block body %}{% endblock %}")
    desk.write(
        "offer.txt",
        "{% extends 'mail/base.txt' %}{% block body %}{% for one in offers %}"
        "{{ one }} {{ url_for('x') }} {{ g.x }}{% endfor %}{% endblock %}"
        "{% set mine = 1 %}{{ mine }}",
    )
    templates = desk.site.app.extensions["outbox"].templates
    assert templates.wanted("offer") == {"shop", "offers"}
    assert templates.wanted("bill") == {"name", "sum"}
    with pytest.raises(TemplateError, match=r"there is no mail/bills.html"):
        templates.wanted("bills")
