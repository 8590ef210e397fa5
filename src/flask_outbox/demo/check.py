"""The demo's check: does by program what a person does on the page."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Mapping
from html import unescape
from http.client import HTTPConnection, HTTPException, HTTPResponse
from typing import Any
from urllib.parse import urlsplit

from flask_outbox.cli.output import table

from .app import Demo
from .web import CannotRun

ANSWER_PATIENCE_SECONDS = 30.0
"""How long the app may take to answer, and to record the response."""

MAIL_PATIENCE_SECONDS = 30.0
"""How long the delivery may take after that."""

POLL_SECONDS = 0.05

HEADINGS = ("Step", "What happened", "Background work", "Web request", "Output")
COLUMNS = ("step", "what", "background", "request", "output")


def check(demo: Demo) -> None:
    """Send a mail, wait for its arrival and its whole history, open the dashboard, and
    print what happened.

    Raises `CannotRun` if a step does not succeed in time.
    """
    http = HTTPConnection(
        urlsplit(demo.address).netloc, timeout=ANSWER_PATIENCE_SECONDS
    )
    try:
        _follow_a_mail(http, demo)
        _open_pages(http, demo)
    except (OSError, HTTPException) as error:
        raise CannotRun(f"{demo.address} does not answer: {error!r}.") from error
    finally:
        http.close()


def _follow_a_mail(http: HTTPConnection, demo: Demo) -> None:
    """Send a mail, wait for its arrival and its whole history, and print both."""
    path = _send(http)
    _history_when(http, path, _has_responded, ANSWER_PATIENCE_SECONDS)
    deadline = time.monotonic() + MAIL_PATIENCE_SECONDS
    history = _history_when(http, path, _has_ended, MAIL_PATIENCE_SECONDS)
    rows = [[str(row[column]) for column in COLUMNS] for row in history["rows"]]
    print(f"\n{table(HEADINGS, rows)}\n")
    arrival = demo.server.wait_for(history["id"], deadline - time.monotonic())
    if arrival is None or history["state"] != "sent":
        raise CannotRun(
            f"the mail did not go out within {MAIL_PATIENCE_SECONDS:.0f} s: it is "
            f"{history['state']}, {history['summary']}."
        )
    print(f"Mail {arrival.known_as} arrived at the {demo.server.name}.")


_DASHBOARD_LINK = re.compile(r'href="(/outbox/[^"]*)"')


def _open_pages(http: HTTPConnection, demo: Demo) -> None:
    """Open the dashboard, the inbox and the previews by the links of the demo's page,
    and print where they are.
    """
    _expect(303, http, "POST", "/order")
    start = urlsplit(demo.opens_at)
    _, page = _expect(200, http, "GET", f"{start.path}?{start.query}")
    for link in _DASHBOARD_LINK.findall(page):
        response, _ = _expect(303, http, "GET", unescape(link))
        path, cookie = response.headers["Location"], response.headers["Set-Cookie"]
        _expect(200, http, "GET", path, {"Cookie": cookie.partition(";")[0]})
        print(f"{demo.address.rstrip('/')}{path} answers.")


def _expect(
    status: int,
    http: HTTPConnection,
    method: str,
    path: str,
    headers: Mapping[str, str] | None = None,
) -> tuple[HTTPResponse, str]:
    """The response, which must have this status."""
    response, text = _ask(http, method, path, headers)
    if response.status != status:
        place = path.partition("?")[0]
        raise CannotRun(f"{method} {place} answered {response.status}: {text}")
    return response, text


def _send(http: HTTPConnection) -> str:
    """Send a mail, print how long that took, and return the path of its history."""
    began = time.perf_counter()
    response, text = _ask(http, "POST", "/send-email")
    took_ms = (time.perf_counter() - began) * 1000
    if (response.status, text) != (202, "Email sending started!"):
        raise CannotRun(f"/send-email answered {response.status}: {text}")
    print(f'POST /send-email answered "{text}" after {took_ms:.1f} ms.')
    return response.headers["Location"]


def _has_responded(history: Any) -> bool:
    """Whether the history shows that the response was sent."""
    return bool(history["responded"])


def _has_ended(history: Any) -> bool:
    """Whether the message is finished."""
    return not history["unfinished"]


def _history_when(
    http: HTTPConnection,
    path: str,
    wanted: Callable[[Any], bool],
    patience_seconds: float,
) -> Any:
    """The history once it meets the condition, or the last one before the timeout."""
    deadline = time.monotonic() + patience_seconds
    while True:
        response, text = _ask(http, "GET", path)
        if response.status != 200:
            raise CannotRun(f"{path} answered {response.status}: {text}")
        history = json.loads(text)
        if wanted(history) or time.monotonic() > deadline:
            return history
        time.sleep(POLL_SECONDS)


def _ask(
    http: HTTPConnection,
    method: str,
    path: str,
    headers: Mapping[str, str] | None = None,
) -> tuple[HTTPResponse, str]:
    http.request(method, path, headers=headers or {})
    response = http.getresponse()
    return response, response.read().decode()
