"""Redaction: no secret is in what is shown, in whatever setting it was put."""

from __future__ import annotations

import logging
import os
import traceback
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from flask_outbox import ConfigError, Mail, Message, OutboxUnavailable
from flask_outbox.errors import raised, redacted
from flask_outbox.outbox.dialects import parse_url, shown_url
from tests.mail.site import Site, make_app

SECRET = "hunter2-is-secret"
PEM = f"-----BEGIN PRIVATE KEY-----\n{SECRET * 20}\n-----END PRIVATE KEY-----\n"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f"smtp://ada:{SECRET}@host:25 is", "smtp://ada:***@host:25 is"),
        (f"'smtp://ada:a/b@{SECRET}@host'", "'smtp://ada:***@host'"),
        (
            f"postgresql://h/db?password={SECRET}&x=1",
            "postgresql://h/db?password=***&x=1",
        ),
        (f"x://h/?sslPassword={SECRET}", "x://h/?sslPassword=***"),
        (
            f"https://h/?a=b&client_secret={SECRET} 401",
            "https://h/?a=b&client_secret=*** 401",
        ),
        (f"names {PEM!r}, and", "names '***\\n', and"),
        (f"names {PEM[:90]!r}…", "names '***"),
        ("from -----BEGIN to the end", "from -----BEGIN to the end"),
        ("smtp://host:25 and ada@example.org", "smtp://host:25 and ada@example.org"),
    ],
)
def test_a_secret_is_recognized_by_its_form(text: str, shown: str) -> None:
    assert redacted(text) == shown


def test_a_known_secret_is_hidden() -> None:
    assert redacted("it is abc, abc", ["abc"]) == "it is ***, ***"


WRONG: list[dict[str, Any]] = [
    {"OUTBOX_URL": f"postgresql://ada:{SECRET}"},
    {"OUTBOX_URL": f"postgresql://ada:x@{SECRET}:{SECRET}/db"},
    {"OUTBOX_URL": f"oracle://ada:{SECRET}@host/db"},
    {"OUTBOX_URL": f"postgresql+none://host/db?password={SECRET}"},
    {"MAIL_PORT": SECRET, "MAIL_SERVER": "host"},
    {"MAIL_SERVER": f"smtp://ada:{SECRET}@host"},
    {"MAIL_URL": f"smtp://ada:{SECRET}@host:port"},
    {"MAIL_URL": f"ftp://ada:{SECRET}@host"},
    {"MAIL_TRANSPORTS": {f"smtp://ada:{SECRET}@host": "bulk"}},
    {"MAIL_TRANSPORTS": {f"{SECRET}!": "bulk"}},
    {"MAIL_TRANSPORTS": {"bulk": {SECRET: "MAIL_PASSWORD"}}},
    {"MAIL_TRANSPORTS": {"bulk": {"MAIL_PASSWORD": 25, "MAIL_PORT": SECRET}}},
    {"MAIL_TRANSPORTS": {"bulk": f"smtps://ada:{SECRET}@host:x"}},
    {"MAIL_TRANSPORTS": [f"smtps://ada:{SECRET}@host"]},
    {"MAIL_ROUTE": {"news": f"smtps://ada:{SECRET}@host"}},
    {"MAIL_FAILOVER": {"default": [f"smtps://ada:{SECRET}@host"]}},
    {"MAIL_TLS_CA_FILE": PEM},
    {"MAIL_TLS_CLIENT_CERT_FILE": PEM},
    {"MAIL_TLS_CLIENT_KEY_FILE": PEM},
    {"MAIL_DKIM_KEYS": [{"domain": "a.example", "selector": "s", "key_file": PEM}]},
    {"MAIL_DKIM_KEYS": [{"domain": PEM, "selector": "s", "key": "a.example"}]},
    {"MAIL_DKIM_KEYS": [{"domain": "a.example", "selector": PEM, "key": "s"}]},
    {"MAIL_DKIM_KEYS": [{"domain": "a.example", PEM: "key"}]},
    {"MAIL_DKIM_KEYS": PEM},
    {"MAIL_PASSWORD": [SECRET]},
    {"MAIL_OAUTH_TOKEN": SECRET},
    {"OUTBOX_ENGINE": f"redis://:{SECRET}@host"},
]


def test_the_error_for_a_setting_shows_no_secret(
    tmp_path: Path, subtests: pytest.Subtests
) -> None:
    for number, config in enumerate(WRONG):
        app = make_app(tmp_path / str(number), **{"MAIL_URL": "inbox://", **config})
        if "MAIL_SERVER" in config:
            del app.config["MAIL_URL"]
        with subtests.test(number=number):
            with pytest.raises(ConfigError) as refused:
                Mail(app)
            told = "".join(traceback.format_exception(refused.value))
            assert SECRET not in told
            assert SECRET[:7] not in told


