"""The words of the page, in the language of its reader."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from gettext import NullTranslations, translation
from pathlib import Path

from flask import request
from markupsafe import Markup

from .links import LANGUAGE

FOLDER = Path(__file__).parent
CATALOGUES = FOLDER / "locale"
DOMAIN = "unsubscribe"

ORIGINAL = "en"
"""The language of the words in the code, which has no catalogue."""


class Words:
    """The words of the page in one language; called with the English ones."""

    def __init__(self, language: str) -> None:
        self.language = language
        """Its code, as in HTML's ``lang``."""
        self._translations: NullTranslations = translation(
            DOMAIN, CATALOGUES, [language], fallback=language == ORIGINAL
        )

    def __call__(self, text: str, **values: object) -> Markup:
        """``text`` in this language, with ``%(name)s`` replaced by that value."""
        words = Markup.escape(self._translations.gettext(text))
        return words % values


@cache
def languages() -> tuple[str, ...]:
    """The languages of the page."""
    return (ORIGINAL, *sorted(one.name for one in CATALOGUES.iterdir() if one.is_dir()))


_words_in = cache(Words)


def words_of_request() -> Words:
    """The words in the language of the link, else in what the browser prefers."""
    known = (one for one in _wishes() if one in languages())
    return _words_in(next(known, ORIGINAL))


def _wishes() -> Iterator[str]:
    """Languages without regions, the best first: ``de`` for ``de-AT``."""
    yield _without_region(request.args.get(LANGUAGE, ""))
    for tag, quality in request.accept_languages:
        if quality > 0:
            yield _without_region(tag)


def _without_region(tag: str) -> str:
    return tag.partition("-")[0].lower()
