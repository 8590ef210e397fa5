"""Reports of what became of mail, as a provider sends them."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import count
from typing import Any

from flask_outbox.delivery import Reply
from flask_outbox.feedback import Fate, Feedback

ADA, BOB = "ada@example.org", "bob@example.org"

GONE = Reply(550, "5.1.1", "no such user")

HOSTILE = (
    "<script>top.RAN=1</script><img src=x onerror=top.RAN=1>"
    '" autofocus onfocus="top.RAN=1 {{ 7 * 7191 }} \x1b[2J\x1b]0;RAN\x07\u202egnp.exe'
)
"""Words that attack whoever reads them: on a page, in a template, on a terminal."""

_numbers = count(1)


def report(fate: Fate, message_id: str | None, **changes: Any) -> Feedback:
    """A report of Postmark's of the mail to Ada, unlike any before."""
    given: dict[str, Any] = {
        "source": "postmark",
        "event_id": f"event-{next(_numbers)}",
        "address": ADA,
        "message_id": message_id,
        "at": datetime.now(UTC),
    }
    return Feedback(fate, **{**given, **changes})
