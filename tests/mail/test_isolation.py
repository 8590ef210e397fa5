"""Faults in a courier: no message stays in flight without a task for it."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import delete, select, text

from flask_outbox import DeliveryError, Message, State, TransportDown, signals
from flask_outbox.courier import in_flight, recorder, send_now
from flask_outbox.delivery import (
    Envelope,
    Outcome,
    Progress,
    RecipientReport,
    Reply,
    Report,
)
from flask_outbox.outbox import dialects
from flask_outbox.outbox.schema import content, message
from flask_outbox.transports.base import Transport
from flask_outbox.transports.smtp import SmtpTransport
from tests.mail.conftest import MakeSite
from tests.mail.site import ADA, BOB, PUT_OFF_FOR_LONG, Site
from tests.outbox.making import new_message
from tests.servers import Behaviour, JournalSmtp
from tests.waiting import eventually

CONCURRENCY = 3

ONLY_BEGUN = {
    "sqlite": (
        "CREATE TRIGGER faulty BEFORE UPDATE OF begun ON outbox_message "
        "WHEN NEW.begun = 1 BEGIN SELECT RAISE(ABORT, 'no begun'); END",
    ),
    "postgresql": (
        "CREATE FUNCTION faulty() RETURNS trigger LANGUAGE plpgsql AS "
        "'BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NEW; END'",
        "CREATE TRIGGER faulty BEFORE UPDATE OF begun ON outbox_message FOR EACH ROW "
        "WHEN (NEW.begun = 1) EXECUTE FUNCTION faulty()",
    ),
    "mysql": (
        "CREATE TRIGGER faulty BEFORE UPDATE ON outbox_message FOR EACH ROW "
        "IF NEW.begun = 1 THEN SIGNAL SQLSTATE '45000'; END IF",
    ),
}
"""Has each attempt's beginning fail: by the end of its connection on PostgreSQL."""

MENDED = {
    "sqlite": ("DROP TRIGGER faulty",),
    "postgresql": ("DROP FUNCTION faulty CASCADE",),
    "mysql": ("DROP TRIGGER faulty",),
}


@contextmanager
def _faulty(site: Site, trigger: Mapping[str, tuple[str, ...]]) -> Iterator[None]:
    """The outbox has this trigger within the block."""
    _run(site, trigger)
    try:
        yield
    finally:
        _run(site, MENDED)


def _run(site: Site, statements: Mapping[str, tuple[str, ...]]) -> None:
    database = site.outbox.database
    with database.engine.begin() as connection:
        for one in statements[database.url.get_backend_name()]:
            connection.execute(text(one))


def test_a_beginning_that_cannot_be_recorded_only_delays_its_message(
    make_site: MakeSite, url: str, server: JournalSmtp
):
    """Under ``"hold"`` each beginning is; as many break off as there are places."""
    site = make_site(
        OUTBOX_URL=url, OUTBOX_ON_UNKNOWN="hold", OUTBOX_CONCURRENCY=CONCURRENCY
    )
    outbox = site.outbox
    receipts = outbox.enqueue(
        [new_message(outbox.clock()) for _ in range(CONCURRENCY + 2)]
    )
    with _faulty(site, ONLY_BEGUN):
        site.make_ready()
        broken = site.wait_for(signals.message_returned, CONCURRENCY)
    assert "outbox" in broken[0]["reason"]
    for one in receipts:
        record = site.settled(one)
        assert (record.state, len(record.attempts)) == (State.SENT, 1)
    assert len(server.mails) == len(receipts)


def test_a_listener_that_ends_its_thread_does_not_end_the_courier(
    site: Site, server: JournalSmtp, caplog: pytest.LogCaptureFixture
):
    def leave(_app: object, **_: object) -> None:
        sys.exit(3)

    with signals.message_began.connected_to(leave, site.app):
        assert site.settled(site.send()).state is State.SENT
    assert site.settled(site.send()).state is State.SENT
    assert len(site.told(signals.courier_started)) == 1
    assert any("message-began" in one.getMessage() for one in caplog.records)
    caplog.clear()


