"""Files: which files a template is made of, by its name and a language."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from jinja2 import Environment, TemplateNotFound
from jinja2 import Template as JinjaTemplate

from ..errors import TemplateError
from .speaking import has_babel

FOLDER = "mail"
"""Where mail templates are, in the template folders of the app and its blueprints."""


@dataclass(frozen=True, slots=True)
class Files:
    """What was found under one name."""

    html: JinjaTemplate | None
    text: JinjaTemplate | None
    subject: JinjaTemplate | None

    def __iter__(self) -> Iterator[JinjaTemplate]:
        found = (self.html, self.text, self.subject)
        return (one for one in found if one is not None)


def find(environment: Environment, name: str, locale: str | None) -> Files:
    """The files of ``mail/name``, each in the language nearest to ``locale``.

    Raises `TemplateError` where there is no body, or where nothing could be in that
    language; Jinja's errors for what does not compile.
    """
    files = Files(
        html=_nearest(environment, name, locale, "html"),
        text=_nearest(environment, name, locale, "txt"),
        subject=_nearest(environment, name, locale, "subject.txt"),
    )
    if files.html is None and files.text is None:
        raise TemplateError(
            f"there is no {FOLDER}/{name}.html and no {FOLDER}/{name}.txt in the "
            "template folders of the app and its blueprints."
        )
    if locale is not None and not has_babel() and not _any_in(locale, files):
        raise TemplateError(
            f"locale={locale!r} would change nothing: there is no {FOLDER}/{name}."
            f"{locale}.html or .txt, and the app has no Flask-Babel."
        )
    return files


def _nearest(
    environment: Environment, name: str, locale: str | None, kind: str
) -> JinjaTemplate | None:
    for language in (*_languages(locale), None):
        between = "" if language is None else f".{language}"
        try:
            return environment.get_template(f"{FOLDER}/{name}{between}.{kind}")
        except TemplateNotFound:
            continue
    return None


def _languages(locale: str | None) -> Iterator[str]:
    """``de_AT``, then ``de``."""
    while locale:
        yield locale
        locale = locale.rpartition("_")[0]


def _any_in(locale: str, files: Files) -> bool:
    middles = [f".{language}." for language in _languages(locale)]
    return any(middle in str(one.name) for one in files for middle in middles)
