"""The words of our own pages, in the language of their reader.

Each group of pages has catalogues in a folder ``locale`` beside it, which
``scripts/catalogues`` keeps up to date with the code.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cache, lru_cache
from gettext import NullTranslations, translation
from pathlib import Path
from typing import Any

from flask import request
from markupsafe import Markup

from .phrases import Phrase, phrase, term, written

ORIGINAL = "en"
"""The language of the words in the code, which has no catalogue."""

MOST_KEPT = 2_000
"""The most phrases without values that are kept as they are said."""

_SEPARATORS = (term("between thousands", ","), term("before decimals", "."))


class Words:
    """The words of pages in one language; called with the English ones."""

    def __init__(self, folder: Path, domain: str, language: str) -> None:
        self.language = language
        """Its code, as in HTML's ``lang``."""
        self._translations: NullTranslations = translation(
            domain, folder, [language], fallback=language == ORIGINAL
        )
        self._kept = lru_cache(MOST_KEPT)(self._without_values)
        self._separators = str.maketrans(
            {str(one): self._template(one) for one in _SEPARATORS}
        )

    def __call__(self, text: str, /, **values: object) -> Markup:
        """``text`` in this language, with ``%(name)s`` replaced by that value."""
        return self.say(phrase(text, **values))

    def say(self, said: Phrase) -> Markup:
        """The phrase in this language."""
        if not said.values:
            return self._kept(said.context, said.template)
        values = {name: self.value(one) for name, one in said.values.items()}
        return Markup.escape(self._template(said)) % values

    def _without_values(self, context: str, text: str) -> Markup:
        return Markup.escape(self._template(term(context, text))) % ()

    def value(self, value: Any) -> Any:
        """A number or a phrase in this language; anything else as it is."""
        if isinstance(value, Phrase):
            return self.say(value)
        if isinstance(value, int | float):
            return str(written(value)).translate(self._separators)
        return value

    def _template(self, said: Phrase) -> str:
        if said.other is not None:
            number: Any = said.values["number"]
            return self._translations.ngettext(said.template, said.other, number)
        if said.context:
            return self._translations.pgettext(said.context, said.template)
        # Gettext has its header below "".
        return said.template and self._translations.gettext(said.template)


class Catalogues:
    """The languages of a group of pages."""

    def __init__(self, folder: Path, domain: str) -> None:
        self.folder = folder
        """It has a folder for each language."""
        self.domain = domain
        """The name of the catalogues' files."""
        found = sorted(one.name for one in folder.iterdir() if one.is_dir())
        self.languages: tuple[str, ...] = (ORIGINAL, *found)
        self._words = cache(self._read)

    def words(self, wishes: Iterable[str]) -> Words:
        """The words in the first language that there is, else in English.

        ``wishes`` are language tags, the best first: ``de-AT`` is ``de``.
        """
        asked = (one.partition("-")[0].lower() for one in wishes)
        known = (one for one in asked if one in self.languages)
        return self._words(next(known, ORIGINAL))

    def _read(self, language: str) -> Words:
        return Words(self.folder, self.domain, language)


def languages_of_browser() -> Iterator[str]:
    """The language tags that the browser accepts, the best first."""
    for tag, quality in request.accept_languages:
        if quality > 0:
            yield tag
