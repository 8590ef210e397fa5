"""One open connection, and the messages in flight on it."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Coroutine, Iterable
from math import inf
from typing import Protocol

from ...config import SmtpSettings
from ...errors import OVERDUE, LeaseLost, LoginDemanded, TransportDown
from .capabilities import Offer
from .errors import LOGIN_DEMANDED, closing, login_demanded, no_answer
from .job import Delivery
from .protocol import CutByUs, LinkError, ServerClosing, SmtpLink, TooSlow
from .transaction import Transaction

_log = logging.getLogger("flask_outbox")


class PipelineAfterContent:
    """Whether commands may *ride*: be sent directly behind the previous content.

    Shared by all connections of one transport. RFC 2920 section 3.1 allows it, but some
    servers answer 503, drop the commands, or crash. So it is done only with servers
    that are known to cope, or if ``MAIL_PIPELINE_AFTER_CONTENT`` says so, and never
    again once the server did not cope.
    """

    def __init__(self, settings: SmtpSettings) -> None:
        self._settings = settings
        self.ended: bool = False
        """Whether the server has not coped."""

    def wanted_at(self, offer: Offer) -> bool:
        """Whether commands are to ride on a connection with this offer."""
        wanted = self._settings.pipeline_after_content
        return offer.copes_with_riders if wanted is None else wanted

    def end(self, how: str) -> None:
        """Stop riding, as the server did not cope; ``how`` is logged, once."""
        if self.ended:
            return
        self.ended = True
        _log.warning(
            "%s %s commands that came directly behind a message's content. No message "
            "is lost. From now on each waits for the reply to the one before; with "
            "MAIL_PIPELINE_AFTER_CONTENT = False it does so from the start.",
            self._settings.place,
            how,
        )


QUIT_SECONDS = 1.0
"""How long to wait for the reply to QUIT; nothing depends on it."""

WINDOW_MESSAGES = 16
"""The most messages in flight on one connection with CHUNKING. If the connection is
lost all of them may be *unknown*, so there are only enough to make round trips cheap.
"""

WINDOW_BYTES = 512 * 1024
"""The most bytes in flight: they stay in our memory if the server does not read."""

STREAMED_BYTES = 64 * 1024
"""The largest content that is sent before the server has agreed to take it. For a
larger one, a refusal would waste more time than the saved round trip is worth."""


class Owner(Protocol):
    """Gives a session its messages: the transport."""

    def settle(self, session: SmtpSession) -> None:
        """Called when the session may have room for another message, or is idle."""

    def ended(self, session: SmtpSession) -> None:
        """Called when the session's connection has ended."""


