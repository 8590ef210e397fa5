"""A real mail server for one test, which does as a script in one line says."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any, Protocol

from ..errors import ConfigError
from .grammar import parse
from .loopback import WAIT_SECONDS, LoopbackServer
from .reading import Reading
from .script import Script

DIALOGUE_LINES = 30
"""So much of the dialogue a failed test shows."""


class ArrivedMail(Reading):
    """One mail that the server has kept; `Reading` says what is in it."""

    def __init__(
        self,
        content: bytes,
        return_path: str,
        recipients: tuple[str, ...],
        login: str | None,
    ) -> None:
        super().__init__(content)
        self.return_path = return_path
        """The address in MAIL FROM."""
        self.recipients = recipients
        """The addresses that were accepted in RCPT TO."""
        self.login = login
        """The name with which the client had logged in; None where it had not."""
        self.at = datetime.now(UTC)
        """When it was kept."""

    def __repr__(self) -> str:
        return f"<ArrivedMail {self.subject!r} to {', '.join(self.recipients)}>"


class Victim(Protocol):
    """A worker's process."""

    @property
    def alive(self) -> bool:
        """Whether it runs."""

    def kill(self) -> None:
        """Kill it (SIGKILL), and return once it is gone."""


class SmtpServer(LoopbackServer):
    """A mail server on 127.0.0.1 that keeps what it takes: the fixture ``smtp_server``.

    It is a real one, on a free port: it offers SMTPUTF8, SIZE, and AUTH with any name
    and password, and no TLS. It takes all mail until `script` says otherwise. It may be
    used from any thread. Raises `ConfigError` where aiosmtpd is not installed.
    """

    def __init__(self, port: int = 0) -> None:
        super().__init__(port)
        self.script_now = Script()
        self.mails: list[ArrivedMail] = []
        """What it has kept, the latest last."""
        self.dialogue: list[str] = []
        """All that was said, ``C:`` by a client and ``S:`` by it, without passwords."""
        self.victims: list[Victim] = []
        """Whom ``die between accept and record`` kills."""
        self._conversation = _conversation_class()
        self._unplayable: list[str] = []

    @property
    def url(self) -> str:
        """The ``MAIL_URL`` that leads here: ``smtp://127.0.0.1:2525``."""
        return f"smtp://{self.host}:{self.port}"

    def script(self, text: str) -> None:
        """Do as ``text`` says from now on, in place of what was said before.

        :doc:`/testing` has the grammar. Everything is counted from here on. Raises
        `ScriptError`.
        """
        script = parse(text)
        self._note_what_was_not_played()
        self.script_now = script
        if script.refuses:
            self.go_down()
        else:
            self.come_back()

    def wait_for(self, count: int, timeout: float = WAIT_SECONDS) -> list[ArrivedMail]:
        """What it has kept, once there are ``count`` mails.

        Raises `AssertionError` after ``timeout`` seconds, with the dialogue.
        """
        __tracebackhide__ = True
        if not self.wait_until(lambda: len(self.mails) >= count, timeout):
            raise AssertionError(
                f"Not within {timeout:g} s: {len(self.mails)} of {count} mails came."
                f"\n\n{self.summary()}"
            )
        return list(self.mails)

    def check_script(self) -> None:
        """Return if each rule of each script was played, as a test must mean it to be.

        The fixture does this at the end of a test. Raises `AssertionError`.
        """
        self._note_what_was_not_played()
        if self._unplayable:
            raise AssertionError("\n".join([*self._unplayable, "", self.summary()]))

    def summary(self) -> str:
        """The end of the dialogue, for people."""
        lines = self.dialogue[-DIALOGUE_LINES:] or ["nothing was said"]
        return "\n".join([f"At the mail server {self.host}:{self.port}:", *lines])

    # ---------------------------------------------------------------- in its own loop

    def _converse(self) -> asyncio.BaseProtocol:
        conversation: asyncio.BaseProtocol = self._conversation(self, self._loop)
        return conversation

    def _note(self, line: str) -> None:
        self.dialogue.append(line)

    def _keep(self, session: Any, envelope: Any) -> int:
        """Keep what has come; its number."""
        recipients = tuple(envelope.rcpt_tos)
        mail = ArrivedMail(
            envelope.content, envelope.mail_from, recipients, session.auth_data
        )
        self._tell(lambda: self.mails.append(mail))
        return len(self.mails)

    def _kill_worker(self) -> None:
        alive = [one for one in self.victims if one.alive]
        if not alive:
            self._unplayable.append(
                "'die between accept and record': no worker was there to die. Start "
                "one with the fixture outbox_worker, and do not drain in the test."
            )
        for one in alive:
            one.kill()

    def _note_what_was_not_played(self) -> None:
        self._unplayable += [
            f"The script's rule {rule!r} was never played: it did not come to that."
            for rule in self.script_now.unplayed
        ]
        self.script_now = Script()


def _conversation_class() -> Any:
    """The only part that knows aiosmtpd, imported where it is wanted."""
    try:
        from .conversation import Conversation
    except ImportError as error:
        raise ConfigError(
            "A mail server for tests needs the package aiosmtpd: install it with "
            'pip install "flask-outbox[testing]".'
        ) from error
    return Conversation
