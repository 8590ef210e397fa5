"""What people do with Flask-Mail, done with either module."""

from __future__ import annotations

import email
from typing import Any

import pytest
from flask import Flask, current_app
from jinja2 import DictLoader

from tests.drop_in.conftest import MakeApp
from tests.drop_in.essence import essence
from tests.drop_in.peers import ours
from tests.mail.site import ADA, BOB, SENDER
from tests.servers import Behaviour, JournalSmtp
from tests.waiting import WAIT_SECONDS


def subjects(messages: Any) -> list[str]:
    return [one.subject for one in messages]


# -------------------------------------------------------------------------- sending


def test_init_app_works_in_an_app_factory(
    peer: Any, app: Flask, server: JournalSmtp
) -> None:
    mail = peer.Mail()
    mail.init_app(app)

    @app.post("/send-email")
    def send_email() -> str:
        mail.send(peer.Message("Hello", recipients=[ADA], body="Hello\n"))
        return "sent"

    assert app.test_client().post("/send-email").text == "sent"
    (arrived,) = server.wait_for(1)
    assert (arrived.return_path, arrived.recipients) == (SENDER, (ADA,))


def test_connect_sends_many_messages(
    peer: Any, app: Flask, server: JournalSmtp
) -> None:
    mail = peer.Mail(app)
    users = [f"user{number}@example.org" for number in range(10)]
    with app.app_context(), mail.connect() as connection:
        for user in users:
            message = peer.Message("Hello", [user], "Hello\n")
            connection.send(message)
        assert connection.num_emails == 10
        connection.send_message("Last", [ADA], "Hello\n")
        peer.Message("More", [BOB], "Hello\n").send(connection)
    arrived = server.wait_for(12)
    assert sorted(one.recipients for one in arrived) == sorted(
        (one,) for one in [*users, ADA, BOB]
    )


def test_envelope_from_sets_where_bounces_go(
    peer: Any, app: Flask, server: JournalSmtp
) -> None:
    mail = peer.Mail(app)
    with app.app_context(), mail.connect() as connection:
        message = peer.Message("Hello", [ADA], "Hello\n")
        connection.send(message, envelope_from="bounces@example.com")
    (arrived,) = server.wait_for(1)
    assert arrived.return_path == "bounces@example.com"
    assert email.message_from_bytes(arrived.content)["From"] == SENDER


def test_libraries_send_by_the_apps_extension(
    peer: Any, app: Flask, server: JournalSmtp
) -> None:
    """How Flask-Security and others send: by what the app has under ``"mail"``."""
    peer.Mail(app)

    @app.post("/reset")
    def reset() -> str:
        extension = current_app.extensions.get("mail")
        assert extension is not None
        extension.send(peer.Message("Reset", [ADA], "Hello\n"))
        with extension.connect() as connection:
            connection.send(peer.Message("Reset", [ADA], "Hello\n"))
        extension.send_message("Reset", [ADA], "Hello\n")
        return "sent"

    assert app.test_client().post("/reset").text == "sent"
    assert len(server.wait_for(3)) == 3


def test_each_app_has_settings_of_its_own(peer: Any, make_app: MakeApp) -> None:
    mail = peer.Mail()
    for name in ("books", "shoes"):
        app = make_app(MAIL_DEFAULT_SENDER=f"{name}@example.com", TESTING=True)
        mail.init_app(app)
        with app.app_context():
            assert peer.Message("Hello", [ADA]).sender == f"{name}@example.com"


# ---------------------------------------------------------------- what an object has


def test_the_state_has_flask_mails_attributes(peer: Any, make_app: MakeApp) -> None:
    app = make_app(
        MAIL_SERVER="localhost",
        MAIL_PORT=587,
        MAIL_USE_TLS=True,
        MAIL_USERNAME="user",
        MAIL_PASSWORD="secret",
        MAIL_DEBUG=False,
        MAIL_MAX_EMAILS=7,
        TESTING=True,
    )
    mail = peer.Mail(app)
    assert mail.state is app.extensions["mail"]
    assert mail.app is app
    names = (
        "server", "username", "password", "port", "use_tls", "use_ssl",
        "default_sender", "debug", "max_emails", "suppress", "ascii_attachments",
    )  # fmt: skip
    assert [getattr(mail.state, name) for name in names] == [
        "localhost", "user", "secret", 587, True, False, SENDER, 0, 7, True, False,
    ]  # fmt: skip
    assert (mail.server, mail.port, mail.default_sender) == ("localhost", 587, SENDER)


