"""One connection's life between its making and its end, and the messages on it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Coroutine, Iterable
from math import inf
from typing import Protocol

from ..config import SmtpSettings
from ..errors import OVERDUE, LeaseLost, LoginDemanded, TransportDown
from .smtp_delivery import Delivery
from .smtp_link import CutByUs, LinkError, ServerClosing, SmtpLink, TooSlow
from .smtp_offer import Offer
from .smtp_riding import Riding
from .smtp_transaction import Transaction
from .smtp_trouble import LOGIN_DEMANDED, closing, login_demanded, no_answer

QUIT_SECONDS = 1.0
"""How long a server may take to say goodbye: nothing depends on it."""

WINDOW_MESSAGES = 16
"""Messages in flight on one connection with CHUNKING. All of them are *unknown* when
the link is lost, so no more than make a long way short: 16 for one round trip."""

WINDOW_BYTES = 512 * 1024
"""Their bytes: as much as may wait in our memory for a server that does not read."""

STREAMED_BYTES = 64 * 1024
"""The largest content that is sent before the server has agreed to take it: of a larger
one, the bytes that a refusal wastes would cost more than the round trip saved."""


class Owner(Protocol):
    """Whoever gives a session its messages."""

    def settle(self, session: SmtpSession) -> None:
        """The session may have room for another message, or be idle."""

    def ended(self, session: SmtpSession) -> None:
        """The session's connection is over."""


