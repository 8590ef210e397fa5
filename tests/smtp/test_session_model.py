"""Sessions against a model of a server, with every habit that was seen in one.

The transport, its sessions and transactions are the real ones; the server is a state
machine in the same process, and time is the loop's own, so that a run takes
milliseconds and is the same each time. Whatever a server does:

- a message fails for good by a reply about itself or its recipient alone;
- no content leaves under another message's envelope;
- what is said to be sent was kept, once, under its envelope; it was kept more than
  once only after it was said to be unknown;
- an attempt is spent on a reply about the message, or on a link lost, and on nothing
  that is the server's state: 503, 421, 530, a used-up credit, a neighbour's refusal.
"""

from __future__ import annotations

import asyncio
import selectors
from collections import Counter
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from flask_outbox.config import SmtpSettings
from flask_outbox.delivery import Envelope, Outcome, Progress, Report
from flask_outbox.errors import TransportDown
from flask_outbox.transports.smtp import SmtpTransport
from flask_outbox.transports.smtp.capabilities import Offer
from flask_outbox.transports.smtp.errors import ConnectionRejected
from flask_outbox.transports.smtp.protocol import SmtpLink
from flask_outbox.transports.smtp.session import PipelineAfterContent, SmtpSession
from tests.servers.model_smtp import Fate, Habits, Model, Riders, Session

MAX_ATTEMPTS, MAX_TROUBLES, MAX_TRIES = 20, 60, 60
"""Far more than any server here can be the reason of: what goes on longer has no end.
"""


# ------------------------------------------------------------------- a clock of its own


class _Stepping(selectors.SelectSelector):
    """In place of waiting, have the time pass."""

    now = 0.0

    def select(self, timeout: float | None = None) -> Any:
        if timeout is None:
            raise AssertionError("everybody waits for somebody else")
        self.now += max(timeout, 0.0)
        return []


class _Loop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._stepping = _Stepping()
        super().__init__(self._stepping)

    def time(self) -> float:
        return self._stepping.now


def run(main: Coroutine[Any, Any, None]) -> None:
    with asyncio.Runner(loop_factory=_Loop) as runner:
        runner.run(main)


