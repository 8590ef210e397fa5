"""Journey: what one ``flask outbox move`` does between its start and its end."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import click

from ..errors import OutboxUnavailable
from ..outbox.batch_carrying import carry_batches
from ..outbox.belongings import carry_lanes, carry_pulse, carry_suppressions
from ..outbox.carrying import Carried
from ..outbox.moving import Left, Move
from ..outbox.store import Outbox
from ..words import counted
from .obeying import obeying

LOOK_SECONDS = 0.2
"""How often it looks for messages that came, or that came back from a courier."""

RETRY_SECONDS = 1.0
"""How soon an outbox that is out of reach is tried again."""


class Journey:
    """Carries what it can, then waits for what is being delivered, or follows.

    ``hold`` says that what a dead courier may have sent is held for a person.
    """

    def __init__(
        self, source: Outbox, target: Outbox, wait_seconds: float, *, hold: bool
    ) -> None:
        self.carried = Carried()
        self.left = Left(0, 0, 0, 0)
        """What was left behind in the end."""
        self.ended = ""
        """``"empty"``, ``"waited"`` for long enough, or the signal's name."""
        self._source = source
        self._target = target
        self._move = Move(source, target)
        self._wait_seconds = wait_seconds
        self._hold = hold

    def run(self, *, follow: bool) -> None:
        """Carry until nothing is left, or until a signal comes; a batch is finished."""
        self._move.prepare()
        with obeying(self._stop):
            self._carry_rules()
            self._carry_first()
            if follow:
                self._follow()
            else:
                self._wait_for_couriers()
            self._carry_rules()
            carry_pulse(self._source, self._target)
        self._move.end()
        self.left = self._move.left()
        self.ended = self.ended or ("waited" if self.left.messages else "empty")

    def _carry_rules(self) -> None:
        """Carry what holds for mail, before the mail that it holds for."""
        carry_lanes(self._source, self._target)
        carry_batches(self._source, self._target)
        carry_suppressions(self._source, self._target)

    def _carry_first(self) -> None:
        """Carry what there is, with a progress bar where a person looks on."""
        if not sys.stderr.isatty():
            self._carry()
            return
        expected = self._move.left().messages
        with click.progressbar(length=expected, label="Moving", file=sys.stderr) as bar:
            self._carry(lambda step: bar.update(step.messages))

    def _carry(self, told: Callable[[Carried], None] = lambda step: None) -> None:
        while not self.ended and (step := self._move.carry()):
            self.carried += step
            told(step)

    def _wait_for_couriers(self) -> None:
        deadline = time.monotonic() + self._wait_seconds
        leased = self._move.left().leased
        if leased:
            click.echo(
                f"Waiting up to {self._wait_seconds:g} s for "
                f"{counted(leased, 'message')} being delivered.",
                err=True,
            )
        while (
            not self.ended
            and self._move.left().messages
            and time.monotonic() < deadline
        ):
            time.sleep(LOOK_SECONDS)
            self._look_again()

    def _follow(self) -> None:
        click.echo("Following: Ctrl-C or SIGTERM ends it.", err=True)
        while not self.ended:
            try:
                self._look_again()
            except OutboxUnavailable as error:
                click.echo(f"{error} It is tried again.", err=True)
                time.sleep(RETRY_SECONDS)
            time.sleep(LOOK_SECONDS)

    def _look_again(self) -> None:
        self._source.rescue(hold=self._hold)
        self._carry()

    def _stop(self, name: str) -> None:
        self.ended = name
