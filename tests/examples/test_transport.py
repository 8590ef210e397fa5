"""``examples/transport``: a package that adds a transport, found by its URL alone."""

from __future__ import annotations

import subprocess
import sys
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from flask_outbox.config import UrlSettings
from flask_outbox.testing import PeerBehaviour, TransportContract, TransportPeer
from flask_outbox.transports.base import Transport
from flask_outbox.transports.registry import with_options
from tests.examples.apps import EXAMPLES
from tests.processes.running import ROOT

EXAMPLE = EXAMPLES / "transport"

APP = """
import sys
from flask import Flask
from flask_outbox import Mail, Message

app = Flask("shop", instance_path=sys.argv[1])
app.config["MAIL_URL"] = f"maildir://{sys.argv[1]}?create=yes"
mail = Mail(app)
with app.app_context():
    message = Message("Hi", ["ada@example.org"], sender="a@example.com", body="Hello")
    receipt = mail.send(message)
    assert mail.drain(60)
    print(mail.get(receipt.id).state)
"""


def test_the_package_is_short() -> None:
    lines = (EXAMPLE / "flask_outbox_maildir.py").read_text().splitlines()
    assert len(lines) < 80


@pytest.mark.long
def test_it_works_by_its_url_in_a_fresh_environment(tmp_path: Path) -> None:
    place = tmp_path / "venv"
    venv.create(place, with_pip=True)
    python = place / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    for package in (ROOT, EXAMPLE):
        installing = (str(python), "-m", "pip", "install", "--quiet", str(package))
        subprocess.run(installing, check=True, cwd=tmp_path)
    mail = tmp_path / "mail"
    mail.mkdir()
    environment = {"PATH": str(python.parent), "HOME": str(tmp_path)}
    result = subprocess.run(
        [python, "-c", APP, mail],
        capture_output=True,
        check=False,
        text=True,
        cwd=tmp_path,
        env=environment,
    )
    assert (result.stdout.strip(), result.returncode) == ("sent", 0), result.stderr
    (stored,) = (mail / "ada@example.org" / "new").iterdir()
    assert "Subject: Hi" in stored.read_text()


class MaildirPeer(TransportPeer):
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._create = "yes"

    @property
    def taken(self) -> list[frozenset[str]]:
        mails = self._folder.glob("*/new/*")
        return [frozenset({one.parent.parent.name}) for one in mails]

    def transport(self, deadline_seconds: float = 30) -> Transport:
        from flask_outbox_maildir import MaildirTransport

        settings = UrlSettings(
            "maildir", path=str(self._folder), query={"create": self._create}
        )
        return MaildirTransport(with_options(MaildirTransport, settings))

    def behave(self, behaviour: PeerBehaviour) -> None:
        if behaviour is PeerBehaviour.REFUSE:
            self._create = "no"
        elif behaviour is PeerBehaviour.UNREACHABLE:
            self._folder.rmdir()


class TestMaildir(TransportContract):
    behaviours = frozenset(
        {PeerBehaviour.ACCEPT, PeerBehaviour.REFUSE, PeerBehaviour.UNREACHABLE}
    )

    @pytest.fixture(autouse=True)
    def _importable(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.syspath_prepend(EXAMPLE)

    @contextmanager
    def peer(self) -> Iterator[Any]:
        with TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            yield MaildirPeer(Path(folder))