class Wire(asyncio.Transport):
    """A connection to the model without a socket."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        self._loop = asyncio.get_running_loop()
        self._session = Session(model, self._to_client, self._cut)
        self._client: asyncio.Protocol
        self._open = True

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        assert isinstance(protocol, asyncio.Protocol)
        self._client = protocol

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self._loop.call_soon(self._session.receive, bytes(data))

    def _to_client(self, data: bytes) -> None:
        self._loop.call_soon(self._deliver, data)

    def _deliver(self, data: bytes) -> None:
        if self._open:
            self._client.data_received(data)

    def _cut(self) -> None:
        self._loop.call_soon(self.abort)

    @property
    def open(self) -> bool:
        """Whether we hold it open."""
        return self._open

    def abort(self) -> None:
        if self._open:
            self._open = False
            self._loop.call_later(0.002, self._session.gone)
            self._loop.call_soon(self._client.connection_lost, None)

    close = abort


# ------------------------------------------------------------------------ a whole story


@dataclass(frozen=True)
class Mail:
    """One message: its name, who gets it, and when it is handed over."""

    name: str
    recipients: tuple[str, ...]
    after_seconds: float

    @property
    def sender(self) -> str:
        """Each has a sender of its own, so that envelopes are told apart."""
        return f"from-{self.name}@example.org"

    @property
    def content(self) -> bytes:
        """The content, with a dot where it could do harm."""
        return f"Subject: {self.name}\r\n\r\n.\r\nMAIL FROM:<x@y>\r\n".encode()


@dataclass(frozen=True)
class Plot:
    """A server, what it says about whom, and the mails of one run."""

    habits: Habits
    fates: dict[str, Fate]
    mails: tuple[Mail, ...]
    connections: int = 2
    max_messages: int = 100
    may_ride: bool = True
    is_known: bool = True
    """Whether its greeting says that it copes, where it does."""


@dataclass
class Fortune:
    """What became of one mail."""

    sent: set[str] = field(default_factory=set)
    failed: set[str] = field(default_factory=set)
    unknown: Counter[str] = field(default_factory=Counter)
    attempts: int = 0
    troubles: int = 0


class Story:
    """One run of a plot, and what is to hold of it."""

    def __init__(self, plot: Plot) -> None:
        self.plot = plot
        self.model = Model(plot.habits, dict(plot.fates))
        self.wires: list[Wire] = []
        self.fortunes = {mail.name: Fortune() for mail in plot.mails}

    async def tell(self) -> None:
        rides = self.plot.may_ride
        where = SmtpSettings(
            "model.test",
            25,
            pipeline_after_content=rides,
            max_connections=self.plot.connections,
            max_messages_per_connection=self.plot.max_messages,
        )
        riding = PipelineAfterContent(where)
        habits = self.plot.habits
        offer = Offer(
            pipelining=habits.pipelining,
            chunking=habits.chunking and habits.pipelining,
            copes_with_riders=habits.riders is Riders.FINE and self.plot.is_known,
        )

        async def connect(progress: Progress) -> SmtpSession:
            await asyncio.sleep(0.001)
            if self.model.full:
                raise ConnectionRejected("421 too many connections")
            wire = Wire(self.model)
            self.wires = [one for one in (*self.wires, wire) if one.open]
            assert len(self.wires) <= self.plot.connections
            return SmtpSession(SmtpLink(wire), offer, where, riding)

        transport = SmtpTransport(where, connect)
        async with asyncio.TaskGroup() as group:
            for mail in self.plot.mails:
                group.create_task(self._deliver(mail, transport))
        await transport.close()
        assert len(asyncio.all_tasks()) == 1

    async def _deliver(self, mail: Mail, transport: SmtpTransport) -> None:
        fortune = self.fortunes[mail.name]
        await asyncio.sleep(mail.after_seconds)
        while left := [one for one in mail.recipients if one not in fortune.failed]:
            left = [one for one in left if one not in fortune.sent]
            if not left:
                break
            envelope = Envelope(mail.sender, tuple(left))
            progress = Progress()
            try:
                report = await transport.deliver(envelope, mail.content, progress)
            except TransportDown:
                fortune.troubles += 1
                assert fortune.troubles < MAX_TROUBLES
                await asyncio.sleep(1.0)
                continue
            tries = sum(line.startswith("us: MAIL FROM") for line in progress.lines)
            assert tries < MAX_TRIES
            self._record(mail, fortune, report)
            await asyncio.sleep(60.0)

    def _record(self, mail: Mail, fortune: Fortune, report: Report) -> None:
        fortune.attempts += 1
        assert fortune.attempts < MAX_ATTEMPTS
        reasons = {one: str(made.reply) for one, made in report.recipients.items()}
        spent = [
            one
            for one, made in report.recipients.items()
            if made.outcome is Outcome.DEFERRED
        ]
        for one, made in report.recipients.items():
            match made.outcome:
                case Outcome.ACCEPTED:
                    fortune.sent.add(one)
                case Outcome.REFUSED:
                    assert _is_about(mail, one, reasons[one]), reasons
                    fortune.failed.add(one)
                case Outcome.UNKNOWN:
                    fortune.unknown[one] += 1
        fair = [one for one in reasons if self._is_fair(mail, one, reasons[one])]
        assert not spent or fair or fortune.sent or fortune.unknown, reasons

    def _is_fair(self, mail: Mail, recipient: str, reason: str) -> bool:
        """Whether an attempt may be spent for this reason."""
        lost = "connection lost" in reason and self._links_get_lost
        return lost or _is_about(mail, recipient, reason)

    @property
    def _links_get_lost(self) -> bool:
        habits = self.plot.habits
        return bool(habits.drops or habits.drops_after_content)

    def check(self) -> None:
        """Hold the end of it against the promises."""
        kept: Counter[tuple[str, str]] = Counter()
        mails = {mail.name: mail for mail in self.plot.mails}
        for one in self.model.kept:
            mail = mails[one.content]
            assert one.sender == mail.sender, one
            assert set(one.recipients) <= set(mail.recipients), one
            kept.update((mail.name, recipient) for recipient in one.recipients)
        for mail in self.plot.mails:
            self._check_one(mail, kept)
        assert self.model.open == 0
        if self.plot.habits.riders is Riders.FATAL:
            assert self.model.riders_met <= self.plot.connections

    def _check_one(self, mail: Mail, kept: Counter[tuple[str, str]]) -> None:
        fortune, fates = self.fortunes[mail.name], self.plot.fates
        for recipient in mail.recipients:
            names = (mail.sender, recipient, mail.name)
            doomed = any(name in fates and fates[name].for_good for name in names)
            assert (recipient in fortune.failed) == doomed, (mail, recipient)
            times = kept[mail.name, recipient]
            if recipient in fortune.sent:
                assert times >= 1, (mail, recipient)
            assert times <= 1 + fortune.unknown[recipient], (mail, recipient)


def _is_about(mail: Mail, recipient: str, reason: str) -> bool:
    return any(f"<{one}>" in reason for one in (mail.sender, recipient, mail.name))


def told(plot: Plot) -> Story:
    """Run a plot, and hold its end against the promises."""
    story = Story(plot)
    run(story.tell())
    story.check()
    return story


# ---------------------------------------------------------------------- any such story

TOO_MANY = [
    "452 4.5.3 Error: too many recipients",
    "452 too many recipients",
    "552 5.5.3 too many recipients",
    "552 too many recipients",
]
FATES = st.sampled_from([Fate(), Fate(), Fate(), Fate(1, 450), Fate(1, 550)])
OFTEN_NONE = st.sampled_from([None, None, 1, 2, 5])
FEW = st.frozensets(st.integers(1, 60), max_size=2)


@st.composite
def habits(draw: st.DrawFn) -> Habits:
    login_at = draw(st.sampled_from(["", "", "MAIL", "RCPT", "DATA", "dot"]))
    keeps_sender = draw(st.booleans())
    return Habits(
        pipelining=draw(st.sampled_from([True, True, True, False])),
        chunking=draw(st.booleans()),
        riders=draw(st.sampled_from([Riders.FINE, Riders.FINE, *Riders])),
        keeps_sender=keeps_sender,
        keeps_recipients=keeps_sender and draw(st.booleans()),
        goes_ahead_for_nobody=draw(st.booleans()),
        credit=draw(OFTEN_NONE),
        connections=draw(OFTEN_NONE),
        login_at=login_at,
        login_times=draw(st.integers(1, 4)) if login_at else 0,
        recipients=draw(OFTEN_NONE),
        too_many=draw(st.sampled_from(TOO_MANY)),
        errors=draw(st.sampled_from([None, None, 2, 5])),
        drops=draw(FEW),
        drops_after_content=draw(st.frozensets(st.integers(1, 12), max_size=1)),
        command_seconds=draw(st.sampled_from([0.0, 0.001, 0.01])),
        verdict_seconds=draw(st.sampled_from([0.0, 0.005, 0.05])),
        flush_seconds=draw(st.sampled_from([0.0, 0.002, 0.03])),
    )


@st.composite
def plots(draw: st.DrawFn) -> Plot:
    fates: dict[str, Fate] = {}
    mails = []
    for number in range(draw(st.integers(2, 10))):
        name = f"m{number}"
        people = range(draw(st.sampled_from([1, 1, 1, 2, 4])))
        recipients = tuple(f"to-{name}-{one}@example.org" for one in people)
        seconds = draw(st.sampled_from([0.0, 0.0, 0.0, 0.01, 0.1]))
        mail = Mail(name, recipients, seconds)
        mails.append(mail)
        fates.update({one: draw(FATES) for one in (mail.sender, name, *recipients)})
    return Plot(
        draw(habits()),
        {name: fate for name, fate in fates.items() if fate.times},
        tuple(mails),
        connections=draw(st.integers(1, 3)),
        max_messages=draw(st.sampled_from([1, 3, 100])),
        may_ride=draw(st.sampled_from([True, True, False])),
        is_known=draw(st.booleans()),
    )


def test_a_connection_that_ended_before_its_greeting_is_the_transports_fault() -> None:
    async def main() -> None:
        where = SmtpSettings("model.test", 25)

        async def connect(progress: Progress) -> SmtpSession:
            wire = Wire(Model(Habits()))
            session = SmtpSession(
                SmtpLink(wire), Offer(), where, PipelineAfterContent(where)
            )
            wire.abort()
            await asyncio.sleep(0)
            return session

        transport = SmtpTransport(where, connect)
        envelope = Envelope("ada@example.org", ("bob@example.org",))
        with pytest.raises(TransportDown, match="before the first mail"):
            await transport.deliver(envelope, b"", Progress())
        await transport.close()

    run(main())


QUICK = settings(max_examples=200, deadline=None, derandomize=True)
LONG = settings(
    max_examples=10_000,
    deadline=None,
    phases=[Phase.generate, Phase.shrink],
    suppress_health_check=[HealthCheck.too_slow],
)


@QUICK
@given(plots())
def test_no_message_suffers_for_a_servers_state(plot: Plot) -> None:
    told(plot)


@pytest.mark.long
@LONG
@given(plots())
def test_no_message_suffers_in_thousands_of_runs(plot: Plot) -> None:
    told(plot)
