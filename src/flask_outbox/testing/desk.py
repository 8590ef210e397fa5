"""Desk: what all conversations of one server have in common."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Protocol

from .loopback import LoopbackServer
from .reading import Reading
from .script import Script


class ArrivedMail(Reading):
    """One mail that the server has kept; `Reading` says what is in it."""

    def __init__(
        self,
        content: bytes,
        return_path: str,
        recipients: tuple[str, ...],
        login: str | None,
    ) -> None:
        super().__init__(lambda: content)
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


class Desk:
    """The script that holds now, and what came of it on the connections of a server."""

    def __init__(self, server: LoopbackServer) -> None:
        self.server = server
        self.script = Script()
        self.mails: list[ArrivedMail] = []
        self.dialogue: list[str] = []
        self.victims: list[Victim] = []
        self.faults: list[str] = []
        """What scripts say and could not be played, in words."""

    def change_script(self, script: Script) -> None:
        """Have it hold from now on; what the last one had left is a fault."""
        self.faults += [
            f"The script's rule {rule!r} was never played: it did not come to that."
            for rule in self.script.unplayed
        ]
        self.script = script

    def note(self, line: str) -> None:
        """Add a line to the dialogue."""
        self.dialogue.append(line)

    def keep(self, mail: ArrivedMail) -> int:
        """Keep a mail; its number."""
        self.server.tell(lambda: self.mails.append(mail))
        return len(self.mails)

    def kill_workers(self) -> None:
        """Kill those that are alive, and return once they are gone."""
        alive = [one for one in self.victims if one.alive]
        if not alive:
            self.faults.append(
                "'die between accept and record': no worker was there to die. Start "
                "one with the fixture outbox_worker, and do not drain in the test."
            )
        for one in alive:
            one.kill()
