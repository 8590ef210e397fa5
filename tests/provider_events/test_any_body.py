"""Whatever is posted to the page for events, it is answered and never breaks."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.provider_events.conftest import MakeShop, ServeTopic
from tests.provider_events.posting import (
    ADA,
    OUTBOX_ID,
    PROVIDERS,
    Post,
    Provider,
    Sns,
)

PAGE = "/mail-events/default"


def now() -> datetime:
    return datetime.now(UTC)


FIELDS = sorted(
    {
        *("event", "type", "RecordType", "Type", "Email", "Recipient", "Metadata"),
        *("MessageID", "BouncedAt", "Inactive", "timestamp", "ts_epoch", "email"),
        *("outbox_id", "sg_event_id", "sg_message_id", "reason", "data", "tags", "to"),
        *("event-data", "message", "headers", "message-id", "delivery-status", "msys"),
        *("message_event", "rcpt_to", "rcpt_meta", "bounce", "bounce_class", "click"),
        *("link", "url", "hard_bounce", "error_related_to", "CustomID", "morph", "id"),
        *("email_id", "created_at", "recipient", "X-Mailin-custom", "user-variables"),
        *("mail", "bouncedRecipients", "emailAddress", "email_headers", "email_to"),
        *("eventType", "destination", "bounceType", "Type", "Message", "TopicArn"),
    }
)
WORDS = st.sampled_from(
    [
        *("Bounce", "HardBounce", "Click", "bounce", "failed", "delivered", "dropped"),
        *("email.bounced", "activity.soft_bounced", "hard_bounce", "Permanent", ADA),
        *(OUTBOX_ID, "550 5.1.1 no", "2026-11-29T12:00:00Z", "\ud800", "a@\x00", "<>"),
    ]
)
NAMES = st.sampled_from(FIELDS) | st.text(max_size=5)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20)
    | WORDS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=6)
    ),
    max_leaves=12,
)
BODIES = st.binary(max_size=200) | VALUES.map(lambda one: json.dumps(one).encode())
UNHURRIED = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
FIELD_CHANGES = st.dictionaries(st.sampled_from(FIELDS), VALUES, max_size=4)


@pytest.mark.parametrize("examples", [50, pytest.param(350, marks=pytest.mark.long)])
@pytest.mark.parametrize("provider", PROVIDERS, ids=lambda one: one.scheme)
def test_whatever_is_posted_is_answered(
    make_shop: MakeShop, serve_topic: ServeTopic, provider: Provider, examples: int
) -> None:
    """Signed and not, and real events with something else in place of their fields."""
    trust = {}
    if isinstance(provider, Sns):
        trust["MAIL_TLS_CA_FILE"] = serve_topic(provider).ca_file
    shop = make_shop(
        provider, OUTBOX_ENGINE="external", OUTBOX_DURABILITY="process", **trust
    )
    client = shop.app.test_client(use_cookies=False)

    def changed(value: Any, changes: dict[str, Any]) -> Any:
        if not isinstance(value, dict):
            return value
        inner = {name: changed(one, changes) for name, one in value.items()}
        return {**inner, **{one: changes[one] for one in changes if one in inner}}

    def post(what: Post) -> None:
        answer = client.post(PAGE, data=what.body, headers=what.headers)
        assert answer.status_code in (200, 400, 401, 406)

    @settings(max_examples=examples, suppress_health_check=UNHURRIED)
    @given(BODIES, FIELD_CHANGES)
    def check(body: bytes, changes: dict[str, Any]) -> None:
        post(provider.signed(body, now()))
        post(Post(body, provider.signed(b"{}", now()).headers))
        post(provider.post(changed(provider.bounce(), changes), at=now()))

    check()