def test_a_transport_that_leaves_its_task_cancelled_harms_no_other_message(
    make_site: MakeSite, monkeypatch: pytest.MonkeyPatch
):
    deliver = SmtpTransport.deliver

    async def deliver_and_cancel(transport: SmtpTransport, *message: Any) -> object:
        report = await deliver(transport, *message)
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        return report

    monkeypatch.setattr(SmtpTransport, "deliver", deliver_and_cancel)
    site = make_site(OUTBOX_CONCURRENCY=1)
    receipts = [site.send() for _ in range(4 * CONCURRENCY)]
    for one in receipts:
        assert site.settled(one).state is State.SENT
    assert not site.told(signals.message_returned)


def test_a_message_in_flight_without_a_task_is_noticed_and_returned(
    make_site: MakeSite, caplog: pytest.LogCaptureFixture
):
    site = make_site(OUTBOX_LEASE_SECONDS=1)
    site.make_ready()
    courier = site.courier
    lost = new_message(site.outbox.clock())
    courier._in_flight.fill(
        courier._in_flight.reserve("default", 1), [(lost.id, None, 0)]
    )
    (receipt,) = site.outbox.enqueue([lost], courier.id)
    assert site.settled(receipt).state is State.SENT
    (said,) = [one for one in caplog.records if "no task was delivering" in one.message]
    assert lost.id in said.message


def test_a_message_that_a_server_holds_for_long_stays_in_flight(
    make_site: MakeSite, server: JournalSmtp, caplog: pytest.LogCaptureFixture
):
    site = make_site(OUTBOX_LEASE_SECONDS=1)
    site.make_ready()
    server.behaviour = Behaviour(hang=True)
    receipt = site.send()
    server.wait_until(lambda: server.held)
    courier = site.courier
    courier.remove_idle()
    assert receipt.id in courier._in_flight
    server.behaviour = Behaviour()
    assert site.settled(receipt).state is State.SENT
    assert not [
        one for one in caplog.records if "no task was delivering" in one.message
    ]


def test_only_the_apps_own_thread_imports_the_loop():
    """A fork while another thread imports it leaves the child half an import."""
    script = """
import sys, threading
class Witness:
    def find_spec(name, path=None, target=None):
        if name == "uvloop":
            print(threading.current_thread().name)
sys.meta_path.insert(0, Witness)
from flask_outbox import Mail
from flask_outbox.concurrency import new_loop
thread = threading.Thread(target=lambda: new_loop().close())
thread.start()
thread.join()
"""
    run = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert run.stdout.split() == ["MainThread"]


# ------------------------------------------------------- what the database refuses


def _refusing(
    when: str, change: str, mysql_error: str = "'45000'"
) -> dict[str, tuple[str, ...]]:
    """Has ``change`` refused where ``when`` is true of the new row."""
    return {
        "sqlite": (
            f"CREATE TRIGGER faulty BEFORE {change} WHEN {when} "
            "BEGIN SELECT RAISE(ABORT, 'refused'); END",
        ),
        "postgresql": (
            "CREATE FUNCTION faulty() RETURNS trigger LANGUAGE plpgsql AS "
            "'BEGIN RAISE EXCEPTION SQLSTATE ''54000''; END'",
            f"CREATE TRIGGER faulty BEFORE {change} FOR EACH ROW WHEN ({when}) "
            "EXECUTE FUNCTION faulty()",
        ),
        "mysql": (
            f"CREATE TRIGGER faulty BEFORE {change} FOR EACH ROW IF {when} THEN "
            f"SIGNAL SQLSTATE {mysql_error}; END IF",
        ),
    }


LONG = 1_500

NO_LONG_DETAIL = _refusing(
    f"length(NEW.detail) > {LONG} AND NEW.kind = 'sent'",
    "INSERT ON outbox_event",
    mysql_error="'22001' SET MYSQL_ERRNO = 1406",
)
"""Has what many people's servers said of one mail refused."""


