"""A setting for each kind of server: a folder and a mail server."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from flask_outbox import Mail, Message, State
from flask_outbox.outbox import Database, Outbox
from flask_outbox.outbox.records import OutboxStatus
from tests.mail.site import QUICK, make_app, url_of
from tests.outbox.databases import put_empty_outbox
from tests.servers import JournalSmtp

from .kinds import APP, PLAIN_FLASK, Kind
from .serving import PATIENCE_SECONDS, Program, Serving

AT_ONCE = 4
"""How many kinds are tested in parallel; they mostly wait."""


class Stage:
    """One kind of server, its outbox's folder, and the mail server that it leads to."""

    def __init__(self, kind: Kind, folder: Path, smtp: JournalSmtp) -> None:
        self.kind = kind
        self.smtp = smtp
        self._folder = folder

    def put_empty_outbox(self) -> None:
        """Create the outbox before any server does."""
        put_empty_outbox(self.file)

    def serving(self, **changes: Any) -> Serving:
        """A new server on the same outbox; keywords are settings."""
        return Serving(self.kind, self._folder, self._config(changes))

    def deliver_the_rest(self, **changes: Any) -> None:
        """Deliver what is left, from this process; keywords are settings."""
        with self._mail(changes) as mail:
            assert mail.drain(PATIENCE_SECONDS)
            mail.stop()

    def hand_over(self, **options: Any) -> None:
        """Send a mail from this process, which does not deliver it."""
        with self._mail({"OUTBOX_ENGINE": "external"}) as mail:
            mail.send(Message("Hello", ["ada@example.org"], "Hello\n"), **options)

    def command(self, *words: str, **changes: Any) -> tuple[int, str]:
        """Run ``flask outbox``; returns its exit code and output."""
        flask = (*PLAIN_FLASK, f"--app={APP}", "outbox")
        with Program([*flask, *words], self._folder, self._config(changes)) as program:
            return program.end(), program.log

    @property
    def arrived(self) -> list[str]:
        """The Message-IDs of all mail that has arrived, sorted."""
        return self.smtp.arrived

    @property
    def file(self) -> Path:
        """Where the outbox is, unless a change of the settings says otherwise."""
        return self._folder / "outbox.db"

    @property
    def status(self) -> OutboxStatus:
        """The outbox's status."""
        database = Database(f"sqlite:///{self.file}")
        try:
            return Outbox(database).status()
        finally:
            database.close()

    @property
    def counts(self) -> dict[State, int]:
        """How many messages are in each state, without empty states."""
        counts = self.status.counts
        return {state: count for state, count in counts.items() if count}

    @contextmanager
    def _mail(self, changes: dict[str, Any]) -> Iterator[Mail]:
        app = make_app(self._folder, **self._config(changes))
        yield Mail(app)
        app.extensions["outbox"].runtime.outbox.database.close()

    def _config(self, changes: dict[str, Any]) -> dict[str, Any]:
        usual = {"OUTBOX_URL": f"sqlite:///{self.file}", "MAIL_URL": url_of(self.smtp)}
        return {**QUICK, **usual, **changes}


def each(kinds: Iterable[Kind], folder: Path, life: Callable[[Stage], None]) -> None:
    """Run ``life`` with each kind in parallel; a failure names the kind."""

    def run(kind: Kind) -> Exception | None:
        try:
            with JournalSmtp(folder / f"journal of {kind}") as smtp:
                life(Stage(kind, folder / str(kind), smtp))
        except Exception as error:
            error.add_note(f"with {kind}")
            return error
        return None

    with ThreadPoolExecutor(AT_ONCE) as threads:
        failed = [error for error in threads.map(run, kinds) if error]
    if failed:
        raise ExceptionGroup("not with every kind of server", failed)