class SmtpSession:
    """One connection, ready for mail, and the messages that are in flight on it.

    Where `Riding` allows it and PIPELINING is offered, the next message's commands ride
    behind the content of the one before; with CHUNKING several messages are in flight
    then, contents and all. Whoever rides has waited already: nobody is waited for.

    Guarantees: MAIL is said to a server that has no transaction open, or after an RSET,
    as it may have kept one after anything but a 2xx; when the link breaks, a message
    that the server cannot have whole and that it has not begun to answer is given back
    for another connection, whatever became of the one before it. ``messages_begun``
    counts its transactions; ``kept_open`` says that it has served, so that the server
    may have ended it.
    """

    def __init__(
        self, link: SmtpLink, offer: Offer, settings: SmtpSettings, riding: Riding
    ) -> None:
        self._link = link
        self._offer = offer
        self._settings = settings
        self._riding = riding
        self._owner: Owner | None = None
        self._flying: deque[Transaction] = deque()
        self._bytes_flying = 0
        self._clean = True
        self._closing = False
        """Whether the server has said that it ends the connection."""
        self._used_up = False
        """Whether it carries nothing more."""
        self._beginning = False
        self._place_words = f"on an open connection to {settings.place}"
        self._deadline_words = f"deadline of {settings.deadline_seconds:g} s passed"
        self.messages_begun = 0
        self.kept_open = False
        link.on_broken = self._broke
        link.on_readable = self._may_have_room

    def belong_to(self, owner: Owner) -> None:
        """Tell this owner from now on."""
        self._owner = owner

    # ------------------------------------------------------------------- what it can do

    @property
    def usable(self) -> bool:
        """Whether another message may be tried on it, as far as is known."""
        return self._link.open and not self._used_up

    @property
    def idle(self) -> bool:
        """Whether no message is on it."""
        return not self._flying

    @property
    def has_room(self) -> bool:
        """Whether a message that waits may be begun on it now."""
        if not self.usable:
            return False
        if not self._flying:
            return True
        return (
            self._offer.pipelining
            and self._riding.allowed_at(self._offer)
            and self._last_is_paired
            and self._flying[-1].written_out
            and len(self._flying) < WINDOW_MESSAGES
            and self._bytes_flying < WINDOW_BYTES
            and not self._link.congested
        )

    @property
    def _last_is_paired(self) -> bool:
        """Whether replies cannot be taken for those to the message behind the last.

        A server that drops what rides would answer the next one, and we took it for
        the answer to what was dropped. So behind a rider that has no answer yet nothing
        is said, unless the server is known to cope.
        """
        last = self._flying[-1]
        return self._offer.copes_with_riders or last.begun or not last.rides

    # ------------------------------------------------------------------------- messages

    def begin(self, delivery: Delivery) -> None:
        """Begin to hand over one message; the delivery is answered in time.

        Whoever calls has asked `has_room`, and looks afterwards whether there is more.
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
            self._moved,
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
                self._time_the_first()

    def _say(self, transaction: Transaction, delivery: Delivery) -> None:
        """Say as much of it as may be said now.

        A content is only streamed where the server is known to be there: on a
        connection that had ended unnoticed, the message would be *unknown*.
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
        """Nobody waits for this delivery any more.

        The connection goes with it, unless a neighbour's fate hangs on it.
        """
        for transaction in self._flying:
            if transaction.delivery is delivery and not transaction.answered:
                transaction.abandon()
                if not any(one.in_doubt for one in self._flying):
                    self.abort()
                return

    # ----------------------------------------------------------------- what comes of it

    def _moved(self) -> None:
        """A transaction has come to its end, or has nothing more to write."""
        if self._beginning:
            return
        before = len(self._flying)
        for transaction in self._flying:
            self._look_at(transaction)
        while self._flying and self._flying[0].over:
            self._take_off(self._flying.popleft())
        if len(self._flying) < before:
            self.kept_open = True
            self._time_the_first()
        if self._is_of_no_use:
            self.abort()
        else:
            self._link.afterwards(self._settle)

    def _look_at(self, transaction: Transaction) -> None:
        self._closing = self._closing or transaction.goodbye
        self._used_up = self._used_up or transaction.used_up
        if transaction.rides and transaction.out_of_sequence:
            self._riding.end("answered 503 to")

    @property
    def _is_of_no_use(self) -> bool:
        """Whether nobody's answer depends on what may still come."""
        if self._used_up:
            return not any(one.in_doubt for one in self._flying)
        return bool(self._flying) and all(one.abandoned for one in self._flying)

    def _take_off(self, transaction: Transaction) -> None:
        self._bytes_flying -= transaction.size_bytes
        self._clean = transaction.clean

    def _time_the_first(self) -> None:
        """The deadline is that of whoever is first: the others wait for him."""
        seconds = self._settings.deadline_seconds if self._flying else inf
        self._link.end_within(seconds, self._deadline_words)

    def _may_have_room(self) -> None:
        if self._flying:
            self._settle()

    def _settle(self) -> None:
        if self._owner is not None and self._link.open:
            self._owner.settle(self)

    def _broke(self, trouble: LinkError) -> None:
        flying, self._flying = self._flying, deque()
        self._ask_whether_riders_did_it(flying, trouble)
        for transaction in flying:
            if not transaction.answered:
                self._give_up(transaction, trouble)
        if self._owner is not None:
            self._owner.ended(self)

    def _ask_whether_riders_did_it(
        self, flying: Iterable[Transaction], trouble: LinkError
    ) -> None:
        if self._closing or isinstance(trouble, ServerClosing | CutByUs):
            return
        if any(one.rides and not one.begun and not one.over for one in flying):
            silent = isinstance(trouble, TooSlow)
            self._riding.end("fell silent at" if silent else "broke off at")

    def _not_begun(self, transaction: Transaction, trouble: LinkError) -> None:
        """The connection had ended before a word was said about this message."""
        if self.kept_open:
            transaction.again(trouble, fresh=True)
        else:
            transaction.fail(no_answer(trouble, self._settings))

    def _give_up(self, transaction: Transaction, trouble: LinkError) -> None:
        """Answer for one message of a link that broke."""
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
        """Whether the server takes mail here; if not, this connection is over.

        It is asked with a MAIL that RSET takes back: some say only then that they
        demand a login. On a connection that has not served before, the answer stands
        for the server: then, in place of False, it raises `TransportDown`.
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
        """End the connection, politely if the server is quick. Never raises.

        It carries nothing more from the call on, before the first wait.
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
        """End the connection at once."""
        self._link.abort()
