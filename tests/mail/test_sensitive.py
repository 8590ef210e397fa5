"""``sensitive=True``: secrets that nobody is shown, and that are gone once sent."""

from __future__ import annotations

import base64
import json
import logging
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from jinja2 import DictLoader

from flask_outbox import (
    BatchInterrupted,
    EventKind,
    Message,
    SensitiveContent,
    State,
    email_dispatched,
    flask_mail,
    signals,
)
from flask_outbox.outbox.records import Search
from flask_outbox.testing import RecordedOutbox
from tests.mail.conftest import MakeSite
from tests.mail.site import ADA, PUT_OFF_FOR_LONG, Site
from tests.servers import Behaviour, JournalSmtp
from tests.servers.webhook_receiver import SECRET, WebhookReceiver
from tests.waiting import WAIT_SECONDS

SECRETS = {
    field: f"canary{number}qZ7wK3{field}"
    for number, field in enumerate(
        ("subject", "body", "html", "header", "attachment", "large", "filename",
         "metadata", "context")
    )
}  # fmt: skip


def forms(secret: str) -> Iterator[bytes]:
    """The secret as it is written in files and pages, and in base64 wherever it is."""
    yield secret.encode()
    for shift in range(3):
        coded = base64.b64encode(b" " * shift + secret.encode())
        yield coded[4 if shift else 0 : -4]


def found_in(where: str | bytes) -> set[str]:
    """The fields whose secrets are there."""
    text = where.encode() if isinstance(where, str) else where
    return {
        field
        for field, secret in SECRETS.items()
        if any(form in text for form in forms(secret))
    }


def direct() -> Message:
    """A mail with a secret in each of its parts."""
    message = Message(
        SECRETS["subject"],
        [ADA],
        SECRETS["body"],
        html=f"<p>{SECRETS['html']}</p>",
        extra_headers={"X-Code": SECRETS["header"]},
    )
    message.attach("code.txt", "text/plain", SECRETS["attachment"].encode())
    large = SECRETS["large"].encode() * 1_000
    message.attach(f"{SECRETS['filename']}.bin", "application/octet-stream", large)
    return message


KINDS = ["sent", "deferred", "failed", "cancelled"]

TEMPLATES = {
    "mail/code.txt": "Your code is {{ code }}",
    "mail/code.subject.txt": "{{ code }} is your code",
    "mail/broken.txt": "{{ fail(code) }}",
    "mail/broken.subject.txt": "Broken",
}


def fail(text: str) -> None:
    raise ValueError(text)


def pages(site: Site, ids: list[str]) -> Iterator[tuple[str, bytes]]:
    """Each page of the dashboard, for each of the messages."""
    client = site.app.test_client()
    paths = ["", "messages", "batches", "inbox", "lanes", "suppressions", "webhooks"]
    paths += ["webhooks/crm", *(f"act?action=retry&id={id}" for id in ids)]
    for kind in ("messages", "inbox"):
        paths += [f"{kind}/{id}" for id in ids]
    for id in ids:
        parts = ("html", "source", "message.eml", "parts/1", "parts/2")
        paths += [f"messages/{id}/{part}" for part in parts]
        paths += [f"messages/{id}?view={view}" for view in ("text", "headers", "links")]
    for path in paths:
        answer = client.get(f"/outbox/{path}", follow_redirects=True)
        yield path, answer.data
        forbidden = path.count("/") > 1
        assert answer.status_code == (403 if forbidden else 200), path


def commands(site: Site, ids: list[str]) -> Iterator[tuple[str, str]]:
    """What each command that shows messages prints."""
    runner = site.app.test_cli_runner()
    lines = [["list"], ["list", "--json"], ["status", "--json"], ["webhooks", "list"]]
    for id in ids:
        lines += [["show", id], ["show", id, "--json"], ["show", id, "--dialogue"]]
        lines += [["show", id, "--content"], ["show", id, "--content", "--json"]]
        lines.append(["check", id])
    for line in lines:
        yield " ".join(line), runner.invoke(args=["outbox", *line]).output


def assert_unseen(site: Site, ids: list[str]) -> None:
    for path, page in pages(site, ids):
        assert not found_in(page), path
    for command, printed in commands(site, ids):
        assert not found_in(printed), command
    with site.app.app_context():
        for secret in SECRETS.values():
            assert not site.mail.search(Search(subject=secret)).messages
        for id in ids:
            assert not found_in(repr(site.mail.get(id)))


def files_of(site: Site) -> bytes:
    """The outbox's files, once the second is written back."""
    path = site.outbox.database.url.database
    assert path
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    folder = Path(path).parent
    return b"".join(one.read_bytes() for one in folder.glob(f"{Path(path).name}*"))


