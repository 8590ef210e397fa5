"""The fixture ``smtp_server``: a real mail server that follows a one-line script."""

from __future__ import annotations

import asyncio
from typing import Any

from ..errors import ConfigError
from .smtp_script import Script, parse
from .smtp_state import (
    WAIT_SECONDS,
    ArrivedMail,
    LoopbackServer,
    ServerState,
    WorkerProcess,
)

DIALOGUE_LINES = 30
"""How many lines of the dialogue a failed test shows."""


class SmtpServer(LoopbackServer):
    """A mail server on 127.0.0.1 that stores what it accepts: the fixture
    ``smtp_server``.

    It is a real server on a free port. It offers SMTPUTF8, SIZE and AUTH with any name
    and password, but no TLS. It accepts all mail until `script` says otherwise. May be
    used from any thread. Raises `ConfigError` if aiosmtpd is not installed.
    """

    def __init__(self, port: int = 0) -> None:
        self._conversation = _conversation_class()
        super().__init__(port)
        self._shared = ServerState(self)

    @property
    def mails(self) -> list[ArrivedMail]:
        """The mails that it has stored, the latest last."""
        return list(self._shared.mails)

    @property
    def dialogue(self) -> list[str]:
        """The whole dialogue, clients as ``C:`` and server as ``S:``, without
        passwords.
        """
        return list(self._shared.dialogue)

    @property
    def workers(self) -> list[WorkerProcess]:
        """The workers that ``die between accept and record`` kills; append to it."""
        return self._shared.workers

    @property
    def url(self) -> str:
        """The ``MAIL_URL`` of this server, such as ``smtp://127.0.0.1:2525``."""
        return f"smtp://{self.host}:{self.port}"

    def script(self, text: str) -> None:
        """Follow the script ``text`` from now on, in place of the one before.

        :doc:`/testing` has the grammar. All counts start again from 1. Raises
        `ScriptError`.
        """
        script = parse(text)
        self._shared.change_script(script)
        if script.refuses:
            self.go_down()
        else:
            self.come_back()

    def wait_for(
        self, count: int, timeout_seconds: float = WAIT_SECONDS
    ) -> list[ArrivedMail]:
        """Wait until it has stored ``count`` mails, and return all of them.

        Raises `AssertionError` after ``timeout_seconds``, which shows the dialogue.
        """
        __tracebackhide__ = True
        if not self.wait_until(lambda: len(self.mails) >= count, timeout_seconds):
            raise AssertionError(
                f"Only {len(self.mails)} of {count} mails arrived within "
                f"{timeout_seconds:g} s.\n\n{self.summary()}"
            )
        return self.mails

    def check_script(self) -> None:
        """Return if every rule of every script was used.

        An unused rule is probably a mistake in the test. The fixture calls this at the
        end of a test. Raises `AssertionError`.
        """
        __tracebackhide__ = True
        self._shared.change_script(Script())
        if self._shared.faults:
            raise AssertionError("\n".join([*self._shared.faults, "", self.summary()]))

    def summary(self) -> str:
        """The last lines of the dialogue, for people."""
        lines = self.dialogue[-DIALOGUE_LINES:] or ["nothing was said"]
        return "\n".join([f"At the mail server {self.host}:{self.port}:", *lines])

    # ---------------------------------------------------------------- in its own loop

    def _converse(self) -> asyncio.BaseProtocol:
        conversation: asyncio.BaseProtocol = self._conversation(
            self._shared, self._loop
        )
        return conversation


def _conversation_class() -> Any:
    """Import the only module that needs aiosmtpd. Raises `ConfigError` without it."""
    try:
        from .smtp_handler import Conversation
    except ImportError as error:
        raise ConfigError(
            "A mail server for tests needs the package aiosmtpd: install it with "
            'pip install "flask-outbox[testing]".'
        ) from error
    return Conversation
