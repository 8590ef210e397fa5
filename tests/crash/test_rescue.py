"""Couriers that die, or only seem to: what they had in hand is delivered."""

from __future__ import annotations

import time

import pytest

from flask_outbox.config import KEYS
from flask_outbox.history import describe
from flask_outbox.outbox import MessageActions, Outbox
from tests.crash.aftermath import states
from tests.crash.child import Job
from tests.crash.conftest import SendMails, Start
from tests.crash.jobs import (
    Config,
    deliver,
    deliver_and_tell,
    deliver_but_die_of,
    deliver_elsewhere,
)
from tests.crash.points import Stop
from tests.servers import Behaviour, JournalSmtp
from tests.waiting import BUSY_SECONDS, eventually

RESCUE_SECONDS = 30.0
"""What is promised by default."""

LEASES = 1.5
"""The same in leases: one until it has run out, and less until somebody looks."""

PATIENCE_SECONDS = 86_400.0
"""How long a message that a person retries may be tried."""

(DEFAULT_LEASE_SECONDS,) = (
    key.default for key in KEYS if key.name == "OUTBOX_LEASE_SECONDS"
)


def _counts(outbox: Outbox) -> dict[str, int]:
    return {state: n for state, n in outbox.status().counts.items() if n}


@pytest.mark.parametrize(
    ("job", "lease_seconds"),
    [
        pytest.param(deliver_and_tell, DEFAULT_LEASE_SECONDS, id="same machine"),
        pytest.param(deliver_elsewhere, 4.0, id="another machine, short lease"),
        pytest.param(
            deliver_elsewhere,
            DEFAULT_LEASE_SECONDS,
            id="another machine",
            marks=pytest.mark.long,
        ),
    ],
)
def test_another_courier_takes_over_from_a_dead_one(
    config: Config,
    outbox: Outbox,
    server: JournalSmtp,
    start: Start,
    send_mails: SendMails,
    job: Job,
    lease_seconds: float,
):
    assert DEFAULT_LEASE_SECONDS * LEASES <= RESCUE_SECONDS
    config["OUTBOX_LEASE_SECONDS"] = lease_seconds
    server.behaviour = Behaviour(hang=True)
    couriers = [start(job, config, ["message_rescued"]) for _ in range(2)]
    assert [courier.hear() for courier in couriers] == ["at work"] * 2
    send_mails("once")
    server.wait_until(lambda: server.held == 1)
    (pid,) = [one.pid for one in outbox.status().couriers if one.leased]
    dead, colleague = sorted(couriers, key=lambda courier: courier.pid != pid)

    dead.kill()
    killed_at = time.monotonic()
    name, _ = colleague.hear()
    rescued_seconds = time.monotonic() - killed_at
    print(f"rescued after {rescued_seconds:.1f} s, of {lease_seconds * LEASES:g} s")
    assert name == "message_rescued"
    assert rescued_seconds < lease_seconds * LEASES + BUSY_SECONDS
    server.behaviour = Behaviour()
    eventually(lambda: _counts(outbox) == {"sent": 1})


def test_a_living_courier_keeps_its_mail_however_slow_its_server_is(
    config: Config,
    outbox: Outbox,
    server: JournalSmtp,
    start: Start,
    send_mails: SendMails,
):
    config["OUTBOX_LEASE_SECONDS"] = 1.0
    server.behaviour = Behaviour(delay_seconds=4.0)
    signals = ["message_rescued", "lease_lost", "message_sent"]
    couriers = [start(deliver_and_tell, config, signals) for _ in range(2)]
    assert [courier.hear() for courier in couriers] == ["at work"] * 2
    send_mails("once")
    eventually(lambda: _counts(outbox) == {"sent": 1})
    assert len(server.mails) == 1
    said = eventually(lambda: [word for one in couriers for word in one.heard()])
    assert [name for name, _ in said] == ["message_sent"]


def test_a_mail_that_kills_its_courier_is_given_up_and_others_are_sent(
    config: Config,
    outbox: Outbox,
    server: JournalSmtp,
    start: Start,
    send_mails: SendMails,
):
    others = [f"other-{number}" for number in range(20)]
    send_mails(*others[:10], "poison", *others[10:])
    (poison,) = [one.id for one in outbox.list() if one.subject == "poison"]
    for _ in range(3):
        start(deliver_but_die_of, config, "poison").wait_until_killed()
    survivor = start(deliver_but_die_of, config, "poison")
    eventually(lambda: _counts(outbox) == {"sent": 20, "failed": 1})
    survivor.kill()

    record = outbox.get(poison)
    assert record.state == "failed"
    assert {one.state for one in record.recipients} == {"failed"}
    assert "poison" in describe(record)[-1].what
    poison_id = record.rfc_message_id
    assert poison_id not in {mail.rfc_message_id for mail in server.mails}

    outbox.act(MessageActions.retry, poison)
    start(deliver, config)
    eventually(lambda: _counts(outbox) == {"sent": 21})
    assert [mail.rfc_message_id for mail in server.mails].count(poison_id) == 1


def test_with_hold_a_death_after_the_final_dot_leaves_it_unknown(
    config: Config,
    outbox: Outbox,
    server: JournalSmtp,
    start: Start,
    send_mails: SendMails,
):
    config["OUTBOX_ON_UNKNOWN"] = "hold"
    send_mails("once")
    start(deliver, config, Stop("after the final dot")).wait_until_killed()
    (copy,) = server.wait_for(1)
    start(deliver, config)
    eventually(lambda: _counts(outbox) == {"unknown": 1})
    send_mails("another")
    eventually(lambda: _counts(outbox) == {"unknown": 1, "sent": 1})
    assert states(outbox)[copy.rfc_message_id] == "unknown"
    assert len(server.mails) == 2

    (held,) = [one.id for one in outbox.list() if one.subject == "once"]
    outbox.act(MessageActions.retry, held)
    eventually(lambda: _counts(outbox) == {"sent": 2})
    assert [mail.rfc_message_id for mail in server.mails].count(
        copy.rfc_message_id
    ) == 2
