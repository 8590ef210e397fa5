"""One message's dialogue on one connection (RFC 5321 section 3.3)."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import lru_cache

from ..config import SmtpSettings
from ..delivery import Outcome, Reply
from ..errors import OVERDUE, LeaseLost, TransportDown
from .smtp_content import FINAL_DOT, dot_stuffed
from .smtp_decisions import Decisions
from .smtp_delivery import Delivery
from .smtp_link import LinkError, OutOfStep, ServerClosing, SmtpLink
from .smtp_offer import Offer, mail_command, rcpt_command, refusals
from .smtp_replies import COMMON_REPLIES
from .smtp_trouble import LOGIN_DEMANDED, closing, login_demanded, out_of_sequence

CHUNK_BYTES = 64 * 1024
"""Content is written in pieces of this size, each bounded by the command timeout."""

_OUTCOMES = {2: Outcome.ACCEPTED, 4: Outcome.DEFERRED, 5: Outcome.REFUSED}

OUT_OF_SEQUENCE = 503
"""What a server says whose idea of what is going on is not ours (RFC 5321 4.2.4)."""

TOO_MANY = ".5.3"
"""The end of the enhanced status code for "too many recipients" (RFC 3463)."""

TOO_MANY_CODES = (452, 552)
"""What says the same where there is no enhanced one (RFC 5321 4.5.3.1.10)."""

_Taker = Callable[[Reply], None]


class Transaction:
    """One message on one connection.

    Where PIPELINING (RFC 2920) is offered, MAIL, every RCPT and DATA go in one flight,
    and *streamed* (RFC 3030) the content with them; else one command at a time. The
    session is told (``moved``) when all has been written and when it is over.

    Guarantees: the delivery is answered when the server's last reply has come, or when
    the link breaks (`broke`), and once; after `abandon` it is left alone. What a reply
    says of the connection (421, 503, a MAIL refused by one that has served) is no
    verdict: the delivery goes to a fresh connection, and what that one says decides.
    """

    begun = False
    """Whether the server has answered MAIL."""
    written_out = False
    """Whether nothing is left to write, whatever the server says."""
    past_the_dot = False
    """Whether the server may have the whole content."""
    streamed = False
    clean = True
    """Whether the server is known to have no transaction open."""
    goodbye = False
    """Whether the server said 421 to it."""
    used_up = False
    """Whether nothing may be begun after it on this connection."""
    out_of_sequence = False
    """Whether the server said 503 where all was said in order."""
    answered = False
    """Whether it is over for the delivery, though replies may still be due."""
    abandoned = False
    awaiting = 0
    """How many replies are due."""
    _mail_refused = False
    _taken = 0
    """How many recipients the server took."""
    _put_back_for: Reply | None = None
    """The reply that was no verdict on this message."""

    def __init__(
        self,
        delivery: Delivery,
        link: SmtpLink,
        offer: Offer,
        settings: SmtpSettings,
        moved: Callable[[], None],
        *,
        served_before: bool,
        rides: bool,
    ) -> None:
        self.served_before = served_before
        """Whether its connection had carried another message."""
        self.rides = rides
        """Whether its commands are said before the verdict on the one before."""
        self.delivery = delivery
        self.size_bytes = len(delivery.content)
        self._progress = delivery.progress
        self._link = link
        self._offer = offer
        self._settings = settings
        self._moved = moved
        self._decisions = Decisions(delivery.envelope.recipients)
        self._unsaid: deque[tuple[str, bytes, _Taker]] = deque()
        self._asked: deque[str] = deque()
        """Whose RCPT is still to be answered."""
        self._names: deque[str] = deque()
        self._last_command = "MAIL FROM"
        self._unwritten = memoryview(b"")

    @property
    def over(self) -> bool:
        """Whether nothing more is to come of it."""
        return self.answered and not self.awaiting

    @property
    def in_doubt(self) -> bool:
        """Whether somebody waits for it, and would never know if the link broke."""
        return self.past_the_dot and not self.answered and not self.abandoned

    # --------------------------------------------------------------------- beginning

    def begin(self, *, streamed: bool, clear_first: bool) -> None:
        """Say the first command, or all of them.

        With ``clear_first`` an RSET goes first, because what is still on its way may
        leave the server with another message in mind. Raises `ValueError` before a
        word is said if the envelope cannot be put into commands.
        """
        delivery = self.delivery
        known = refusals(delivery.envelope, len(delivery.content), self._offer)
        for recipient, reply in known.items():
            self._decisions.decide(recipient, Outcome.REFUSED, reply)
        if not self._decisions.left:
            self.answered = True
            delivery.answer(self._decisions.report())
            return
        self.clean = False
        self._prepare(streamed=streamed, clear_first=clear_first)
        if streamed:
            self._say_all()
            self._stream()
        elif self._offer.pipelining:
            self._say_all()
        else:
            self._say_next()

    def _prepare(self, *, streamed: bool, clear_first: bool) -> None:
        envelope, content = self.delivery.envelope, self.delivery.content
        recipients = self._decisions.undecided
        mail = mail_command(envelope, recipients, content, self._offer)
        if clear_first:
            self._unsaid.append(("RSET", b"RSET", self._cleared))
        self._unsaid.append(("MAIL FROM", mail, self._mail_replied))
        for recipient in recipients:
            command = rcpt_command(envelope, recipient)
            self._unsaid.append(("RCPT TO", command, self._rcpt_replied))
        self._asked.extend(recipients)
        if not streamed:
            self._unsaid.append(("DATA", b"DATA", self._data_replied))

    def _say_all(self) -> None:
        flight = []
        for name, command, taker in self._unsaid:
            self._expect(name, command, taker)
            flight.append(command)
        self._unsaid.clear()
        self._link.write(b"\r\n".join(flight) + b"\r\n")

    def _say_next(self) -> None:
        name, command, taker = self._unsaid.popleft()
        self._expect(name, command, taker)
        self._link.write(command + b"\r\n")

    def _expect(self, name: str, command: bytes, taker: _Taker) -> None:
        self._names.append(name)
        self._last_command = self._names[0]
        self._note("us", command.decode())
        self.awaiting += 1
        self._link.expect(taker, self._settings.command_timeout_seconds)

    def _go_on(self) -> None:
        """Say the next command, where the server wants them one at a time."""
        if self._unsaid:
            self._link.afterwards(self._say_next)

    # ----------------------------------------------------------------------- replies

    def _cleared(self, reply: Reply) -> None:
        """RSET was answered: nothing may be left of the message before."""
        if not self._understood(reply, (2, 4, 5)):
            return
        if _class(reply) == 2:
            self._go_on()
        else:
            self._put_back(reply)

    def _mail_replied(self, reply: Reply) -> None:
        if not self._understood(reply, (2, 4, 5)):
            return
        self.begun = True
        if _class(reply) == 2:
            self._go_on()
            return
        self._mail_refused = True
        if self.served_before or reply.code == OUT_OF_SEQUENCE:
            self._put_back(reply)
            return
        self._decisions.decide_rest(_outcome(reply), reply)
        self._unsaid.clear()
        if not self.awaiting:
            self._answer()

    def _rcpt_replied(self, reply: Reply) -> None:
        if not self._understood(reply, (2, 4, 5)):
            return
        recipient, kind = self._asked.popleft(), _class(reply)
        if kind == 2:
            self._taken += 1
        elif self._is_of_the_connection(reply):
            self._put_back(reply)
            return
        elif self._is_for_another(reply):
            self._decisions.leave_over(recipient)
        elif self._put_back_for is None:
            self._decisions.decide(recipient, _outcome(reply), reply)
        if self._asked or self._decisions.left:
            self._go_on()
        elif self._unsaid:
            self._unsaid.clear()
            self._link.afterwards(self._reset)

    def _is_of_the_connection(self, reply: Reply) -> bool:
        """Whether this no to RCPT is none to the recipient."""
        if self._mail_refused:
            return False
        out_of_room = self.served_before and not self._has_begun_well
        return reply.code == OUT_OF_SEQUENCE or (out_of_room and _says_too_many(reply))

    def _is_for_another(self, reply: Reply) -> bool:
        """Whether this no to RCPT is one to so many recipients in one transaction.

        Without an enhanced status code it may mean another thing. Therefore it is asked
        again in a transaction of its own, and what is said to the first there is taken
        at its word.
        """
        if _says_too_many(reply):
            return self._has_begun_well
        may_say = reply.enhanced is None and reply.code in TOO_MANY_CODES
        return may_say and self._taken > 0

    @property
    def _has_begun_well(self) -> bool:
        """Whether this transaction has come to something for a recipient already."""
        return self._taken > 0 or not self._decisions.none_yet

    def _data_replied(self, reply: Reply) -> None:
        if not self._understood(reply, (3, 4, 5)):
            return
        kind = _class(reply)
        if kind == 3:
            self._link.afterwards(self._answer_go_ahead)
            return
        if reply.code == OUT_OF_SEQUENCE and self._decisions.left:
            self._put_back(reply)
            return
        self._decisions.decide_rest(_outcome(reply), reply)
        if self._mail_refused and not self._taken:
            self._answer()
        else:
            self._link.afterwards(self._reset)

    def _answer_go_ahead(self) -> None:
        if self._decisions.left:
            self._send_content()
        elif self._taken:  # by a server that had refused MAIL: not to be trusted
            self._link.abort()
        else:  # RFC 2920 section 3.1: the content must end, and nobody may get it
            self._say_dot_to_nobody()

    def _reset(self) -> None:
        """Clear the server's mind of a transaction that came to nothing."""
        self._expect("RSET", b"RSET", self._reset_replied)
        self._link.write(b"RSET\r\n")
        self._wrote_out()

    def _reset_replied(self, reply: Reply) -> None:
        if not self._understood(reply, (2, 4, 5)):
            return
        self.clean = _class(reply) == 2
        self._answer()
        if not self.clean:
            self._link.afterwards(self._link.abort)

    def _understood(self, reply: Reply, classes: tuple[int, ...]) -> bool:
        """Take the reply down; whether it makes sense and the server goes on."""
        self.awaiting -= 1
        if self._names:
            self._last_command = self._names.popleft()
            if self._names:
                self._last_command = self._names[0]
        self._note("them", _said(reply))
        if reply.code == 421:
            self._server_closes(reply)
        elif _class(reply) not in classes:
            self._link.break_off(OutOfStep(f"the reply {reply} makes no sense"))
        else:
            return True
        return False

    # ----------------------------------------------------------------------- content

    def _send_content(self) -> None:
        """Write it all, unless the server answers before.

        No server accepts a message without its final dot, so the piece that holds it
        is the first that could complete the content.
        """
        content = self.delivery.content
        self._note("us", f"({len(content)} bytes of content)")
        self._expect_verdict()
        self._unwritten = memoryview(dot_stuffed(content))
        self._write_content()

    def _write_content(self) -> None:
        piece = self._unwritten
        if len(piece) <= CHUNK_BYTES:
            if not self._progress.lease_holds():
                self._leave_to_another()
                return
            self._pass_the_dot()
            self._link.write(bytes(piece) + FINAL_DOT)
            self._link.restart_clock()
            self._wrote_out()
            return
        self._unwritten = piece[CHUNK_BYTES:]
        self._link.write(piece[:CHUNK_BYTES])
        seconds = self._settings.command_timeout_seconds
        self._link.when_read(self._write_content, seconds)

    def _leave_to_another(self) -> None:
        """Break off before the server has it all: another courier may be at it too."""
        self.answered = True
        self.delivery.fail(LeaseLost(OVERDUE))
        self._link.abort()

    def _stream(self) -> None:
        """Send the content without waiting for a go-ahead (RFC 3030 section 2)."""
        content = self.delivery.content
        self.streamed, self.clean = True, False
        command = b"BDAT %d LAST" % len(content)
        self._note("us", command.decode())
        self._expect_verdict()
        self._pass_the_dot()
        self._link.write(command + b"\r\n" + content)
        self._wrote_out()

    def _say_dot_to_nobody(self) -> None:
        self._note("us", ".")
        self.awaiting += 1
        seconds = self._settings.data_timeout_seconds
        self._link.expect(self._nothing_taken, seconds)
        self._link.write(FINAL_DOT)

    def _nothing_taken(self, reply: Reply) -> None:
        if self._understood(reply, (2, 4, 5)):
            self._link.afterwards(self._reset)

    def _expect_verdict(self) -> None:
        self.awaiting += 1
        seconds = self._settings.data_timeout_seconds
        self._link.expect(self._content_replied, seconds)

    def _pass_the_dot(self) -> None:
        self.past_the_dot = self._progress.final_dot_sent = True

    def _wrote_out(self) -> None:
        self.written_out = True
        self._moved()

    def _content_replied(self, reply: Reply) -> None:
        """The server's verdict, or a refusal before it had the whole content."""
        classes = (2, 4, 5) if self.written_out else (4, 5)
        if not self._understood(reply, classes):
            return
        kind, early = _class(reply), not self.written_out
        if self._mail_refused or self._put_back_for is not None:
            if kind == 2:
                self._taken_out_of_order(reply)
        elif reply.code == OUT_OF_SEQUENCE and self._decisions.left:
            self._put_back(reply)
            return
        else:
            self.clean = kind == 2
            self._decisions.decide_rest(_outcome(reply), reply)
        self._answer()
        if early:
            self._link.abort()

    def _taken_out_of_order(self, reply: Reply) -> None:
        """The server took the content though it had refused what leads to it.

        Perhaps it did so under an envelope that it had kept from before.
        """
        text = f"the content was taken ({reply}) after its envelope had been refused"
        self._decisions.overrule(Outcome.UNKNOWN, Reply.observed(text))
        self.used_up = True

    # -------------------------------------------------------------------- the outcome

    def _answer(self) -> None:
        """Nobody is left to be decided, or it is put back: say so."""
        if not self.answered:
            if self._put_back_for is not None and self._decisions.left:
                self._give_back(self._put_back_for)
            else:
                self._report()
            self.answered = True
        self._moved()

    def _report(self) -> None:
        """Say what it came to, unless the server spoke of nothing but its own state."""
        made = self._decisions.report()
        replies = [one.reply for one in made.recipients.values()]
        if all(reply.code in _DOWN for reply in replies):
            self._down(replies[0])
        elif not self.abandoned:
            self._take_fewer()
            self.delivery.answer(made)

    def _take_fewer(self) -> None:
        if self._decisions.left_over and not self.abandoned:
            self.delivery.take_fewer(self._taken)

    def _put_back(self, reply: Reply) -> None:
        """The reply tells what state the connection is in, not what the message is.

        Nothing is begun after it here. The delivery is told at once, unless a content
        is out already: then the reply to that has the last word.
        """
        self.used_up = True
        if reply.code == OUT_OF_SEQUENCE:
            self.out_of_sequence = True
        self._put_back_for = self._put_back_for or reply
        if self.past_the_dot and self.awaiting:
            self._moved()
        else:
            self._answer()

    def _give_back(self, reply: Reply) -> None:
        """To a fresh connection, or where this is one, to whoever handed it over.

        Where too many recipients may have led to it, it is worth a try with fewer.
        """
        self._take_fewer()
        if self.served_before or self._decisions.left_over:
            self.again(_trouble(reply), fresh=not self.rides)
        else:
            self._decisions.decide_rest(Outcome.DEFERRED, reply)
            self._report()

    def _down(self, reply: Reply) -> None:
        """It is the transport that is in trouble, not this message."""
        assert reply.code is not None
        error = _DOWN[reply.code](reply, self._settings)
        error.__cause__ = _trouble(reply)
        if not self.answered and not self.abandoned:
            self.delivery.fail(error)
        self.answered = True

    def _server_closes(self, reply: Reply) -> None:
        """The server said 421, and so takes nothing after this message.

        The connection may have lain idle too long, carried enough, or seen too many
        errors of others.
        """
        self.goodbye = True
        self._put_back(reply)

    def again(self, trouble: LinkError, *, fresh: bool) -> None:
        """The server has done nothing about this message: another connection may.

        With ``fresh`` it is one that has not served yet.
        """
        if not self.abandoned and not self.answered:
            self.delivery.again(str(trouble), fresh=fresh)
        self.answered = True

    def fail(self, error: TransportDown | ValueError) -> None:
        """Nothing was said, because of this."""
        self.delivery.fail(error)
        self.answered = True

    def broke(self, trouble: LinkError) -> None:
        """The link broke: decide who is not yet decided, or put it back."""
        if self.answered:
            return
        if isinstance(trouble, ServerClosing) and not self.past_the_dot:
            self._server_closes(trouble.reply)
            return
        put_back = self._put_back_for is not None
        if self.past_the_dot and (self.out_of_sequence or not put_back):
            text = f"{trouble} after the final dot"
            self._decisions.decide_rest(Outcome.UNKNOWN, Reply.observed(text))
        elif not put_back:
            when = f"before the final dot, after {self._last_command}"
            text = f"{trouble} {when}"
            self._decisions.decide_rest(Outcome.DEFERRED, Reply.observed(text))
        self._answer()

    def abandon(self) -> None:
        """Nobody waits for an answer any more: the delivery is left as it is."""
        self.abandoned = True

    def _note(self, speaker: str, text: str) -> None:
        if not self.abandoned:
            self._progress.note(speaker, text)


_said = lru_cache(maxsize=COMMON_REPLIES)(str)

_DOWN: dict[int, Callable[[Reply, SmtpSettings], TransportDown]] = {
    421: closing,
    OUT_OF_SEQUENCE: out_of_sequence,
    LOGIN_DEMANDED: login_demanded,
}
"""What is said of the server's state, and what it means where nothing else was said."""


def _trouble(reply: Reply) -> LinkError:
    return ServerClosing(reply) if reply.code == 421 else OutOfStep(str(reply))


def _outcome(reply: Reply) -> Outcome:
    """What the reply decides: that a login is demanded is no verdict on a message."""
    if reply.code == LOGIN_DEMANDED:
        return Outcome.DEFERRED
    return _OUTCOMES[_class(reply)]


def _says_too_many(reply: Reply) -> bool:
    return reply.enhanced is not None and reply.enhanced.endswith(TOO_MANY)


def _class(reply: Reply) -> int:
    """The first digit, which decides (RFC 5321 section 4.2.1)."""
    assert reply.code is not None
    return reply.code // 100
