"""The files of a template in the locale of its mail, and a version of their sources."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from hashlib import sha256
from itertools import product
from typing import Any

from flask import current_app
from jinja2 import Environment, TemplateNotFound
from jinja2 import Template as JinjaTemplate
from jinja2.meta import find_referenced_templates, find_undeclared_variables
from jinja2.nodes import Block, Name
from jinja2.nodes import Template as JinjaTree

from ..errors import TemplateError
from ..message import LOCALE_LENGTH
from ..message.text import shown
from .mjml import ENDING as MJML

FOLDER = "mail"
"""The folder of mail templates, in the template folders of the app and its
blueprints.
"""


@dataclass(frozen=True, slots=True)
class Files:
    """The files found under one name."""

    html: JinjaTemplate | None
    """In HTML, or in MJML."""
    text: JinjaTemplate | None
    subject: JinjaTemplate | None

    def __iter__(self) -> Iterator[JinjaTemplate]:
        found = (self.html, self.text, self.subject)
        return (one for one in found if one is not None)

    @property
    def in_mjml(self) -> bool:
        """Whether the HTML is still to be compiled from MJML."""
        return self.html is not None and str(self.html.name).endswith(f".{MJML}")


def find(environment: Environment, name: str, locale: str | None) -> Files:
    """The files of ``mail/name``, each in the best match for ``locale``.

    Raises `TemplateError` if there is no body, or if ``locale`` would have no effect;
    Jinja's errors for templates that do not compile.
    """
    files = Files(
        html=_nearest(environment, name, locale, "html", MJML),
        text=_nearest(environment, name, locale, "txt"),
        subject=_nearest(environment, name, locale, "subject.txt"),
    )
    if files.html is None and files.text is None:
        raise TemplateError(
            f"there is no {FOLDER}/{name}.html and no {FOLDER}/{name}.txt in the "
            "template folders of the app and its blueprints."
        )
    if locale is not None and not has_babel() and not _localized_names(locale, files):
        raise TemplateError(
            f"locale={locale!r} would change nothing: there is no {FOLDER}/{name}."
            f"{locale}.html or .txt, and the app has no Flask-Babel."
        )
    return files


def _nearest(
    environment: Environment, name: str, locale: str | None, *kinds: str
) -> JinjaTemplate | None:
    for language, kind in product((*_languages(locale), None), kinds):
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


def _localized_names(locale: str, files: Files) -> bool:
    middles = [f".{language}." for language in _languages(locale)]
    return any(middle in str(one.name) for one in files for middle in middles)


def has_babel() -> bool:
    """Whether this app has Flask-Babel."""
    return "babel" in current_app.extensions


def locale_of(locale: str | None) -> str | None:
    """The effective locale: ``locale``, else the one that Flask-Babel has selected.

    Raises `TemplateError` for an invalid one.
    """
    if locale is None:
        return _locale_from_babel() if has_babel() else None
    tag = str(locale)
    parts = tag[: LOCALE_LENGTH + 1].replace("-", "_").split("_")
    short = len(tag) <= LOCALE_LENGTH
    if not (short and all(part.isascii() and part.isalnum() for part in parts)):
        raise TemplateError(
            f"locale={shown(tag)} is not a language: write 'de' or 'de_AT'."
        )
    return "_".join(parts)


def in_locale(locale: str | None) -> AbstractContextManager[Any]:
    """Make Flask-Babel use ``locale`` inside the block, if the app has it."""
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


def _locale_from_babel() -> str:
    """Flask-Babel's locale, or its default if selecting one needs a request."""
    from flask_babel import get_babel, get_locale

    try:
        return str(get_locale())
    except RuntimeError:
        return str(get_babel().default_locale)


VERSION_DIGITS = 12
"""In hexadecimal digits: enough to distinguish all versions of a template."""


@dataclass(frozen=True, slots=True)
class _Source:
    name: str
    text: str
    tree: JinjaTree
    same: Callable[[], bool] | None


@dataclass(frozen=True, slots=True)
class _Read:
    version: str
    blocks: frozenset[str] | None
    """The names of all blocks; None if a variable names a template."""
    unchanged: tuple[Callable[[], bool], ...]


class Sources:
    """The sources of one environment's templates, cached until they change."""

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self._read: dict[tuple[str, ...], _Read] = {}

    def version(self, names: Iterable[str]) -> str:
        """A short hash of these templates and all that they extend or include by name.

        Templates that a variable names are not included. Raises Jinja's error for
        invalid syntax.
        """
        return self._known(names).version

    def may_have_block(self, names: Iterable[str], block: str) -> bool:
        """Whether these templates, or any that they use, have such a block.

        Also true if that is unknown before rendering.
        """
        blocks = self._known(names).blocks
        return blocks is None or block in blocks

    def undeclared(self, names: Iterable[str]) -> set[str]:
        """The variables that these templates, and all that they use, need.

        Without globals, and without variables that a template sets itself. Raises
        Jinja's error for invalid syntax.
        """
        asked: set[str] = set()
        given = set(self._environment.globals)
        for one in self._all(names):
            asked |= find_undeclared_variables(one.tree)
            given |= {
                node.name for node in one.tree.find_all(Name) if node.ctx != "load"
            }
        return asked - given

    def place_of(self, names: Iterable[str], line: str) -> tuple[str, int] | None:
        """The template and the number of this ``line``, in these templates and all that
        they use; None if there is none like it, or several.
        """
        places = [
            (one.name, number)
            for one in self._all(names)
            for number, text in enumerate(one.text.split("\n"), 1)
            if text.strip() == line.strip()
        ]
        return places[0] if len(places) == 1 else None

    def _known(self, names: Iterable[str]) -> _Read:
        key = tuple(names)
        known = self._read.get(key)
        if known is None or not all(same() for same in known.unchanged):
            known = self._read[key] = self._look(key)
        return known

    def _look(self, names: tuple[str, ...]) -> _Read:
        digest = sha256()
        unchanged: list[Callable[[], bool]] = []
        blocks: set[str] = set()
        all_named = True
        for one in self._all(names):
            digest.update(f"{one.name}\0{one.text}\0".encode())
            blocks |= {block.name for block in one.tree.find_all(Block)}
            all_named &= None not in find_referenced_templates(one.tree)
            if one.same is not None:
                unchanged.append(one.same)
        return _Read(
            digest.hexdigest()[:VERSION_DIGITS],
            frozenset(blocks) if all_named else None,
            tuple(unchanged),
        )

    def _all(self, names: Iterable[str]) -> Iterator[_Source]:
        """These templates, and all that they extend or include by name."""
        waiting = list(names)
        seen = set(waiting)
        while waiting:
            name = waiting.pop()
            text, same = self._source(name)
            tree = self._environment.parse(text, name)
            yield _Source(name, text, tree, same)
            for other in find_referenced_templates(tree):
                if other is not None and other not in seen:
                    waiting.append(other)
                    seen.add(other)

    def _source(self, name: str) -> tuple[str, Callable[[], bool] | None]:
        """The source of a template; empty if there is none, as it may be optional."""
        assert self._environment.loader is not None
        try:
            found = self._environment.loader.get_source(self._environment, name)
        except TemplateNotFound:
            return "", None
        return found[0], found[2]
