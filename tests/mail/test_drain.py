"""`drain`: waits until nothing is due."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from flask_outbox import State, signals
from flask_outbox.courier.claimer import Claimer
from flask_outbox.courier.courier import Courier
from flask_outbox.courier.local_queue import LocalQueue
from flask_outbox.courier.maintenance import RENEWALS_PER_LEASE
from flask_outbox.errors import OutboxUnavailable
from flask_outbox.history import describe
from flask_outbox.outbox import Outbox
from flask_outbox.outbox.records import Claim, Recorded
from tests.mail.conftest import MakeSite, site_with_backlog
from tests.mail.site import Site, url_of
from tests.servers import STALL, Behaviour, JournalSmtp, ScriptedSmtp, Step
from tests.servers.scripted_smtp import CONTENT
from tests.smtp.talk import DATA, HELLO, MAIL, RCPT
from tests.waiting import WAIT_SECONDS, eventually

HOUR = 3_600

BACKLOG = 30

LOOP_TURNS = 200
"""So often a courier's loop goes round while a test holds what it does in a thread."""


def test_drain_is_true_once_all_is_delivered_and_recorded(
    site: Site, server: JournalSmtp
):
    receipts = [site.send() for _ in range(15)]
    assert site.mail.drain(WAIT_SECONDS) is True
    assert {site.get(one).state for one in receipts} == {State.SENT}
    assert len(server.mails) == 15


def test_drain_is_true_at_once_with_nothing_to_do(site: Site):
    assert site.mail.drain(0) is True


def test_drain_without_a_timeout_waits_as_long_as_it_takes(
    site: Site, server: JournalSmtp
):
    server.behaviour = Behaviour(delay_seconds=0.2)
    receipt = site.send()
    assert site.mail.drain() is True
    assert site.get(receipt).state is State.SENT


def test_drain_is_false_when_time_is_up(site: Site, server: JournalSmtp):
    server.behaviour = Behaviour(hang=True)
    receipt = site.send()
    site.wait_for(signals.message_began)
    assert site.mail.drain(0.05) is False
    assert site.get(receipt).state is State.LEASED
    server.behaviour = Behaviour()
    assert site.mail.drain(WAIT_SECONDS) is True


def test_drain_is_false_without_a_courier_in_this_process(make_site: MakeSite):
    site = make_site(OUTBOX_ENGINE="external")
    site.send()
    assert site.mail.drain(0.05) is False
    assert site.counts() == {State.PENDING: 1}


def test_drain_does_not_wait_for_scheduled_mail(site: Site):
    site.send(delay=HOUR)
    assert site.mail.drain(WAIT_SECONDS) is True
    assert site.counts() == {State.PENDING: 1}


def test_under_testing_a_courier_works_for_as_long_as_it_takes(make_site: MakeSite):
    site = make_site(TESTING=True)
    others = {*threading.enumerate()}
    receipts = [site.send() for _ in range(3)]
    assert site.counts() == {State.PENDING: 3}
    assert site.mail.drain(WAIT_SECONDS) is True
    assert {site.get(one).state for one in receipts} == {State.SENT}
    assert len(site.told(signals.courier_stopped)) == 1
    eventually(lambda: {*threading.enumerate()} <= others)


def test_under_testing_one_works_whatever_the_engine_is(make_site: MakeSite):
    site = make_site(TESTING=True, OUTBOX_ENGINE="external")
    receipt = site.send()
    assert site.mail.drain(WAIT_SECONDS) is True
    assert site.get(receipt).state is State.SENT


def test_stop_finishes_begun_attempts_and_a_later_send_starts_a_courier(
    site: Site, server: JournalSmtp
):
    server.behaviour = Behaviour(delay_seconds=0.2)
    first = site.send()
    site.wait_for(signals.message_began)
    site.mail.stop()
    assert site.get(first).state is State.SENT
    server.behaviour = Behaviour()
    second = site.send()
    assert site.settled(second).state is State.SENT
    assert len({one["courier"] for one in site.told(signals.courier_started)}) == 2


