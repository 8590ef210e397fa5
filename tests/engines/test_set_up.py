"""Setting up the engine ``celery``, in either order, or not quite."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from celery import Celery
from flask import Flask

from flask_outbox import ConfigError, Mail, Message, State, engines
from tests.mail.site import make_app, url_of
from tests.servers import JournalSmtp
from tests.waiting import WAIT_SECONDS

from .app import celery_init_app

NO_BROKER = {"broker_url": "redis://127.0.0.1:1/0"}


@pytest.fixture
def app(tmp_path: Path, server: JournalSmtp) -> Flask:
    """An app that says nothing of Celery but the engine."""
    return make_app(
        tmp_path, MAIL_URL=url_of(server), OUTBOX_ENGINE="celery", CELERY=NO_BROKER
    )


def send(mail: Mail) -> str:
    return mail.send(Message("Hello", ["ada@example.org"], "Hello\n")).id


def test_without_celery_the_error_names_the_extra(
    app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "celery", None)
    monkeypatch.delitem(sys.modules, "flask_outbox.engines.celery", raising=False)
    monkeypatch.delattr(engines, "celery", raising=False)
    with pytest.raises(ConfigError, match=r"pip install \"flask-outbox\[celery\]\""):
        Mail(app)


def test_without_a_celery_app_the_error_says_how_to_make_one(app: Flask) -> None:
    mail = Mail(app)
    with pytest.raises(ConfigError, match=r"app\.extensions\['celery'\].*celery_init_"):
        send(mail)


@pytest.mark.parametrize("first", ["celery", "mail"])
def test_mail_and_celery_may_be_initialised_in_either_order(
    first: str, app: Flask, server: JournalSmtp
) -> None:
    if first == "celery":
        celery, mail = celery_init_app(app), Mail(app)
    else:
        mail, celery = Mail(app), celery_init_app(app)
    message_id = send(mail)
    celery.tasks["flask_outbox.deliver"].apply(([message_id],), throw=True)
    assert mail.get(message_id).state is State.SENT
    assert len(server.mails) == 1
    mail.stop()


def test_a_task_works_for_its_own_celery_app_only(
    tmp_path: Path, server: JournalSmtp
) -> None:
    mails = []
    for name in ("one", "other"):
        app = make_app(
            tmp_path / name,
            MAIL_URL=url_of(server),
            OUTBOX_ENGINE="celery",
            CELERY=NO_BROKER,
        )
        mails.append((Mail(app), celery_init_app(app)))
    (mail, celery), (other, _) = mails
    ids = [send(mail), send(other)]
    celery.tasks["flask_outbox.deliver"].apply((ids,), throw=True)
    assert mail.get(ids[0]).state is State.SENT
    assert other.get(ids[1]).state is State.PENDING
    mail.stop()
    other.stop()


def test_a_worker_with_another_celery_app_gets_an_error(app: Flask) -> None:
    mail = Mail(app)
    celery_init_app(app)
    stranger = Celery("stranger")
    with pytest.raises(ConfigError, match=r"has the Celery app 'stranger'.*kept"):
        stranger.tasks["flask_outbox.deliver"].apply(([send(mail)],), throw=True)
    mail.stop()


def test_under_testing_no_celery_app_is_needed(app: Flask, server: JournalSmtp) -> None:
    app.testing = True
    mail = Mail(app)
    message_id = send(mail)
    assert mail.drain(WAIT_SECONDS)
    assert mail.get(message_id).state is State.SENT
