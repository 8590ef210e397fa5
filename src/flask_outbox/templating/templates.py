"""`MailTemplates`: the mail templates of one app."""

from __future__ import annotations

import html
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import cached_property
from typing import Any

from flask import Flask, current_app, has_app_context
from jinja2 import Environment
from jinja2 import Template as JinjaTemplate
from jinja2.runtime import Context

from ..message import Rendered, Template
from .environment import mail_environment
from .faults import faults_told
from .files import Files, find
from .sources import Sources
from .speaking import language_of, speaking
from .waiting import kept

SUBJECT = "subject"
"""The block whose text is the mail's subject."""


class MailTemplates:
    """What is below ``mail/`` in the template folders of an app and its blueprints.

    Rendered with all that the app's own templates have: filters, globals, context
    processors. Safe to share between threads.
    """

    def __init__(self, app: Flask) -> None:
        self._app = app

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
            subject, body, html_body = _written(files, values)
            return Rendered(
                name=template.name,
                subject=subject,
                body=body,
                html=html_body,
                images=(),
                version=self._version(files),
            )

    def prepared(self, template: Template) -> Template:
        """The same, to be rendered by a courier: it is there, compiles, and can wait.

        Its context is a copy of its own, and its locale the one that counts here.
        """
        with self._in_its_language(template) as locale:
            self._version(find(self._environment, template.name, locale))
            context = kept(template.context, template.name)
            return Template(template.name, context, locale)

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


def _written(
    files: Files, values: Mapping[str, Any]
) -> tuple[str | None, str | None, str | None]:
    """Subject, text and HTML. The subject's own file comes first, then the text's."""
    html_body, in_html = _text_and_subject(files.html, values, shown=True)
    body, in_text = _text_and_subject(files.text, values, shown=False)
    own, _ = _text_and_subject(files.subject, values, shown=True)
    found = (one for one in (own, in_text, in_html) if one is not None)
    subject = next(found, None)
    return subject and " ".join(subject.split()), body, html_body


def _text_and_subject(
    template: JinjaTemplate | None, values: Mapping[str, Any], *, shown: bool
) -> tuple[str | None, str | None]:
    """What a file says, and what its block ``subject`` says.

    Unless that is ``shown``, the first is without the second.
    """
    if template is None:
        return None, None
    context = template.new_context(dict(values))
    if not shown:
        context.blocks[SUBJECT] = [_nothing, *context.blocks.get(SUBJECT, [])]
    text = "".join(template.root_render_func(context))
    blocks = context.blocks.get(SUBJECT, [])[0 if shown else 1 :]
    if not blocks:
        return text, None
    subject = "".join(blocks[0](context))
    if context.eval_ctx.autoescape:
        subject = html.unescape(subject)
    return text if shown else text.lstrip("\n"), subject


def _nothing(_context: Context) -> Iterator[str]:
    """A block that is empty."""
    return iter(())
