"""The SMTP transaction of one message (RFC 5321 section 3.3), and its outcomes."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Protocol

from ...config import SmtpSettings
from ...delivery import Outcome, RecipientReport, Reply, Report
from ...errors import OVERDUE, LeaseLost, TransportDown
from .capabilities import (
    FINAL_DOT,
    Offer,
    dot_stuffed,
    mail_command,
    rcpt_command,
    refusals,
)
from .errors import LOGIN_DEMANDED, closing, login_demanded, out_of_sequence
from .job import Delivery
from .protocol import LinkError, OutOfStep, ServerClosing, SmtpLink, Taker
from .replies import COMMON_REPLIES


class Decisions:
    """Each recipient's outcome. The first one stays, unless it is overruled."""

    def __init__(self, recipients: Iterable[str]) -> None:
        self.undecided: dict[str, None] = dict.fromkeys(recipients)
        """Recipients that still need an outcome here, in the envelope's order."""
        self.made: dict[str, RecipientReport] = {}
        """The reports on all decided recipients."""
        self.left_over: set[str] = set()
        """Recipients that are left to another transaction."""

    @property
    def none_yet(self) -> bool:
        """Whether no recipient has an outcome or is left over."""
        return not (self.made or self.left_over)

    def decide(self, recipient: str, outcome: Outcome, reply: Reply) -> None:
        """Give one recipient an outcome."""
        if recipient in self.undecided:
            del self.undecided[recipient]
            self.made[recipient] = RecipientReport(outcome, reply)

    def leave_over(self, recipient: str) -> None:
        """Leave one recipient to another transaction."""
        if recipient in self.undecided:
            del self.undecided[recipient]
            self.left_over.add(recipient)

    def overrule(self, outcome: Outcome, reply: Reply) -> None:
        """Give all recipients this outcome, replacing earlier ones."""
        self.undecided |= dict.fromkeys([*self.made, *self.left_over])
        self.decide_rest(outcome, reply)

    def decide_rest(self, outcome: Outcome, reply: Reply) -> None:
        """Give all others this outcome."""
        self.made |= dict.fromkeys(self.undecided, RecipientReport(outcome, reply))
        self.undecided.clear()


CHUNK_BYTES = 64 * 1024
"""Content is written in pieces of this size, each within the command timeout."""

_OUTCOMES = {2: Outcome.ACCEPTED, 4: Outcome.DEFERRED, 5: Outcome.REFUSED}

OUT_OF_SEQUENCE = 503
"""Bad sequence of commands: the server's state is not what we think (RFC 5321 4.2.4).
"""

TOO_MANY = ".5.3"
"""The end of the enhanced status code for "too many recipients" (RFC 3463)."""

TOO_MANY_CODES = (452, 552)
"""Reply codes for the same without an enhanced code (RFC 5321 4.5.3.1.10)."""

_Command = tuple[str, bytes, Taker]
"""A command's name, its line, and the callback for its reply."""


class Session(Protocol):
    """The connection of a transaction, with all that are on it."""

    def note_room(self) -> None:
        """Called when all is written."""

    def note_end(self) -> None:
        """Called when a reply has ended the transaction, or the connection's use."""


