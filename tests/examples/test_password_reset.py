"""``examples/password_reset``: its commands, and what its README promises."""

from __future__ import annotations

import http.client
import re
import sqlite3
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, String, event, func, select

from tests.examples.apps import EXAMPLES, ExampleApp
from tests.mail.site import ADA, BOB
from tests.servers import JournalSmtp, Mail
from tests.waiting import WAIT_SECONDS

SERVE = "flask --app accounts run"
OLD, NEW = "correct horse", "battery staple"


@pytest.fixture(scope="module")
def example(
    tmp_path_factory: pytest.TempPathFactory, server: JournalSmtp
) -> Iterator[ExampleApp]:
    """The app, with an account for Ada."""
    folder = tmp_path_factory.mktemp("accounts")
    with ExampleApp("password_reset", folder, server) as example:
        example.run("flask --app accounts add-user", f"{OLD}\n{OLD}\n")
        example.serve(SERVE)
        yield example


def ask(example: ExampleApp) -> None:
    assert example.page("/forgot", email=ADA)[0] == 200


def next_mail(server: JournalSmtp, before: int) -> Mail:
    """The one mail that came after so many others."""
    (mail,) = server.wait_for(before + 1)[before:]
    return mail


def link_in(mail: Mail) -> str:
    (link,) = re.findall(rb"http://\S+", mail.content)
    return str(link.decode())


def test_a_link_comes_by_mail_and_works_once(
    example: ExampleApp, server: JournalSmtp
) -> None:
    before = len(server.mails)
    ask(example)
    mail = next_mail(server, before)
    assert mail.recipients == (ADA,)
    link = link_in(mail)
    assert link.startswith(f"{example.address}/choose/")

    for _ in range(2):  # a mail scanner, and Ada
        assert "New password" in example.page(link)[1]
    assert example.page("/", email=ADA, password=NEW)[0] == 403
    assert "Your new password is set" in example.page(link, password=NEW)[1]
    assert f"signed in as {ADA}" in example.page("/", email=ADA, password=NEW)[1]

    assert example.page(link)[0] == 410
    assert example.page(link, password="another one")[0] == 410
    assert example.page("/", email=ADA, password=OLD)[0] == 403
    assert example.page(f"{link}x")[0] == 410


def test_nobody_learns_who_has_an_account(
    example: ExampleApp, server: JournalSmtp
) -> None:
    before = len(server.mails)
    unknown, known = (example.page("/forgot", email=one) for one in (BOB, ADA))
    assert known == (unknown[0], unknown[1].replace(BOB, ADA))
    assert next_mail(server, before).recipients == (ADA,)


def test_a_kill_right_after_the_commit_loses_no_mail(
    example: ExampleApp, server: JournalSmtp
) -> None:
    before = len(server.mails)
    server.go_down()
    ask(example)
    example.kill()
    server.come_back()
    example.serve(SERVE)
    link = link_in(next_mail(server, before))
    assert "New password" in example.page(link)[1]


def test_no_link_leads_to_another_host(example: ExampleApp) -> None:
    """Whose ``Host`` somebody sent who wants to get at Ada's link."""
    asked = http.client.HTTPConnection("127.0.0.1", example.port)
    asked.request("GET", "/forgot", headers={"Host": "evil.example.com"})
    assert asked.getresponse().status == 400
    asked.close()


def in_this_process(
    folder: Path, server: JournalSmtp, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Have the example's package be found, and its settings be those of a test."""
    monkeypatch.syspath_prepend(EXAMPLES / "password_reset")
    example = ExampleApp("password_reset", folder, server)
    for name, value in example.settings.items():
        monkeypatch.setenv(name, value)


def test_a_rolled_back_reset_sends_no_mail(
    tmp_path: Path, server: JournalSmtp, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_this_process(tmp_path, server, monkeypatch)
    from accounts import create_app
    from accounts.models import PasswordReset, User, db
    from accounts.resets import ask_for_reset, mail

    before = len(server.mails)
    with create_app().test_request_context():
        db.session.add(User(email=ADA, password_hash=""))
        db.session.commit()
        ask_for_reset(ADA)
        db.session.rollback()
        assert db.session.scalar(select(func.count(PasswordReset.id))) == 0
        assert mail.drain(WAIT_SECONDS)
        ask_for_reset(ADA)
        db.session.commit()
        assert mail.drain(WAIT_SECONDS)
        mail.stop()
    next_mail(server, before)


def folded(address: str) -> str:
    """What a collation that folds case and accents, as MariaDB's default, compares."""
    parts = unicodedata.normalize("NFKD", address)
    return "".join(one for one in parts if not unicodedata.combining(one)).casefold()


@pytest.mark.parametrize("typed", ["ADA@Example.ORG", "adá@example.org"])
def test_the_stored_address_is_mailed_not_the_typed_one(
    tmp_path: Path, server: JournalSmtp, monkeypatch: pytest.MonkeyPatch, typed: str
) -> None:
    """A stranger's mailbox may be called so, where the database finds Ada's account."""
    in_this_process(tmp_path, server, monkeypatch)
    from accounts import create_app
    from accounts.models import User, db
    from accounts.resets import ask_for_reset, mail

    assert folded(typed) == folded(ADA)
    assert typed != ADA

    def fold(connection: sqlite3.Connection, _record: object) -> None:
        def order(one: str, other: str) -> int:
            return (folded(one) > folded(other)) - (folded(one) < folded(other))

        connection.create_collation("folding", order)

    address = User.__table__.c.email
    monkeypatch.setattr(address, "type", String(collation="folding"))
    event.listen(Engine, "connect", fold)
    before = len(server.mails)
    try:
        with create_app().test_request_context():
            db.session.add(User(email=ADA, password_hash=""))
            db.session.commit()
            ask_for_reset(typed)
            db.session.commit()
            assert mail.drain(WAIT_SECONDS)
            mail.stop()
    finally:
        event.remove(Engine, "connect", fold)
    assert next_mail(server, before).recipients == (ADA,)
