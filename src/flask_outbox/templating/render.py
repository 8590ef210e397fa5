"""Renders the files of a template; errors name the template and the line."""

from __future__ import annotations

import html
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from jinja2 import Template, TemplateNotFound, TemplateSyntaxError, UndefinedError
from jinja2 import TemplateError as JinjaError
from jinja2.runtime import Context

from ..errors import MessageError, TemplateError
from ..message import Attachment
from .html import embedding
from .loader import Files

MISTAKES = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    NameError,
    RuntimeError,
    TypeError,
    ValueError,
)
"""Errors that only a person can fix. Other errors of the app may be temporary, such as
an unavailable database.
"""

Place = tuple[str | None, int | None]


@contextmanager
def as_template_errors() -> Iterator[None]:
    """Raise errors inside the block as `TemplateError`, unless they may be
    temporary.
    """
    try:
        yield
    except TemplateError as error:
        place = (None, None) if error.template else _place(error)
        if place == (None, None):
            raise
        raise TemplateError(error.problem, *place) from error
    except MessageError:
        raise
    except TemplateSyntaxError as error:
        name = error.name or error.filename
        raise TemplateError(f"{error.message}.", name, error.lineno) from error
    except UndefinedError as error:
        raise TemplateError(_undefined(error), *_place(error)) from error
    except TemplateNotFound as error:
        problem = f"there is no template {error.name!r}."
        raise TemplateError(problem, *_place(error)) from error
    except (JinjaError, *MISTAKES) as error:
        raise TemplateError(_raised(error), *_place(error)) from error


def _undefined(error: UndefinedError) -> str:
    return (
        f"{error.message}. Pass it to from_template(), or write | default(…) where it "
        "may be missing."
    )


def _raised(error: Exception) -> str:
    text = " ".join(str(error).split()) or "nothing was said"
    return f"{type(error).__name__}: {text}"


def _place(error: BaseException) -> Place:
    """The innermost template that was being rendered, and its line."""
    place: Place = (None, None)
    trace: TracebackType | None = error.__traceback__
    while trace is not None:
        template = trace.tb_frame.f_globals.get("__jinja_template__")
        if template is not None:
            place = template.name, template.get_corresponding_lineno(trace.tb_lineno)
        trace = trace.tb_next
    return place


SUBJECT = "subject"
"""The block whose text is the mail's subject."""


@dataclass(frozen=True, slots=True)
class RenderedFiles:
    """The rendered texts; None for each that has no file."""

    subject: str | None
    text: str | None
    html: str | None
    images: tuple[Attachment, ...]


def render_files(files: Files, values: dict[str, Any]) -> RenderedFiles:
    """Render each file with ``values``, the environment's globals among them.

    The subject is that of its own file, else of the text's block, else of the HTML's.
    Raises Jinja's errors, and any error that the app's own functions raise.
    """
    with embedding() as images:
        html_body, in_html = _text_and_subject(files.html, values, shown=True)
    text, in_text = _text_and_subject(files.text, values, shown=False)
    own, _ = _text_and_subject(files.subject, values, shown=True)
    found = (one for one in (own, in_text, in_html) if one is not None)
    subject = next(found, None)
    return RenderedFiles(
        subject=None if subject is None else " ".join(subject.split()),
        text=text,
        html=html_body,
        images=tuple(images.values()),
    )


def _text_and_subject(
    template: Template | None, values: dict[str, Any], *, shown: bool
) -> tuple[str | None, str | None]:
    """The text of a file, and the text of its block ``subject``.

    Unless ``shown``, the text does not include the block.
    """
    if template is None:
        return None, None
    context = template.new_context(values, shared=True)
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
    """An empty block."""
    return iter(())