class Transaction:
    """One message on one connection.

    With PIPELINING (RFC 2920), MAIL, every RCPT and DATA are sent at once, and the
    content with them if it is *streamed* (RFC 3030); else one command at a time.

    Guarantees: the delivery is answered exactly once, when the last reply has come or
    when the connection breaks (`broke`); but never after `abandon`. A reply that may
    concern the connection only (421, 503, a MAIL refused on a connection that carried a
    message before) decides nothing: the message goes to a fresh connection, and the
    reply there decides.
    """

    begun: bool = False
    """Whether the server has answered MAIL."""
    written_out: bool = False
    """Whether nothing is left to write, whatever the server replies."""
    past_the_dot: bool = False
    """Whether the server may have the whole content."""
    clean: bool = True
    """Whether the server is known to have no transaction open."""
    goodbye: bool = False
    """Whether the server replied 421."""
    used_up: bool = False
    """Whether no further message may be begun on this connection."""
    out_of_sequence: bool = False
    """Whether the server replied 503 although the commands were in order."""
    answered: bool = False
    """Whether the delivery is answered; further replies may still be due."""
    abandoned: bool = False
    awaiting: int = 0
    """How many replies are due."""
    _mail_refused = False
    _taken = 0
    """How many recipients the server accepted."""
    _put_back_for: Reply | None = None
    """The reply for which the message goes to another connection."""

    def __init__(
        self,
        delivery: Delivery,
        link: SmtpLink,
        offer: Offer,
        settings: SmtpSettings,
        session: Session,
        *,
        served_before: bool,
        rides: bool,
    ) -> None:
        self.served_before = served_before
        """Whether its connection has carried another message before."""
        self.rides = rides
        """Whether its commands are sent before the reply to the previous content."""
        self.delivery = delivery
        self.size_bytes: int = len(delivery.content)
        self._progress = delivery.progress
        self._link = link
        self._offer = offer
        self._settings = settings
        self._session = session
        self._decisions = Decisions(delivery.envelope.recipients)
        self._unsaid: deque[_Command] = deque()
        self._asked: deque[str] = deque()
        """Recipients whose RCPT has no reply yet."""
        self._said: list[str] = []
        """The names of the commands that were sent."""
        self._unwritten = memoryview(b"")

    @property
    def over(self) -> bool:
        """Whether the delivery is answered and no reply is due."""
        return self.answered and not self.awaiting

    @property
    def in_doubt(self) -> bool:
        """Whether its outcome would be *unknown* if the connection broke now."""
        return self.past_the_dot and not self.answered and not self.abandoned

    # --------------------------------------------------------------------- beginning

    def begin(self, *, streamed: bool, clear_first: bool) -> None:
        """Send the first command, or all of them.

        With ``clear_first``, RSET is sent first, because the server may have another
        transaction open. Raises `ValueError`, before anything is sent, if the envelope
        cannot be put into commands.
        """
        delivery = self.delivery
        known = refusals(delivery.envelope, len(delivery.content), self._offer)
        for recipient, reply in known.items():
            self._decisions.decide(recipient, Outcome.REFUSED, reply)
        if not self._decisions.undecided:
            self.answered = True
            delivery.answer(Report(self._decisions.made))
            return
        self.clean = False
        self._prepare(streamed=streamed, clear_first=clear_first)
        if not self._offer.pipelining:
            self._say_next()
            return
        self._say(*self._unsaid)
        self._unsaid.clear()
        if streamed:
            self._stream()

    def _prepare(self, *, streamed: bool, clear_first: bool) -> None:
        envelope, content = self.delivery.envelope, self.delivery.content
        recipients = self._decisions.undecided
        mail = mail_command(envelope, recipients, content, self._offer)
        if clear_first:
            self._unsaid.append(("RSET", b"RSET", self._cleared))
        self._unsaid.append(("MAIL FROM", mail, self._mail_replied))
        for recipient in recipients:
            command = rcpt_command(envelope, recipient, self._offer)
            self._unsaid.append(("RCPT TO", command, self._rcpt_replied))
        self._asked.extend(recipients)
        if not streamed:
            self._unsaid.append(("DATA", b"DATA", self._data_replied))

    def _say_next(self) -> None:
        """Send the next command, where they are sent one at a time."""
        self._say(self._unsaid.popleft())

    def _say(self, *commands: _Command) -> None:
        names, lines, takers = zip(*commands, strict=True)
        self._said += names
        self._progress.note("us", *map(bytes.decode, lines))
        self.awaiting += len(lines)
        self._link.expect(self._settings.command_timeout_seconds, *takers)
        self._link.write(b"\r\n".join((*lines, b"")))

    # ----------------------------------------------------------------------- replies

    def _cleared(self, reply: Reply) -> None:
        """Handle the reply to RSET."""
        kind = self._understood(reply, (2, 4, 5))
        if kind == 2:
            if self._unsaid:
                self._link.afterwards(self._say_next)
        elif kind:
            self._return_untried(reply)

    def _mail_replied(self, reply: Reply) -> None:
        kind = self._understood(reply, (2, 4, 5))
        if not kind:
            return
        self.begun = True
        if kind == 2:
            if self._unsaid:
                self._link.afterwards(self._say_next)
            return
        self._mail_refused = True
        if self.served_before or reply.code == OUT_OF_SEQUENCE:
            self._return_untried(reply)
            return
        self._decisions.decide_rest(_outcome(reply), reply)
        self._unsaid.clear()
        if not self.awaiting:
            self._answer()

    def _rcpt_replied(self, reply: Reply) -> None:
        kind = self._understood(reply, (2, 4, 5))
        if not kind:
            return
        recipient = self._asked.popleft()
        if kind == 2:
            self._taken += 1
        elif self._concerns_connection(reply):
            self._return_untried(reply)
            return
        elif self._exceeds_recipient_limit(reply):
            self._decisions.leave_over(recipient)
        elif self._put_back_for is None:
            self._decisions.decide(recipient, _outcome(reply), reply)
        if not self._unsaid:
            return
        if self._asked or self._decisions.undecided:
            self._link.afterwards(self._say_next)
        else:
            self._unsaid.clear()
            self._link.afterwards(self._reset)

    def _concerns_connection(self, reply: Reply) -> bool:
        """Whether this refused RCPT concerns the connection, not the recipient."""
        if self._mail_refused:
            return False
        out_of_room = self.served_before and not self._has_progressed
        return reply.code == OUT_OF_SEQUENCE or (out_of_room and _says_too_many(reply))

    def _exceeds_recipient_limit(self, reply: Reply) -> bool:
        """Whether this refused RCPT means too many recipients in one transaction.

        Without an enhanced status code it may mean something else. So the recipient is
        tried again in another transaction; as the first one there, its reply decides.
        """
        if _says_too_many(reply):
            return self._has_progressed
        may_say = reply.enhanced is None and reply.code in TOO_MANY_CODES
        return may_say and self._taken > 0

    @property
    def _has_progressed(self) -> bool:
        """Whether a recipient was accepted or has an outcome already."""
        return self._taken > 0 or not self._decisions.none_yet

    def _data_replied(self, reply: Reply) -> None:
        kind = self._understood(reply, (3, 4, 5))
        if not kind:
            return
        if kind == 3:
            self._link.afterwards(self._answer_go_ahead)
            return
        if reply.code == OUT_OF_SEQUENCE and self._decisions.undecided:
            self._return_untried(reply)
            return
        self._decisions.decide_rest(_outcome(reply), reply)
        if self._mail_refused and not self._taken:
            self._answer()
        else:
            self._link.afterwards(self._reset)

    def _answer_go_ahead(self) -> None:
        if self._decisions.undecided:
            self._send_content()
        elif self._taken:  # by a server that refused MAIL: it cannot be trusted
            self._link.abort()
        else:  # RFC 2920 section 3.1: end the content; it has no recipients
            self._note_final_dot()

    def _reset(self) -> None:
        """Send RSET to end a transaction without content."""
        self._say(("RSET", b"RSET", self._reset_replied))
        self._wrote_out()

    def _reset_replied(self, reply: Reply) -> None:
        kind = self._understood(reply, (2, 4, 5))
        if not kind:
            return
        self.clean = kind == 2
        self._answer()
        if not self.clean:
            self._link.afterwards(self._link.abort)

    def _understood(self, reply: Reply, classes: tuple[int, ...]) -> int:
        """Note the reply and return its class, the first digit, which decides (RFC 5321
        section 4.2.1); 0 if it is none of ``classes`` or the server closes the
        connection.
        """
        self.awaiting -= 1
        self._progress.lines.append(_heard(reply))
        kind = (reply.code or 0) // 100
        if reply.code == 421:
            self._server_closes(reply)
        elif kind not in classes:
            self._link.break_off(OutOfStep(f"the reply {reply} makes no sense"))
        else:
            return kind
        return 0

    # ----------------------------------------------------------------------- content

    def _send_content(self) -> None:
        """Write the content, unless the server replies before.

        No server accepts a message without its final dot. So only from the piece that
        contains it on may the server have the whole content.
        """
        content = self.delivery.content
        self._progress.note("us", f"({len(content)} bytes of content)")
        self._expect(self._content_replied)
        self._unwritten = memoryview(dot_stuffed(content))
        self._write_content()

    def _write_content(self) -> None:
        piece = self._unwritten
        if len(piece) <= CHUNK_BYTES:
            if not self._progress.lease_holds():
                self._abandon()
                return
            self.past_the_dot = self._progress.final_dot_sent = True
            self._link.write(bytes(piece) + FINAL_DOT)
            self._link.restart_clock()
            self._wrote_out()
            return
        self._unwritten = piece[CHUNK_BYTES:]
        self._link.write(piece[:CHUNK_BYTES])
        seconds = self._settings.command_timeout_seconds
        self._link.when_read(self._write_content, seconds)

    def _abandon(self) -> None:
        """Break off before the final dot: another courier may have the message now."""
        self.answered = True
        self.delivery.fail(LeaseLost(OVERDUE))
        self._link.abort()

    def _stream(self) -> None:
        """Send the content without waiting for a go-ahead (RFC 3030 section 2)."""
        content = self.delivery.content
        command = b"BDAT %d LAST" % len(content)
        self._progress.note("us", command.decode())
        self._expect(self._content_replied)
        self.past_the_dot = self._progress.final_dot_sent = True
        self._link.write(command + b"\r\n" + content)
        self._wrote_out()

    def _note_final_dot(self) -> None:
        self._progress.note("us", ".")
        self._expect(self._nothing_taken)
        self._link.write(FINAL_DOT)

    def _nothing_taken(self, reply: Reply) -> None:
        if self._understood(reply, (2, 4, 5)):
            self._link.afterwards(self._reset)

    def _expect(self, taker: Taker) -> None:
        """Have ``taker`` called with the reply to the content."""
        self.awaiting += 1
        self._link.expect(self._settings.data_timeout_seconds, taker)

    def _wrote_out(self) -> None:
        self.written_out = True
        self._session.note_room()

    def _content_replied(self, reply: Reply) -> None:
        """Handle the reply to the content, or a refusal before it was complete."""
        classes = (2, 4, 5) if self.written_out else (4, 5)
        kind, early = self._understood(reply, classes), not self.written_out
        if not kind:
            return
        if self._mail_refused or self._put_back_for is not None:
            if kind == 2:
                self._taken_out_of_order(reply)
        elif reply.code == OUT_OF_SEQUENCE and self._decisions.undecided:
            self._return_untried(reply)
            return
        else:
            self.clean = kind == 2
            self._decisions.decide_rest(_outcome(reply), reply)
        self._answer()
        if early:
            self._link.abort()

    def _taken_out_of_order(self, reply: Reply) -> None:
        """Handle content that was accepted although the envelope had been refused.

        The outcome is *unknown*: the server may have used an earlier envelope.
        """
        text = f"the content was taken ({reply}) after its envelope had been refused"
        self._decisions.overrule(Outcome.UNKNOWN, Reply.observed(text))
        self.used_up = True

    # -------------------------------------------------------------------- the outcome

    def _answer(self) -> None:
        """Answer the delivery: all recipients are decided, or it is put back."""
        if not self.answered:
            if self._put_back_for is not None and self._decisions.undecided:
                self._give_back(self._put_back_for)
            else:
                self._report()
            self.answered = True
        self._session.note_end()

    def _report(self) -> None:
        """Answer with the report, unless all replies are about the server's state."""
        made = self._decisions.made
        first, *others = made.values()
        if first.reply.code in _DOWN and all(one.reply.code in _DOWN for one in others):
            self._down(first.reply)
        elif not self.abandoned:
            if self._decisions.left_over:
                self.delivery.take_fewer(self._taken)
            self.delivery.answer(Report(made))

    def _return_untried(self, reply: Reply) -> None:
        """Handle a reply that concerns the connection, not the message.

        No further message is begun here. The delivery is answered at once, unless the
        content is sent already: then the reply to that decides.
        """
        self.used_up = True
        if reply.code == OUT_OF_SEQUENCE:
            self.out_of_sequence = True
        self._put_back_for = self._put_back_for or reply
        if self.past_the_dot and self.awaiting:
            self._session.note_end()
        else:
            self._answer()

    def _give_back(self, reply: Reply) -> None:
        """Have it tried on a fresh connection; if this is one, report a failure.

        If too many recipients may be the cause, try again with fewer.
        """
        if self._decisions.left_over and not self.abandoned:
            self.delivery.take_fewer(self._taken)
        if self.served_before or self._decisions.left_over:
            self.again(_trouble(reply), fresh=not self.rides)
        else:
            self._decisions.decide_rest(Outcome.DEFERRED, reply)
            self._report()

    def _down(self, reply: Reply) -> None:
        """Fail because the transport is in trouble, not this message."""
        assert reply.code is not None
        error = _DOWN[reply.code](reply, self._settings)
        error.__cause__ = _trouble(reply)
        if not self.answered and not self.abandoned:
            self.delivery.fail(error)
        self.answered = True

    def _server_closes(self, reply: Reply) -> None:
        """Handle a 421: the server takes no further message on this connection.

        It may have been idle too long, or have carried too many messages or errors.
        """
        self.goodbye = True
        self._return_untried(reply)

    def again(self, trouble: LinkError, *, fresh: bool) -> None:
        """Have the message tried on another connection, as nothing was done here.

        With ``fresh``, on one that has carried no message yet.
        """
        if not self.abandoned and not self.answered:
            self.delivery.again(str(trouble), fresh=fresh)
        self.answered = True

    def fail(self, error: TransportDown | ValueError) -> None:
        """Answer with an error that occurred before anything was sent."""
        self.delivery.fail(error)
        self.answered = True

    def broke(self, trouble: LinkError) -> None:
        """Handle a broken connection: decide the undecided recipients, or put back."""
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
            last = self._said[-max(self.awaiting, 1)]
            text = f"{trouble} before the final dot, after {last}"
            self._decisions.decide_rest(Outcome.DEFERRED, Reply.observed(text))
        self._answer()

    def abandon(self) -> None:
        """Leave the delivery unanswered from now on: nobody waits for it."""
        self.abandoned = True


@lru_cache(maxsize=COMMON_REPLIES)
def _heard(reply: Reply) -> str:
    return f"them: {reply}"


_DOWN: dict[int, Callable[[Reply, SmtpSettings], TransportDown]] = {
    421: closing,
    OUT_OF_SEQUENCE: out_of_sequence,
    LOGIN_DEMANDED: login_demanded,
}
"""Reply codes about the server's state → the error if there was no other reply."""


def _trouble(reply: Reply) -> LinkError:
    return ServerClosing(reply) if reply.code == 421 else OutOfStep(str(reply))


def _outcome(reply: Reply) -> Outcome:
    """The outcome of a reply. A demand for a login (530) does not refuse a message."""
    if reply.code == LOGIN_DEMANDED:
        return Outcome.DEFERRED
    return _OUTCOMES[(reply.code or 0) // 100]


def _says_too_many(reply: Reply) -> bool:
    return reply.enhanced is not None and reply.enhanced.endswith(TOO_MANY)
