"""What Flask-Mail raises, as errors of Flask-Outbox: code that catches either works."""

from __future__ import annotations

from typing import Any

from ..errors import AddressError, HeaderError


class BadHeaderError(HeaderError):
    """A line break in the subject, the sender, a recipient or the reply-to address."""

    def __init__(
        self,
        field: str = "message",
        problem: str = "has a line break in a header; remove it",
    ) -> None:
        super().__init__(field, problem)


class Unaddressed(AddressError, AssertionError):
    """No sender, or nobody to send to, for which Flask-Mail has an assertion."""


class FlaskMailUnicodeDecodeError(UnicodeDecodeError):
    """Bytes that are no text in the encoding asked for; ``obj`` is what was passed."""

    def __init__(self, obj: Any, *args: Any) -> None:
        super().__init__(*args)
        self.obj = obj

    def __str__(self) -> str:
        return f"{super().__str__()}. You passed in {self.obj!r} ({type(self.obj)})"
