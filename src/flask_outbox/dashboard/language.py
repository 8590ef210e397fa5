"""The language of the pages: what the person chose at their foot, else the browser's.

A choice is a link to the same page with one more argument. The answer keeps it in a
cookie and leads to the page without it, so that addresses that people share have none.
"""

from __future__ import annotations

from pathlib import Path

from flask import g, redirect, request
from werkzeug.wrappers import Response

from ..words import Catalogues, Words, languages_of_browser
from . import security

CATALOGUES: Catalogues = Catalogues(Path(__file__).parent / "locale", "dashboard")

NAMES = {"en": "English", "de": "Deutsch", "fr": "Français"}
"""What each language is called in itself."""

ARGUMENT = "lang"
COOKIE = "flask_outbox_language"
COOKIE_SECONDS = 365 * 86_400


def words() -> Words:
    """The words in the language of this request."""
    found: Words | None = g.get("outbox_words")
    if found is None:
        chosen = request.cookies.get(COOKIE, "")
        found = CATALOGUES.words([chosen, *languages_of_browser()])
        g.outbox_words = found
    return found


def keep_choice() -> Response | None:
    """The answer to a request that chooses a language; None to any other."""
    chosen = request.args.get(ARGUMENT)
    if chosen not in NAMES or request.method != "GET":
        return None
    response = redirect(security.url_without(ARGUMENT), 303)
    security.set_cookie(response, COOKIE, chosen, COOKIE_SECONDS)
    return response


def choices() -> dict[str, str]:
    """The languages by their codes, and the address that chooses each."""
    here = security.url_without(ARGUMENT)
    mark = "&" if "?" in here else "?"
    return {code: f"{here}{mark}{ARGUMENT}={code}" for code in NAMES}
