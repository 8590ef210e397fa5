"""The demo's check: what a person does on the page, done by a program."""

from __future__ import annotations

import json
import time
from http.client import HTTPConnection, HTTPException, HTTPResponse
from typing import Any
from urllib.parse import urlsplit

from flask_outbox.cli.table import table

from .errors import CannotRun
from .running import Demo

PATIENCE_SECONDS = 30.0
"""How long all of it may take."""

POLL_SECONDS = 0.05

HEADINGS = ("Step", "What happened", "Background work", "Web request", "Output")
COLUMNS = ("step", "what", "background", "request", "output")


def check(demo: Demo) -> None:
    """Send a mail, wait until it has arrived and its story is told, and print both.

    Raises `CannotRun` when any of it does not come true in time.
    """
    deadline = time.monotonic() + PATIENCE_SECONDS
    http = HTTPConnection(urlsplit(demo.address).netloc, timeout=PATIENCE_SECONDS)
    try:
        story = _story(http, _send(http), deadline)
    except (OSError, HTTPException) as error:
        raise CannotRun(f"{demo.address} does not answer: {error!r}.") from error
    finally:
        http.close()
    rows = [[str(row[column]) for column in COLUMNS] for row in story["rows"]]
    print(f"\n{table(HEADINGS, rows)}\n")
    arrival = demo.smtp.wait_for(story["message_id"], deadline - time.monotonic())
    if arrival is None or story["state"] != "sent":
        raise CannotRun(
            f"the mail did not go out within {PATIENCE_SECONDS:.0f} s: it is "
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


def _story(http: HTTPConnection, path: str, deadline: float) -> Any:
    """The story of the message once it has ended, or as far as it came."""
    while True:
        response, text = _ask(http, "GET", path)
        if response.status != 200:
            raise CannotRun(f"{path} answered {response.status}: {text}")
        story = json.loads(text)
        if not story["unfinished"] or time.monotonic() > deadline:
            return story
        time.sleep(POLL_SECONDS)


def _ask(http: HTTPConnection, method: str, path: str) -> tuple[HTTPResponse, str]:
    http.request(method, path)
    response = http.getresponse()
    return response, response.read().decode()
