"""The words of the page, in the language of its reader."""

from __future__ import annotations

from pathlib import Path

from flask import request

from ..words import Catalogues, Words, languages_of_browser
from .links import LANGUAGE

FOLDER = Path(__file__).parent

CATALOGUES: Catalogues = Catalogues(FOLDER / "locale", "unsubscribe")


def words_of_request() -> Words:
    """The words in the language of the link, else in what the browser prefers."""
    return CATALOGUES.words([request.args.get(LANGUAGE, ""), *languages_of_browser()])