def test_the_repr_of_settings_shows_no_secret(tmp_path: Path) -> None:
    def token(_secret: str = SECRET) -> str:
        return _secret

    app = make_app(
        tmp_path,
        MAIL_URL=f"smtps://ada:{SECRET}@host",
        OUTBOX_URL=f"postgresql://ada:{SECRET}@h/db?password={SECRET}",
        MAIL_TRANSPORTS={"bulk": f"smtps://ada:{SECRET}@host"},
    )
    Mail(app)
    assert SECRET not in repr(app.extensions["outbox"].settings)


def test_a_databases_url_is_shown_without_its_passwords() -> None:
    url = f"postgresql://ada:{SECRET}@h/db?password={SECRET}&sslmode=require"
    shown = shown_url(parse_url(url))
    assert shown == "postgresql+psycopg://ada:***@h/db?password=***&sslmode=require"


def test_the_error_for_an_unavailable_outbox_shows_no_password(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pytest.importorskip("psycopg")
    app = make_app(
        tmp_path,
        MAIL_URL="inbox://",
        OUTBOX_ENGINE="external",
        OUTBOX_URL=f"postgresql://ada@127.0.0.1:1/db?password={SECRET}",
    )
    mail = Mail(app)
    with app.app_context(), pytest.raises(OutboxUnavailable) as refused:
        mail.send(Message("Hi", ["ada@example.org"]))
    assert SECRET not in "".join(traceback.format_exception(refused.value))
    status = app.test_cli_runner().invoke(args=["outbox", "status"])
    assert SECRET not in status.output
    assert SECRET not in caplog.text


def test_an_error_of_an_apps_function_is_named_by_type_and_place() -> None:
    def fetch() -> None:
        raise RuntimeError(f"https://login.example/?key={SECRET}")

    try:
        fetch()
    except RuntimeError as error:
        told = raised(error)
    assert told.startswith("RuntimeError (test_redaction.py, line ")
    assert SECRET not in told


def test_a_database_error_shows_nothing_of_the_mail(tmp_path: Path) -> None:
    app = make_app(tmp_path, MAIL_URL="inbox://", OUTBOX_ENGINE="external")
    site = Site(app, Mail(app))
    site.send()
    site.outbox.database.write(
        lambda connection: connection.exec_driver_sql("DROP TABLE outbox_recipient")
    )
    mail, message = site.mail, Message(SECRET, [f"{SECRET}@example.org"], SECRET)
    with site.app.app_context(), pytest.raises(OutboxUnavailable) as refused:
        mail.send(message)
    assert SECRET not in "".join(traceback.format_exception(refused.value))
    site.close()


# ------------------------------------------------------------ who may read the files

POSIX = pytest.mark.skipif(os.name == "nt", reason="Windows has no such modes")


@POSIX
def test_only_the_user_can_read_the_outboxs_files(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        folder = tmp_path / "instance"
        app = make_app(
            folder,
            MAIL_URL="inbox://",
            OUTBOX_ENGINE="external",
            OUTBOX_URL="sqlite:///outbox.db",
        )
        mail = Mail(app)
        with app.app_context():
            mail.send(Message("Hi", ["ada@example.org"], sender="a@example.com"))
        modes = {one.name: one.stat().st_mode & 0o777 for one in folder.iterdir()}
    finally:
        os.umask(before)
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {"outbox.db", "outbox.db-wal", "outbox.db-shm"} <= modes.keys()
    assert set(modes.values()) == {0o600}
    app.extensions["outbox"].runtime.outbox.database.close()


@POSIX
@pytest.mark.parametrize(
    ("file_mode", "folder_mode", "wide"),
    [
        (0o600, 0o755, []),
        (0o660, 0o770, []),
        (0o644, 0o755, ["outbox.db*"]),
        (0o644, 0o700, []),
        (0o600, 0o777, ["instance"]),
        (0o600, 0o1777, []),
    ],
)
def test_files_that_others_can_read_are_logged(
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    file_mode: int,
    folder_mode: int,
    wide: list[str],
) -> None:
    folder = tmp_path / "instance"
    folder.mkdir()
    (folder / "outbox.db").touch()
    (folder / "outbox.db").chmod(file_mode)
    folder.chmod(folder_mode)
    app: Flask = make_app(
        folder,
        MAIL_URL="inbox://",
        OUTBOX_ENGINE="external",
        OUTBOX_URL="sqlite:///outbox.db",
    )
    Mail(app)
    with caplog.at_level(logging.WARNING), app.app_context():
        assert app.extensions["outbox"].runtime
    told = [one for one in caplog.messages if "Every user of this machine" in one]
    assert len(told) == bool(wide)
    for name in wide:
        assert told[0].endswith(f"/{name}")
