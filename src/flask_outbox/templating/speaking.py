"""Speaking: the language in which a template is rendered."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

from flask import current_app

from ..characters import shown
from ..errors import TemplateError
from ..message import LOCALE_LENGTH


def has_babel() -> bool:
    """Whether this app has Flask-Babel."""
    return "babel" in current_app.extensions


def language_of(locale: str | None) -> str | None:
    """The language that counts: ``locale``, else the one that Flask-Babel speaks here.

    Raises `TemplateError` for what is none.
    """
    if locale is None:
        return _spoken_here() if has_babel() else None
    tag = str(locale)
    parts = tag[: LOCALE_LENGTH + 1].replace("-", "_").split("_")
    short = len(tag) <= LOCALE_LENGTH
    if not (short and all(part.isascii() and part.isalnum() for part in parts)):
        raise TemplateError(
            f"locale={shown(tag)} is no language: write 'de' or 'de_AT'."
        )
    return "_".join(parts)


def speaking(locale: str | None) -> AbstractContextManager[Any]:
    """Have Flask-Babel, where the app has it, speak ``locale`` inside."""
    if locale is None or not has_babel():
        return nullcontext()
    from babel import Locale, UnknownLocaleError
    from flask_babel import force_locale

    try:
        Locale.parse(locale)
    except (UnknownLocaleError, ValueError) as error:
        raise TemplateError(f"locale={locale!r} is unknown to Babel.") from error
    forced: AbstractContextManager[Any] = force_locale(locale)
    return forced


def _spoken_here() -> str:
    """Flask-Babel's choice, or its default where that would take a request."""
    from flask_babel import get_babel, get_locale

    try:
        return str(get_locale())
    except RuntimeError:
        return str(get_babel().default_locale)
