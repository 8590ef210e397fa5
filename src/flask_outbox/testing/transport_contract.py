"""The contract of every transport, as tests that a transport's own package runs."""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import Iterable
from contextlib import AbstractContextManager
from enum import StrEnum
from typing import ClassVar
from unittest import SkipTest

from ..delivery import Envelope, Outcome, Progress, Report
from ..errors import AccountTrouble, LeaseLost, LoginRejected, Throttled, TransportDown
from ..recipient_guard import Guard
from ..transports.base import Transport
from ..transports.wrapping import RedirectingTransport

ADA, BOB, EVE = "ada@example.org", "bob@example.org", "eve@example.org"
SENDER, STAND_IN = "shop@example.com", "staging@example.com"

WAIT_SECONDS = 7.0
"""How long a throttling peer asks clients to wait."""

PATIENCE_SECONDS = 30.0
"""How long any call may take before the test fails."""

_HEADERS = (
    f"From: The Shop <{SENDER}>\r\nTo: Ada <{ADA}>\r\nCc: Bob <{BOB}>\r\n"
    "Subject: Your order\r\nDate: Mon, 02 Nov 2026 10:00:00 +0000\r\n"
    "Message-ID: <01order@example.com>\r\nMIME-Version: 1.0\r\n"
    "Content-Type: text/plain; charset=utf-8\r\n\r\n"
)

CONTENT = f"{_HEADERS}Thank you.\r\n".encode()

LARGE_CONTENT = f"{_HEADERS}{'Thank you for a lot. ' * 600_000}\r\n".encode()
"""More than a connection buffers before the peer reads."""


class PeerBehaviour(StrEnum):
    """How the server at the other end of a transport behaves."""

    ACCEPT = "takes every message"
    REFUSE = "refuses a message for good"
    REFUSE_EVE = f"refuses messages to {EVE} for good, and takes all others"
    DEFER = "refuses a message for now"
    THROTTLE = "asks to be left alone for `WAIT_SECONDS`"
    REJECT_ACCOUNT = "rejects the key or the login"
    CUT_BEFORE_END = "closes the connection before it has read a message"
    CUT_AFTER_END = "takes a message, and closes the connection without a reply"
    SILENCE = "takes a message, and never replies"
    ENDLESS_REPLY = "takes a message, and replies without end"
    CUT_REPLY = "takes a message, and closes the connection within the reply"
    REDIRECT = "tells the client to go elsewhere, where everything is taken"
    UNREACHABLE = "does not listen"


class TransportPeer(ABC):
    """The server that transports talk to, or a fake of it."""

    secrets: tuple[str, ...] = ()
    """The transports' keys and passwords, which must not be shown anywhere."""

    @abstractmethod
    def transport(self, deadline_seconds: float = PATIENCE_SECONDS) -> Transport:
        """A new transport that leads to this server."""

    @abstractmethod
    def behave(self, behaviour: PeerBehaviour) -> None:
        """Behave like this from now on."""

    @property
    @abstractmethod
    def taken(self) -> list[frozenset[str]]:
        """The recipients of each message that the server accepted, even without a
        reply.

        A request that the server recognizes as a repetition counts once.
        """


