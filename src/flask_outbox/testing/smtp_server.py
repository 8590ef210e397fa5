"""A real mail server for one test, which does as a script in one line says."""

from __future__ import annotations

import asyncio
from typing import Any

from ..errors import ConfigError
from .desk import ArrivedMail, Desk, Victim
from .grammar import parse
from .loopback import WAIT_SECONDS, LoopbackServer
from .script import Script

DIALOGUE_LINES = 30
"""So much of the dialogue a failed test shows."""


class SmtpServer(LoopbackServer):
    """A mail server on 127.0.0.1 that keeps what it takes: the fixture ``smtp_server``.

    It is a real one, on a free port: it offers SMTPUTF8, SIZE, and AUTH with any name
    and password, and no TLS. It takes all mail until `script` says otherwise. It may be
    used from any thread. Raises `ConfigError` where aiosmtpd is not installed.
    """

    def __init__(self, port: int = 0) -> None:
        self._conversation = _conversation_class()
        super().__init__(port)
        self._desk = Desk(self)

    @property
    def mails(self) -> list[ArrivedMail]:
        """What it has kept, the latest last."""
        return list(self._desk.mails)

    @property
    def dialogue(self) -> list[str]:
        """All that was said, ``C:`` by a client and ``S:`` by it, without passwords."""
        return list(self._desk.dialogue)

    @property
    def victims(self) -> list[Victim]:
        """Whom ``die between accept and record`` kills; add to it."""
        return self._desk.victims

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
        self._desk.change_script(script)
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
        return self.mails

    def check_script(self) -> None:
        """Return if each rule of each script was played, as a test must mean it to be.

        The fixture does this at the end of a test. Raises `AssertionError`.
        """
        __tracebackhide__ = True
        self._desk.change_script(Script())
        if self._desk.faults:
            raise AssertionError("\n".join([*self._desk.faults, "", self.summary()]))

    def summary(self) -> str:
        """The end of the dialogue, for people."""
        lines = self.dialogue[-DIALOGUE_LINES:] or ["nothing was said"]
        return "\n".join([f"At the mail server {self.host}:{self.port}:", *lines])

    # ---------------------------------------------------------------- in its own loop

    def _converse(self) -> asyncio.BaseProtocol:
        conversation: asyncio.BaseProtocol = self._conversation(self._desk, self._loop)
        return conversation


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
