"""Crash: an app really killed at a step of the lesson, and what is left of its mail."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

from .errors import CannotRun
from .smtp import Behaviour, LocalSmtp

PATIENCE_SECONDS = 30.0
"""How long one life of the app may take; then it is killed wherever it is."""

LOOK_SECONDS = 0.1
LINE_BYTES = 1_000

WAYS = ("thread", "outbox")


@dataclass(frozen=True, slots=True)
class Left:
    """What is left once the app was killed and has been started again."""

    answered: str | None
    """What the user was told, if there was time for it."""
    message_ids: tuple[str, ...]
    """The Message-ID of each mail that arrived."""
    record: dict[str, int]
    """State → how many mails the app knows to be in it."""


def crash(way: str, step: int, folder: Path) -> Left:
    """Kill an app that sends in this ``way`` at a step, start it again, and look.

    Everything is kept in ``folder``. Raises `CannotRun` when it does not come that far.
    """
    smtp = Witness(folder / "arrived")
    with ExitStack() as ending:
        smtp.start()
        ending.callback(smtp.stop)
        with Life(way, smtp.port, folder) as life:
            answered = _live_until(step, life, smtp)
            life.kill()
        smtp.behave(Behaviour.WELL)
        smtp.kept = lambda: None
        with Life(way, smtp.port, folder) as life:
            record = life.record_at_rest() if way == "outbox" else {}
        return Left(answered, tuple(one.message_id for one in smtp.arrived), record)


def _live_until(step: int, life: Life, smtp: Witness) -> str | None:
    """Have the app live up to a step; return what it answered to the user."""
    if step == 1:
        return life.die_while_called()
    if step in (2, 3):
        smtp.behave(Behaviour.SLOW, 2 * PATIENCE_SECONDS)
    if step == 4:
        smtp.kept = life.kill
    answered = life.ask("POST", "/send-email")
    if step == 3:
        if not smtp.in_hand.wait(PATIENCE_SECONDS):
            raise CannotRun("the SMTP server never had the mail in hand.")
        life.ask("GET", "/ping")
    elif step == 4:
        life.wait_for_its_end()
        if not smtp.arrived:
            raise CannotRun("the mail never came to the SMTP server.")
    elif step > 4:
        life.hear("Email sent!")
    if step == 6:
        life.ask("GET", "/ping")
    return answered


class Witness(LocalSmtp):
    """A server that says when it has a mail in hand, and when it has kept one."""

    def __init__(self, mailbox: Path) -> None:
        super().__init__(mailbox)
        self.in_hand = threading.Event()
        self.kept: Callable[[], None] = lambda: None
        """Called when a mail is kept, before the server says so."""

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        """Answer the final dot (aiosmtpd's hook)."""
        self.in_hand.set()
        reply = await super().handle_DATA(server, session, envelope)
        self.kept()
        return reply


class Life:
    """One process of the app, killed at the end of the ``with`` block at the latest."""

    def __init__(self, way: str, smtp_port: int, folder: Path) -> None:
        module = f"{__package__}.victim"
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, way, str(smtp_port), str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self._watchdog = threading.Timer(PATIENCE_SECONDS, self._process.kill)
        self._watchdog.daemon = True
        self._watchdog.start()

    def __enter__(self) -> Self:
        try:
            url = urlsplit(self.hear("http://"))
        except CannotRun:
            self.close()
            raise
        assert url.hostname
        assert url.port
        self._address = (url.hostname, url.port)
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Kill it, and keep nothing of it."""
        self.kill()
        self._watchdog.cancel()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe
            pipe.close()

    def kill(self) -> None:
        """Kill it (SIGKILL), and return once it is gone."""
        self._process.kill()
        self._process.wait()

    def wait_for_its_end(self) -> None:
        """Return once someone has killed it."""
        self._process.wait()

    def hear(self, beginning: str) -> str:
        """The next line that it says, which begins so. Raises `CannotRun`."""
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line.startswith(beginning):
            self.kill()
            raise CannotRun(f"the app to be crashed did not say {beginning!r}.")
        return line.strip()

    def die_while_called(self) -> str | None:
        """Be killed while a request comes in; return what is answered to it."""
        with socket.create_connection(self._address, PATIENCE_SECONDS) as user:
            user.sendall(b"POST /send-email HTTP/1.1\r\n")
            self.kill()
            try:
                return user.recv(LINE_BYTES).decode() or None
            except ConnectionError:
                return None

    def ask(self, method: str, path: str) -> str:
        """One request; return the response's text. Raises `CannotRun`."""
        http = HTTPConnection(*self._address, timeout=PATIENCE_SECONDS)
        try:
            http.request(method, path)
            return http.getresponse().read().decode()
        except (OSError, HTTPException) as error:
            raise CannotRun(f"the app to be crashed did not answer: {error}.") from None
        finally:
            http.close()

    def record_at_rest(self) -> dict[str, int]:
        """What it knows of its mails once nothing more happens to them."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            record: dict[str, int] = json.loads(self.ask("GET", "/record"))
            if record.keys() <= {"sent"}:
                return record
            if time.monotonic() > deadline:
                raise CannotRun(f"the mail did not go out: {record}.")
            time.sleep(LOOK_SECONDS)
