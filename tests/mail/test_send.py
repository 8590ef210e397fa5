"""`send`: what a receipt promises, and what each option does."""

from __future__ import annotations

import email
import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from email.message import EmailMessage
from email.policy import default
from typing import Any
from uuid import UUID

import pytest
from flask.json.provider import DefaultJSONProvider

from flask_outbox import Message, MessageError, Receipt, State, signals
from flask_outbox.courier import Courier
from flask_outbox.courier import burst as bursts
from flask_outbox.outbox import Outbox
from tests.mail.conftest import MakeSite
from tests.mail.site import ADA, BOB, SENDER, Site
from tests.servers import JournalSmtp
from tests.waiting import WAIT_SECONDS

HOUR = 3_600


def _read(content: bytes) -> EmailMessage:
    read = email.message_from_bytes(content.replace(b"\r\n", b"\n"), policy=default)
    assert isinstance(read, EmailMessage)
    return read


# ------------------------------------------------------------------- what is sent


def test_a_message_arrives_as_it_was_written(site: Site, server: JournalSmtp):
    message = Message(
        "Grüße",
        recipients=[("Ada", ADA)],
        cc=[BOB],
        bcc=["eve@example.org"],
        body="Hallo Ada\n",
        html="<p>Hallo Ada</p>",
    )
    message.attach("note.txt", data="kurz")
    receipt = site.mail.send(message)
    (mail,) = server.wait_for(1)
    assert (mail.return_path, mail.recipients) == (
        SENDER,
        (ADA, BOB, "eve@example.org"),
    )
    read = _read(mail.content)
    assert (read["Subject"], read["To"]) == ("Grüße", f"Ada <{ADA}>")
    assert read["Message-ID"] == receipt.rfc_message_id
    assert "eve" not in str(read)
    body, html = read.get_body(("plain",)), read.get_body(("html",))
    assert body is not None
    assert html is not None
    assert body.get_content() == "Hallo Ada\n"
    assert "<p>Hallo Ada</p>" in html.get_content()
    assert [one.get_filename() for one in read.iter_attachments()] == ["note.txt"]


def test_a_standard_message_arrives_and_is_left_as_it_was(
    site: Site, server: JournalSmtp
):
    message = EmailMessage()
    message["Subject"] = "Hello"
    message["From"] = "other@example.net"
    message["To"] = ADA
    message["Bcc"] = BOB
    message["Message-ID"] = "<chosen@example.net>"
    message.set_content("Hello\n")
    before = message.as_bytes()
    receipt = site.mail.send(message)
    (mail,) = server.wait_for(1)
    assert receipt.rfc_message_id == mail.rfc_message_id == "<chosen@example.net>"
    assert (mail.return_path, mail.recipients) == ("other@example.net", (ADA, BOB))
    assert _read(mail.content).get_content() == "Hello\n"
    assert message.as_bytes() == before


def test_send_message_takes_the_arguments_of_a_message(site: Site, server: JournalSmtp):
    receipt = site.mail.send_message("Short", [ADA], body="Hello\n")
    (mail,) = server.wait_for(1)
    assert mail.rfc_message_id == receipt.rfc_message_id
    assert _read(mail.content)["Subject"] == "Short"


def test_bounces_go_to_the_return_path(site: Site, server: JournalSmtp):
    site.send(return_path="bounces+ada@example.com")
    (mail,) = server.wait_for(1)
    assert mail.return_path == "bounces+ada@example.com"
    assert _read(mail.content)["From"] == SENDER


def test_a_message_changed_after_send_is_sent_unchanged(
    site: Site, server: JournalSmtp
):
    message = Message("First", [ADA], "first\n")
    first = site.mail.send(message, delay=HOUR)
    message.subject, message.body = "Second", "second\n"
    message.add_recipient(BOB)
    second = site.mail.send(message)
    site.settled(second)
    site.mail.retry(first.id)
    site.settled(first)
    arrived = {mail.rfc_message_id: mail for mail in server.wait_for(2)}
    assert arrived[first.rfc_message_id].recipients == (ADA,)
    assert _read(arrived[first.rfc_message_id].content)["Subject"] == "First"
    assert arrived[second.rfc_message_id].recipients == (ADA, BOB)
    assert _read(arrived[second.rfc_message_id].content)["Subject"] == "Second"


