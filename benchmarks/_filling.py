"""Filling an outbox: a small mail, and many messages at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice

from flask_outbox import Message
from flask_outbox.outbox import Outbox
from flask_outbox.outbox.records import NewMessage

CHUNK = 1_000


def message() -> Message:
    """A small mail with text and HTML."""
    return Message(
        "Your order 4711 is on its way",
        recipients=["ada@example.org"],
        body="Hello Ada,\n\nyour order 4711 left our house today.\n",
        html="<p>Hello Ada,</p>\n<p>your order <b>4711</b> left our house.</p>\n",
        sender="shop@example.com",
    )


def keep_all(outbox: Outbox, messages: Iterable[NewMessage]) -> None:
    """Enqueue ``messages`` in chunks."""
    left: Iterator[NewMessage] = iter(messages)
    while chunk := list(islice(left, CHUNK)):
        outbox.enqueue(chunk)
