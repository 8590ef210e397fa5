"""The catalogues of our own pages, and the messages in the code that they translate."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_file
from babel.messages.pofile import read_po

import flask_outbox
from flask_outbox.dashboard import language
from flask_outbox.unsubscribe import views
from flask_outbox.words import Catalogues

PACKAGE = Path(flask_outbox.__file__).parent

ALL = {one.domain: one for one in (views.CATALOGUES, language.CATALOGUES)}
"""The catalogues of each group of pages."""

KEYWORDS = {"words": None, "phrase": None, "plural": (2, 3), "term": ((1, "c"), 2)}

Message = tuple[str | None, str | tuple[str, ...]]
"""Its context, and its text or its plural forms."""


def messages_in_code(pages: str) -> set[Message]:
    """All that can be said on these pages."""
    found: set[Message] = set()
    for path in [*_modules(pages), *(PACKAGE / pages / "templates").rglob("*.html")]:
        method = "python" if path.suffix == ".py" else "jinja2"
        for _, message, _, context in extract_from_file(method, path, KEYWORDS):
            found.add((context, message))
    return found


def _modules(pages: str) -> Iterable[Path]:
    if pages == views.CATALOGUES.domain:
        return (PACKAGE / pages).rglob("*.py")
    modules = PACKAGE.rglob("*.py")
    return (one for one in modules if "phrases import" in one.read_text("utf-8"))


def translations(catalogues: Catalogues) -> Iterator[tuple[str, Catalog]]:
    """Each language, and its catalogue."""
    for code in catalogues.languages[1:]:
        with file_of(catalogues, code, "po").open("rb") as file:
            yield code, read_po(file)


def file_of(catalogues: Catalogues, code: str, kind: str) -> Path:
    """The file of a catalogue: as it is edited (``po``) or read (``mo``)."""
    return catalogues.folder / code / "LC_MESSAGES" / f"{catalogues.domain}.{kind}"