def test_a_record_that_the_database_refuses_is_shortened_and_delays_no_other(
    make_site: MakeSite,
    url: str,
    server: JournalSmtp,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
):
    monkeypatch.setattr(recorder, "RETRY_WAIT_SECONDS", 0.05)
    site = make_site(OUTBOX_URL=url)
    site.make_ready()
    with _faulty(site, NO_LONG_DETAIL):
        server.behaviour = Behaviour(hang=True)
        many = [f"person-{number}@example.org" for number in range(40)]
        receipts = [site.send(), site.send(*many), site.send()]
        server.wait_until(lambda: server.held == len(receipts))
        server.behaviour = Behaviour()
        before, crowded, after = (site.settled(one) for one in receipts)
    assert [one.state for one in (before, crowded, after)] == [State.SENT] * 3
    assert {one.reply.code for one in crowded.recipients if one.reply} == {250}
    assert "replies are shortened" in crowded.events[-1].detail["reason"]
    assert len(server.mails) == len(receipts)
    assert any("recorded shortened" in one.getMessage() for one in caplog.records)


NO_SUPPRESSION = _refusing("NEW.source = 'refusal'", "INSERT ON outbox_suppression")
"""Has refused what follows from a reply, however short that is."""

NO_END = _refusing(
    "NEW.tag = 'stuck' AND NEW.state = 'sent'", "UPDATE ON outbox_message"
)
"""Has each form of a record refused."""


def test_a_record_refused_also_when_shortened_ends_its_message_without_replies(
    make_site: MakeSite,
    url: str,
    server: JournalSmtp,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
):
    monkeypatch.setattr(recorder, "RETRY_WAIT_SECONDS", 0.05)
    site = make_site(OUTBOX_URL=url)
    site.make_ready()
    with _faulty(site, NO_SUPPRESSION):
        nobody = "nobody@example.org"
        server.behaviour = Behaviour(recipients={nobody: "550 5.1.1 no such user"})
        receipts = [site.send(), site.send(nobody), site.send()]
        before, refused, after = (site.settled(one) for one in receipts)
    ended = [one.state for one in (before, refused, after)]
    assert ended == [State.SENT, State.FAILED, State.SENT]
    assert refused.recipients[0].state is State.FAILED
    assert str(refused.recipients[0].reply) == "550"
    assert "replies are not kept" in refused.events[-1].detail["reason"]
    (told,) = site.told(signals.message_failed)
    assert told["reason"] == refused.events[-1].detail["reason"]
    assert len(server.mails) == 2
    said = [one.getMessage() for one in caplog.records]
    assert len([one for one in said if f"{refused.id} is recorded without" in one]) == 1


def test_a_record_refused_in_every_form_is_kept_apart(
    make_site: MakeSite,
    url: str,
    server: JournalSmtp,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
):
    """It takes no place from others, and is recorded as soon as it can be."""
    for name in ("RETRY_WAIT_SECONDS", "LONG_WAIT_SECONDS"):
        monkeypatch.setattr(recorder, name, 0.05)
    site = make_site(OUTBOX_URL=url, OUTBOX_CONCURRENCY=1)
    site.make_ready()
    tries: list[str] = []
    record = site.outbox.record

    def count_tries(records: Any, *others: Any) -> Any:
        tries.extend(one.claim.id for one in records)
        return record(records, *others)

    monkeypatch.setattr(site.outbox, "record", count_tries)
    with _faulty(site, NO_END):
        stuck = site.send(tag="stuck")
        others = [site.send() for _ in range(3)]
        assert {site.settled(one).state for one in others} == {State.SENT}
        enough = 4 * recorder.TRIES
        eventually(lambda: tries.count(stuck.id) > enough)
        with site.app.app_context():
            assert site.mail.get(stuck.id).state is State.LEASED
    assert site.settled(stuck).state is State.SENT
    assert len(server.mails) == 4
    kept = f"{stuck.id} cannot be recorded yet"
    assert len([one for one in caplog.records if kept in one.getMessage()]) == 1


@pytest.mark.parametrize("home", ["postgresql", "mariadb"], indirect=True)
def test_a_record_whose_row_is_locked_is_kept_whole_and_delays_no_other(
    make_site: MakeSite,
    url: str,
    server: JournalSmtp,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
):
    monkeypatch.setattr(recorder, "RETRY_WAIT_SECONDS", 0.05)
    monkeypatch.setattr(dialects, "BUSY_SECONDS", 1.0)
    site = make_site(OUTBOX_URL=url)
    site.make_ready()
    server.behaviour = Behaviour(hang=True)
    locked, other = site.send(), site.send()
    server.wait_until(lambda: server.held == 2)
    with site.outbox.database.engine.begin() as connection:
        row = select(message.c.id).where(message.c.id == locked.id)
        connection.execute(row.with_for_update())
        server.behaviour = Behaviour()
        waits = f"{locked.id} cannot be recorded yet"
        eventually(lambda: [one for one in caplog.messages if waits in one])
        assert site.settled(other).state is State.SENT
    record = site.settled(locked)
    assert (record.state, len(server.mails)) == (State.SENT, 2)
    assert record.events[-1].detail["dialogue"]
    assert "reason" not in record.events[-1].detail