def test_stop_returns_messages_that_it_cannot_finish(make_site: MakeSite):
    """The first mail was past the final dot, so nobody can know; the second was not."""
    script = [*HELLO, MAIL, RCPT, DATA, Step(CONTENT, STALL)]
    with ScriptedSmtp(script) as silent:
        site = make_site(
            MAIL_URL=f"smtp://{silent.host}:{silent.port}",
            OUTBOX_CONCURRENCY=1,
            OUTBOX_GRACE_SECONDS=0.1,
        )
        begun = site.send()
        silent.wait_for_step(len(script) - 1)
        waiting = site.send()
        site.mail.stop()
    assert site.get(begun).state is State.UNKNOWN
    assert site.get(waiting).state is State.PENDING
    assert site.get(waiting).attempts == ()
    assert site.status().couriers == ()


def test_stop_returns_messages_that_the_server_never_accepted(make_site: MakeSite):
    script = [Step("", STALL)]
    with ScriptedSmtp(script) as silent:
        site = make_site(
            MAIL_URL=f"smtp://{silent.host}:{silent.port}", OUTBOX_GRACE_SECONDS=0.1
        )
        receipt = site.send()
        silent.wait_for_step(0)
        site.mail.stop()
    record = site.get(receipt)
    assert record.state is State.PENDING
    assert [one.outcome for one in record.attempts] == ["returned"]
    assert "stopped before the message was transmitted" in describe(record)[-1].output


def test_start_starts_the_courier_before_any_mail(site: Site):
    site.mail.start()
    (started,) = site.wait_for(signals.courier_started)
    assert started["engine"] == "thread"
    site.mail.start()
    receipt = site.send()
    assert site.settled(receipt).attempts[0].courier == started["courier"]


def test_stop_right_after_send_leaves_no_attempt_half_done(
    site: Site, server: JournalSmtp
):
    """However the two meet: what was begun is finished, the rest was never begun."""
    receipts = []
    for count in range(1, 31):
        site.mail.start()
        site.wait_for(signals.courier_started, times=count)
        receipts.append(site.send())
        site.mail.stop()
    records = [site.get(one) for one in receipts]
    sent = [one.rfc_message_id for one in records if one.state is State.SENT]
    assert server.arrived == sorted(sent)
    for record in records:
        assert [one.outcome for one in record.attempts] in ([], ["sent"])


