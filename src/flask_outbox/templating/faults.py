"""Faults: what goes wrong in a template, with its name and the line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType

from jinja2 import TemplateError as JinjaError
from jinja2 import TemplateNotFound, TemplateSyntaxError, UndefinedError

from ..errors import MessageError, TemplateError

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
"""What only a person can mend. Anything else that the app raises may pass by itself: a
database that is away, for one."""

Place = tuple[str | None, int | None]


@contextmanager
def faults_told() -> Iterator[None]:
    """Raise what goes wrong inside as `TemplateError`, unless it may pass by itself."""
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
    """The innermost template that was running, and its line."""
    place: Place = (None, None)
    trace: TracebackType | None = error.__traceback__
    while trace is not None:
        template = trace.tb_frame.f_globals.get("__jinja_template__")
        if template is not None:
            place = template.name, template.get_corresponding_lineno(trace.tb_lineno)
        trace = trace.tb_next
    return place