def test_a_default_sender_set_later_is_used(peer: Any, app: Flask) -> None:
    mail = peer.Mail(app)
    with app.app_context():
        mail.state.default_sender = ("Me", "me@example.com")
        assert peer.Message("Hello").sender == "Me <me@example.com>"
        mail.state.default_sender = None
        with pytest.raises(AssertionError, match="sender"):
            mail.send(peer.Message("Hello", [ADA]))


def test_the_keys_have_flask_mails_defaults(peer: Any) -> None:
    state = peer.Mail().init_mail({}, debug=True, testing=True)
    assert (state.server, state.port, state.default_sender) == ("127.0.0.1", 25, None)
    assert (state.use_tls, state.use_ssl, state.suppress) == (False, False, True)
    assert (state.debug, state.max_emails, state.ascii_attachments) == (1, None, False)


def test_a_mail_for_several_apps_has_no_state(peer: Any, app: Flask) -> None:
    mail = peer.Mail()
    state = mail.init_app(app)
    assert (mail.app, mail.state, mail.server) == (None, None, None)
    assert app.extensions["mail"] is state


def test_a_message_has_flask_mails_attributes(peer: Any, app: Flask) -> None:
    peer.Mail(app)
    with app.app_context():
        message = peer.Message("Hello", [ADA], cc=[BOB], bcc=[ADA], html="<p>x</p>")
        assert message.send_to == {ADA, BOB}
        assert (message.sender, message.body, message.date) == (SENDER, None, None)
        assert (message.html, message.alts) == ("<p>x</p>", {"html": "<p>x</p>"})
        message.html = None
        assert message.alts == {}
        assert (message.attachments, message.mail_options) == ([], [])
        assert message.msgId == message.msgId
        other = peer.Message(sender=("Me", "me@example.com"))
        assert (other.sender, other.subject) == ("Me <me@example.com>", "")
        assert other.msgId != message.msgId


def test_an_attachment_has_flask_mails_attributes(peer: Any) -> None:
    guessed = peer.Attachment("a.png", data=b"x")
    assert (guessed.content_type, guessed.disposition) == ("image/png", "attachment")
    assert peer.Attachment(data="x").content_type == "text/plain"
    assert peer.Attachment(data=b"x").content_type == "application/octet-stream"
    given = peer.Attachment("a", "b/c", b"x", "inline", {"X": "y"})
    assert (given.filename, given.data, given.headers) == ("a", b"x", {"X": "y"})
    with pytest.raises(ValueError, match="data"):
        peer.Attachment("a.png")


# --------------------------------------------------------------- tests and listeners


@pytest.mark.parametrize(
    "config", [{"TESTING": True}, {"MAIL_SUPPRESS_SEND": True}], ids=str
)
def test_record_messages_collects_messages_under_testing(
    peer: Any, make_app: MakeApp, server: JournalSmtp, config: dict[str, Any]
) -> None:
    app = make_app(**config)
    mail = peer.Mail(app)
    with app.app_context(), mail.record_messages() as outbox:
        message = peer.Message("testing", [ADA], "test")
        mail.send(message)
        mail.send_message("again", [ADA])
        app.extensions["mail"].send(peer.Message("and again", [ADA]))
        assert outbox[0] is message
        assert message.date is not None
    assert subjects(outbox) == ["testing", "again", "and again"]
    assert server.connections_made == 0


def test_suppress_send_false_sends_under_testing(
    peer: Any, make_app: MakeApp, server: JournalSmtp
) -> None:
    app = make_app(TESTING=True, MAIL_SUPPRESS_SEND=False)
    mail = peer.Mail(app)
    with app.app_context():
        mail.send_message("Hello", [ADA], "Hello\n")
        if peer is ours:
            assert mail.drain(WAIT_SECONDS)
    assert len(server.mails) == 1


def test_email_dispatched_is_sent_for_each_message(
    peer: Any, make_app: MakeApp
) -> None:
    app, heard = make_app(TESTING=True), []

    def hear(app: Flask, message: Any, **_: Any) -> None:
        heard.append((app, message.subject))

    mail = peer.Mail(app)
    with app.app_context(), peer.email_dispatched.connected_to(hear, sender=app):
        mail.send_message("Hello", [ADA])
    assert heard == [(app, "Hello")]
    assert peer.signals["email-dispatched"] is peer.email_dispatched


# --------------------------------------------------------------------- only with ours


def test_send_returns_a_receipt(make_app: MakeApp) -> None:
    app = make_app(TESTING=True)
    mail = ours.Mail(app)
    receipt = mail.send(ours.Message("Hello", [ADA]), key="order-17")
    again = mail.send(ours.Message("Hello", [ADA]), key="order-17")
    with mail.connect() as connection:
        late = connection.send(ours.Message("Hello", [ADA]), delay=60)
    assert again.duplicate
    assert mail.get(receipt.id).rfc_message_id == receipt.rfc_message_id
    assert mail.get(late.id).state == "pending"


