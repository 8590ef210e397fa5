"""`MailTemplates`: the mail templates of one app."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cached_property
from typing import Any

from flask import Flask, current_app, has_app_context
from jinja2 import Environment

from ..message import Rendered, Template
from .environment import mail_environment
from .extras import Extras, Tell
from .faults import faults_told
from .files import Files, find
from .sources import Sources
from .speaking import language_of, speaking
from .styles import has_styles, inlined
from .texts import text_of
from .waiting import kept
from .writing import SUBJECT, write


class MailTemplates:
    """What is below ``mail/`` in the template folders of an app and its blueprints.

    Rendered with all that the app's own templates have: filters, globals, context
    processors. Safe to share between threads. ``tell`` says what extras are missing.
    """

    def __init__(self, app: Flask, tell: Tell) -> None:
        self._app = app
        self._extras = Extras(tell)

    @cached_property
    def _environment(self) -> Environment:
        return mail_environment(self._app)

    @cached_property
    def _sources(self) -> Sources:
        return Sources(self._environment)

    def render(self, template: Template) -> Rendered:
        """Render it now, in the app's context.

        Raises `TemplateError` for what a person must mend, and whatever else the app's
        own functions raise.
        """
        with self._in_its_language(template) as locale:
            files = find(self._environment, template.name, locale)
            values = dict(template.context)
            self._app.update_template_context(values)
            written = write(files, values)
            html, body = written.html, written.text
            if html is not None:
                body = self._text(template.name, html) if body is None else body
                html = self._styled(template.name, html)
            return Rendered(
                name=template.name,
                subject=written.subject,
                body=body,
                html=html,
                images=written.images,
                version=self._version(files),
            )

    def prepared(self, template: Template) -> Template:
        """The same, to be rendered by a courier: it is there, compiles, and can wait.

        Its context is a copy of its own, and its locale the one that counts here.
        """
        with self._in_its_language(template) as locale:
            self._version(find(self._environment, template.name, locale))
            context = kept(template.context, template.name, self._app.json.dumps)
            return Template(template.name, context, locale)

    def may_have_subject(self, template: Template) -> bool:
        """Whether it has a subject, as far as can be told before it is rendered."""
        with self._in_its_language(template) as locale:
            files = find(self._environment, template.name, locale)
            bodies = [one for one in (files.html, files.text) if one is not None]
            return files.subject is not None or self._sources.may_have_block(
                (str(one.name) for one in bodies), SUBJECT
            )

    def wanted(self, name: str) -> set[str]:
        """The names that the template ``name`` asks for, and that a context must give.

        What the app gives to all its templates is not among them. Raises
        `TemplateError`.
        """
        template = Template(name, {})
        with self._in_its_language(template) as locale:
            files = find(self._environment, name, locale)
            given: dict[str, Any] = {}
            self._app.update_template_context(given)
            names = (str(one.name) for one in files)
            return self._sources.undeclared(names) - given.keys()

    def _text(self, name: str, html: str) -> str | None:
        without = "has no .txt beside its .html, so that its mail has no text"
        able = self._extras.has("inscriptis", "text", name, without)
        return text_of(html) if able else None

    def _styled(self, name: str, html: str) -> str:
        if not has_styles(html):
            return html
        without = "has styles that are not in its elements, where many programs look"
        able = self._extras.has("css_inline", "css", name, without)
        return inlined(html) if able else html

    @contextmanager
    def _in_its_language(self, template: Template) -> Iterator[str | None]:
        with ExitStack() as stack:
            if not (has_app_context() and current_app == self._app):
                stack.enter_context(self._app.app_context())
            stack.enter_context(faults_told())
            locale = language_of(template.locale)
            stack.enter_context(speaking(locale))
            yield locale

    def _version(self, files: Files) -> str:
        return self._sources.version(str(one.name) for one in files)
