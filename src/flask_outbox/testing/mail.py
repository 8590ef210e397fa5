"""Mails and sent messages, as tests read them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import cached_property

from flask import Flask

from ..checks.html import VisibleHtml, read_html
from ..checks.links import find_links
from ..delivery import Outcome, Report, State
from ..events import EventKind
from ..history import describe
from ..humanize import counted
from ..mime.parse import ParsedMessage, Part, parse_message
from ..outbox.records import MessageRecord


class Reading:
    """A parsed mail (RFC 5322); malformed content never raises.

    ``read`` returns the mail's bytes. It is called when a property first needs them.
    """

    def __init__(self, read: Callable[[], bytes]) -> None:
        self._read = read

    @cached_property
    def content(self) -> bytes:
        """The mail as it is sent, without the final dot."""
        return self._read()

    def header(self, name: str) -> str | None:
        """The first value of a header, decoded; None if it has none."""
        return self._parsed.header(name)

    @property
    def subject(self) -> str:
        """Its subject; "" if it has none."""
        return self.header("Subject") or ""

    @property
    def sender(self) -> str:
        """Its From header, as it is written: ``Shop <shop@example.com>``."""
        return self.header("From") or ""

    @property
    def rfc_message_id(self) -> str:
        """Its Message-ID; the same on every attempt."""
        return self.header("Message-ID") or ""

    @property
    def text(self) -> str:
        """The text part; "" if it has none."""
        return self._parsed.text.text if self._parsed.text else ""

    @property
    def html(self) -> str:
        """The source of the HTML part; "" if it has none."""
        return self._parsed.html.text if self._parsed.html else ""

    @property
    def visible(self) -> str:
        """The text that the HTML part shows, with single spaces between the words."""
        return self._visible.text if self._visible else ""

    @property
    def attachments(self) -> tuple[Part, ...]:
        """All parts that are neither text nor HTML, inline images included.

        Each has a ``filename``, a ``content_type``, a ``content`` and, for inline
        images, a ``content_id``; see `flask_outbox.testing.Part`.
        """
        return self._parsed.parts

    @cached_property
    def links(self) -> tuple[str, ...]:
        """The targets of its links: of the HTML, then of the text, each once."""
        found = find_links(self._parsed, self._visible)
        return tuple(dict.fromkeys(link.target for link in found))

    def link(self, containing: str | re.Pattern[str] = "") -> str:
        """The one link that contains this text, or in which this pattern is found.

        Raises `AssertionError`, which lists all links, unless exactly one does.
        """
        __tracebackhide__ = True
        fitting = [one for one in self.links if re.search(_pattern(containing), one)]
        if len(fitting) != 1:
            listed = "".join(f"\n  {one}" for one in self.links) or " none"
            such = f" with {containing!r}" if containing else ""
            raise AssertionError(
                f"{counted(len(fitting), 'link')}{such} in {self.subject!r}, where one "
                f"is wanted. Its links:{listed}"
            )
        return fitting[0]

    @cached_property
    def _parsed(self) -> ParsedMessage:
        return parse_message(self.content)

    @cached_property
    def _visible(self) -> VisibleHtml | None:
        return read_html(self.html) if self.html else None


def _pattern(containing: str | re.Pattern[str]) -> re.Pattern[str]:
    if isinstance(containing, str):
        return re.compile(re.escape(containing))
    return containing


_KEPT_BACK = (State.SUPPRESSED, State.CANCELLED)
_CANCELS = (EventKind.STOPPED, EventKind.CANCELLED, EventKind.DROPPED)


class SentMessage(Reading):
    """A message at the time it was read; `Reading` has its content.

    ``app`` is the app that sent it. ``record`` is what ``mail.get`` returns, with the
    whole history, and ``report`` what ``mail.send_now`` returned: one of the two is
    None. If a courier still has to render it (``render="later"``), it is rendered when
    its content is asked for, which may raise `TemplateError`.
    """

    def __init__(
        self,
        app: Flask,
        read: Callable[[], bytes],
        record: MessageRecord | None = None,
        report: Report | None = None,
    ) -> None:
        super().__init__(read)
        self.app = app
        self.record = record
        self.report = report
        who = _of_record(record) if record else _of_report(report)
        self.recipients: tuple[str, ...] = tuple(
            address for address, why in who.items() if why is None
        )
        """The addresses that it goes to, Cc and Bcc too: the envelope without
        ``kept_from``."""
        self.kept_from: Mapping[str, str] = {
            address: why for address, why in who.items() if why is not None
        }
        """The addresses that it does not go to, and why: suppressed, or cancelled."""

    @property
    def id(self) -> str | None:
        """Its id in the outbox, as in the receipt; None if it was sent by
        ``send_now``.
        """
        return self.record.id if self.record else None

    @property
    def state(self) -> State:
        """Its state. One that ``send_now`` could not deliver to everyone is
        *failed*.
        """
        if self.record:
            return self.record.state
        accepted = self.report is not None and self.report.accepted
        return State.SENT if accepted else State.FAILED

    @property
    def tag(self) -> str | None:
        """The tag that it was sent with."""
        return self.record.tag if self.record else None

    def __repr__(self) -> str:
        to = ", ".join(self.recipients) or "nobody"
        return f"<SentMessage {self.subject!r} to {to}, {self.state}>"


def _of_record(record: MessageRecord) -> dict[str, str | None]:
    """Each address, and why it gets nothing; None if it gets the message."""
    cancelled = _why_cancelled(record)
    return {
        one.address: str(one.reply or cancelled) if one.state in _KEPT_BACK else None
        for one in record.recipients
    }


def _why_cancelled(record: MessageRecord) -> str:
    """Why it was cancelled, from its history."""
    for step in reversed(describe(record)):
        if step.event.kind in _CANCELS:
            return f"{step.what}: {step.output}" if step.output else step.what
    return State.CANCELLED


def _of_report(report: Report | None) -> dict[str, str | None]:
    return {
        address: str(one.reply) if one.outcome is Outcome.SUPPRESSED else None
        for address, one in (report.recipients.items() if report else ())
    }