def test_a_hanging_server_does_not_delay_send(app: Flask, server: JournalSmtp) -> None:
    server.behaviour = Behaviour(hang=True)
    mail = ours.Mail(app)
    with app.app_context():
        message = ours.Message("Hello", [ADA], "Hello\n")
        mail.send(message)
    server.wait_until(lambda: server.held == 1)
    assert server.mails == []
    server.behaviour = Behaviour()
    (arrived,) = server.wait_for(1)
    assert arrived.rfc_message_id == message.msgId


def test_the_default_server_in_production_is_this_machine(
    make_app: MakeApp,
) -> None:
    nowhere = {"MAIL_SERVER": None, "MAIL_PORT": None}
    app = make_app(**nowhere)
    ours.Mail(app)
    smtp = app.extensions["outbox"].settings.default.adapter
    assert (smtp.host, smtp.port) == ("127.0.0.1", 25)
    for said in ({"MAIL_URL": "smtp://mail.example.com"}, {"TESTING": True}):
        app = make_app(**nowhere, **said)
        ours.Mail(app)
        assert app.config["MAIL_SERVER"] is None


def test_a_mail_made_with_an_app_works_for_that_app(make_app: MakeApp) -> None:
    own, other = make_app(TESTING=True), make_app(TESTING=True)
    mail = ours.Mail(own)
    ours.Mail(other)
    with other.app_context():
        receipt = mail.send(ours.Message("Hello", [ADA]))
    assert own.extensions["outbox"].runtime.outbox.get(receipt.id).id == receipt.id


def test_an_unknown_attribute_of_mail_is_an_error(app: Flask) -> None:
    with pytest.raises(AttributeError, match="'Mail' has no attribute 'serve'"):
        _ = ours.Mail(app).serve


def test_interceptors_change_a_copy(make_app: MakeApp) -> None:
    app = make_app(TESTING=True)
    mail = ours.Mail(app)

    @mail.before_send  # type: ignore[untyped-decorator]
    def sign(message: Any, options: Any) -> None:
        message.body += "-- \nThe shop\n"
        message.subject = f"[shop] {message.subject}"
        message.add_recipient(BOB)

    with mail.record_messages() as outbox:
        message = ours.Message("Hello", [ADA], "Hello\n")
        receipt = mail.send(message)
    assert (message.subject, message.recipients) == ("Hello", [ADA])
    assert outbox[0].body == "Hello\n-- \nThe shop\n"
    record = mail.get(receipt.id)
    assert (record.subject, len(record.recipients)) == ("[shop] Hello", 2)
    assert record.rfc_message_id == message.msgId == outbox[0].msgId
    (changed,) = [one for one in record.events if one.kind == "changed"]
    assert set(changed.detail["fields"]) == {"subject", "body", "recipients"}


def test_send_many_sends_many_messages(app: Flask, server: JournalSmtp) -> None:
    mail = ours.Mail(app)
    messages = [ours.Message(f"{number}", [ADA], "Hello\n") for number in range(3)]
    assert mail.send_many(messages).messages == 3
    arrived = server.wait_for(3)
    assert {one.rfc_message_id for one in arrived} == {one.msgId for one in messages}


@pytest.mark.parametrize("render", ["now", "later"])
def test_from_template_renders_a_message(
    app: Flask, server: JournalSmtp, render: str
) -> None:
    app.jinja_env.loader = DictLoader(
        {
            "mail/welcome.txt": "Hello {{ name }}\n",
            "mail/welcome.subject.txt": "Welcome, {{ name }}\n",
        }
    )
    mail = ours.Mail(app)
    with app.app_context():
        message = ours.Message.from_template("welcome", [ADA], render=render, name="A")
        assert "Subject: Welcome, A\r\n" in message.as_string()
        mail.send(message, return_path="bounces@example.com")
    (arrived,) = server.wait_for(1)
    assert b"\r\nSubject: Welcome, A\r\n" in arrived.content
    assert arrived.rfc_message_id == message.msgId
    assert arrived.return_path == "bounces@example.com"


def test_a_default_sender_from_the_environment(
    peer: Any, make_app: MakeApp, server: JournalSmtp
) -> None:
    """`Flask.config.from_prefixed_env` reads JSON, so that a pair comes as a list."""
    app = make_app(MAIL_DEFAULT_SENDER=["Lovelace", "me@example.com"])
    mail = peer.Mail(app)
    with app.app_context():
        mail.send(peer.Message("Hello", [ADA], "Hello\n"))
    (arrived,) = server.wait_for(1)
    headers = dict(essence(arrived.content).headers)
    assert headers["from"] == "Lovelace <me@example.com>"
