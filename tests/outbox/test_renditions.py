"""What is to be rendered, and what came of it, as each database keeps it."""

from __future__ import annotations

import json

import pytest
from sqlalchemy import func, select

from flask_outbox import Message
from flask_outbox.delivery import State
from flask_outbox.message import Template
from flask_outbox.message.stored import Stored, restore, store
from flask_outbox.outbox.records import Claim
from flask_outbox.outbox.renditions import Rendition
from flask_outbox.outbox.schema import attachment
from flask_outbox.outbox.store import Outbox
from flask_outbox.patience import Patience
from tests.outbox.making import (
    ADA,
    COURIER,
    LEASE_SECONDS,
    OTHER_COURIER,
    Clock,
    claim_one,
    content_of,
    deferred,
    enlist,
    failed,
    kinds,
    put,
)

CONTEXT = {"name": "Ada 🐦", "rows": [1, 2.5, None, True, {"ä": "\x00"}]}


BILL = bytes(range(256)) * 100
"""As large as what is kept once."""


def put_template(outbox: Outbox) -> str:
    """Put a message that is still to be rendered; its id."""
    message = Message(None, [ADA])
    message.template = Template("bill", CONTEXT, "de")
    message.attach("bill.pdf", "application/pdf", BILL)
    message.attach("note.txt", "text/plain", "Grüße")
    waits = store(message, "shop@example.com", "<one@example.com>", 7.0)
    return put(outbox, content=waits.enclosures, template=waits.text, subject="(bill)")


def rendition(held: Claim, clock: Clock) -> Rendition:
    return Rendition(
        held, "Grüße 🐦", content_of(held.id), "bill", "abc123", clock.now, 0.25
    )


def test_it_waits_as_it_was_given(outbox: Outbox) -> None:
    message_id = put_template(outbox)
    record = outbox.get(message_id)
    assert record.template == Template("bill", CONTEXT, "de")
    assert outbox.content(message_id) is None
    held = claim_one(outbox)
    assert held.template is not None
    message = restore(Stored(held.template, held.content))
    assert [one.data for one in message.attachments] == [BILL, "Grüße"]
    assert outbox.unrendered(message_id) == Stored(held.template, held.content)
    assert message.template == record.template
    assert (message.sender, message.date) == ("shop@example.com", 7.0)
    assert message.message_id == "<one@example.com>"


def test_what_came_of_it_takes_its_place(outbox: Outbox, clock: Clock) -> None:
    message_id = put_template(outbox)
    held = claim_one(outbox)
    assert outbox.record([], rendered=[rendition(held, clock)]) == []
    record = outbox.get(message_id)
    assert (record.template, record.subject) == (None, "Grüße 🐦")
    assert record.size_bytes == len(content_of(message_id))
    assert record.state is State.LEASED
    assert outbox.content(message_id) == content_of(message_id)
    assert kinds(outbox, message_id) == ["enqueued", "rendered"]
    assert record.events[-1].output == "version abc123"

    outbox.record([deferred(held, clock.now, clock.now)])
    again = claim_one(outbox)
    assert (again.content, again.template) == (content_of(message_id), None)


def test_once_the_lease_is_lost_nothing_is_kept(outbox: Outbox, clock: Clock) -> None:
    enlist(outbox)
    message_id = put_template(outbox)
    held = claim_one(outbox)
    clock.advance(LEASE_SECONDS + 1)
    outbox.rescue(hold=False)
    (theirs,) = outbox.claim(OTHER_COURIER, "default", 1)
    assert outbox.record([], rendered=[rendition(held, clock)]) == [held]
    assert outbox.get(message_id).template is not None
    assert outbox.record([], rendered=[rendition(theirs, clock)]) == []
    assert outbox.content(message_id) == content_of(message_id)


@pytest.mark.parametrize("rendered", [False, True])
def test_a_crash_while_rendering_is_no_mystery(
    outbox: Outbox, clock: Clock, rendered: bool
) -> None:
    """Nothing can have been sent before what is sent was kept."""
    enlist(outbox)
    put_template(outbox)
    held = claim_one(outbox)
    assert outbox.begin(held)
    if rendered:
        outbox.record([], rendered=[rendition(held, clock)])
    clock.advance(LEASE_SECONDS + 1)
    ((_, _, state),) = outbox.rescue(hold=True)
    assert state is (State.UNKNOWN if rendered else State.PENDING)


def test_it_is_sent_again_under_a_name_of_its_own(outbox: Outbox, clock: Clock) -> None:
    message_id = put_template(outbox)
    outbox.record([failed(claim_one(outbox), clock.now)])
    clock.advance(60)
    receipt = outbox.send_again(message_id, Patience(3600.0))
    (held,) = outbox.claim(COURIER, "default", 10)
    assert held.id == receipt.id
    assert held.template is not None
    assert json.loads(held.template)["message_id"] == receipt.message_id
    assert json.loads(held.template)["date"] == clock.now
    assert outbox.get(receipt.id).template == outbox.get(message_id).template
    message = restore(Stored(held.template, held.content))
    assert [one.data for one in message.attachments] == [BILL, "Grüße"]


def test_attachments_are_kept_once_before_and_after(
    outbox: Outbox, clock: Clock
) -> None:
    def pieces() -> int:
        with outbox.database.reading() as connection:
            count = select(func.count()).select_from(attachment)
            return connection.scalar(count) or 0

    for _ in range(3):
        put_template(outbox)
    assert pieces() == 1
    for held in outbox.claim(COURIER, "default", 3):
        assert outbox.record([], rendered=[rendition(held, clock)]) == []
    outbox.prune(30.0, 3600.0)
    assert pieces() == 0


def test_pruned_it_is_gone(outbox: Outbox, clock: Clock) -> None:
    message_id = put_template(outbox)
    outbox.record([failed(claim_one(outbox), clock.now)])
    clock.advance(60)
    assert outbox.prune(30.0, 3600.0).bodies == 1
    assert outbox.get(message_id).template is None
