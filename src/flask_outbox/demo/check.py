"""The demo's check: what a person does on the page, done by a program."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from http.client import HTTPConnection, HTTPException, HTTPResponse
from typing import Any
from urllib.parse import urlsplit

from flask_outbox.cli.table import table

from .errors import CannotRun
from .running import Demo

ANSWER_PATIENCE_SECONDS = 30.0
"""How long the app may take to answer, and to tell of it."""

MAIL_PATIENCE_SECONDS = 30.0
"""How long the mail may take after that."""

POLL_SECONDS = 0.05

HEADINGS = ("Step", "What happened", "Background work", "Web request", "Output")
COLUMNS = ("step", "what", "background", "request", "output")


def check(demo: Demo) -> None:
    """Send a mail, wait until it has arrived and its story is told, and print both.

    Raises `CannotRun` when any of it does not come true in time.
    """
    http = HTTPConnection(
        urlsplit(demo.address).netloc, timeout=ANSWER_PATIENCE_SECONDS
    )
    try:
        path = _send(http)
        _story_when(http, path, _is_answered, ANSWER_PATIENCE_SECONDS)
        deadline = time.monotonic() + MAIL_PATIENCE_SECONDS
        story = _story_when(http, path, _has_ended, MAIL_PATIENCE_SECONDS)
    except (OSError, HTTPException) as error:
        raise CannotRun(f"{demo.address} does not answer: {error!r}.") from error
    finally:
        http.close()
    rows = [[str(row[column]) for column in COLUMNS] for row in story["rows"]]
    print(f"\n{table(HEADINGS, rows)}\n")
    arrival = demo.smtp.wait_for(story["message_id"], deadline - time.monotonic())
    if arrival is None or story["state"] != "sent":
        raise CannotRun(
            f"the mail did not go out within {MAIL_PATIENCE_SECONDS:.0f} s: it is "
            f"{story['state']}, {story['standing']}."
        )
    print(f"Mail {arrival.message_id} arrived at the SMTP server.")


def _send(http: HTTPConnection) -> str:
    """Call the route, print how long it took, and return where the story is told."""
    began = time.perf_counter()
    response, text = _ask(http, "POST", "/send-email")
    took_ms = (time.perf_counter() - began) * 1000
    if (response.status, text) != (202, "Email sending started!"):
        raise CannotRun(f"/send-email answered {response.status}: {text}")
    print(f'POST /send-email answered "{text}" after {took_ms:.1f} ms.')
    return response.headers["Location"]


def _is_answered(story: Any) -> bool:
    """Whether it tells that the response went out."""
    return bool(story["answered"])


def _has_ended(story: Any) -> bool:
    """Whether the mail has come to its end too."""
    return not story["unfinished"]


def _story_when(
    http: HTTPConnection,
    path: str,
    wanted: Callable[[Any], bool],
    patience_seconds: float,
) -> Any:
    """The story once it says what is wanted, or as far as it came."""
    deadline = time.monotonic() + patience_seconds
    while True:
        response, text = _ask(http, "GET", path)
        if response.status != 200:
            raise CannotRun(f"{path} answered {response.status}: {text}")
        story = json.loads(text)
        if wanted(story) or time.monotonic() > deadline:
            return story
        time.sleep(POLL_SECONDS)


def _ask(http: HTTPConnection, method: str, path: str) -> tuple[HTTPResponse, str]:
    http.request(method, path)
    response = http.getresponse()
    return response, response.read().decode()
