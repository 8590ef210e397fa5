"""The catalogues of our own pages: whole, compiled, and fit to be shown."""

from __future__ import annotations

import re
from collections.abc import Iterator
from gettext import GNUTranslations

import pytest
from babel import Locale
from babel.messages.catalog import Message

from tests.catalogues import ALL, file_of, messages_in_code, translations

_PLACE = re.compile(r"%\(\w+\)s|%%?")

LACKS_FRENCH_SPACE = re.compile(r"[^\s\d/+(][;?!»]|«\S| [:;?!»%](?!\()|\w:(?:\s|$)")
"""Before these marks French has a space at which no line ends, and after «."""


def strings(message: Message) -> Iterator[tuple[str, str]]:
    """Each text of a message, with the English that it translates."""
    if isinstance(message.id, str):
        yield message.id, str(message.string)
        return
    one, other = message.id
    for number, said in enumerate(message.string or ()):
        yield other if number else one, said


def spaced(text: str) -> str:
    """``text`` with a letter for each value that stands in it."""
    return re.sub(r"%\(\w+\)s", "x", text).replace("%%", "%")


@pytest.mark.parametrize("pages", ALL)
def test_every_catalogue_has_every_message(
    pages: str, subtests: pytest.Subtests
) -> None:
    wanted = messages_in_code(pages)
    assert len(wanted) > 10
    for language, catalogue in translations(ALL[pages]):
        with subtests.test(language):
            messages = [one for one in catalogue if one.id]
            found = {(one.context, one.id) for one in messages}
            assert found == wanted, "run scripts/catalogues"
            assert not any(one.fuzzy for one in messages)
            for english, said in (pair for one in messages for pair in strings(one)):
                assert said, english
                places = [sorted(_PLACE.findall(one)) for one in (english, said)]
                assert places[0] == places[1], english


@pytest.mark.parametrize("pages", ALL)
def test_what_is_compiled_is_what_the_catalogues_say(
    pages: str, subtests: pytest.Subtests
) -> None:
    """Otherwise ``scripts/catalogues`` was not run."""
    catalogues = ALL[pages]
    for language, catalogue in translations(catalogues):
        path = file_of(catalogues, language, "mo")
        with subtests.test(language), path.open("rb") as file:
            compiled = GNUTranslations(file)
            for one in catalogue:
                if isinstance(one.id, str) and one.context:
                    assert compiled.pgettext(one.context, one.id) == one.string
                elif isinstance(one.id, str):
                    assert not one.id or compiled.gettext(one.id) == one.string
                else:
                    single, other = one.id
                    said = {compiled.ngettext(single, other, n) for n in range(9)}
                    assert said <= {*(one.string or ())}


@pytest.mark.parametrize("pages", ALL)
def test_every_language_is_written_from_left_to_right(pages: str) -> None:
    """As the pages say of themselves."""
    languages = ALL[pages].languages
    assert {Locale(one).text_direction for one in languages} == {"ltr"}


@pytest.mark.parametrize("pages", ALL)
def test_french_has_its_spaces(pages: str) -> None:
    catalogue = dict(translations(ALL[pages]))["fr"]
    said = [spaced(text) for one in catalogue if one.id for _, text in strings(one)]
    assert [one for one in said if LACKS_FRENCH_SPACE.search(one)] == []