# -------------------------------------------------------------------- the receipt


def test_a_receipt_names_what_is_in_the_outbox(site: Site):
    receipt = site.send(delay=HOUR)
    assert isinstance(receipt, Receipt)
    assert not receipt.duplicate
    record = site.get(receipt)
    assert (record.id, record.rfc_message_id) == (receipt.id, receipt.rfc_message_id)
    assert receipt.rfc_message_id.endswith("@example.com>")
    assert [(one.address, one.state) for one in record.recipients] == [
        (ADA, State.PENDING)
    ]


def test_a_message_is_in_the_outbox_before_send_returns(make_site: MakeSite):
    """With no courier at work, nobody but `send` can have put it there."""
    site = make_site(OUTBOX_ENGINE="external")
    receipts = [site.send() for _ in range(3)]
    assert site.counts() == {State.PENDING: 3}
    assert {site.get(one).state for one in receipts} == {State.PENDING}
    assert len({one.id for one in receipts}) == 3


# ------------------------------------------------------------------- at and delay


@pytest.mark.parametrize("delay", [HOUR, float(HOUR), timedelta(hours=1)])
def test_a_delayed_message_waits(site: Site, server: JournalSmtp, delay):
    receipt = site.send(delay=delay)
    assert site.mail.drain(WAIT_SECONDS)
    record = site.get(receipt)
    assert record.state is State.PENDING
    assert record.due_at - record.enqueued_at == timedelta(hours=1)
    assert record.attempts == ()
    assert server.mails == []


def test_a_delayed_message_is_sent_when_due_and_not_before(
    site: Site, server: JournalSmtp
):
    began = time.time()
    receipt = site.send(delay=0.3)
    (mail,) = server.wait_for(1)
    assert mail.rfc_message_id == receipt.rfc_message_id
    assert mail.at >= began + 0.3


def test_a_message_for_a_moment_is_due_then(site: Site):
    at = datetime.now(timezone(timedelta(hours=5, minutes=30))) + timedelta(days=2)
    record = site.get(site.send(at=at))
    assert abs(record.due_at - at) < timedelta(milliseconds=1)
    assert site.status().due == 0


LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize("option", [{"at": LONG_AGO}, {"delay": 0}])
def test_a_time_in_the_past_means_now(site: Site, server: JournalSmtp, option):
    site.send(**option)
    server.wait_for(1)


# --------------------------------------------------- priority, tag, metadata, key


def test_options_are_stored_with_the_message(site: Site):
    metadata = {"order": 17, "lines": ["é", None, True, 1.5], "nested": {"a": []}}
    options = {"priority": -1000, "key": "order-17", "tag": "ö", "metadata": metadata}
    record = site.get(site.send(delay=HOUR, **options))
    assert {name: getattr(record, name) for name in options} == options


@pytest.mark.parametrize("metadata", [0, "", [], {}, False, "text", 12.5])
def test_metadata_can_be_any_json(site: Site, metadata):
    assert site.get(site.send(delay=HOUR, metadata=metadata)).metadata == metadata


NEW_YEAR = datetime(2030, 1, 1, tzinfo=UTC)


class ShopJson(DefaultJSONProvider):
    """A JSON provider as an app has it that knows more than Flask's."""

    @staticmethod
    def default(given: Any) -> Any:
        """Write what an app's own class holds."""
        return (
            given.coins
            if isinstance(given, Purse)
            else DefaultJSONProvider.default(given)
        )


class Purse:
    """A class of the app's own."""

    coins = Decimal("1.50")


def test_metadata_is_encoded_by_the_apps_json_provider(site: Site):
    some_id, day = UUID(int=7), date(2030, 1, 2)
    metadata = {
        "id": some_id,
        "sums": (Decimal("1.50"),),
        "on": day,
        1: {"at": NEW_YEAR},
    }
    record = site.get(site.send(delay=HOUR, metadata=metadata))
    assert record.metadata == json.loads(site.app.json.dumps(metadata, sort_keys=False))
    with pytest.raises(
        MessageError, match=r"metadata\['purses'\]\[0\] is <.*app\.json"
    ):
        site.send(metadata={"purses": [Purse()]})
    site.app.json = ShopJson(site.app)
    record = site.get(site.send(delay=HOUR, metadata={"purses": [Purse()]}))
    assert record.metadata == {"purses": ["1.50"]}


