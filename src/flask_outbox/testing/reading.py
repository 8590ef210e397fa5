"""Reading: what a mail says, as a test wants to ask for it."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cached_property

from ..checks.links import find_links
from ..checks.outline import Outline, outline
from ..opened import Opened, Part, open_message
from ..words import counted


class Reading:
    """A mail's bytes (RFC 5322), taken apart; no content makes it raise.

    ``read`` answers them, and is called when somebody asks what they say.
    """

    def __init__(self, read: Callable[[], bytes]) -> None:
        self._read = read

    @cached_property
    def content(self) -> bytes:
        """The mail as it goes over the wire, without the final dot."""
        return self._read()

    def header(self, name: str) -> str | None:
        """The first value of a header, decoded; None where there is none."""
        return self._opened.header(name)

    @property
    def subject(self) -> str:
        """Its subject; "" where it has none."""
        return self.header("Subject") or ""

    @property
    def sender(self) -> str:
        """Whom it is from, as the header has it: ``Shop <shop@example.com>``."""
        return self.header("From") or ""

    @property
    def message_id(self) -> str:
        """Its Message-ID, the same on every attempt."""
        return self.header("Message-ID") or ""

    @property
    def text(self) -> str:
        """The text part; "" where it has none."""
        return self._opened.text.text if self._opened.text else ""

    @property
    def html(self) -> str:
        """The HTML part, as source; "" where it has none."""
        return self._opened.html.text if self._opened.html else ""

    @property
    def visible(self) -> str:
        """What the HTML part shows, in words between single spaces."""
        return self._outline.text if self._outline else ""

    @property
    def attachments(self) -> tuple[Part, ...]:
        """All that is neither text nor HTML, inline images too: each has a
        ``filename``, a ``content_type``, a ``content`` and, where it has one, a
        ``content_id``; see `flask_outbox.testing.Part`.
        """
        return self._opened.parts

    @cached_property
    def links(self) -> tuple[str, ...]:
        """Where its links lead: of the HTML, then of the text, each once."""
        found = find_links(self._opened, self._outline)
        return tuple(dict.fromkeys(link.target for link in found))

    def link(self, containing: str | re.Pattern[str] = "") -> str:
        """The one link that contains this text, or that this pattern is found in.

        Raises `AssertionError`, naming all links, unless exactly one does.
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
    def _opened(self) -> Opened:
        return open_message(self.content)

    @cached_property
    def _outline(self) -> Outline | None:
        return outline(self.html) if self.html else None


def _pattern(containing: str | re.Pattern[str]) -> re.Pattern[str]:
    if isinstance(containing, str):
        return re.compile(re.escape(containing))
    return containing