def told_to_listeners(site: Site) -> str:
    """What the signals' listeners know, messages as they can read them."""
    told = []
    for one in site.heard:
        message = one.payload.get("message")
        told.append(repr(one.payload))
        told.append(repr(vars(message)) if isinstance(message, Message) else "")
    return "\n".join(told)


def test_secrets_are_seen_nowhere_and_are_gone_once_sent(
    make_site: MakeSite, server: JournalSmtp, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.WARNING, logger="mail.log")  # the server's own
    server.behaviour = Behaviour(at_rcpt="451 4.3.0 later")
    with WebhookReceiver() as receiver:
        crm = {"url": receiver.url, "secrets": SECRET, "allow_private": True}
        site = make_site(
            OUTBOX_DASHBOARD=lambda: True,
            OUTBOX_WEBHOOKS={"crm": {**crm, "metadata": True, "events": KINDS}},
            MAIL_DEBUG=True,
            **PUT_OFF_FOR_LONG,
        )
        site.app.jinja_loader = DictLoader(TEMPLATES)
        site.app.jinja_env.globals["fail"] = fail
        sensitive: dict[str, Any] = {
            "sensitive": True,
            "metadata": {"code": SECRETS["metadata"]},
        }
        later: dict[str, Any] = {"render": "later", "code": SECRETS["context"]}
        with site.app.app_context():
            rendered = Message.from_template("code", [ADA], **later)
            broken = Message.from_template("broken", [ADA], **later)
            waits = site.mail.send(rendered, delay=3_600, **sensitive)
            sent = [
                site.mail.send(one, **sensitive) for one in (direct(), rendered, broken)
            ]
        ids = [one.id for one in (*sent, waits)]
        site.wait_for(signals.message_deferred, 2)
        site.wait_for(signals.message_failed)
        assert_unseen(site, ids)
        assert found_in(files_of(site)) == SECRETS.keys()

        server.behaviour = Behaviour()
        with site.app.app_context():
            for one in sent[:2]:
                site.mail.retry(one.id)
            site.mail.cancel(waits.id)
        for one in sent[:2]:
            assert site.settled(one).state is State.SENT
        assert_unseen(site, ids)
        told = receiver.wait_for(6, WAIT_SECONDS)

    mails = b"".join(one.content for one in server.mails)
    assert found_in(mails) == SECRETS.keys() - {"metadata"}
    assert found_in(files_of(site)) == set()
    assert not found_in(caplog.text)
    assert not found_in(told_to_listeners(site))
    assert not found_in(b"".join(one.body for one in told))


def test_what_fails_is_named_without_its_text(make_site: MakeSite) -> None:
    site = make_site()
    site.app.jinja_loader = DictLoader(TEMPLATES)
    site.app.jinja_env.globals["fail"] = fail
    with site.app.app_context():
        message = Message.from_template("broken", [ADA], code="7", render="later")
        receipt = site.mail.send(message, sensitive=True)
    (recipient,) = site.settled(receipt).recipients
    place = f"{Path(__file__).name}, line {fail.__code__.co_firstlineno + 1}"
    assert str(recipient.reply) == (
        f"template: mail/broken.txt, line 1: ValueError ({place})"
    )


def test_a_sensitive_batch_does_not_keep_the_words_of_its_error(
    make_site: MakeSite,
) -> None:
    site = make_site(TESTING=True)
    rows = [Message("Code", [ADA], "7"), Message("Code", ["no address 7"], "7")]
    with site.app.app_context():
        with pytest.raises(BatchInterrupted, match="no address 7") as refused:
            site.mail.send_many(rows, sensitive=True)
        batch = site.mail.batch(refused.value.batch)
        assert batch.error == "Row 2: AddressError; the batch is sensitive."
        (stored,) = site.mail.search().messages
        assert site.mail.get(stored.id).sensitive


# --------------------------------------------------------------------- those who see it


def standard() -> EmailMessage:
    message = EmailMessage()
    message["Subject"], message["From"], message["To"] = "Code 7", "a@example.org", ADA
    message["X-Code"] = "7"
    message.set_content("Code 7")
    return message


