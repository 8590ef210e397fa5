"""Templates: what a message is to be filled from, and who renders it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from ..errors import TemplateError
from .attachment import Attachment

LOCALE_LENGTH = 35
"""The longest language tag that anybody has to cope with (RFC 5646 section 4.4.1)."""


@dataclass(frozen=True, slots=True)
class Template:
    """A template by its name, and what it is rendered with."""

    name: str
    context: Mapping[str, Any]
    locale: str | None = None
    """The language to render it in; None leaves that to the app."""


@dataclass(frozen=True, slots=True)
class Rendered:
    """What a template came to."""

    name: str
    subject: str | None
    """None where the template has none."""
    body: str | None
    html: str | None
    images: tuple[Attachment, ...]
    """What the HTML shows inside itself."""
    version: str
    """A short hash of all the sources that it was made from."""


class Templates(Protocol):
    """An app's mail templates. Everything here raises `TemplateError`."""

    def render(self, template: Template) -> Rendered:
        """Render it now. Besides, raises what the app's own functions raise."""

    def prepared(self, template: Template) -> Template:
        """The same, to be rendered by a courier: it is there, compiles, and can wait.

        Its context is a copy of its own, and its locale the one that counts here.
        """

    def may_have_subject(self, template: Template) -> bool:
        """Whether it has a subject, as far as can be told before it is rendered."""


_of_this_app: list[Callable[[], Templates]] = []


def find_templates_by(find: Callable[[], Templates]) -> None:
    """Have ``find`` answer with the templates of the app in whose context we are."""
    _of_this_app[:] = [find]


def templates_here() -> Templates:
    """The templates of the app in whose context we are. Raises `TemplateError`."""
    for find in _of_this_app:
        return find()
    raise TemplateError("there is no app whose templates these are: make a Mail first.")
