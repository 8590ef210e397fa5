"""`MailTemplates`: the mail templates of one app, rendered with the app's Jinja.

Two optional libraries generate a plain text from the HTML, and inline CSS. Without them
the mail is sent all the same, and the log says once what is missing.
"""

from __future__ import annotations

import re
from collections import ChainMap
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import cached_property, partial
from importlib import import_module
from pathlib import Path
from typing import Any

from flask import Flask, current_app, has_app_context
from jinja2 import ChoiceLoader, Environment, FileSystemLoader, StrictUndefined

from ..errors import TemplateError
from ..message import Rendered, Template
from ..message.plain_json import NotPlainError, WriteJson, plain
from ..message.text import shown
from .html import has_styles, inlined, mail_image, url_for
from .loader import Files, Sources, find, in_locale, locale_of
from .mjml import ENDING as MJML
from .mjml import MjmlError, compiled, need_mrml
from .render import SUBJECT, as_template_errors, render_files

COMPONENTS = Path(__file__).parent / "components"
"""The folder of the layout and the components that templates may use; an app's own
files of the same name come first.
"""


def mail_environment(app: Flask) -> Environment:
    """The app's own environment, with its filters, tests, globals and loaders, and our
    `COMPONENTS`.

    A missing value is an error, since nobody would see the gap before the mail is sent.
    ``url_for`` gives absolute URLs. A changed template is reloaded, so that a failed
    message can be retried without a restart.
    """
    loaders = [app.jinja_env.loader, FileSystemLoader(COMPONENTS)]
    environment = app.jinja_env.overlay(
        undefined=StrictUndefined,
        auto_reload=True,
        enable_async=False,
        autoescape=partial(_is_escaped, app.jinja_env.autoescape),
        loader=ChoiceLoader([one for one in loaders if one is not None]),
    )
    own: dict[str, Any] = {"url_for": url_for, "mail_image": mail_image}
    globals_: Any = ChainMap(own, app.jinja_env.globals)
    environment.globals = globals_
    return environment


def _is_escaped(
    otherwise: bool | Callable[[str | None], bool], name: str | None
) -> bool:
    """Whether values are escaped in this template: always in MJML."""
    if name is not None and name.endswith(f".{MJML}"):
        return True
    return otherwise(name) if callable(otherwise) else otherwise


TellMissing = Callable[[str, str, str], None]
"""Logs once: the template's name, the extra, and what is left out without it."""


class OptionalLibraries:
    """Libraries that templates may use; ``tell`` is called once for a missing one."""

    def __init__(self, tell: TellMissing) -> None:
        self._tell = tell
        self._told: set[tuple[str, str]] = set()

    def has(self, module: str, extra: str, template: str, without: str) -> bool:
        """Whether the library ``module``, which ``extra`` installs, is installed."""
        try:
            import_module(module)
        except ImportError:
            if (template, extra) not in self._told:
                self._told.add((template, extra))
                self._tell(template, extra, without)
            return False
        return True


# The HTML may contain anybody's text. Each pattern stops where it could start
# again, so that it reads each character only a few times.
_named_by_itself = re.compile(r"\[([^\s\[\]]+)\]\((?:mailto:)?\1\)")
_without_a_name = re.compile(r"\[\s*\]\(((?:[^\s)\[]|\[(?!\]\())+)\)")
_spaces_at_an_end = re.compile(r"(?<![ \t])[ \t]+$", re.MULTILINE)
_many_empty_lines = re.compile(r"\n{3,}")


def text_of(html: str) -> str:
    """``html`` as plain text: with lists and tables, links as ``[name](address)``."""
    from inscriptis import get_text
    from inscriptis.model.config import ParserConfig

    text: str = get_text(html, ParserConfig(display_links=True))
    text = _named_by_itself.sub(r"\1", text)
    text = _without_a_name.sub(r"\1", text)
    text = _spaces_at_an_end.sub("", text)
    return _many_empty_lines.sub("\n\n", text).strip("\n") + "\n"


_ADVICE = (
    "What waits for a courier must be JSON: dicts with strings for keys, lists, "
    "strings, numbers, booleans and None, or what app.json writes as such. Pass such "
    "values, or use render='now'."
)


def json_context(
    context: Mapping[str, Any], template: str, write: WriteJson
) -> dict[str, Any]:
    """A copy of ``context`` that survives being stored as JSON.

    A value that is not JSON is encoded by ``write``. Raises `TemplateError` with the
    path to the first value that cannot be encoded, or that would change.
    """
    try:
        copied: dict[str, Any] = plain(context, "context", write, exactly=True)
    except NotPlainError as error:
        raise TemplateError(f"{error}. {_ADVICE}", template) from error
    return copied