class SmtpSession:
    """One connection, ready for mail, and the messages in flight on it.

    If `PipelineAfterContent` allows it and the server offers PIPELINING, the next
    message's commands are sent directly behind the content of the one before. With
    CHUNKING, several whole messages are in flight then. Only messages that wait already
    are sent so: a session never waits for one.

    Guarantees: MAIL is sent only if the server has no transaction open, or after RSET
    (a server may keep a transaction after any reply but 2xx). If the connection breaks,
    a message that the server cannot have whole and has not begun to answer goes to
    another connection. ``messages_begun`` counts transactions; ``kept_open`` means that
    it has carried a message before, so the server may have closed it.
    """

    def __init__(
        self,
        link: SmtpLink,
        offer: Offer,
        settings: SmtpSettings,
        riding: PipelineAfterContent,
    ) -> None:
        self._link = link
        self._offer = offer
        self._settings = settings
        self._riding = riding
        self._wants_riders = offer.pipelining and riding.wanted_at(offer)
        self._owner: Owner | None = None
        self._flying: deque[Transaction] = deque()
        self._bytes_flying = 0
        self._clean = True
        self._closing = False
        """Whether the server has said that it closes the connection."""
        self._used_up = False
        """Whether no further message may be begun."""
        self._beginning = False
        self._place_words = f"on an open connection to {settings.place}"
        self._deadline_words = f"deadline of {settings.deadline_seconds:g} s passed"
        self.messages_begun: int = 0
        self.kept_open: bool = False
        link.on_broken = self._broke
        link.on_readable = self.note_room

    def set_owner(self, owner: Owner) -> None:
        """Notify this owner from now on."""
        self._owner = owner

    # ------------------------------------------------------------------- what it can do

    @property
    def usable(self) -> bool:
        """Whether another message may be tried on this connection."""
        return self._link.trouble is None and not self._used_up

    @property
    def idle(self) -> bool:
        """Whether no message is in flight."""
        return not self._flying

    @property
    def has_room(self) -> bool:
        """Whether a waiting message may be begun now."""
        if not self._flying:
            return self.usable
        return (
            self._flying[-1].written_out
            and self.carries_riders
            and self.usable
            and self._last_is_paired
            and len(self._flying) < WINDOW_MESSAGES
            and self._bytes_flying < WINDOW_BYTES
            and not self._link.congested
        )

    @property
    def carries_riders(self) -> bool:
        """Whether commands may be sent directly behind the content of a message."""
        return self._wants_riders and not self._riding.ended

    @property
    def _last_is_paired(self) -> bool:
        """Whether a further message's replies cannot be taken for those of the last.

        If a server dropped the riding commands of one message, its replies to the next
        would be taken for replies to the dropped ones. So nothing is sent behind a
        riding message that has no reply yet, unless the server is known to cope.
        """
        last = self._flying[-1]
        return self._offer.copes_with_riders or last.begun or not last.rides

    # ------------------------------------------------------------------------- messages

    def begin(self, delivery: Delivery) -> None:
        """Begin to send one message; the delivery is answered later.

        The caller checks `has_room` before.
        """
        if not delivery.progress.lease_holds():
            delivery.fail(LeaseLost(OVERDUE))
            return
        if self.kept_open and not self._flying:
            delivery.progress.note("us", self._place_words)
        transaction = Transaction(
            delivery,
            self._link,
            self._offer,
            self._settings,
            self,
            served_before=self.kept_open or bool(self._flying),
            rides=bool(self._flying),
        )
        delivery.carrier = self
        self.messages_begun += 1
        if self._link.trouble is not None:
            self._not_begun(transaction, self._link.trouble)
            return
        self._say(transaction, delivery)
        if not transaction.over:
            self._flying.append(transaction)
            self._bytes_flying += transaction.size_bytes
            if len(self._flying) == 1:
                self._set_deadline()

    def _say(self, transaction: Transaction, delivery: Delivery) -> None:
        """Send as many of the message's commands as possible now.

        Content is streamed only if the server was heard just now: on a connection that
        had ended unnoticed, the message would be *unknown*.
        """
        behind = self._flying[-1] if self._flying else None
        clear_first = behind is not None or not self._clean
        streamed = (
            self._offer.chunking
            and (behind is not None or self._link.just_heard)
            and len(delivery.content) <= STREAMED_BYTES
        )
        self._beginning = True
        try:
            transaction.begin(streamed=streamed, clear_first=clear_first)
        except ValueError as error:
            transaction.fail(error)
            if not self._flying:
                self.abort()
        finally:
            self._beginning = False

    def abandon(self, delivery: Delivery) -> None:
        """Stop this delivery, for which nobody waits any more.

        Aborts the connection, unless another message would become *unknown* by that.
        """
        for transaction in self._flying:
            if transaction.delivery is delivery and not transaction.answered:
                transaction.abandon()
                if not any(one.in_doubt for one in self._flying):
                    self.abort()
                return

    # ----------------------------------------------------------------- what comes of it

    def note_end(self) -> None:
        """Let go of what has ended: a transaction, or the connection's use."""
        if self._beginning:
            return
        for transaction in self._flying:
            self._note_state(transaction)
        ended = None
        while self._flying and self._flying[0].over:
            ended = self._flying.popleft()
            self._bytes_flying -= ended.size_bytes
        if ended is not None:
            self._clean, self.kept_open = ended.clean, True
            self._set_deadline()
            self._link.hold_writes()
        if self._is_useless:
            self.abort()
        elif ended is not None:
            self._link.afterwards(self._settle)

    def _note_state(self, transaction: Transaction) -> None:
        self._closing = self._closing or transaction.goodbye
        self._used_up = self._used_up or transaction.used_up
        if transaction.rides and transaction.out_of_sequence:
            self._riding.end("answered 503 to")

    @property
    def _is_useless(self) -> bool:
        """Whether no delivery depends on further replies."""
        if self._used_up:
            return not any(one.in_doubt for one in self._flying)
        return bool(self._flying) and all(one.abandoned for one in self._flying)

    def _set_deadline(self) -> None:
        """Set the deadline for the first transaction; the others wait for it."""
        seconds = self._settings.deadline_seconds if self._flying else inf
        self._link.end_within(seconds, self._deadline_words)

    def note_room(self) -> None:
        """Begin waiting messages: one is written, or the server reads on."""
        if self._flying and self.carries_riders and not self._beginning:
            self._link.afterwards(self._settle)

    def _settle(self) -> None:
        if self._owner is not None and self._link.trouble is None:
            self._owner.settle(self)

    def _broke(self, trouble: LinkError) -> None:
        flying, self._flying = self._flying, deque()
        self._blame_pipelining(flying, trouble)
        for transaction in flying:
            if not transaction.answered:
                self._give_up(transaction, trouble)
        if self._owner is not None:
            self._owner.ended(self)

    def _blame_pipelining(
        self, flying: Iterable[Transaction], trouble: LinkError
    ) -> None:
        if self._closing or isinstance(trouble, ServerClosing | CutByUs):
            return
        if any(one.rides and not one.begun and not one.over for one in flying):
            silent = isinstance(trouble, TooSlow)
            self._riding.end("fell silent at" if silent else "broke off at")

    def _not_begun(self, transaction: Transaction, trouble: LinkError) -> None:
        """Handle a connection that had ended before this message was begun."""
        if self.kept_open:
            transaction.again(trouble, fresh=True)
        else:
            transaction.fail(no_answer(trouble, self._settings))

    def _give_up(self, transaction: Transaction, trouble: LinkError) -> None:
        """Answer one delivery after the connection broke."""
        if transaction.begun:
            not_reached = False
        elif transaction.past_the_dot:
            not_reached = self._closing
        else:
            not_reached = transaction.served_before or self._closing
        if not_reached:
            transaction.again(trouble, fresh=not transaction.rides)
        else:
            transaction.broke(trouble)

    # ------------------------------------------------------------------------- the rest

    async def takes_mail(self) -> bool:
        """Whether the server takes mail on this connection; if not, it is closed.

        Sends MAIL, then RSET: some servers demand a login only at MAIL. On a connection
        that carried no message before, the reply holds for the server, so instead of
        returning False this raises `TransportDown`.
        """
        seconds = self._settings.command_timeout_seconds
        try:
            reply = await self._link.command(b"MAIL FROM:<>", seconds)
            if reply.code == 421:
                raise ServerClosing(reply)
            if reply.code == LOGIN_DEMANDED:
                raise login_demanded(reply, self._settings)
            await self._link.command(b"RSET", seconds)
            self._link.check_open()
        except (LinkError, LoginDemanded) as error:
            self.abort()
            if self.kept_open:
                return False
            raise self._why_down(error) from error
        return True

    def _why_down(self, error: LinkError | LoginDemanded) -> TransportDown:
        if isinstance(error, LoginDemanded):
            return error
        if isinstance(error, ServerClosing):
            return closing(error.reply, self._settings)
        return no_answer(error, self._settings)

    def quit(self) -> Coroutine[None, None, None]:
        """Close the connection, politely if the server is quick. Never raises.

        No message can be begun from the call on, even before it is awaited.
        """
        self._used_up = True
        return self._say_goodbye()

    async def _say_goodbye(self) -> None:
        try:
            async with asyncio.timeout(QUIT_SECONDS):
                await self._link.command(b"QUIT", QUIT_SECONDS)
                await self._link.close()
        except (LinkError, TimeoutError):
            pass
        finally:
            self.abort()

    def abort(self) -> None:
        """Close the connection at once."""
        self._link.abort()
