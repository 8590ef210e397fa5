"""Beside Flask-Mail itself: a library that imports it, in an app that has moved."""

from __future__ import annotations

import sys
from importlib import import_module

import pytest
from flask import Flask, current_app

from tests.drop_in.essence import essence
from tests.drop_in.peers import flask_mail, ours
from tests.mail.site import ADA, SENDER
from tests.servers import JournalSmtp


def test_flask_mails_own_message_is_sent(app: Flask, server: JournalSmtp) -> None:
    mail = ours.Mail(app)
    with app.app_context(), mail.record_messages() as outbox:
        message = flask_mail.Message(
            "Reset",
            [("Ada", ADA)],
            "text",
            "<p>html</p>",
            alts={"calendar": "BEGIN:VCALENDAR"},
            cc=["cc@example.org"],
            reply_to="answers@example.com",
            extra_headers={"X-Tag": "reset"},
            attachments=[flask_mail.Attachment("a.csv", None, "a,b", "inline")],
        )
        before = message.as_bytes()
        current_app.extensions["mail"].send(message)
        with mail.connect() as connection:
            message.send(connection)
    for arrived in server.wait_for(2):
        assert essence(arrived.content) == essence(before)
        assert arrived.rfc_message_id == message.msgId
        assert arrived.return_path == SENDER
    assert [one.subject for one in outbox] == ["Reset", "Reset"]
    assert message.date is None


def test_mail_can_be_replaced_while_both_packages_are_imported(
    app: Flask, server: JournalSmtp
) -> None:
    flask_mail.Mail(app)
    ours.Mail(app)
    with app.app_context():
        receipt = app.extensions["mail"].send(ours.Message("Hello", [ADA], "Hello\n"))
    (arrived,) = server.wait_for(1)
    assert arrived.rfc_message_id == receipt.rfc_message_id


def test_our_module_can_be_registered_as_flask_mail(
    monkeypatch: pytest.MonkeyPatch, app: Flask
) -> None:
    monkeypatch.setitem(sys.modules, "flask_mail", ours)
    library = import_module("flask_mail")
    mail = library.Mail(app)
    with mail.record_messages() as outbox:
        message = library.Message("Hello", [ADA])
        mail.send(message)
    assert outbox == [message]
