"""English phrases that keep what they are made of, for pages in other languages.

A phrase is its English text, and that is what logs and the command line show. A page
says it in the language of its reader, from a catalogue (`Words.say`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class Phrase(str):
    """An English text with the template and the values that it is made of."""

    __slots__ = ("context", "other", "template", "values")

    template: str
    """It has ``%(name)s`` where a value stands, and ``%%`` for a percent sign."""
    values: Mapping[str, object]
    """Numbers are written with separators; a phrase among them is said, too."""
    other: str | None
    """The template for any other ``number`` than one; None if there is no number."""
    context: str
    """What the text means, where other languages have several words for it; or ""."""

    def __new__(
        cls,
        template: str,
        values: Mapping[str, object],
        other: str | None = None,
        context: str = "",
    ) -> Phrase:
        """`phrase`, `plural`, `term` and `joined` make them."""
        chosen = template if other is None or values["number"] == 1 else other
        made = super().__new__(
            cls, chosen % {name: written(one) for name, one in values.items()}
        )
        made.template, made.values = template, values
        made.other, made.context = other, context
        return made

    def __getnewargs__(self) -> tuple[Any, ...]:
        return self.template, self.values, self.other, self.context


def phrase(template: str, /, **values: object) -> Phrase:
    """``template`` with the values in it."""
    return Phrase(template, values)


def plural(number: int, one: str, other: str, /, **values: object) -> Phrase:
    """``one`` or ``other``, as ``number`` demands, with the values and it in it."""
    return Phrase(one, {"number": number, **values}, other)


def term(context: str, text: str, /) -> Phrase:
    """A word that has another translation in another context."""
    return Phrase(text, {}, context=context)


def joined(*parts: object, by: str = ", ") -> Phrase:
    """Several phrases, numbers and texts as one; "" if there are none."""
    values = {f"part{number}": one for number, one in enumerate(parts)}
    return Phrase(by.join(f"%({name})s" for name in values), values)


def written(value: object) -> object:
    """A number as people write it in English: ``1,234``, ``0.5``."""
    if isinstance(value, float):
        return f"{value:,.1f}"
    return f"{value:,}" if isinstance(value, int) else value
