"""One message's dialogue on one connection (RFC 5321 section 3.3)."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import lru_cache

from ..config import SmtpSettings
from ..delivery import Outcome, Reply
from ..errors import TransportDown
from .smtp_content import FINAL_DOT, dot_stuffed
from .smtp_decisions import Decisions
from .smtp_delivery import Delivery
from .smtp_link import LinkError, OutOfStep, ServerClosing, SmtpLink
from .smtp_offer import Offer, mail_command, rcpt_command, refusals
from .smtp_replies import COMMON_REPLIES
from .smtp_trouble import LOGIN_DEMANDED, closing, login_demanded

CHUNK_BYTES = 64 * 1024
"""Content is written in pieces of this size, each bounded by the command timeout."""

_OUTCOMES = {2: Outcome.ACCEPTED, 4: Outcome.DEFERRED, 5: Outcome.REFUSED}

_Taker = Callable[[Reply], None]


class Transaction:
    """One message on one connection.

    Where PIPELINING (RFC 2920) is offered, MAIL, every RCPT and DATA go in one flight,
    and *streamed* (RFC 3030) the content with them; else one command at a time. The
    session is told (``moved``) when all has been written and when it is over.

    Guarantees: the delivery is answered when the server's last reply has come, or when
    the link breaks (`broke`), and once; after `abandon` it is left alone.
    """

    begun = False
    """Whether the server has answered MAIL."""
    written_out = False
    """Whether nothing is left to write, whatever the server says."""
    past_the_dot = False
    """Whether the server may have the whole content."""
    streamed = False
    clean = True
    """Whether the server's mind is known to be free for another message."""
    goodbye = False
    """Whether the server said 421 to it."""
    answered = False
    """Whether it is over for the delivery, though replies may still be due."""
    abandoned = False
    awaiting = 0
    """How many replies are due."""
    _mail_refused = False
    _someone_taken = False

    def __init__(
        self,
        delivery: Delivery,
        link: SmtpLink,
        offer: Offer,
        settings: SmtpSettings,
        moved: Callable[[], None],
        *,
        served_before: bool,
    ) -> None:
        self.delivery = delivery
        self.size_bytes = len(delivery.content)
        self._progress = delivery.progress
        self._link = link
        self._offer = offer
        self._settings = settings
        self._moved = moved
        self._served_before = served_before
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
        if self._understood(reply, (2,)):
            self._go_on()

    def _mail_replied(self, reply: Reply) -> None:
        if not self._understood(reply, (2, 4, 5)):
            return
        self.begun = True
        if _class(reply) == 2:
            self._go_on()
            return
        self._mail_refused = True
        self._decisions.decide_rest(_outcome(reply), reply)
        self._unsaid.clear()
        if not self.awaiting:
            self._answer()

    def _rcpt_replied(self, reply: Reply) -> None:
        if not self._understood(reply, (2, 4, 5)):
            return
        recipient, kind = self._asked.popleft(), _class(reply)
        if kind == 2:
            self._someone_taken = True
        else:
            self._decisions.decide(recipient, _outcome(reply), reply)
        if self._asked or self._decisions.left:
            self._go_on()
        elif self._unsaid:
            self._unsaid.clear()
            self._link.afterwards(self._reset)

    def _data_replied(self, reply: Reply) -> None:
        if not self._understood(reply, (3, 4, 5)):
            return
        kind = _class(reply)
        if kind == 3:
            self._link.afterwards(self._answer_go_ahead)
            return
        self._decisions.decide_rest(_outcome(reply), reply)
        if self._mail_refused and not self._someone_taken:
            self._answer()
        else:
            self._link.afterwards(self._reset)

    def _answer_go_ahead(self) -> None:
        if self._decisions.left:
            self._send_content()
        elif (
            self._someone_taken
        ):  # by a server that had refused MAIL: not to be trusted
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
        self._answer()
        if _class(reply) != 2:
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
            self._pass_the_dot()
            self._link.write(bytes(piece) + FINAL_DOT)
            self._link.restart_clock()
            self._wrote_out()
            return
        self._unwritten = piece[CHUNK_BYTES:]
        self._link.write(piece[:CHUNK_BYTES])
        seconds = self._settings.command_timeout_seconds
        self._link.when_read(self._write_content, seconds)

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
        self.clean = not self.streamed or _class(reply) == 2
        self._decisions.decide_rest(_outcome(reply), reply)
        early = not self.written_out
        self._answer()
        if early:
            self._link.abort()

    # -------------------------------------------------------------------- the outcome

    def _answer(self) -> None:
        """Nobody is left to be decided: say so.

        Where a login was demanded for each of them, the transport is in trouble.
        """
        if not self.answered:
            report = self._decisions.report()
            replies = [one.reply for one in report.recipients.values()]
            if all(reply.code == LOGIN_DEMANDED for reply in replies):
                self._down(login_demanded(replies[0], self._settings))
            elif not self.abandoned:
                self.delivery.answer(report)
            self.answered = True
        self._moved()

    def _down(self, error: TransportDown, cause: LinkError | None = None) -> None:
        """It is the transport that is in trouble, not this message."""
        error.__cause__ = cause
        if not self.answered and not self.abandoned:
            self.delivery.fail(error)
        self.answered = True

    def _server_closes(self, reply: Reply) -> None:
        """The server said 421 to this message, and so takes nothing after it.

        Before the first word about it that is a matter of the connection, if that has
        served: it may have lain idle too long, or carried enough.
        """
        self.goodbye = True
        if self._served_before and not self.begun:
            self.again(ServerClosing(reply))
            self._moved()
            return
        is_verdict = self.past_the_dot and not self.awaiting
        if self._decisions.none_yet and not is_verdict:
            self._down(closing(reply, self._settings), ServerClosing(reply))
        self._decisions.decide_rest(Outcome.DEFERRED, reply)
        self._answer()

    def again(self, trouble: LinkError) -> None:
        """The link broke, and the server has done nothing about this message."""
        if not self.abandoned and not self.answered:
            self.delivery.again(str(trouble))
        self.answered = True

    def fail(self, error: ValueError) -> None:
        """The envelope cannot be put into commands: nothing was said."""
        self.delivery.fail(error)
        self.answered = True

    def broke(self, trouble: LinkError) -> None:
        """The link broke: decide who is not yet decided.

        It is `TransportDown` if the server is closing and nobody was decided before.
        """
        if self.answered:
            return
        if isinstance(trouble, ServerClosing) and not self.past_the_dot:
            if self._decisions.none_yet:
                self._down(closing(trouble.reply, self._settings), trouble)
            self._decisions.decide_rest(Outcome.DEFERRED, trouble.reply)
        elif self.past_the_dot:
            text = f"{trouble} after the final dot"
            self._decisions.decide_rest(Outcome.UNKNOWN, Reply.observed(text))
        else:
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


def _outcome(reply: Reply) -> Outcome:
    """What the reply decides: that a login is demanded is no verdict on a message."""
    if reply.code == LOGIN_DEMANDED:
        return Outcome.DEFERRED
    return _OUTCOMES[_class(reply)]


def _class(reply: Reply) -> int:
    """The first digit, which decides (RFC 5321 section 4.2.1)."""
    assert reply.code is not None
    return reply.code // 100