class TransportContract(ABC):
    """Tests that every transport passes. Subclass it as ``Test…`` in a test module.

    ``behaviours`` are those that the peer has; a test that needs another is skipped.
    """

    behaviours: ClassVar[frozenset[PeerBehaviour]] = frozenset(PeerBehaviour)
    asks_for_lease: ClassVar[bool] = True
    """Whether the transport sends anything, and so checks the message's lease."""
    large_content: bytes = LARGE_CONTENT
    """A message that is larger than a connection's buffers."""

    @abstractmethod
    def peer(self) -> AbstractContextManager[TransportPeer]:
        """A server for one test, which accepts every message by default."""

    # ------------------------------------------------------------- to whom it is sent

    def test_everyone_is_reported_and_mailed(self) -> None:
        with self._peer(PeerBehaviour.ACCEPT) as peer:
            report = _delivered(peer.transport(), [ADA, BOB])
            assert list(report.recipients) == [ADA, BOB]
            assert report.accepted
            self._check_taken(peer, [ADA, BOB])

    def test_nobody_is_mailed_for_being_in_a_header(self) -> None:
        """Someone may be suppressed, or have the message already."""
        with self._peer(PeerBehaviour.ACCEPT) as peer:
            for only in ([ADA], [BOB]):
                report = _delivered(peer.transport(), only)
                assert list(report.recipients) == only
                assert report.accepted
            self._check_taken(peer, [ADA], [BOB])

    def test_those_in_no_header_are_mailed_and_not_together(self) -> None:
        with self._peer(PeerBehaviour.ACCEPT) as peer:
            report = _delivered(peer.transport(), [ADA, EVE])
            assert report.accepted
            self._check_taken(peer, [ADA, EVE])

    def test_a_redirected_message_goes_nowhere_else(self) -> None:
        with self._peer(PeerBehaviour.ACCEPT) as peer:
            guard = Guard(redirect_to=STAND_IN)
            transport = RedirectingTransport(peer.transport(), guard)
            report = _delivered(transport, [ADA, BOB, EVE])
            assert set(report.recipients) == {ADA, BOB, EVE}
            assert report.accepted
            self._check_taken(peer, [STAND_IN])

    # -------------------------------------------------------------- what it comes to

    def test_a_refusal_is_the_outcome_with_its_reply(self) -> None:
        with self._peer(PeerBehaviour.REFUSE) as peer:
            report = _delivered(peer.transport(), [ADA, BOB])
            assert _outcomes(report) == {Outcome.REFUSED}
            assert all(str(one.reply) for one in report.recipients.values())

    def test_a_refusal_for_now_is_deferred(self) -> None:
        with self._peer(PeerBehaviour.DEFER) as peer:
            report = _delivered(peer.transport(), [ADA, BOB])
            assert _outcomes(report) == {Outcome.DEFERRED}

    def test_a_server_that_throttles_says_how_long(self) -> None:
        with self._peer(PeerBehaviour.THROTTLE) as peer:
            down = _down(peer.transport())
            assert isinstance(down, Throttled)
            assert down.wait_seconds == WAIT_SECONDS

    def test_trouble_of_the_account_is_no_outcome_of_the_message(self) -> None:
        with self._peer(PeerBehaviour.REJECT_ACCOUNT) as peer:
            down = _down(peer.transport())
            assert isinstance(down, AccountTrouble | LoginRejected)

    def test_a_connection_lost_before_the_end_is_deferred(self) -> None:
        with self._peer(PeerBehaviour.CUT_BEFORE_END) as peer:
            progress = Progress()
            report = _delivered(peer.transport(), [ADA], progress, self.large_content)
            assert _outcomes(report) == {Outcome.DEFERRED}
            assert not progress.final_dot_sent

    def test_a_connection_lost_after_the_end_is_unknown(self) -> None:
        self._check_unknown_unless_settled(PeerBehaviour.CUT_AFTER_END)

    def test_a_reply_cut_off_is_unknown(self) -> None:
        self._check_unknown_unless_settled(PeerBehaviour.CUT_REPLY)

    def test_a_reply_without_end_is_not_read_to_its_end(self) -> None:
        self._check_unknown_unless_settled(PeerBehaviour.ENDLESS_REPLY)

    def test_a_call_has_a_deadline(self) -> None:
        with self._peer(PeerBehaviour.SILENCE) as peer:
            progress = Progress()
            report = _delivered(peer.transport(0.5), [ADA], progress)
            left = progress.final_dot_sent  # on a busy machine perhaps not in time
            wanted = Outcome.UNKNOWN if left else Outcome.DEFERRED
            assert _outcomes(report) == {wanted}

    def test_a_redirection_is_not_followed(self) -> None:
        with self._peer(PeerBehaviour.REDIRECT) as peer:
            _down(peer.transport())
            self._check_taken(peer)

    def test_a_server_that_does_not_listen_is_down(self) -> None:
        with self._peer(PeerBehaviour.UNREACHABLE) as peer:
            _down(peer.transport())
            assert isinstance(asyncio.run(_probed(peer.transport())), TransportDown)

    # ------------------------------------------------------------------ how it behaves

    def test_a_probe_of_a_server_that_is_there_finds_nothing_and_sends_nothing(
        self,
    ) -> None:
        with self._peer(PeerBehaviour.ACCEPT) as peer:
            assert asyncio.run(_probed(peer.transport())) is None
            self._check_taken(peer)

    def test_nothing_is_sent_without_the_lease(self) -> None:
        if not self.asks_for_lease:
            raise SkipTest("it sends nothing")
        with self._peer(PeerBehaviour.ACCEPT) as peer:
            progress = Progress(lease_holds=lambda: False)
            try:
                _delivered(peer.transport(), [ADA], progress)
            except LeaseLost:
                pass
            else:
                raise AssertionError("LeaseLost was not raised")
            assert not progress.final_dot_sent
            self._check_taken(peer)

    # ------------------------------------------------------------------ many at a time

    def test_many_at_a_time(self) -> None:
        with self._peer(PeerBehaviour.ACCEPT) as peer:
            several = _Several([f"reader{one}@example.org" for one in range(20)])
            asyncio.run(several.deliver(peer.transport()))
            assert several.outcomes() == {Outcome.ACCEPTED}
            self._check_taken(peer, several.recipients)

    def test_a_refusal_of_one_among_many_costs_no_other_anything(self) -> None:
        with self._peer(PeerBehaviour.REFUSE_EVE) as peer:
            others = [f"reader{one}@example.org" for one in range(19)]
            several = _Several([*others[:7], EVE, *others[7:]])
            asyncio.run(several.deliver(peer.transport()))
            assert several.outcomes(EVE) == {Outcome.REFUSED}
            assert several.outcomes(*others) == {Outcome.ACCEPTED}
            self._check_taken(peer, others)

    def test_many_that_get_no_reply_are_unknown_if_they_may_be_taken(self) -> None:
        with self._peer(PeerBehaviour.CUT_AFTER_END) as peer:
            several = _Several([f"reader{one}@example.org" for one in range(20)])
            asyncio.run(several.deliver(peer.transport()))
            taken = {one for message in peer.taken for one in message}
            self._check_taken(peer, taken)
            assert several.outcomes(*taken) <= {Outcome.UNKNOWN, Outcome.ACCEPTED}
            for one, progress in several.progress.items():
                if progress.final_dot_sent:
                    assert several.outcomes(one) != {Outcome.DEFERRED}

    def test_a_message_that_is_given_up_costs_no_other_anything(self) -> None:
        """Whenever that is: it was not sent, or ``final_dot_sent`` says so."""
        for moment in ("before the first byte", "before the last byte"):
            with self._peer(PeerBehaviour.ACCEPT) as peer:
                others = [f"reader{one}@example.org" for one in range(19)]
                several = _Several([*others, EVE])
                several.give_up(EVE, moment)
                asyncio.run(several.deliver(peer.transport()))
                assert several.outcomes(*others) == {Outcome.ACCEPTED}
                if not several.progress[EVE].final_dot_sent:
                    self._check_taken(peer, others)

    def test_no_secret_is_shown(self) -> None:
        seen = _Seen()
        logging.getLogger().addHandler(seen)
        level = logging.getLogger().level
        logging.getLogger().setLevel(logging.DEBUG)
        try:
            for behaviour in self.behaviours - {PeerBehaviour.SILENCE}:
                with self._peer(behaviour) as peer:
                    seen.texts += _everything_shown(peer.transport())
                    secrets = peer.secrets
                    shown = "\n".join(seen.texts)
                    assert not [one for one in secrets if one in shown]
        finally:
            logging.getLogger().setLevel(level)
            logging.getLogger().removeHandler(seen)

    # ----------------------------------------------------------------------- with these

    def _peer(self, behaviour: PeerBehaviour) -> AbstractContextManager[TransportPeer]:
        if behaviour not in self.behaviours:
            raise SkipTest(f"no server of this transport {behaviour}")
        return _Behaving(self.peer(), behaviour)

    def _check_unknown_unless_settled(self, behaviour: PeerBehaviour) -> None:
        """It is *unknown*, or accepted once by a detected repetition."""
        with self._peer(behaviour) as peer:
            progress = Progress()
            report = _delivered(peer.transport(), [ADA], progress)
            assert _outcomes(report) <= {Outcome.UNKNOWN, Outcome.ACCEPTED}
            assert progress.final_dot_sent
            if report.accepted:
                self._check_taken(peer, [ADA])
            else:
                assert len(peer.taken) <= 1

    def _check_taken(self, peer: TransportPeer, *wanted: Iterable[str]) -> None:
        """Each wanted recipient got it as often as wanted, and no others did."""
        if self.asks_for_lease:
            found = sorted(one for message in peer.taken for one in message)
            assert found == sorted(one for message in wanted for one in message)