class MailTemplates:
    """The templates below ``mail/`` in the template folders of an app and its
    blueprints.

    They can use all that the app's other templates can: filters, globals, context
    processors. Safe to share between threads. ``tell`` is called for missing extras.
    """

    def __init__(self, app: Flask, tell: TellMissing) -> None:
        self._app = app
        self._libraries = OptionalLibraries(tell)

    @cached_property
    def _environment(self) -> Environment:
        return mail_environment(self._app)

    @cached_property
    def _sources(self) -> Sources:
        return Sources(self._environment)

    def render(self, template: Template) -> Rendered:
        """Render the template now, in the app's context.

        Raises `TemplateError` for errors that a person must fix, and any other error
        that the app's own functions raise.
        """
        with self._in_its_locale(template) as locale:
            files = find(self._environment, template.name, locale)
            values = dict(template.context)
            self._app.update_template_context(values)
            rendered = render_files(files, {**self._environment.globals, **values})
            html, body = rendered.html, rendered.text
            if html is not None:
                if files.in_mjml:
                    html = self._compiled(files, html)
                body = self._text(template.name, html) if body is None else body
                if not files.in_mjml:  # its styles are in the elements already
                    html = self._styled(template.name, html)
            return Rendered(
                name=template.name,
                subject=rendered.subject,
                body=body,
                html=html,
                images=rendered.images,
                version=self._version(files),
                locale=locale,
            )

    def prepared(self, template: Template) -> Template:
        """The template, checked so that a courier can render it later.

        It exists, compiles, and has a context that can be stored. The result has its
        own copy of the context, and the effective locale.
        """
        with self._in_its_locale(template) as locale:
            files = find(self._environment, template.name, locale)
            if files.in_mjml:
                need_mrml()
            self._version(files)
            context = json_context(
                template.context, template.name, self._app.json.dumps
            )
            return Template(template.name, context, locale)

    def may_have_subject(self, template: Template) -> bool:
        """Whether the template has a subject; true if unknown before rendering."""
        with self._in_its_locale(template) as locale:
            files = find(self._environment, template.name, locale)
            bodies = [one for one in (files.html, files.text) if one is not None]
            return files.subject is not None or self._sources.may_have_block(
                (str(one.name) for one in bodies), SUBJECT
            )

    def wanted(self, name: str) -> set[str]:
        """The variables that the template ``name`` needs from its context.

        Without those that the app gives to all its templates. Raises `TemplateError`.
        """
        template = Template(name, {})
        with self._in_its_locale(template) as locale:
            files = find(self._environment, name, locale)
            given: dict[str, Any] = {}
            self._app.update_template_context(given)
            names = (str(one.name) for one in files)
            return self._sources.undeclared(names) - given.keys()

    def _compiled(self, files: Files, source: str) -> str:
        """The HTML that ``source`` stands for."""
        need_mrml()
        try:
            return compiled(source)
        except MjmlError as error:
            raise self._template_error(files, source, error) from error

    def _template_error(
        self, files: Files, source: str, error: MjmlError
    ) -> TemplateError:
        """``error`` with the line of the template, where it can be told from others."""
        name = str(files.html.name) if files.html else ""
        if error.line is None:
            return TemplateError(error.problem, name)
        line = source.split("\n")[error.line - 1]
        if place := self._sources.place_of([name], line):
            return TemplateError(error.problem, *place)
        rendered = f"line {error.line} of what Jinja made: {shown(line.strip())}"
        return TemplateError(f"{error.problem} It is {rendered}.", name)

    def _text(self, name: str, html: str) -> str | None:
        without = "has no .txt beside its .html, so that its mail has no text"
        able = self._libraries.has("inscriptis", "text", name, without)
        return text_of(html) if able else None

    def _styled(self, name: str, html: str) -> str:
        if not has_styles(html):
            return html
        without = "has styles in <style> elements, which many mail programs ignore"
        able = self._libraries.has("css_inline", "css", name, without)
        return inlined(html) if able else html

    @contextmanager
    def _in_its_locale(self, template: Template) -> Iterator[str | None]:
        with ExitStack() as stack:
            if not (has_app_context() and current_app == self._app):
                stack.enter_context(self._app.app_context())
            stack.enter_context(as_template_errors())
            locale = locale_of(template.locale)
            stack.enter_context(in_locale(locale))
            yield locale

    def _version(self, files: Files) -> str:
        return self._sources.version(str(one.name) for one in files)