def test_options_at_their_limits_are_allowed(site: Site):
    label = "x" * 255
    record = site.get(site.send(delay=HOUR, priority=1000, key=label, tag=label))
    assert (record.priority, record.key, record.tag) == (1000, label, label)


def test_the_same_key_again_is_the_same_message(site: Site, server: JournalSmtp):
    first = site.send(key="order-17")
    again = site.send(BOB, key="order-17")
    assert (again.id, again.rfc_message_id) == (first.id, first.rfc_message_id)
    assert (first.duplicate, again.duplicate) == (False, True)
    site.settled(first)
    late = site.send(key="order-17")
    assert (late.id, late.duplicate) == (first.id, True)
    assert site.counts() == {State.SENT: 1}
    assert [one["duplicate"] for one in site.told(signals.message_enqueued)] == [
        False,
        True,
        True,
    ]
    assert site.mail.drain(WAIT_SECONDS)
    assert [mail.recipients for mail in server.mails] == [(ADA,)]


def test_another_key_is_another_message(site: Site, server: JournalSmtp):
    receipts = [site.send(key=key) for key in ("a", "A", "a b")]
    assert len({one.id for one in receipts}) == 3
    server.wait_for(3)


def test_one_key_from_many_threads_at_once_is_one_mail(site: Site, server: JournalSmtp):
    together = threading.Barrier(20)
    receipts: list[Receipt] = []

    def work() -> None:
        together.wait()
        receipts.append(site.send(key="order-17"))

    threads = [threading.Thread(target=work) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(receipts) == 20
    assert len({one.id for one in receipts}) == 1
    assert sum(not one.duplicate for one in receipts) == 1
    assert site.mail.drain(WAIT_SECONDS)
    assert len(server.mails) == 1


def test_many_threads_send_and_each_mail_arrives_once(site: Site, server: JournalSmtp):
    receipts: list[Receipt] = []

    def work() -> None:
        receipts.extend(site.send() for _ in range(10))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert site.mail.drain(WAIT_SECONDS)
    assert server.arrived == sorted(one.rfc_message_id for one in receipts)
    assert site.counts() == {State.SENT: 80}


# -------------------------------------------------------------------- many, quickly


def _deliver_one(site: Site) -> None:
    """Have a courier at work, with nothing else to do."""
    site.send()
    site.wait_for(signals.message_sent)


def _had_a_place(site: Site, receipt: Receipt) -> bool:
    """Whether the courier of this process had a place for it when it was sent."""
    first = site.get(receipt).events[0]
    return "courier" in first.detail


def test_a_courier_begins_with_the_first_of_a_burst_and_with_the_rest_after_it(
    site: Site, server: JournalSmtp, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(bursts, "BURST_PAUSE_SECONDS", 0.0)
    _deliver_one(site)
    monkeypatch.setattr(bursts, "BURST_PAUSE_SECONDS", WAIT_SECONDS)
    burst = [site.send() for _ in range(3)]
    server.wait_for(4)
    assert [_had_a_place(site, one) for one in burst] == [True, False, False]


def test_a_burst_may_come_from_several_threads(
    site: Site, server: JournalSmtp, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(bursts, "BURST_PAUSE_SECONDS", WAIT_SECONDS)
    _deliver_one(site)
    with ThreadPoolExecutor(1) as others:
        receipt = others.submit(site.send).result(WAIT_SECONDS)
    server.wait_for(2)
    assert not _had_a_place(site, receipt)


def test_messages_sent_at_the_same_time_are_a_burst(
    site: Site, server: JournalSmtp, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(bursts, "BURST_PAUSE_SECONDS", 0.0)
    _deliver_one(site)
    both, enqueue = threading.Barrier(2, timeout=WAIT_SECONDS), Outbox.enqueue

    def enqueue_together(*args: Any) -> list[Receipt]:
        both.wait()
        return enqueue(*args)

    monkeypatch.setattr(Outbox, "enqueue", enqueue_together)
    with ThreadPoolExecutor(2) as threads:
        burst = list(threads.map(lambda _: site.send(), range(2)))
    server.wait_for(3)
    assert sorted(_had_a_place(site, one) for one in burst) == [False, True]


def test_no_later_message_of_a_burst_lets_an_earlier_one_wait_longer(
    make_site: MakeSite, monkeypatch: pytest.MonkeyPatch
):
    site = make_site(OUTBOX_POLL_SECONDS=2 * WAIT_SECONDS)
    monkeypatch.setattr(bursts, "BURST_PAUSE_SECONDS", WAIT_SECONDS)
    _deliver_one(site)
    late, wake_when = [], Courier.wake_when
    monkeypatch.setattr(Courier, "wake_when", lambda *asked: late.append(asked))
    monkeypatch.setattr(bursts, "BURST_SECONDS", 0.0)
    site.send()
    monkeypatch.setattr(bursts, "BURST_SECONDS", 2 * WAIT_SECONDS)
    site.send()
    for asked in late:
        wake_when(*asked)
    site.wait_for(signals.message_sent, 3)


def _assert_burst_ends(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both messages of the burst leave, and one that is sent afterwards."""
    site.wait_for(signals.message_sent, 2)
    monkeypatch.setattr(bursts, "BURST_PAUSE_SECONDS", 0.0)
    site.send()
    site.wait_for(signals.message_sent, 3)


def test_a_burst_goes_on_while_its_courier_begins_to_look(
    make_site: MakeSite, monkeypatch: pytest.MonkeyPatch
):
    site = make_site(OUTBOX_POLL_SECONDS=2 * WAIT_SECONDS)
    run, may_run = Courier.run, threading.Event()

    async def run_later(*args: Any) -> None:
        assert may_run.wait(WAIT_SECONDS)
        await run(*args)

    monkeypatch.setattr(Courier, "run", run_later)
    monkeypatch.setattr(bursts, "BURST_SECONDS", WAIT_SECONDS)
    monkeypatch.setattr(bursts, "BURST_PAUSE_SECONDS", WAIT_SECONDS)
    site.send()
    site.send()
    may_run.set()
    _assert_burst_ends(site, monkeypatch)


def test_a_burst_goes_on_with_the_courier_that_is_started_next(
    make_site: MakeSite, monkeypatch: pytest.MonkeyPatch
):
    site = make_site(OUTBOX_POLL_SECONDS=2 * WAIT_SECONDS)
    monkeypatch.setattr(bursts, "BURST_SECONDS", WAIT_SECONDS)
    monkeypatch.setattr(bursts, "BURST_PAUSE_SECONDS", WAIT_SECONDS)
    _deliver_one(site)
    site.send()
    with site.app.app_context():
        site.mail.stop()
        site.mail.start()
    _assert_burst_ends(site, monkeypatch)


def test_a_courier_that_was_started_during_the_commit_is_woken(
    make_site: MakeSite, monkeypatch: pytest.MonkeyPatch
):
    site = make_site(OUTBOX_POLL_SECONDS=2 * WAIT_SECONDS)
    monkeypatch.setattr(bursts, "BURST_SECONDS", 0.0)
    monkeypatch.setattr(bursts, "BURST_PAUSE_SECONDS", WAIT_SECONDS)
    _deliver_one(site)
    enqueue = Outbox.enqueue

    def enqueue_late(*args: Any) -> list[Receipt]:
        monkeypatch.setattr(Outbox, "enqueue", enqueue)
        with site.app.app_context():
            site.mail.stop()
        site.send()
        site.wait_for(signals.message_sent, 2)
        return enqueue(*args)

    monkeypatch.setattr(Outbox, "enqueue", enqueue_late)
    site.send()
    site.wait_for(signals.message_sent, 3)


def test_who_sends_after_a_pause_is_in_no_burst(
    site: Site, server: JournalSmtp, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(bursts, "BURST_PAUSE_SECONDS", 0.0)
    _deliver_one(site)
    receipt = site.send()
    server.wait_for(2)
    assert _had_a_place(site, receipt)
