"""Writing: what the files of a template say, and what their subject is."""

from __future__ import annotations

import html
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from jinja2 import Template
from jinja2.runtime import Context

from ..message import Attachment
from .files import Files
from .images import embedding

SUBJECT = "subject"
"""The block whose text is the mail's subject."""


@dataclass(frozen=True, slots=True)
class Written:
    """What was written; None for what has no file."""

    subject: str | None
    text: str | None
    html: str | None
    images: tuple[Attachment, ...]


def write(files: Files, values: Mapping[str, Any]) -> Written:
    """Render each file; a subject's own comes first, then the text's, the HTML's last.

    Raises Jinja's errors, and whatever the app's own functions raise.
    """
    with embedding() as images:
        html_body, in_html = _text_and_subject(files.html, values, shown=True)
    text, in_text = _text_and_subject(files.text, values, shown=False)
    own, _ = _text_and_subject(files.subject, values, shown=True)
    found = (one for one in (own, in_text, in_html) if one is not None)
    subject = next(found, None)
    return Written(
        subject=None if subject is None else " ".join(subject.split()),
        text=text,
        html=html_body,
        images=tuple(images.values()),
    )


def _text_and_subject(
    template: Template | None, values: Mapping[str, Any], *, shown: bool
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
