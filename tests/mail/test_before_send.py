"""`before_send`: interceptors that change or stop a message, and what is recorded."""

from __future__ import annotations

from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from typing import Any

import pytest

from flask_outbox import (
    Attachment,
    ConfigError,
    HeaderError,
    InterceptorError,
    Mail,
    Message,
    MessageStopped,
    SendOptions,
    State,
    signals,
)
from flask_outbox.history import describe
from tests.mail.conftest import MakeSite
from tests.mail.shop import engine_on
from tests.mail.site import ADA, BOB, SENDER, Site
from tests.servers import JournalSmtp
from tests.waiting import WAIT_SECONDS

WHY = "not to customers from staging"


def _received(server: JournalSmtp) -> EmailMessage:
    (mail,) = server.wait_for(1)
    parsed = message_from_bytes(mail.content, policy=default)
    assert isinstance(parsed, EmailMessage)
    return parsed


def _told(site: Site, message_id: str, kind: str) -> list[dict[str, Any]]:
    record = site.mail.get(message_id)
    return [dict(one.detail) for one in record.events if one.kind == kind]


def _stop(message: Message, options: SendOptions) -> None:
    raise MessageStopped(WHY)


def test_interceptors_change_the_message_one_after_the_other(
    site: Site, server: JournalSmtp
):
    @site.mail.before_send
    def mark(message: Message, options: SendOptions) -> None:
        message.subject = f"[{options.tag}] {message.subject}"
        message.extra_headers["X-Mark"] = "yes"

    @site.mail.before_send
    def replace(message: Message, options: SendOptions) -> Message:
        return Message(f"{message.subject}!", [BOB], html="<p>Hello")

    receipt = site.send(tag="news")

    received = _received(server)
    assert (received["Subject"], received["To"]) == ("[news] Hello!", BOB)
    test = test_interceptors_change_the_message_one_after_the_other
    mine = f"{__name__}.{test.__name__}.<locals>"
    assert _told(site, receipt.id, "changed") == [
        {"by": f"{mine}.mark", "fields": ["subject", "X-Mark"]},
        {
            "by": f"{mine}.replace",
            "fields": ["subject", "recipients", "body", "X-Mark", "html"],
        },
    ]


def test_the_senders_own_message_stays_as_it_is(site: Site, server: JournalSmtp):
    message = Message("Hello", [ADA], "Hi", attachments=[Attachment("a.txt", data="1")])

    @site.mail.before_send
    def change(message: Message, options: SendOptions) -> None:
        message.recipients.append(BOB)
        message.extra_headers["X-Mark"] = "yes"
        message.attachments[0].data = "2"

    with site.app.app_context(), site.mail.record_messages() as recorded:
        first, second = site.mail.send(message), site.mail.send(message)

    assert (message.recipients, message.extra_headers) == ([ADA], {})
    assert message.attachments[0].data == "1"
    fields = ["recipients", "attachments", "X-Mark"]
    for receipt in (first, second):
        (told,) = _told(site, receipt.id, "changed")
        assert told["fields"] == fields
    handed_over = recorded[0]
    assert isinstance(handed_over, Message)
    assert handed_over.recipients == [ADA, BOB]


def test_interceptors_can_change_a_standard_message(site: Site, server: JournalSmtp):
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = SENDER, ADA, "Hello"
    message.set_content("Hello\n")

    @site.mail.before_send
    def change(message: EmailMessage, options: SendOptions) -> None:
        message.replace_header("Subject", "Changed")
        message.set_content("Bye\n")

    receipt = site.mail.send(message)

    received = _received(server)
    assert (received["Subject"], received.get_content()) == ("Changed", "Bye\r\n")
    assert message["Subject"] == "Hello"
    (told,) = _told(site, receipt.id, "changed")
    assert told["fields"] == ["Subject", "content"]


def test_a_message_that_was_only_read_is_not_reported_as_changed(site: Site):
    seen: list[object] = []
    site.mail.before_send(lambda message, options: seen.append(message.subject))

    receipt = site.send()

    assert seen == ["Hello"]
    assert _told(site, receipt.id, "changed") == []