@pytest.mark.parametrize("message", [Message("Code 7", [ADA], "Code 7"), standard()])
def test_listeners_get_a_copy_without_content(
    make_site: MakeSite, message: Message | EmailMessage
) -> None:
    site = make_site(TESTING=True)
    with site.app.app_context(), site.mail.record_messages() as recorded:
        site.mail.send(message, sensitive=True)
    assert recorded == [message]
    (payload,) = site.told(email_dispatched)
    told: Any = payload["message"]
    assert type(payload["message"]) is type(message)
    if isinstance(message, Message):
        assert (told.subject, told.body) == ("(sensitive)", None)
        assert told.recipients == [ADA]
        assert message.subject == "Code 7"
    else:
        headers = dict(told.items())
        assert headers == {
            "Subject": "(sensitive)", "From": "a@example.org", "To": ADA,
        }  # fmt: skip
        assert told.get_payload() is None


def test_send_now_tells_listeners_no_content(site: Site, server: JournalSmtp) -> None:
    with RecordedOutbox() as recorded, site.app.app_context():
        site.mail.send_now(Message("Code 7", [ADA], "Code 7"), sensitive=True)
    (told,) = site.told(signals.message_sent_now)
    assert told["content"] is None
    assert site.told(email_dispatched)[0]["message"].subject == "(sensitive)"
    assert recorded.last.subject == "Code 7"
    (mail,) = server.mails
    assert b"Code 7" in mail.content


def test_the_drop_in_takes_it(make_site: MakeSite) -> None:
    site = make_site(flask_mail.Mail(), TESTING=True)
    with site.app.app_context(), site.mail.record_messages() as recorded:
        receipt = site.mail.send(
            flask_mail.Message("Code 7", [ADA], "Code 7"), sensitive=True
        )
        assert site.mail.get(receipt.id).sensitive
    (told,) = site.told(email_dispatched)
    assert isinstance(told["message"], flask_mail.Message)
    assert told["message"].subject == "(sensitive)"
    assert recorded[0].subject == "Code 7"


INBOX: Mapping[str, Mapping[str, Any]] = {
    "debug": {"DEBUG": True, "MAIL_URL": "inbox://"},
    "production": {"MAIL_URL": "inbox://"},
}


@pytest.mark.parametrize("mode", INBOX)
def test_the_dev_inbox_shows_it_to_developers_alone(
    make_site: MakeSite, mode: str
) -> None:
    site = make_site(OUTBOX_DASHBOARD=lambda: True, **INBOX[mode])
    with site.app.app_context():
        receipt = site.mail.send(Message("Code 7", [ADA], "Code 7"), sensitive=True)
    record = site.settled(receipt)
    assert record.events[-1].kind is EventKind.SENT
    page = site.app.test_client().get(f"/outbox/inbox/{receipt.id}").text
    listed = site.app.test_client().get("/outbox/inbox").text
    developer = mode == "debug"
    assert record.sensitive
    assert record.hidden is not developer
    assert ("Code 7" in page, "Code 7" in listed) == (developer, developer)
    assert ("sensitive=True" in page) is not developer


def test_tests_read_it_until_it_is_removed(make_site: MakeSite) -> None:
    site = make_site(TESTING=True, MAIL_SUPPRESS_SEND=False)
    with RecordedOutbox() as recorded, site.app.app_context():
        site.mail.send(Message("Code 7", [ADA], "Code 7"), sensitive=True)
        recorded.assert_sent(subject="Code 7", contains="Code 7")
        recorded.drain()
        with pytest.raises(SensitiveContent, match="removed when it became sent"):
            _ = recorded.last.text


def test_the_history_of_a_sensitive_mail_is_whole(site: Site) -> None:
    with site.app.app_context():
        receipt = site.mail.send(
            Message("Code 7", [ADA], "Code 7"), sensitive=True, tag="login"
        )
    record = site.settled(receipt)
    assert [one.kind for one in record.events] == ["enqueued", "began", "sent"]
    assert "dialogue" not in record.events[-1].detail
    assert (record.tag, record.recipients[0].state) == ("login", State.SENT)
    shown = site.app.test_cli_runner().invoke(args=["outbox", "show", receipt.id])
    assert "Sensitive    yes: its content is shown to nobody" in shown.output
    document = site.app.test_cli_runner().invoke(
        args=["outbox", "show", receipt.id, "--json"]
    )
    assert json.loads(document.output)["sensitive"] is True
    refused = site.app.test_cli_runner().invoke(
        args=["outbox", "show", receipt.id, "--content"]
    )
    assert refused.exit_code == 1
    assert "its content is shown to nobody, and was removed" in refused.output


def test_mail_content_says_why_it_refuses(site: Site) -> None:
    with site.app.app_context():
        receipt = site.mail.send(
            Message("Code 7", [ADA], "Code 7"), sensitive=True, delay=3_600
        )
        with pytest.raises(SensitiveContent, match="sent with sensitive=True"):
            site.mail.content(receipt.id)