def test_a_courier_ends_in_order_although_its_transport_cannot_be_closed(
    site: Site, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    async def fail() -> None:
        raise ValueError("not open")

    site.make_ready()
    monkeypatch.setattr(site.courier.lanes["default"].transport, "close", fail)
    site.mail.stop()
    assert len(site.told(signals.courier_stopped)) == 1
    (said,) = [one.getMessage() for one in caplog.records if one.exc_info]
    assert said == "The courier could not stop cleanly."
    caplog.clear()


def test_an_ending_process_delivers_what_its_courier_is_just_claiming(
    make_site: MakeSite, server: JournalSmtp, monkeypatch: pytest.MonkeyPatch
):
    """Nothing else is due then, but these are not delivered yet."""
    site = site_with_backlog(make_site, BACKLOG)
    claim, claimed = Outbox.claim, threading.Event()

    def claim_while_the_process_ends(*args: Any) -> list[Claim]:
        claims = claim(*args)
        if claims and not claimed.is_set():
            claimed.set()
            wait_while_it_drains(site)
        return claims

    monkeypatch.setattr(LocalQueue, "ahead", lambda _: BACKLOG)
    monkeypatch.setattr(Outbox, "claim", claim_while_the_process_ends)
    assert_all_leaves_at_the_end(site, claimed, server)


def test_an_ending_process_delivers_by_the_fallback_what_is_just_returned(
    make_site: MakeSite,
    server: JournalSmtp,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    """It is due again as soon as its return is recorded."""
    server.go_down()
    with JournalSmtp(tmp_path / "backup-journal") as backup:
        site = site_with_backlog(
            make_site,
            BACKLOG,
            MAIL_TRANSPORTS={"backup": url_of(backup)},
            MAIL_FAILOVER={"default": ["backup"]},
        )
        record, recorded = Outbox.record, threading.Event()

        def record_while_the_process_ends(*args: Any) -> Recorded:
            if not recorded.is_set():
                recorded.set()
                wait_while_it_drains(site)
            return record(*args)

        monkeypatch.setattr(LocalQueue, "ahead", lambda _: BACKLOG)
        monkeypatch.setattr(Outbox, "record", record_while_the_process_ends)
        assert_all_leaves_at_the_end(site, recorded, backup)


def test_an_ending_process_delivers_although_one_look_at_what_is_due_fails(
    make_site: MakeSite,
    server: JournalSmtp,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    """A database that was locked for a moment is no reason to leave mail behind."""
    url = f"sqlite:///{tmp_path / 'outbox.db'}"
    sender = make_site(OUTBOX_ENGINE="external", OUTBOX_URL=url)
    site = make_site(OUTBOX_URL=url)
    site.make_ready()
    look, sent = Claimer.anything_due, threading.Event()

    async def fail_once(claimer: Claimer, until: float) -> bool:
        if not sent.is_set():
            sender.send()
            sent.set()
            raise OutboxUnavailable("database is locked")
        return await look(claimer, until)

    monkeypatch.setattr(Claimer, "anything_due", fail_once)
    site.runtime.stop(drain=True)
    assert site.counts() == {State.SENT: 1}
    (stalled,) = site.told(signals.courier_stalled)
    assert str(stalled["error"]) == "database is locked"


def test_a_courier_keeps_its_leases_while_it_finishes_its_attempts(
    make_site: MakeSite,
    server: JournalSmtp,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    """Where it may take longer for that than its leases last: others would send what it
    is just sending.
    """
    settings = {
        "OUTBOX_URL": f"sqlite:///{tmp_path / 'outbox.db'}",
        "OUTBOX_LEASE_SECONDS": 1.0,
    }
    renew, renewed = Outbox.renew, Counter[str]()

    def counted(outbox: Outbox, courier: str, seconds: float) -> bool:
        renewed[courier] += 1
        return renew(outbox, courier, seconds)

    monkeypatch.setattr(Outbox, "renew", counted)
    site, other = make_site(**settings), make_site(**settings)
    server.behaviour = Behaviour(hang=True)
    receipt = site.send()
    server.wait_until(lambda: server.held)
    other.make_ready()
    courier = site.courier
    ending = threading.Thread(target=site.mail.stop)
    ending.start()
    eventually(courier._stopping.is_set)
    before = renewed[courier.id]
    eventually(lambda: renewed[courier.id] - before > 3 * RENEWALS_PER_LEASE)
    server.behaviour = Behaviour()
    ending.join(WAIT_SECONDS)
    assert site.get(receipt).state is State.SENT
    assert len(server.mails) == 1
    assert not other.told(signals.message_rescued)


def assert_all_leaves_at_the_end(
    site: Site, held: threading.Event, server: JournalSmtp
) -> None:
    """Start the courier, end it once the test ``held`` it, and see that all is sent."""
    site.mail.start()
    assert held.wait(WAIT_SECONDS)
    site.runtime.stop(drain=True)
    assert site.counts() == {State.SENT: BACKLOG}
    assert len(server.mails) == BACKLOG


def wait_while_it_drains(site: Site) -> None:
    """Return once the courier was told to end, and its loop has gone on after that."""
    courier = site.courier
    while not courier._stopping.is_set():
        turn_once(courier)
    for _ in range(LOOP_TURNS):
        turn_once(courier)


def turn_once(courier: Courier) -> None:
    """Return when the courier's loop has gone round."""
    turned = threading.Event()
    assert courier.ask(turned.set)
    assert turned.wait(WAIT_SECONDS)


def test_drain_is_false_while_the_process_is_ending(tmp_path: Path):
    """A thread that outlives the main one can start no courier any more."""
    program = tmp_path / "program.py"
    program.write_text(
        "import threading\n"
        "from flask import Flask\n"
        "from flask_outbox import Mail\n"
        f"app = Flask('app', instance_path={str(tmp_path)!r})\n"
        "app.config.update(TESTING=True)\n"
        "mail = Mail(app)\n"
        "mail.send_message('Hello', ['ada@example.org'], sender='a@example.org')\n"
        "main = threading.main_thread()\n"
        "def late():\n"
        "    main.join()\n"
        "    print(mail.drain(60))\n"
        "threading.Thread(target=late).start()\n"
    )
    ran = subprocess.run(
        [sys.executable, program], capture_output=True, text=True, check=False
    )
    assert (ran.stdout, ran.returncode) == ("False\n", 0), ran.stderr