class _Behaving(AbstractContextManager[TransportPeer]):
    def __init__(
        self, peer: AbstractContextManager[TransportPeer], behaviour: PeerBehaviour
    ) -> None:
        self._peer = peer
        self._behaviour = behaviour

    def __enter__(self) -> TransportPeer:
        peer = self._peer.__enter__()
        peer.behave(self._behaviour)
        return peer

    def __exit__(self, *args: object) -> None:
        self._peer.__exit__(*args)  # type: ignore[arg-type]


class _Seen(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(record.getMessage())


async def _deliver(
    transport: Transport, recipients: list[str], progress: Progress, content: bytes
) -> Report:
    envelope = Envelope(SENDER, tuple(recipients))
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            return await transport.deliver(envelope, content, progress)
    finally:
        await transport.close()


def _delivered(
    transport: Transport,
    recipients: list[str],
    progress: Progress | None = None,
    content: bytes = CONTENT,
) -> Report:
    progress = Progress() if progress is None else progress
    return asyncio.run(_deliver(transport, recipients, progress, content))


def _down(transport: Transport) -> TransportDown:
    try:
        report = _delivered(transport, [ADA])
    except TransportDown as down:
        return down
    raise AssertionError(f"TransportDown was not raised, but there is {report}")


class _Several:
    """Several messages, each to one recipient, that are delivered at the same time."""

    def __init__(self, recipients: Iterable[str]) -> None:
        self.progress = {one: Progress() for one in recipients}
        self._reports: dict[str, Report | BaseException] = {}
        self._deliveries: dict[str, asyncio.Task[Report]] = {}

    @property
    def recipients(self) -> set[str]:
        return set(self.progress)

    async def deliver(self, transport: Transport) -> None:
        for number, one in enumerate(self.progress):
            content = CONTENT.replace(b"01", b"%d" % number)
            delivery = transport.deliver(
                Envelope(SENDER, (one,)), content, self.progress[one]
            )
            self._deliveries[one] = asyncio.create_task(delivery)
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                found = await asyncio.gather(
                    *self._deliveries.values(), return_exceptions=True
                )
        finally:
            await transport.close()
        self._reports = dict(zip(self._deliveries, found, strict=True))

    def give_up(self, recipient: str, moment: str) -> None:
        """Cancel its delivery when another one is asked for its lease then."""
        asked = 0

        def holds() -> bool:
            nonlocal asked
            asked += 1
            if asked == (1 if moment == "before the first byte" else 2):
                self._deliveries[recipient].cancel()
            return True

        next(iter(self.progress.values())).lease_holds = holds

    def outcomes(self, *recipients: str) -> set[Outcome]:
        """Those of these recipients, or of all."""
        found = [self._reports[one] for one in recipients or self._reports]
        failed = [one for one in found if isinstance(one, BaseException)]
        assert not failed, failed
        return {
            one.outcome
            for report in found
            if isinstance(report, Report)
            for one in report.recipients.values()
        }


async def _probed(transport: Transport) -> TransportDown | None:
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            await transport.probe()
    except TransportDown as down:
        return down
    finally:
        await transport.close()
    return None


def _everything_shown(transport: Transport) -> list[str]:
    progress = Progress()
    shown = [repr(transport), repr(vars(transport))]
    try:
        shown.append(repr(_delivered(transport, [ADA], progress)))
    except TransportDown as down:
        shown += [repr(down), repr(down.__cause__)]
    return [*shown, repr(progress)]


def _outcomes(report: Report) -> set[Outcome]:
    return {one.outcome for one in report.recipients.values()}
