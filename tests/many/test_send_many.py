"""`send_many`: every row once, in bounded memory, despite interruptions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from email.message import EmailMessage
from typing import Any
from uuid import UUID

import pytest

from flask_outbox import (
    BatchInterrupted,
    BatchNotFound,
    BatchReceipt,
    BatchState,
    MessageError,
    MessageStopped,
    State,
    TransitionRefused,
    signals,
)
from flask_outbox.history import describe
from flask_outbox.message import Message
from flask_outbox.outbox import BatchStore
from flask_outbox.sending import batch as handing_over
from tests.mail.conftest import MakeSite
from tests.mail.site import Site
from tests.servers import JournalSmtp
from tests.waiting import WAIT_SECONDS

BAD = "no address"


def address(row: int) -> str:
    return f"user{row}@example.org"


def messages(rows: int, *, bad: int = 0) -> Iterator[Message]:
    """A message for each row, from 1; row ``bad`` could never be sent."""
    for row in range(1, rows + 1):
        yield Message(f"Row {row}", [BAD if row == bad else address(row)], "Hello\n")


@pytest.fixture
def quiet(make_site: MakeSite) -> Site:
    """An app whose courier works only while it is drained."""
    return make_site(TESTING=True, MAIL_SUPPRESS_SEND=False)


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handing_over, "CHUNK_ROWS", 10)


def send_many(site: Site, rows: Iterable[Any], **options: Any) -> BatchReceipt:
    with site.app.app_context():
        return site.mail.send_many(rows, **options)


def interrupted(site: Site, rows: Iterable[Any], **options: Any) -> BatchInterrupted:
    """Hand over what breaks off, and how it does."""
    with pytest.raises(BatchInterrupted) as caught:
        send_many(site, rows, **options)
    return caught.value


def subjects(site: Site) -> list[str]:
    """What is in the outbox, by row."""
    found = [site.outbox.get(one.id) for one in site.outbox.list(limit=1_000)]
    found.sort(key=lambda one: one.batch_row or 0)
    return [one.subject for one in found]


def drained(site: Site) -> None:
    with site.app.app_context():
        assert site.mail.drain(WAIT_SECONDS)


# ---------------------------------------------------------------------- as it should be


def test_each_message_is_delivered(site: Site, server: JournalSmtp) -> None:
    receipt = send_many(site, messages(25), name="news", tag="weekly")
    assert (receipt.messages, receipt.duplicate) == (25, False)
    drained(site)
    sent = {mail.recipients: mail for mail in server.wait_for(25)}
    assert sent.keys() == {(address(row),) for row in range(1, 26)}
    with site.app.app_context():
        batch = site.mail.batch(receipt.id)
        assert site.mail.batches() == [batch]
    assert (batch.state, batch.name, batch.tag) == (BatchState.DONE, "news", "weekly")
    assert (batch.rows_stored, batch.total, batch.counts) == (25, 25, {State.SENT: 25})
    one = site.outbox.get(site.outbox.list(limit=1)[0].id)
    assert (one.batch, one.tag, one.priority) == (receipt.id, "weekly", -100)
    assert describe(one)[0].what == (
        f"A script enqueued the message, in row {one.batch_row} of batch {receipt.id}"
    )


def test_standard_library_messages_are_accepted(quiet: Site) -> None:
    message = EmailMessage()
    message["Subject"], message["To"] = "Hello", "Ada <ada@example.org>"
    message.set_content("Hello")
    error = interrupted(quiet, [message, *messages(2, bad=2)])
    assert error.row == 3
    send_many(quiet, [message, *messages(2)], resume=error.batch)
    assert subjects(quiet) == ["Hello", "Row 1", "Row 2"]


def test_at_most_one_chunk_of_rows_is_in_memory(quiet: Site) -> None:
    """However many rows there are, no more than a chunk of them is in memory."""
    ahead = []

    def watched() -> Iterator[Message]:
        for row, message in enumerate(messages(95), 1):
            kept = quiet.outbox.status().counts[State.PENDING]
            ahead.append(row - kept)
            yield message

    send_many(quiet, watched())
    assert max(ahead) <= handing_over.CHUNK_ROWS + 1


def test_large_messages_are_stored_in_smaller_chunks(
    quiet: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handing_over, "CHUNK_BYTES", 3_000)
    kept = []
    body = "Hello\n" * 300

    def watched() -> Iterator[Message]:
        for row in range(5):
            kept.append(quiet.outbox.status().counts[State.PENDING])
            yield Message("Hello", [address(row)], body)

    send_many(quiet, watched())
    assert kept == [0, 0, 1, 2, 3]


def test_a_single_message_overtakes_a_batch(quiet: Site, server: JournalSmtp) -> None:
    send_many(quiet, messages(200))
    quiet.send("ada@example.org")
    drained(quiet)
    arrived = [mail.recipients[0] for mail in server.wait_for(201)]
    assert "ada@example.org" in arrived[:100]


def test_options_apply_to_all_messages(quiet: Site) -> None:
    send_many(quiet, messages(2), delay=60, priority=5, metadata={"issue": UUID(int=7)})
    for one in quiet.outbox.list():
        record = quiet.outbox.get(one.id)
        assert (record.priority, record.metadata) == (5, {"issue": str(UUID(int=7))})
        assert (record.due_at - record.enqueued_at).total_seconds() == pytest.approx(60)


def test_suppressed_recipients_and_stopped_messages_are_recorded(quiet: Site) -> None:
    quiet.outbox.suppress(address(2))

    @quiet.mail.before_send
    def stop_the_third(message: Message, _options: object) -> None:
        if "Row 3" in repr(message):
            raise MessageStopped("enough")

    with quiet.app.app_context(), quiet.mail.record_messages() as dispatched:
        receipt = quiet.mail.send_many(messages(3))
        assert quiet.mail.batch(receipt.id).counts == {
            State.PENDING: 1,
            State.SUPPRESSED: 1,
            State.CANCELLED: 1,
        }
        assert {
            (one.row, one.state) for one in quiet.mail.batch_failures(receipt.id)
        } == {(2, State.SUPPRESSED), (3, State.CANCELLED)}
    assert [repr(one) for one in dispatched] == ["<Message 'Row 1'>"]
    assert len(quiet.told(signals.message_enqueued)) == 3
    assert len(quiet.told(signals.message_stopped)) == 1


# ------------------------------------------------------------------- what breaks it off


def test_an_invalid_row_is_named_and_resume_loses_and_repeats_nothing(
    quiet: Site,
) -> None:
    error = interrupted(quiet, messages(40, bad=28))
    assert (error.row, error.rows_stored) == (28, 27)
    assert str(error).startswith("Row 28: recipients[0]: 'no address' has no '@'; ")
    assert f"The first 27 rows are stored in batch {error.batch}. " in str(error)
    assert f"pass the same rows again with resume={error.batch!r}" in str(error)
    assert isinstance(error.__cause__, MessageError)
    with quiet.app.app_context():
        batch = quiet.mail.batch(error.batch)
    assert (batch.state, batch.rows_stored, batch.total) == (
        BatchState.INTERRUPTED,
        27,
        None,
    )
    assert batch.error is not None
    assert batch.error.startswith("Row 28: ")
    receipt = send_many(quiet, messages(40), resume=error.batch)
    assert (receipt.id, receipt.messages) == (error.batch, 40)
    assert subjects(quiet) == [f"Row {row}" for row in range(1, 41)]


@pytest.mark.long
def test_an_invalid_row_far_inside_is_named(
    quiet: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handing_over, "CHUNK_ROWS", 500)
    error = interrupted(quiet, messages(100_000, bad=57_312))
    assert (error.row, error.rows_stored) == (57_312, 57_311)
    assert str(error).startswith("Row 57,312: recipients[0]: 'no address' has no '@'")
    assert send_many(quiet, messages(60_000), resume=error.batch).messages == 60_000
    with quiet.app.app_context():
        assert quiet.mail.batch(error.batch).counts == {State.PENDING: 60_000}


def test_an_error_of_the_iterable_interrupts_the_batch(quiet: Site) -> None:
    def broken() -> Iterator[Message]:
        yield from messages(15)
        raise OSError("the disk is gone")

    error = interrupted(quiet, broken(), key="news-1")
    assert (error.row, error.rows_stored) == (16, 15)
    assert str(error).startswith("Row 16: OSError: the disk is gone.")
    receipt = send_many(quiet, messages(20), key="news-1")
    assert (receipt.id, receipt.messages) == (error.batch, 20)
    assert subjects(quiet) == [f"Row {row}" for row in range(1, 21)]
    again = send_many(quiet, messages(20), key="news-1")
    assert again == BatchReceipt(error.batch, 20, duplicate=True)


def test_an_unavailable_outbox_interrupts_the_batch(quiet: Site) -> None:
    """The table is not there any more when the second chunk is to be kept."""

    def rows() -> Iterator[Message]:
        for row, message in enumerate(messages(15), 1):
            if row == 12:
                rename("outbox_recipient", "elsewhere")
            yield message

    def rename(table: str, name: str) -> None:
        quiet.outbox.database.write(
            lambda conn: conn.exec_driver_sql(f"ALTER TABLE {table} RENAME TO {name}")
        )

    error = interrupted(quiet, rows())
    assert (error.row, error.rows_stored) == (11, 10)
    rename("elsewhere", "outbox_recipient")
    assert send_many(quiet, messages(15), resume=error.batch).messages == 15
    assert subjects(quiet) == [f"Row {row}" for row in range(1, 16)]


def test_ctrl_c_leaves_it_resumable(quiet: Site) -> None:
    def impatient() -> Iterator[Message]:
        yield from messages(15)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        send_many(quiet, impatient(), key="news-1")
    with quiet.app.app_context():
        (batch,) = quiet.mail.batches()
    assert (batch.state, batch.rows_stored) == (BatchState.INTERRUPTED, 10)
    assert send_many(quiet, messages(15), key="news-1").messages == 15
    assert len(subjects(quiet)) == 15


def test_ctrl_c_right_behind_a_commit_says_how_much_is_stored(
    quiet: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    store_rows = BatchStore.store_rows

    def interrupted_behind(*arguments: Any) -> None:
        store_rows(*arguments)
        raise KeyboardInterrupt

    monkeypatch.setattr(BatchStore, "store_rows", interrupted_behind)
    with pytest.raises(KeyboardInterrupt) as caught:
        send_many(quiet, messages(15))
    with quiet.app.app_context():
        (batch,) = quiet.mail.batches()
    (said,) = caught.value.__notes__
    assert said.startswith("The first 10 rows are stored in batch ")
    assert batch.rows_stored == 10


# ------------------------------------------------------------------------- resuming it


def test_resume_with_other_rows_is_refused(quiet: Site) -> None:
    error = interrupted(quiet, messages(30, bad=28))
    later = (one for row, one in enumerate(messages(40), 1) if row != 5)
    with pytest.raises(MessageError, match="these are different rows"):
        send_many(quiet, later, resume=error.batch)
    with pytest.raises(MessageError, match="there are only 20"):
        send_many(quiet, messages(20), resume=error.batch)
    assert len(subjects(quiet)) == 27
    assert send_many(quiet, messages(28), resume=error.batch).messages == 28


def test_resume_of_another_batch_is_refused(quiet: Site) -> None:
    error = interrupted(quiet, messages(3, bad=3), name="news")
    with pytest.raises(MessageError, match=f"batch {error.batch} is 'news'"):
        send_many(quiet, messages(3), name="offers", resume=error.batch)
    with pytest.raises(BatchNotFound, match="01NOBODY"):
        send_many(quiet, messages(3), resume="01NOBODY")


def test_send_many_ends_if_its_batch_is_cancelled(quiet: Site) -> None:
    def rows() -> Iterator[Message]:
        for row, message in enumerate(messages(30), 1):
            if row == 15:
                (batch,) = quiet.mail.batches()
                quiet.mail.cancel_batch(batch.id)
            yield message

    with pytest.raises(TransitionRefused, match="was cancelled after row 10"):
        send_many(quiet, rows())
    assert quiet.counts() == {State.CANCELLED: 10}


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"tag": " x", "name": "news"}, "tag"),
        ({"name": " x"}, "name"),
        ({"key": "\n"}, "key"),
        ({"priority": 5_000}, "priority"),
        ({"delay": -1}, "delay"),
        ({"unsubscribe": True}, "unsubscribe: it needs tag="),
    ],
)
def test_an_argument_wrong_for_all_is_refused_before_storing(
    quiet: Site, options: dict[str, Any], field: str
) -> None:
    with pytest.raises(MessageError, match=field):
        send_many(quiet, messages(1), **options)
    with quiet.app.app_context():
        assert quiet.mail.batches() == []


# --------------------------------------------------------------------------- people


def test_a_batch_can_be_paused_resumed_and_cancelled(
    quiet: Site, server: JournalSmtp
) -> None:
    with quiet.app.app_context():
        batch = quiet.mail.send_many(messages(20)).id
        assert quiet.mail.pause_batch(batch).counts == {State.PAUSED: 20}
        assert quiet.mail.drain(WAIT_SECONDS)
        assert server.mails == []
        assert quiet.mail.resume_batch(batch).state is BatchState.SENDING
        assert quiet.mail.drain(WAIT_SECONDS)
        assert len(server.mails) == 20
        assert quiet.mail.cancel_batch(batch).state is BatchState.CANCELLED
    for signal in (
        signals.batch_paused,
        signals.batch_resumed,
        signals.batch_cancelled,
    ):
        assert quiet.told(signal) == [{"batch": batch}]