class Babbling(Transport):
    """Accepts each message with the words of ``said``, which no reading has cleaned."""

    said = ""

    async def deliver(
        self, envelope: Envelope, content: bytes, progress: Progress
    ) -> Report:
        for one in envelope.recipients:
            progress.provider_ids[one] = self.said
        reply = Reply(250, None, self.said)
        return Report.same(envelope.recipients, Outcome.ACCEPTED, reply)

    async def probe(self) -> None: ...

    async def close(self) -> None: ...


def test_an_accepted_message_is_sent_whatever_its_transport_says(
    make_site: MakeSite, url: str
):
    site, transport = make_site(OUTBOX_URL=url), Babbling()
    site.make_ready()
    site.courier.lanes["default"].transport = transport
    for said in ("a\x00b", "half \ud800", "\x1b[2J", "\ufffe"):
        transport.said = said
        assert site.settled(site.send()).state is State.SENT


class Forgetful(Babbling):
    """Accepts each message, and reports that as ``reported`` makes of it."""

    said = "OK"

    def __init__(self, reported: Callable[[Report], Report]) -> None:
        self._reported = reported

    async def deliver(
        self, envelope: Envelope, content: bytes, progress: Progress
    ) -> Report:
        return self._reported(await super().deliver(envelope, content, progress))


def _of_ada_alone(report: Report) -> Report:
    return Report({ADA: report.recipients[ADA]})


def _in_capitals(report: Report) -> Report:
    return Report({one.upper(): it for one, it in report.recipients.items()})


def test_a_recipient_of_whom_the_transport_reports_nothing_is_tried_again(
    make_site: MakeSite, subtests: pytest.Subtests
):
    """The message was sent by then, and that recipient pending for ever."""
    reports = {
        "of one": (_of_ada_alone, [State.SENT, State.PENDING]),
        "of none": (lambda _: Report({}), [State.PENDING, State.PENDING]),
        "of others": (_in_capitals, [State.PENDING, State.PENDING]),
    }
    for name, (reported, states) in reports.items():
        with subtests.test(name):
            site = make_site(**PUT_OFF_FOR_LONG)
            site.make_ready()
            lane = site.courier.lanes["default"]
            lane.transport = Forgetful(reported)
            receipt = site.send(ADA, BOB)
            (deferred,) = site.wait_for(signals.message_deferred)
            record = site.get(receipt)
            assert record.state is State.PENDING
            assert [one.state for one in record.recipients] == states
            assert "reported nothing" in deferred["replies"][BOB]
            lane.transport = Forgetful(lambda report: report)
            site.mail.retry(receipt.id)
            assert site.settled(receipt).state is State.SENT


