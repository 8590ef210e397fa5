"""Each kind of server ends in time, even where neither mail server nor database
answers; what it accepted is delivered by whoever comes next.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from signal import SIGINT, SIGTERM, Signals

import pytest

from tests.waiting import BUSY_SECONDS

from .black_holes import locked, out_of_reach, silent
from .elsewhere import outbox_behind_proxy
from .kinds import KINDS
from .stage import Stage, each

GRACE_SECONDS = 1.0
TIDY_SECONDS = 5.0
"""A courier ends within its grace time and this."""

OWN_SECONDS = 2.0 + BUSY_SECONDS
"""What a server takes for itself; one looks only once a second whether it is to end."""

MAILS = 5

Outbox = tuple[dict[str, str], Callable[[], AbstractContextManager[None]]]
"""The settings that lead to an outbox, and what makes it fall silent for a while."""


@contextmanager
def on_sqlite(stage: Stage) -> Iterator[Outbox]:
    yield {}, lambda: locked(stage.file)


@contextmanager
def on_postgresql(stage: Stage) -> Iterator[Outbox]:
    with outbox_behind_proxy("postgresql") as (url, proxy):
        yield {"OUTBOX_URL": url}, proxy.swallowing


SMTP = {"silent SMTP": silent, "SMTP out of reach": out_of_reach}
OUTBOXES = {"SQLite locked": on_sqlite, "PostgreSQL silent": on_postgresql}
ALL = [
    (number, smtp, outbox)
    for number in (SIGTERM, SIGINT)
    for smtp in SMTP
    for outbox in OUTBOXES
]
SHORT = [
    (SIGTERM, "silent SMTP", "PostgreSQL silent"),
    (SIGINT, "SMTP out of reach", "SQLite locked"),
]


@pytest.mark.parametrize(
    ("number", "smtp", "outbox"),
    [pytest.param(*one, marks=() if one in SHORT else pytest.mark.long) for one in ALL],
    ids=lambda one: one.name if isinstance(one, Signals) else one,
)
def test_a_process_ends_in_time_with_a_black_hole(
    number: Signals, smtp: str, outbox: str, tmp_path: Path
):
    def life(stage: Stage) -> None:
        stage.put_empty_outbox()
        with ExitStack() as stack:
            mail_url = stack.enter_context(SMTP[smtp]())
            url, silence = stack.enter_context(OUTBOXES[outbox](stage))
            with stage.serving(
                MAIL_URL=mail_url, OUTBOX_GRACE_SECONDS=GRACE_SECONDS, **url
            ) as serving:
                sent = serving.send_emails(MAILS)
                with silence():
                    seconds = serving.seconds_to_end(number)
                assert seconds < GRACE_SECONDS + TIDY_SECONDS + OWN_SECONDS
            stage.deliver_the_rest(**url)
            assert stage.arrived == sorted(sent)

    each(KINDS, tmp_path, life)
