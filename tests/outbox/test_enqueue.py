"""Enqueueing: all or nothing, and once for each key."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace

import pytest

from flask_outbox.delivery import Envelope, State
from flask_outbox.errors import OutboxUnavailable
from flask_outbox.outbox import MessageActions, Outbox
from flask_outbox.outbox.records import Change, NewMessage, Receipt, Stop

from . import elsewhere
from .conftest import Opener
from .elsewhere import Process
from .making import (
    ADA,
    BOB,
    COURIER,
    SENDER,
    claim_one,
    kinds,
    new_message,
    put,
    states,
)

THREADS = 100


def test_a_message_is_pending_for_everyone(outbox: Outbox) -> None:
    new = new_message(outbox.clock(), ADA, BOB)

    receipts = outbox.enqueue([new])

    assert receipts == [Receipt(new.id, new.rfc_message_id, duplicate=False)]
    found = outbox.get(new.id)
    assert found.state is State.PENDING
    assert [(one.address, one.state, one.reply) for one in found.recipients] == [
        (ADA, State.PENDING, None),
        (BOB, State.PENDING, None),
    ]


def test_all_fields_of_a_message_are_read_back_unchanged(outbox: Outbox) -> None:
    new = new_message(
        outbox.clock(),
        subject="Grüße 🎈 漢字 \t'\"\\%s%%:x",
        content=bytes(range(256)) * 8_192,
        priority=-7,
        tag="Ünï",
        metadata='{"π":[1,null,"🎈"]}',
        envelope=Envelope(
            "jörg@xn--mller-kva.example",
            ("用户@example.org", "%s@example.org"),
            utf8_headers=True,
            mail_options=("SIZE=1",),
            rcpt_options=("NOTIFY=NEVER",),
        ),
    )
    outbox.enqueue([new])

    found = outbox.get(new.id)
    assert found.subject == new.subject
    assert found.return_path == new.envelope.return_path
    assert found.rfc_message_id == new.rfc_message_id
    assert (found.priority, found.tag, found.lane) == (-7, "Ünï", "default")
    assert found.metadata == {"π": [1, None, "🎈"]}
    assert found.size_bytes == len(new.content)
    assert found.enqueued_at.timestamp() == pytest.approx(new.enqueued_at, abs=1e-6)
    assert outbox.content(new.id) == new.content

    held = claim_one(outbox)
    assert held.envelope == replace(new.envelope, message_id=new.id)
    assert held.content == new.content
    assert held.give_up_at == new.give_up_at


def test_a_stopped_message_is_kept_and_not_to_be_delivered(outbox: Outbox) -> None:
    outbox.suppress(BOB)
    new = new_message(
        outbox.clock(),
        ADA,
        BOB,
        changes=(Change("shop.mark", ("subject",)),),
        stop=Stop("shop.rest", "nothing on Sundays"),
    )

    (receipt,) = outbox.enqueue([new], COURIER)

    assert (receipt.stopped, [*receipt.suppressed]) == ("nothing on Sundays", [BOB])
    assert outbox.get(new.id).state is State.CANCELLED
    assert states(outbox, new.id) == {ADA: State.CANCELLED, BOB: State.SUPPRESSED}
    assert kinds(outbox, new.id) == ["enqueued", "changed", "suppressed", "stopped"]
    assert outbox.claim(COURIER, "default", 1) == []
    assert not outbox.anything_due()


def test_the_recipients_keep_their_order(outbox: Outbox) -> None:
    addresses = tuple(f"{n * 37 % 50}@example.org" for n in range(50))
    message_id = put(outbox, *addresses)

    assert claim_one(outbox).envelope.recipients == addresses
    assert tuple(one.address for one in outbox.get(message_id).recipients) == addresses


def test_many_messages_are_stored_all_or_none(outbox: Outbox) -> None:
    good, twin = new_message(outbox.clock()), new_message(outbox.clock())

    with pytest.raises(OutboxUnavailable):
        outbox.enqueue([good, twin, twin])

    assert outbox.list() == []
    outbox.enqueue([good, twin])
    assert len(outbox.list()) == 2


def test_one_callers_failure_fails_no_other_caller(outbox: Outbox) -> None:
    def enqueue(number: int) -> bool:
        new = new_message(outbox.clock())
        try:
            outbox.enqueue([new, new] if number % 4 == 0 else [new])
        except OutboxUnavailable:
            return False
        return True

    with ThreadPoolExecutor(16) as threads:
        kept = list(threads.map(enqueue, range(64)))

    assert kept == [number % 4 != 0 for number in range(64)]
    assert len(outbox.list(limit=100)) == 48


def test_a_message_can_be_enqueued_with_a_lease(outbox: Outbox) -> None:
    message_id = put(outbox, owner=COURIER)

    assert outbox.get(message_id).state is State.LEASED
    assert outbox.leased_to(COURIER) == [message_id]
    assert outbox.claim("another", "default", 10) == []


def test_enqueueing_no_messages_changes_nothing(outbox: Outbox) -> None:
    assert outbox.enqueue([]) == []


def test_suppressed_recipients_are_left_out_of_each_message(outbox: Outbox) -> None:
    outbox.suppress(BOB, list="news")
    now, large = outbox.clock(), b"Subject: Hello\r\n\r\n" + 300 * (b"A" * 76 + b"\r\n")
    news = new_message(now, ADA, BOB, tag="news", content=large)
    bobs, order = new_message(now, BOB, tag="news"), new_message(now, BOB, tag="order")

    receipts = outbox.enqueue([news, bobs, order], COURIER)

    assert [[*one.suppressed] for one in receipts] == [[BOB], [BOB], []]
    assert states(outbox, news.id) == {ADA: State.PENDING, BOB: State.SUPPRESSED}
    assert outbox.get(bobs.id).state is State.SUPPRESSED
    assert {*outbox.leased_to(COURIER)} == {news.id, order.id}
    assert outbox.content(news.id) == large
    assert kinds(outbox, news.id) == ["enqueued", "suppressed"]


def plain(new: NewMessage) -> Receipt:
    """The receipt of a message that is new and for all its recipients."""
    return Receipt(new.id, new.rfc_message_id)


def test_messages_that_share_a_commit_have_receipts_of_their_own(
    outbox: Outbox,
) -> None:
    outbox.suppress(BOB)
    outbox.enqueue([first := new_message(outbox.clock(), key="order-7")])

    def send(number: int) -> tuple[NewMessage, Receipt]:
        recipient, key = (ADA, BOB)[number % 2], (None, "order-7")[number % 5 == 0]
        new = new_message(outbox.clock(), recipient, key=key)
        return new, outbox.enqueue([new], COURIER)[0]

    with ThreadPoolExecutor(16) as threads:
        sent = list(threads.map(send, range(64)))

    for number, (new, receipt) in enumerate(sent):
        duplicate = number % 5 == 0
        assert receipt.id == (first.id if duplicate else new.id)
        assert receipt.duplicate is duplicate
        assert [*receipt.suppressed] == ([BOB] if number % 2 and not duplicate else [])
    leased = {new.id for new, receipt in sent if receipt == plain(new)}
    assert len(leased) == 25
    assert {*outbox.leased_to(COURIER)} == leased


# ------------------------------------------------------------------------------ the key


def test_the_same_key_gives_the_same_receipt(outbox: Outbox) -> None:
    first = new_message(outbox.clock(), key="order-7")
    second = new_message(outbox.clock(), BOB, key="order-7")

    assert outbox.enqueue([first])[0].duplicate is False
    assert outbox.enqueue([second]) == [
        Receipt(first.id, first.rfc_message_id, duplicate=True)
    ]
    assert [one.id for one in outbox.list()] == [first.id]
    assert kinds(outbox, first.id) == ["enqueued"]


def test_a_key_used_twice_in_one_hand_over_stores_one_message(outbox: Outbox) -> None:
    messages = [new_message(outbox.clock(), key="order-7") for _ in range(3)]

    receipts = outbox.enqueue(messages)

    assert [one.id for one in receipts] == [messages[0].id] * 3
    assert [one.duplicate for one in receipts] == [False, True, True]


def test_a_duplicate_takes_no_lease(outbox: Outbox) -> None:
    message_id = put(outbox, key="order-7")

    assert put(outbox, key="order-7", owner=COURIER) == message_id
    assert outbox.leased_to(COURIER) == []


@pytest.mark.parametrize(
    "key",
    [
        "ORDER-7",
        "order -7",
        "ordér-7",
        "orde\N{LATIN SMALL LETTER R}\N{COMBINING CARON}-7",
        "order-７",
    ],
)
def test_only_equal_keys_are_the_same(outbox: Outbox, key: str) -> None:
    first = put(outbox, key="order-7")

    assert put(outbox, key=key) != first
    assert put(outbox, key=key) != first
    assert len(outbox.list()) == 2


def test_the_longest_key_counts_to_its_end(outbox: Outbox) -> None:
    assert put(outbox, key="🎈" * 254 + "a") != put(outbox, key="🎈" * 254 + "b")


def test_messages_without_a_key_are_never_the_same(outbox: Outbox) -> None:
    assert put(outbox) != put(outbox)


def test_a_key_of_a_cancelled_message_is_still_taken(outbox: Outbox) -> None:
    message_id = put(outbox, key="order-7")
    outbox.act(MessageActions.cancel, message_id)

    assert put(outbox, key="order-7") == message_id


@pytest.mark.parametrize("processes", [1, 4])
def test_many_threads_with_one_key_store_one_message(
    url: str, opener: Opener, processes: int
) -> None:
    outboxes = [opener(url) for _ in range(processes)]

    def send(number: int) -> Receipt:
        outbox = outboxes[number % processes]
        (receipt,) = outbox.enqueue([new_message(outbox.clock(), key="order-7")])
        return receipt

    with ThreadPoolExecutor(THREADS) as threads:
        receipts = list(threads.map(send, range(THREADS)))

    (kept,) = outboxes[0].list()
    assert {one.id for one in receipts} == {kept.id}
    assert len({one.rfc_message_id for one in receipts}) == 1
    assert [one.duplicate for one in receipts].count(False) == 1


def test_four_processes_with_one_key_store_one_message(
    url: str, outbox: Outbox
) -> None:
    with ExitStack() as stack:
        processes = [
            stack.enter_context(Process(elsewhere.enqueue_one_key, url, "25"))
            for _ in range(4)
        ]
        assert [one.hear() for one in processes] == ["ready"] * 4
        for one in processes:
            one.say()
        receipts = [receipt for one in processes for receipt in one.hear()]

    (kept,) = outbox.list()
    assert len(receipts) == 100
    assert {message_id for message_id, _, _ in receipts} == {kept.id}
    assert len({header for _, header, _ in receipts}) == 1
    assert [duplicate for *_, duplicate in receipts].count(False) == 1


def test_the_return_path_of_a_bounce_is_empty(outbox: Outbox) -> None:
    message_id = put(outbox, envelope=Envelope("", (ADA,)))

    assert outbox.get(message_id).return_path == ""
    assert claim_one(outbox).envelope == Envelope("", (ADA,), message_id=message_id)


def test_the_longest_addresses_fit(outbox: Outbox) -> None:
    longest = "a" * 64 + "@" + "b" * 60 + "." + "c" * 60 + "." + "d" * 67
    envelope = Envelope(longest, (longest, SENDER))
    message_id = put(outbox, envelope=envelope)

    assert claim_one(outbox).envelope == replace(envelope, message_id=message_id)
