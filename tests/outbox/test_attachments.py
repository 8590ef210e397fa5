"""Attachments: an equal one in many messages is stored once."""

from __future__ import annotations

from base64 import encodebytes
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import func, select

from flask_outbox.message import Attachment, Message
from flask_outbox.mime import compose
from flask_outbox.outbox import Database, MessageActions, Outbox
from flask_outbox.outbox.attachments import LARGE_BYTES, join, split
from flask_outbox.outbox.claim import Rendition
from flask_outbox.outbox.schema import attached, attachment

from .making import ADA, COURIER, SENDER, Clock, claim_one, put, sent
from .meanwhile import meanwhile

KEEP_BODIES, KEEP_ROWS = 100.0, 1_000.0
LOGO = Random(1).randbytes(200_000)
TERMS = Random(2).randbytes(30_000)


def said(*attachments: bytes, body: str = "Thank you\n") -> bytes:
    """The content of a message with these attachments."""
    message = Message("Receipt", [ADA], body, sender=SENDER)
    for number, one in enumerate(attachments):
        message.attachments.append(
            Attachment(f"{number}.bin", "application/octet-stream", one)
        )
    return compose(message).content


RECEIPT = said(LOGO)


def kept(outbox: Outbox) -> tuple[int, int]:
    """How many attachments are kept, and how often they are attached."""
    with outbox.database.reading() as connection:
        return tuple(  # type: ignore[return-value]
            connection.scalar(select(func.count()).select_from(table))
            for table in (attachment, attached)
        )


def prune(outbox: Outbox) -> None:
    outbox.prune(KEEP_BODIES, KEEP_ROWS)


# ----------------------------------------------------------------------- cutting


@pytest.mark.parametrize("attachments", [(LOGO,), (LOGO, TERMS), (TERMS, b"x", LOGO)])
def test_a_split_attachment_is_put_back(attachments: tuple[bytes, ...]) -> None:
    content = said(*attachments)
    rest, pieces = split(content)
    assert len(pieces) == sum(len(one) > LARGE_BYTES for one in attachments)
    assert len(rest) < 2_000
    assert join(rest, pieces) == content


@pytest.mark.parametrize(
    "content",
    [b"", said(), said(b"x" * 9_000), said(body="Lorem ipsum.\n\n--\n\n" * 9_000)],
    ids=["nothing", "a text", "a small attachment", "a long text"],
)
def test_only_large_attachments_are_split(content: bytes) -> None:
    assert split(content) == (content, [])


_LARGE = encodebytes(LOGO[:57]).replace(b"\n", b"\r\n") * (LARGE_BYTES // 78 + 1)


@given(
    st.lists(
        st.sampled_from(
            [b"\r\n", b"\r\n\r\n", b"\r\n--x", b"A: b", _LARGE, _LARGE[:-2], b"\0"]
        )
    )
)
def test_any_bytes_are_reassembled(bits: list[bytes]) -> None:
    content = b"".join(bits)
    rest, pieces = split(content)
    assert join(rest, pieces) == content


# ----------------------------------------------------------------------- keeping


def test_equal_attachments_are_stored_once(outbox: Outbox) -> None:
    contents = [said(LOGO, body=f"Receipt {number}\n") for number in range(5)]
    contents.append(said(LOGO, TERMS, LOGO))
    ids = [put(outbox, content=content) for content in contents]

    assert kept(outbox) == (2, 8)
    claims = outbox.claim(COURIER, "default", 10)
    assert {held.id: held.content for held in claims} == dict(
        zip(ids, contents, strict=True)
    )
    assert [outbox.content(one) for one in ids] == contents
    assert outbox.get(ids[0]).size_bytes == len(contents[0])


def test_a_message_sent_again_shares_its_attachments(
    outbox: Outbox, clock: Clock
) -> None:
    message_id = put(outbox, content=said(LOGO))
    outbox.record([sent(claim_one(outbox), clock.now)])

    again = outbox.act(MessageActions.send_again, message_id)

    assert kept(outbox) == (1, 2)
    content = outbox.content(again.id)
    assert content is not None
    _, (piece,) = split(content)
    assert split(said(LOGO))[1][0].content == piece.content


def test_rendered_messages_share_their_attachments(outbox: Outbox) -> None:
    ids = [put(outbox, content=b"", template="{}") for _ in range(2)]
    claims = outbox.claim(COURIER, "default", 10)
    now = outbox.clock()
    rendered = [
        Rendition(held, "Receipt", RECEIPT, "receipt", "1", now, 0.1) for held in claims
    ]
    assert outbox.record([], rendered=rendered).lost == []

    assert kept(outbox) == (1, 2)
    assert [outbox.content(one) for one in ids] == [RECEIPT, RECEIPT]


def test_receipts_take_little_more_than_their_logo(tmp_path: Path) -> None:
    file = tmp_path / "outbox.db"
    outbox = Outbox(Database(f"sqlite:///{file}"))
    for number in range(300):
        put(outbox, content=said(LOGO, body=f"Receipt {number}\n"))
    outbox.database.close()
    assert file.stat().st_size < 5 * len(LOGO), "300 times otherwise"


# ----------------------------------------------------------------------- pruning


def test_an_attachment_is_deleted_with_its_last_message(
    outbox: Outbox, clock: Clock
) -> None:
    first = put(outbox, content=RECEIPT)
    outbox.record([sent(claim_one(outbox), clock.now)])
    clock.advance(KEEP_BODIES / 2)
    second = put(outbox, content=RECEIPT)
    outbox.record([sent(claim_one(outbox), clock.now)])

    clock.advance(KEEP_BODIES / 2 + 1)
    prune(outbox)
    assert kept(outbox) == (1, 1)
    assert (outbox.content(first), outbox.content(second)) == (None, RECEIPT)

    clock.advance(KEEP_BODIES)
    prune(outbox)
    assert kept(outbox) == (0, 0)


@pytest.mark.parametrize("statement", ["DELETE FROM outbox_att", "SELECT outbox_att"])
def test_an_attachment_used_during_a_sweep_stays(
    outbox: Outbox, other: Outbox, clock: Clock, statement: str
) -> None:
    """Or a hand-over would find it there, and a courier no more."""
    put(outbox, content=RECEIPT)
    outbox.record([sent(claim_one(outbox), clock.now)])
    clock.advance(KEEP_BODIES + 1)

    with meanwhile(
        outbox, statement, lambda: put(other, content=RECEIPT)
    ) as handed_over:
        prune(outbox)

    assert outbox.content(handed_over.result()) == RECEIPT
    prune(outbox)
    assert kept(outbox) == (1, 1)


def test_an_attachment_swept_during_use_is_stored_again(
    outbox: Outbox, other: Outbox, clock: Clock
) -> None:
    put(outbox, content=RECEIPT)
    outbox.record([sent(claim_one(outbox), clock.now)])
    clock.advance(KEEP_BODIES + 1)

    with meanwhile(outbox, "INSERT INTO outbox_attached", lambda: prune(other)):
        message_id = put(outbox, content=RECEIPT)

    assert outbox.content(message_id) == RECEIPT
    prune(other)
    assert kept(outbox) == (1, 1)
