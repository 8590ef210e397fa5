"""What the pages call values that stay as they are in addresses and in the outbox."""

from __future__ import annotations

from ..phrases import Phrase, phrase, term


class Terms(dict[str, Phrase]):
    """Terms by value. A value without one is shown as it is: another version of
    Flask-Outbox may have stored it.
    """

    def __missing__(self, value: str) -> str:
        return value


def _by_value(*terms: Phrase) -> Terms:
    return Terms((str(one).lower(), one) for one in terms)


STATES: Terms = _by_value(
    term("state", "waiting"),
    term("state", "scheduled"),
    term("state", "leased"),
    term("state", "sent"),
    term("state", "failed"),
    term("state", "unknown"),
    term("state", "cancelled"),
    term("state", "suppressed"),
    term("state", "paused"),
    term("state", "moving"),
)
"""The state of one message; what is pending is waiting or scheduled."""

STATES_OF_MANY: Terms = _by_value(
    term("state of many", "waiting"),
    term("state of many", "scheduled"),
    term("state of many", "leased"),
    term("state of many", "sent"),
    term("state of many", "failed"),
    term("state of many", "unknown"),
    term("state of many", "cancelled"),
    term("state of many", "suppressed"),
    term("state of many", "paused"),
    term("state of many", "moving"),
)
"""The same after a number, as some languages need another form."""

FATES: Terms = _by_value(
    term("fate", "delayed"),
    term("fate", "soft bounced"),
    term("fate", "delivered"),
    term("fate", "opened"),
    term("fate", "clicked"),
    term("fate", "bounced"),
    term("fate", "unsubscribed"),
    term("fate", "complained"),
)

REPORTED: Terms = Terms(FATES, refused=term("fate", "refused"))
"""What a suppression may follow from."""

FATES_OF_MANY: Terms = _by_value(
    term("fate of many", "delayed"),
    term("fate of many", "soft bounced"),
    term("fate of many", "delivered"),
    term("fate of many", "opened"),
    term("fate of many", "clicked"),
    term("fate of many", "bounced"),
    term("fate of many", "unsubscribed"),
    term("fate of many", "complained"),
)

BATCH_STATES: Terms = _by_value(
    term("state of a batch", "enqueueing"),
    term("state of a batch", "interrupted"),
    term("state of a batch", "sending"),
    term("state of a batch", "paused"),
    term("state of a batch", "cancelled"),
    term("state of a batch", "done"),
)

WEBHOOK_STATES: Terms = Terms(
    pending=term("state of a webhook", "waiting"),
    failed=term("state of a webhook", "failed"),
    done=term("state of a webhook", "done"),
)

SEVERITIES: Terms = _by_value(
    term("severity", "broken"),
    term("severity", "warning"),
    term("severity", "advice"),
)

SOURCES: Terms = _by_value(
    term("suppressed by", "person"),
    term("suppressed by", "api"),
    term("suppressed by", "import"),
    term("suppressed by", "unsubscribe"),
    term("suppressed by", "bounce"),
    term("suppressed by", "complaint"),
    term("suppressed by", "refusal"),
    term("suppressed by", "provider"),
)
"""What suppressed an address."""

WIDTHS: Terms = _by_value(
    term("width", "Phone"), term("width", "Tablet"), term("width", "Desktop")
)

STAGES: Terms = _by_value(
    term("stage", "Request"),
    term("stage", "Outbox"),
    term("stage", "Courier"),
    term("stage", "Server"),
    term("stage", "End"),
)
"""The stages of a message."""

ACTS: Terms = _by_value(
    term("act", "retry"),
    term("act", "cancel"),
    term("act", "release"),
    term("act", "drop"),
    term("act", "send again"),
    term("act", "view"),
    term("act", "download"),
    term("act", "send batch"),
    term("act", "pause batch"),
    term("act", "resume batch"),
    term("act", "cancel batch"),
    term("act", "pause lane"),
    term("act", "resume lane"),
    term("act", "suppress"),
    term("act", "unsuppress"),
    term("act", "import suppressions"),
    term("act", "sync suppressions"),
    term("act", "pause webhooks"),
    term("act", "resume webhooks"),
    term("act", "replay webhooks"),
    term("act", "test webhooks"),
    term("act", "export messages"),
    term("act", "export person"),
    term("act", "erase person"),
    term("act", "init"),
    term("act", "upgrade"),
    term("act", "rekey"),
    term("act", "prune"),
    term("act", "test mail"),
    term("act", "move"),
    term("act", "abandon move"),
)
"""What the audit trail calls what people did."""

WEEKDAYS: tuple[Phrase, ...] = (
    phrase("Mon"),
    phrase("Tue"),
    phrase("Wed"),
    phrase("Thu"),
    phrase("Fri"),
    phrase("Sat"),
    phrase("Sun"),
)
"""Of times in UTC, before a script shows them in the viewer's zone."""

HTTP_STATUSES: Terms = _by_value(
    term("HTTP", "Bad Request"),
    term("HTTP", "Forbidden"),
    term("HTTP", "Not Found"),
    term("HTTP", "Method Not Allowed"),
    term("HTTP", "Conflict"),
    term("HTTP", "Internal Server Error"),
    term("HTTP", "Service Unavailable"),
)
"""What is wrong with a request, in the words of its status."""

ENDS: Terms = _by_value(
    term("end of an attempt", "sent"),
    term("end of an attempt", "deferred"),
    term("end of an attempt", "failed"),
    term("end of an attempt", "unknown"),
    term("end of an attempt", "returned"),
)

SPEAKERS: Terms = _by_value(
    term("in an SMTP dialogue", "us"), term("in an SMTP dialogue", "them")
)
