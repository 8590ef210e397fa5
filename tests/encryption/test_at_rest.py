"""At rest, an encrypted outbox holds no personal word, wherever it came from."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Column, Connection, LargeBinary, String, Table, select

from flask_outbox import Fate, Feedback, State
from flask_outbox.delivery import Reply
from flask_outbox.outbox import BatchStore, Feed, Outbox, WebhookStore
from flask_outbox.outbox.encryption import MARK
from flask_outbox.outbox.schema import metadata
from flask_outbox.outbox.sealed import SEALED
from flask_outbox.webhooks.kinds import WEBHOOK_KINDS
from tests.canaries import Canaries, hand_over
from tests.mail.conftest import MakeSite
from tests.mail.site import Site
from tests.outbox.making import (
    ADA,
    BOB,
    CY,
    SENDER,
    claim_one,
    ended,
    enlist,
    put,
    same,
)
from tests.servers import JournalSmtp

from .conftest import NEW, Opener

KEYS = {"OUTBOX_ENCRYPTION_KEYS": f"new:{base64.b64encode(NEW.secret).decode()}"}

PERSONAL = (b"Ada's", *(one.encode() for one in (ADA, BOB, CY, SENDER)))
"""One of them is in every personal word, and hardly by chance in what is encrypted."""

LARGE = base64.encodebytes(b"Ada's photo" * 2_000).replace(b"\n", b"\r\n")
"""So large that it is stored apart."""


def kept(site: Site) -> bytes:
    """All bytes of the files of an outbox that is in use."""
    file = Path(site.outbox.database.url.database or "")
    names = [f"{file.name}{end}" for end in ("", "-wal", "-shm")]
    return b"".join(file.with_name(name).read_bytes() for name in names)


def test_no_personal_word_is_in_the_files(
    make_site: MakeSite, server: JournalSmtp
) -> None:
    site, canaries = make_site(**KEYS), Canaries()

    hand_over(site, server, canaries)

    assert len(canaries.words) > 200
    stored = kept(site)
    assert canaries.found_in(stored) == []
    assert [one for one in (ADA, BOB, "shop@") if one.encode() in stored] == []


def test_in_an_outbox_in_the_clear_all_are_found(
    make_site: MakeSite, server: JournalSmtp
) -> None:
    """So the search above finds what is there."""
    site, canaries = make_site(), Canaries()

    hand_over(site, server, canaries)

    missing = set(canaries.words) - set(canaries.found_in(kept(site)))
    assert missing == set()


def fill(outbox: Outbox) -> str:
    """One message that failed, of which all is Ada's; its id."""
    webhooks = WebhookStore(outbox)
    webhooks.begin("crm")
    message_id = put(
        outbox,
        subject="Ada's subject",
        content=b"Subject: Ada's subject\r\n\r\nAda's body\r\n" + LARGE,
        metadata='{"name": "Ada\'s metadata"}',
        origin={"path": "/Ada's path"},
        key="Ada's order",
    )
    held = claim_one(outbox, enlist(outbox))
    answers = same(held, State.FAILED, Reply(550, "5.1.1", "not Ada's mailbox"))
    end = ended(held, outbox.clock(), State.FAILED, answers)
    outbox.record([replace(end, provider="resend", provider_ids={ADA: "re_1"})])
    words = Reply(550, "5.1.1", "no longer Ada's")
    at = datetime.fromtimestamp(outbox.clock(), UTC)
    report = Feedback(
        Fate.BOUNCED, "own", "1", at, address=ADA, message_id=message_id, reply=words
    )
    outbox.take_feedback([report])
    outbox.suppress(BOB, reason="Ada's wish")
    outbox.suppress(CY)
    outbox.unsuppress(CY)
    outbox.pause_lane("default", outbox.clock() + 60, "Ada's server is down")
    outbox.pause_lane_by_operator("other", "Ada's holiday")
    webhooks.copy(Feed("crm", frozenset(WEBHOOK_KINDS), True, 60.0))
    webhooks.pause("crm", "Ada's day off")
    batches = BatchStore(outbox)
    batch = batches.begin("news", None, "Ada's batch", None)
    batches.interrupt(batch.id, "row 5 is Ada's")
    return message_id


