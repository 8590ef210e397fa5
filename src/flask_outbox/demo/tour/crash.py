"""Crashes an app at a step of the tour, and reports what is left of its mail.

The app has its own process, which is really killed; one at a time.
"""

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
from functools import partial
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self
from urllib.parse import urlsplit

from ..server import Behaviour
from ..smtp import LocalSmtp
from ..web import CannotRun

PATIENCE_SECONDS = 30.0
"""How long one run of the app may take; then it is killed in any case."""

LOOK_SECONDS = 0.1
LINE_BYTES = 1_000

WAYS = ("thread", "outbox")


@dataclass(frozen=True, slots=True)
class CrashResult:
    """What remained after the app was killed and started again."""

    answered: str | None
    """The response to the user, if there was time for it."""
    message_ids: tuple[str, ...]
    """The Message-ID of each mail that arrived."""
    record: dict[str, int]
    """For each state, how many mails are in it by the app's record."""


def crash(way: str, step: int, folder: Path) -> CrashResult:
    """Kill an app that sends in this ``way`` at a step, and start it again.

    Everything is stored in ``folder``. Raises `CannotRun` if the step is not reached.
    """
    smtp = ReportingSmtp(folder / "arrived")
    with ExitStack() as ending:
        smtp.start()
        ending.callback(smtp.stop)
        with AppProcess(way, smtp.port, folder) as app:
            answered = _run_until(step, app, smtp)
            app.kill()
        smtp.behave(Behaviour.WELL)
        smtp.kept = lambda: None
        with AppProcess(way, smtp.port, folder) as app:
            record = app.final_record() if way == "outbox" else {}
        return CrashResult(
            answered, tuple(one.known_as for one in smtp.arrived), record
        )


def _run_until(step: int, app: AppProcess, smtp: ReportingSmtp) -> str | None:
    """Run the app up to a step; return its response to the user."""
    if step == 1:
        return app.kill_during_request()
    if step in (2, 3):
        smtp.behave(Behaviour.SLOW, 2 * PATIENCE_SECONDS)
    answer_read = threading.Event()
    if step == 4:
        smtp.kept = partial(app.kill_after, answer_read)
    answered = app.ask("POST", "/send-email")
    answer_read.set()
    if step == 3:
        if not smtp.in_hand.wait(PATIENCE_SECONDS):
            raise CannotRun("the SMTP server never received the mail.")
        app.ask("GET", "/ping")
    elif step == 4:
        app.wait_for_its_end()
        if not smtp.arrived:
            raise CannotRun("the mail never came to the SMTP server.")
    elif step > 4:
        app.read_line("Email sent!")
    if step == 6:
        app.ask("GET", "/ping")
    return answered


class ReportingSmtp(LocalSmtp):
    """A server that reports when it receives a mail, and when it has stored it."""

    def __init__(self, mailbox: Path) -> None:
        super().__init__(mailbox)
        self.in_hand: threading.Event = threading.Event()
        self.kept: Callable[[], None] = lambda: None
        """Called when a mail is stored, before the server replies."""

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        """Answer the final dot (aiosmtpd's hook)."""
        self.in_hand.set()
        reply = await super().handle_DATA(server, session, envelope)
        self.kept()
        return reply


class AppProcess:
    """One process of the app, killed at the end of the ``with`` block at the latest."""

    def __init__(self, way: str, smtp_port: int, folder: Path) -> None:
        module = f"{__package__}.crash_app"
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
            url = urlsplit(self.read_line("http://"))
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
        """Kill the process and close its files."""
        self.kill()
        self._watchdog.cancel()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe
            pipe.close()

    def kill(self) -> None:
        """Kill it (SIGKILL), and return once it is gone."""
        self._process.kill()
        self._process.wait()

    def kill_after(self, answer_read: threading.Event) -> None:
        """Kill it once the user has the response, which may take longer."""
        answer_read.wait(PATIENCE_SECONDS)
        self.kill()

    def wait_for_its_end(self) -> None:
        """Return once something else has killed it."""
        self._process.wait()

    def read_line(self, beginning: str) -> str:
        """The next line of its output that begins so. Raises `CannotRun`."""
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line.startswith(beginning):
            self.kill()
            raise CannotRun(f"the app to be crashed did not say {beginning!r}.")
        return line.strip()

    def kill_during_request(self) -> str | None:
        """Kill it during a request; return the response, if any."""
        with socket.create_connection(self._address, PATIENCE_SECONDS) as user:
            user.sendall(b"POST /send-email HTTP/1.1\r\n")
            self.kill()
            try:
                return user.recv(LINE_BYTES).decode() or None
            except ConnectionError:
                return None

    def ask(self, method: str, path: str) -> str:
        """Make a request; return the response's text. Raises `CannotRun`."""
        http = HTTPConnection(*self._address, timeout=PATIENCE_SECONDS)
        try:
            http.request(method, path)
            return http.getresponse().read().decode()
        except (OSError, HTTPException) as error:
            raise CannotRun(f"the app to be crashed did not answer: {error}.") from None
        finally:
            http.close()

    def final_record(self) -> dict[str, int]:
        """Its record of its mails once nothing changes any more."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            record: dict[str, int] = json.loads(self.ask("GET", "/record"))
            if record.keys() <= {"sent"}:
                return record
            if time.monotonic() > deadline:
                raise CannotRun(f"the mail did not go out: {record}.")
            time.sleep(LOOK_SECONDS)


class Crashes:
    """The results of the crashes since the demo started."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._one_at_a_time = threading.Lock()
        self._results: dict[tuple[int, str], str] = {}
        self._thread: threading.Thread | None = None
        self._ending = False
        self.running: int | None = None
        """The step at which an app is being crashed."""

    def begin(self, step: int) -> None:
        """Crash both apps at a step, in the background. Raises `CannotRun`."""
        if not self._one_at_a_time.acquire(blocking=False):
            raise CannotRun("One crash at a time: wait until the last one is over.")
        self.running = step
        self._thread = threading.Thread(target=self._crash, args=(step,), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Return once a crash that was begun is over and cleaned up."""
        self._ending = True
        if self._thread:
            self._thread.join()

    def result(self, step: int, way: str) -> str:
        """The result of a crash, in words; "" if there was none."""
        if self.running == step:
            return "An app is being crashed …"
        return self._results.get((step, way), "")

    def _crash(self, step: int) -> None:
        try:
            for way in WAYS:
                if self._ending:
                    return
                self._results[step, way] = self._try(way, step)
        finally:
            self.running = None
            self._one_at_a_time.release()

    def _try(self, way: str, step: int) -> str:
        try:
            with TemporaryDirectory(
                dir=self._folder, ignore_cleanup_errors=True
            ) as folder:
                return in_words(crash(way, step, Path(folder)))
        except (CannotRun, OSError) as error:
            return f"It could not be tried: {error}"


def in_words(result: CrashResult) -> str:
    """The result in words, for the page."""
    answered = f"“{result.answered}”" if result.answered else "no answer"
    arrived = _ARRIVED[len(result.message_ids)]
    if len(result.message_ids) > len(set(result.message_ids)):
        arrived += ", under the same Message-ID"
    record = " and ".join(f"“{state}”" for state in result.record) or "nothing"
    return f"Tried: the user got {answered}; the mail {arrived}; {record} is on record."


_ARRIVED = ("never arrived", "arrived once", "arrived twice")
