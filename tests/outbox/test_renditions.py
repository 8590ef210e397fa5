"""Templates that are rendered later, and their renditions, on each database."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from sqlalchemy import func, select

from flask_outbox import Message
from flask_outbox.delivery import State
from flask_outbox.history import describe
from flask_outbox.message import Template
from flask_outbox.message.serialize import Stored, restore, store
from flask_outbox.outbox import MessageActions, Outbox
from flask_outbox.outbox.claim import Rendition
from flask_outbox.outbox.records import Claim
from flask_outbox.outbox.schema import attachment
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


def test_a_template_is_stored_as_given(outbox: Outbox) -> None:
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
    assert message.rfc_message_id == "<one@example.com>"


def test_the_rendition_replaces_the_template(outbox: Outbox, clock: Clock) -> None:
    message_id = put_template(outbox)
    held = claim_one(outbox)
    assert outbox.record([], rendered=[rendition(held, clock)]).lost == []
    record = outbox.get(message_id)
    assert (record.template, record.subject) == (None, "Grüße 🐦")
    assert record.size_bytes == len(content_of(message_id))
    assert record.state is State.LEASED
    assert outbox.content(message_id) == content_of(message_id)
    assert kinds(outbox, message_id) == ["enqueued", "rendered"]
    assert describe(record)[-1].output == "version abc123"

    outbox.record([deferred(held, clock.now, clock.now)])
    again = claim_one(outbox)
    assert (again.content, again.template) == (content_of(message_id), None)


def test_without_the_lease_no_rendition_is_stored(outbox: Outbox, clock: Clock) -> None:
    enlist(outbox)
    message_id = put_template(outbox)
    held = claim_one(outbox)
    clock.advance(LEASE_SECONDS + 1)
    outbox.rescue(hold_unknown=False)
    (theirs,) = outbox.claim(OTHER_COURIER, "default", 1)
    assert outbox.record([], rendered=[rendition(held, clock)]).lost == [held]
    assert outbox.get(message_id).template is not None
    assert outbox.record([], rendered=[rendition(theirs, clock)]).lost == []
    assert outbox.content(message_id) == content_of(message_id)


@pytest.mark.parametrize("rendered", [False, True])
def test_a_crash_while_rendering_is_never_unknown(
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
    ((_, _, state),) = outbox.rescue(hold_unknown=True)
    assert state is (State.UNKNOWN if rendered else State.PENDING)


def test_a_template_is_sent_again_with_a_new_message_id(
    outbox: Outbox, clock: Clock
) -> None:
    message_id = put_template(outbox)
    outbox.record([failed(claim_one(outbox), clock.now)])
    clock.advance(60)
    receipt = outbox.act(MessageActions.send_again, message_id)
    (held,) = outbox.claim(COURIER, "default", 10)
    assert held.id == receipt.id
    assert held.template is not None
    assert json.loads(held.template)["rfc_message_id"] == receipt.rfc_message_id
    assert json.loads(held.template)["date"] == clock.now
    assert outbox.get(receipt.id).template == outbox.get(message_id).template
    message = restore(Stored(held.template, held.content))
    assert [one.data for one in message.attachments] == [BILL, "Grüße"]


def test_attachments_are_stored_once_before_and_after_rendering(
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
        assert outbox.record([], rendered=[rendition(held, clock)]).lost == []
    outbox.prune(30.0, 3600.0)
    assert pieces() == 0


def test_a_pruned_template_is_gone(outbox: Outbox, clock: Clock) -> None:
    message_id = put_template(outbox)
    outbox.record([failed(claim_one(outbox), clock.now)])
    clock.advance(60)
    assert outbox.prune(30.0, 3600.0).bodies == 1
    assert outbox.get(message_id).template is None


def test_many_are_stored_together_and_each_by_its_own_lease(
    outbox: Outbox, clock: Clock
) -> None:
    """More bytes than MariaDB is sent at once, and more statements than PostgreSQL."""
    names = [put_template(outbox) for _ in range(12)]
    held = outbox.claim(COURIER, "default", len(names))
    lost = held[0]
    outbox.record([deferred(lost, clock.now, clock.now)])
    renditions = [
        replace(rendition(one, clock), content=content_of(one.id) + number * BILL)
        for number, one in enumerate(held)
    ]
    assert outbox.record([], rendered=renditions).lost == [lost]
    assert outbox.content(lost.id) is None
    assert {one.id for one in held} == {*names}
    for one in renditions[1:]:
        assert outbox.content(one.claim.id) == one.content
        assert outbox.get(one.claim.id).size_bytes == len(one.content)