def cells(outbox: Outbox) -> dict[str, list[Any]]:
    """What is in each column, as the database has it."""
    with outbox.database.reading() as connection:
        return {
            f"{table.name}.{column.name}": _values(connection, column)
            for table in metadata.sorted_tables
            for column in table.columns
        }


def _values(connection: Connection, column: Column[Any]) -> list[Any]:
    return [*connection.scalars(select(column).where(column.is_not(None)))]


def test_no_cell_of_any_table_is_personal_and_all_is_read(
    open_anywhere: Opener,
) -> None:
    outbox = open_anywhere(NEW)

    message_id = fill(outbox)

    personal = [
        column
        for column, values in cells(outbox).items()
        if any(word in _bytes(one) for one in values for word in PERSONAL)
    ]
    assert personal == []
    record = outbox.get(message_id)
    assert record.subject == "Ada's subject"
    assert record.metadata == {"name": "Ada's metadata"}
    (to,) = record.recipients
    assert str(to.reply) == "550 5.1.1 not Ada's mailbox"
    assert to.fate_text == "550 5.1.1 no longer Ada's"
    assert record.origin == {"path": "/Ada's path"}
    assert (to.address, record.return_path) == (ADA, SENDER)
    assert record.key == "Ada's order"
    assert b"Ada's body" in (outbox.content(message_id) or b"")
    assert LARGE in (outbox.content(message_id) or b"")
    suppressed = {one.address: one.reason for one in outbox.suppressions()}
    assert suppressed == {BOB: "Ada's wish"}
    assert {one.name: one.reason for one in outbox.lanes()} == {
        "default": "Ada's server is down",
        "other": "Ada's holiday",
    }
    (batch,) = BatchStore(outbox).newest(5)
    assert (batch.key, batch.error) == ("Ada's batch", "row 5 is Ada's")
    webhooks = WebhookStore(outbox)
    (endpoint,) = webhooks.endpoints(["crm"])
    assert endpoint.reason == "Ada's day off"
    webhooks.resume("crm")
    assert "Ada's metadata" in "".join(one.body for one in webhooks.claim("crm", 10))


def _bytes(value: Any) -> bytes:
    return bytes(value) if isinstance(value, bytes) else str(value).encode()


def test_without_keys_the_same_is_stored_as_ever(open_with: Opener) -> None:
    outbox = open_with()

    fill(outbox)

    marked = [
        column
        for column, values in cells(outbox).items()
        if any(_bytes(one).startswith(MARK.encode()) for one in values)
    ]
    assert marked == []
    assert cells(outbox)["outbox_encryption_key.id"] == []


IN_THE_CLEAR = {
    "outbox_message": {"queue", "tag", "rfc_message_id"},
    "outbox_provider_id": {"provider_id"},
    "outbox_feedback": {"event_id", "provider_id", "rfc_message_id"},
    "outbox_suppression": {"list"},
    "outbox_pardon": {"list"},
    "outbox_batch": {"name", "tag", "process"},
    "outbox_audit": {"actor", "target", "note"},
}
"""Texts of the app's own, of providers and of those who operate it; targets of acts are
ids, or masked."""

OURS = {
    "outbox_message": {"enqueued"},  # ids and times
    "outbox_alert": {"words"},
    "outbox_lane": {"taken"},
    "outbox_stats": {"waits", "durations"},
    "outbox_tally": {"counts"},
    "outbox_courier": {"host", "process"},
    "outbox_mailbox": {"name"},
    "outbox_arrival": {"came_from"},
    "outbox_departure": {"heading_to"},
    "outbox_webhook_endpoint": {"gaps"},
    "outbox_encryption_key": {"proof", "lookup"},
}
"""Texts of the outbox's own, with nothing of anyone."""


def test_for_every_text_it_is_decided_whether_it_is_encrypted() -> None:
    for table in metadata.sorted_tables:
        sealed = SEALED[table].all if table in SEALED else ()
        known = IN_THE_CLEAR.get(table.name, set()) | OURS.get(table.name, set())
        assert {*_texts(table)} == {*sealed} | known, table.name


def _texts(table: Table) -> Iterable[str]:
    """The columns that can hold more than an id or a word of our own."""
    for column in table.columns:
        length = getattr(column.type, "length", None)
        long = isinstance(column.type, String | LargeBinary)
        if long and (length is None or length > 64):
            yield column.name