def test_a_stopped_message_is_kept_with_the_reason(site: Site, server: JournalSmtp):
    site.mail.before_send(_stop)
    later: list[object] = []
    site.mail.before_send(lambda message, options: later.append(message))
    site.mail.start()

    with site.mail.record_messages() as recorded:
        receipt = site.send(ADA, BOB, key="once")

    assert (receipt.stopped, later, recorded) == (WHY, [], [])
    record = site.get(receipt)
    assert record.state is State.CANCELLED
    assert {one.state for one in record.recipients} == {State.CANCELLED}
    assert _told(site, receipt.id, "stopped") == [
        {"by": f"{__name__}._stop", "reason": WHY}
    ]
    assert describe(record)[-1].background == "finished"
    again = site.send(ADA, key="once")
    assert (again.id, again.duplicate) == (receipt.id, True)
    assert len(site.told(signals.message_stopped)) == 1
    assert site.mail.drain(WAIT_SECONDS)
    assert not server.mails


def test_a_person_may_send_a_stopped_message_after_all(site: Site, server: JournalSmtp):
    site.mail.before_send(_stop)
    site.mail.start()
    receipt = site.send()

    site.mail.retry(receipt.id)

    assert site.settled(receipt).state is State.SENT
    assert _received(server)["To"] == ADA


def test_a_stopped_message_is_part_of_the_apps_transaction(site: Site):
    site.mail.before_send(_stop)
    assert site.counts() == {}
    with engine_on(site.outbox.database.url) as engine:
        with engine.connect() as connection, connection.begin() as transaction:
            gone = site.send(session=connection)
            transaction.rollback()
        with engine.begin() as connection:
            kept = site.send(session=connection)

    assert kept.stopped == gone.stopped == WHY
    assert site.counts() == {State.CANCELLED: 1}
    assert site.get(kept).state is State.CANCELLED


def test_send_now_runs_interceptors(site: Site, server: JournalSmtp):
    asked: list[SendOptions] = []

    @site.mail.before_send
    def change(message: Message, options: SendOptions) -> None:
        asked.append(options)
        message.subject = "Changed"
        if message.body == "stop me":
            raise MessageStopped(WHY)

    site.mail.send_now(Message("Hello", [ADA], "Hi"), transport="default")
    with pytest.raises(MessageStopped, match=f"change stopped it: {WHY}"):
        site.mail.send_now(Message("Hello", [ADA], "stop me"))

    assert _received(server)["Subject"] == "Changed"
    assert [one.transport for one in asked] == ["default", None]


def test_an_interceptor_that_raises_is_named_and_nothing_is_accepted(site: Site):
    @site.mail.before_send
    def broken(message: Message, options: SendOptions) -> None:
        raise KeyError("footer")

    with pytest.raises(InterceptorError, match=r"broken raised KeyError\('footer'\)"):
        site.send()
    assert site.counts() == {}


def test_flask_outboxs_own_errors_are_raised_unchanged(site: Site):
    @site.mail.before_send
    def refuse(message: Message, options: SendOptions) -> None:
        raise HeaderError("subject", "needs a number")

    with pytest.raises(HeaderError, match="needs a number") as caught:
        site.send()
    assert caught.value.__notes__[-1].endswith("refuse.")


def test_an_answer_that_is_no_message_is_refused(site: Site):
    site.mail.before_send(lambda message, options: True)  # type: ignore[type-var]

    with pytest.raises(InterceptorError, match="returned True: nothing was stored"):
        site.send()
    assert site.counts() == {}


def test_an_interceptor_that_is_not_callable_is_refused():
    with pytest.raises(ConfigError, match="before_send was given 'footer'"):
        Mail().before_send("footer")  # type: ignore[type-var]


def test_one_mail_for_several_apps_made_later(make_site: MakeSite):
    mail = Mail()
    asked: list[str] = []

    @mail.before_send
    def look(message: Message, options: SendOptions) -> None:
        asked.append(options.metadata)

    first, second = make_site(mail), make_site(mail)
    first.send(metadata="first")
    second.send(metadata="second")

    assert asked == ["first", "second"]
