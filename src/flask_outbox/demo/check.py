"""The demo's check: what a person does on the page, done by a program."""

from __future__ import annotations

import json
import time
from http.client import HTTPException
from typing import Any
from urllib.parse import urljoin
from urllib.request import Request, urlopen

from .errors import CannotRun
from .running import Demo
from .table import table

PATIENCE_SECONDS = 30.0
"""How long the mail may take, all in all."""

POLL_SECONDS = 0.05

COLUMNS = {
    "step": "Step",
    "what": "What happened",
    "background": "Background work",
    "request": "Web request",
    "output": "Output",
}


def check(demo: Demo) -> None:
    """Send a mail, wait until it has arrived and its story is told, and print both.

    Raises `CannotRun` when anything of it does not come true in time.
    """
    deadline = time.monotonic() + PATIENCE_SECONDS
    location = _send(demo)
    story = _story(urljoin(demo.address, location), deadline)
    arrival = demo.smtp.wait_for(story["message_id"], deadline - time.monotonic())
    print(f"\n{table(COLUMNS, story['rows'])}\n")
    if arrival is None or story["state"] != "sent":
        raise CannotRun(
            f"the mail did not arrive within {PATIENCE_SECONDS:.0f} s: it is "
            f"{story['state']}, {story['standing']}."
        )
    print(f"Mail {arrival.message_id} arrived at the SMTP server.")


def _send(demo: Demo) -> str:
    """Call the route, print how long it took, and return where the story is told."""
    began = time.perf_counter()
    response, text = _ask(Request(urljoin(demo.address, "send-email"), method="POST"))
    took = (time.perf_counter() - began) * 1000
    print(f'POST /send-email answered "{text}" after {took:.1f} ms.')
    if (response.status, text) != (202, "Email sending started!"):
        raise CannotRun(f"/send-email answered {response.status}: {text}")
    return str(response.headers["Location"])


def _story(address: str, deadline: float) -> Any:
    """The story of the message once it has ended, or as far as it came."""
    while True:
        _, text = _ask(Request(address))
        story = json.loads(text)
        if not story["unfinished"] or time.monotonic() > deadline:
            return story
        time.sleep(POLL_SECONDS)


def _ask(request: Request) -> tuple[Any, str]:
    try:
        with urlopen(request, timeout=PATIENCE_SECONDS) as response:
            return response, response.read().decode()
    except (OSError, HTTPException) as error:
        raise CannotRun(f"{request.full_url} did not answer: {error}.") from error