def test_send_now_raises_if_the_transport_reports_nothing_of_a_recipient(
    site: Site, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(send_now, "transport_for", lambda *_: Forgetful(_of_ada_alone))
    with pytest.raises(DeliveryError, match="reported nothing") as raised:
        site.mail.send_now(Message("Hello", [ADA, BOB], "Hello\n"))
    outcomes = {to: it.outcome for to, it in raised.value.report.recipients.items()}
    assert outcomes == {ADA: Outcome.ACCEPTED, BOB: Outcome.DEFERRED}


class Cancelled(Babbling):
    """Has something of its own cancelled, as a client library may."""

    async def deliver(
        self, envelope: Envelope, content: bytes, progress: Progress
    ) -> Report:
        raise asyncio.CancelledError


def test_what_a_transport_cancels_by_itself_is_an_attempt(
    make_site: MakeSite, caplog: pytest.LogCaptureFixture
):
    """It was tried again at once, without end, as if the courier stopped."""
    site = make_site(**PUT_OFF_FOR_LONG)
    site.make_ready()
    site.courier.lanes["default"].transport = Cancelled()
    receipt = site.send()
    (deferred,) = site.wait_for(signals.message_deferred)
    assert "CancelledError" in deferred["replies"][ADA]
    assert site.told(signals.message_returned) == []
    assert site.get(receipt).state is State.PENDING
    caplog.clear()


class Broken(Babbling):
    """Has sent each message, and breaks before it can report that."""

    async def deliver(
        self, envelope: Envelope, content: bytes, progress: Progress
    ) -> Report:
        progress.final_dot_sent = True
        raise RuntimeError("a bug")


def test_what_a_transport_raises_after_the_final_dot_makes_the_message_unknown(
    make_site: MakeSite, caplog: pytest.LogCaptureFixture
):
    """It was sent again, also where a person is to decide about that."""
    site = make_site(OUTBOX_ON_UNKNOWN="hold")
    site.make_ready()
    site.courier.lanes["default"].transport = Broken()
    receipt = site.send()
    (unknown,) = site.wait_for(signals.message_unknown)
    assert "RuntimeError" in unknown["replies"][ADA]
    assert site.get(receipt).state is State.UNKNOWN
    caplog.clear()


@pytest.mark.parametrize("reply", [None, "OK", Reply(70_000, None, "")])
def test_a_report_without_a_reply_that_can_be_stored_is_refused(reply: Any):
    with pytest.raises(ValueError, match="needs a Reply, whose code has three digits"):
        RecipientReport(Outcome.ACCEPTED, reply)


class Down(Babbling):
    """Is in trouble, of which it says ``said``."""

    async def deliver(
        self, envelope: Envelope, content: bytes, progress: Progress
    ) -> Report:
        raise TransportDown(self.said)

    async def probe(self) -> None:
        raise TransportDown(self.said)


@pytest.mark.parametrize("said", ["a\x00b", "half \ud800", "\x1b[2J"])
def test_a_lane_is_paused_whatever_its_transport_says(
    make_site: MakeSite, url: str, said: str
):
    site, transport = make_site(OUTBOX_URL=url), Down()
    site.make_ready()
    site.courier.lanes["default"].transport = transport
    transport.said = said
    site.send()
    (lane,) = eventually(site.outbox.paused_lanes)
    assert str(lane.reason).isprintable()


def test_an_unreadable_message_is_reported_and_delays_no_other(
    site: Site, server: JournalSmtp
):
    outbox = site.outbox
    receipts = outbox.enqueue([new_message(outbox.clock()) for _ in range(3)])
    with outbox.database.engine.begin() as connection:
        lost = content.c.message_id == receipts[1].id
        connection.execute(delete(content).where(lost))
    site.make_ready()
    ended = [site.settled(one).state for one in receipts]
    assert ended == [State.SENT, State.FAILED, State.SENT]
    (told,) = site.told(signals.message_failed)
    assert told["message_id"] == receipts[1].id
    assert "content is missing" in told["reason"]
    assert len(site.told(signals.courier_started)) == 1
    server.wait_for(2)


def test_large_messages_are_sent_a_few_at_a_time_and_a_huge_one_alone(
    make_site: MakeSite, server: JournalSmtp, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(in_flight, "MOST_BYTES", 250_000)
    site = make_site()
    sizes = [100_000] * 5 + [400_000, 100_000]
    at = site.outbox.clock() - len(sizes)
    receipts = site.outbox.enqueue(
        [
            new_message(at, due_at=at + place, content=_mail(size))
            for place, size in enumerate(sizes)
        ]
    )
    size_of = {one.id: size for one, size in zip(receipts, sizes, strict=True)}
    seen: list[list[int]] = []

    def look(_app: object, courier: str, **_: object) -> None:
        leased = site.outbox.leased_to(courier)
        seen.append([size_of[one] for one in leased])

    with signals.message_began.connected_to(look, site.app):
        site.make_ready()
        for one in receipts:
            assert site.settled(one).state is State.SENT
    assert max(map(len, seen)) == 2
    assert [400_000] in seen
    assert all(len(some) == 1 or sum(some) <= 250_000 for some in seen)


def _mail(size_bytes: int) -> bytes:
    """A mail of about this size, and not more."""
    return b"Subject: x\r\n\r\n" + (b"x" * 70 + b"\r\n") * (size_bytes // 72 - 1)
