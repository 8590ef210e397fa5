"""Couriers: their heartbeats, and what happens to the mail of dead ones."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest

from flask_outbox.delivery import State
from flask_outbox.history import describe
from flask_outbox.outbox import Database, MessageActions, Outbox
from flask_outbox.outbox.couriers import is_gone, this_process
from flask_outbox.outbox.records import CourierRecord

from . import elsewhere
from .elsewhere import Process
from .making import (
    ADA,
    BOB,
    COURIER,
    KEPT,
    LATER,
    LEASE_SECONDS,
    OTHER_COURIER,
    Clock,
    claim_one,
    deferred,
    ended,
    enlist,
    kinds,
    put,
    returned,
    sent,
    states,
    unknown,
)
from .meanwhile import meanwhile


def couriers(outbox: Outbox) -> dict[str, CourierRecord]:
    return {one.id: one for one in outbox.status().couriers}


# --------------------------------------------------------------------------- heartbeats


def test_a_courier_is_known_from_registering_to_resigning(
    outbox: Outbox, clock: Clock
) -> None:
    enlist(outbox)

    known = couriers(outbox)[COURIER]
    assert known.alive
    assert known.engine == "thread"
    assert known.leased == 0
    assert known.seen_at.timestamp() == pytest.approx(clock.now, abs=1e-6)

    outbox.resign(COURIER)
    assert couriers(outbox) == {}


def test_a_renewal_is_recorded(outbox: Outbox, clock: Clock) -> None:
    enlist(outbox)
    clock.advance(5)

    assert outbox.renew(COURIER, LEASE_SECONDS)

    known = couriers(outbox)[COURIER]
    assert (known.seen_at - known.started_at).total_seconds() == pytest.approx(5)


def test_a_removed_courier_cannot_renew_but_may_register_again(
    outbox: Outbox, clock: Clock
) -> None:
    enlist(outbox)
    clock.advance(LEASE_SECONDS + 1)
    outbox.rescue(hold_unknown=False)

    assert not outbox.renew(COURIER, LEASE_SECONDS)
    enlist(outbox)
    assert outbox.renew(COURIER, LEASE_SECONDS)


def test_resigning_returns_leased_messages(outbox: Outbox, clock: Clock) -> None:
    enlist(outbox)
    message_id = put(outbox, owner=COURIER)

    outbox.resign(COURIER)

    found = outbox.get(message_id)
    assert found.state is State.PENDING
    assert kinds(outbox, message_id) == ["enqueued", "returned"]
    assert describe(found)[-1].output == "its courier stopped"
    assert claim_one(outbox, OTHER_COURIER).attempt == 1


def test_an_expired_lease_is_visible(outbox: Outbox, clock: Clock) -> None:
    enlist(outbox)
    put(outbox, owner=COURIER)
    clock.advance(LEASE_SECONDS + 0.001)

    known = couriers(outbox)[COURIER]
    assert not known.alive
    assert known.leased == 1


# ------------------------------------------------------------------ rescue by the clock


def test_living_couriers_are_not_rescued_from(outbox: Outbox, clock: Clock) -> None:
    enlist(outbox)
    message_id = put(outbox, owner=COURIER)
    clock.advance(LEASE_SECONDS)

    assert outbox.rescue(hold_unknown=False) == []

    assert outbox.get(message_id).state is State.LEASED
    assert couriers(outbox)[COURIER].alive


def test_renewing_keeps_every_lease(outbox: Outbox, clock: Clock) -> None:
    enlist(outbox)
    put(outbox, owner=COURIER)
    for _ in range(10):
        clock.advance(LEASE_SECONDS - 1)
        assert outbox.rescue(hold_unknown=False) == []
        assert outbox.renew(COURIER, LEASE_SECONDS)


def test_a_silent_courier_loses_its_messages(outbox: Outbox, clock: Clock) -> None:
    enlist(outbox)
    enlist(outbox, OTHER_COURIER)
    enqueued, claimed = put(outbox, owner=COURIER), put(outbox)
    claim_one(outbox)
    kept = put(outbox, owner=OTHER_COURIER)
    clock.advance(LEASE_SECONDS)
    outbox.renew(OTHER_COURIER, LEASE_SECONDS)
    clock.advance(0.001)

    rescued = outbox.rescue(hold_unknown=False)

    assert sorted(rescued) == sorted(
        (one, COURIER, State.PENDING) for one in (enqueued, claimed)
    )
    assert kinds(outbox, enqueued) == ["enqueued", "rescued"]
    assert outbox.get(kept).state is State.LEASED
    assert list(couriers(outbox)) == [OTHER_COURIER]
    assert outbox.rescue(hold_unknown=False) == []


def test_a_rescued_message_is_due_at_once(outbox: Outbox, clock: Clock) -> None:
    put(outbox, ADA, BOB)
    held = claim_one(outbox)
    answers = {ADA: (State.SENT, KEPT), BOB: (State.PENDING, LATER)}
    outbox.record(
        [ended(held, clock.now, State.PENDING, answers, due_at=clock.now + 60)]
    )
    clock.advance(60)
    claim_one(outbox)

    outbox.rescue(hold_unknown=False)

    again = claim_one(outbox, OTHER_COURIER)
    assert again.envelope.recipients == (BOB,)
    assert again.attempt == 2
    assert again.token == 3


def test_a_lease_without_any_courier_is_rescued(outbox: Outbox) -> None:
    message_id = put(outbox, owner="01ORPHAN000000000000000000")

    assert outbox.rescue(hold_unknown=False) == [
        (message_id, "01ORPHAN000000000000000000", State.PENDING)
    ]


def test_a_courier_that_registers_meanwhile_is_not_dead(
    outbox: Outbox, other: Outbox
) -> None:
    """Rescue looks at couriers and at leases: nobody may slip between the looks."""
    put(outbox)

    def come_in_and_claim() -> None:
        enlist(other)
        claim_one(other)

    with meanwhile(outbox, "SELECT DISTINCT", come_in_and_claim) as came:
        rescued = outbox.rescue(hold_unknown=False)

    came.result()
    assert rescued == []
    assert len(outbox.leased_to(COURIER)) == 1


def test_a_courier_that_renews_meanwhile_is_not_removed(
    outbox: Outbox, other: Outbox, clock: Clock
) -> None:
    enlist(outbox)
    message_id = put(outbox, owner=COURIER)
    clock.advance(LEASE_SECONDS + 1)

    with meanwhile(
        outbox, "DELETE", lambda: other.renew(COURIER, LEASE_SECONDS)
    ) as renewed:
        rescued = outbox.rescue(hold_unknown=False)

    assert renewed.result() == (rescued == [])
    leased = outbox.get(message_id).state is State.LEASED
    assert leased == renewed.result()


# ----------------------------------------------------------------- clocks that are set


@pytest.mark.parametrize("jump_seconds", [3_600.0, -3_600.0, 86_400.0 * 365])
def test_a_changed_clock_makes_no_courier_dead(
    outbox: Outbox, database: Database, clock: Clock, jump_seconds: float
) -> None:
    """Dead is who was silent for a lease while somebody watched."""
    set_clock, steady = Clock(), Clock()
    set_clock.advance(jump_seconds)
    other = Outbox(database, set_clock, steady_clock=steady)
    enlist(outbox)
    message_id = put(outbox, owner=COURIER)

    assert other.rescue(hold_unknown=False) == []
    for _ in range(8):
        steady.advance(LEASE_SECONDS / 4)
        clock.advance(LEASE_SECONDS / 4)
        assert outbox.renew(COURIER, LEASE_SECONDS)
        assert other.rescue(hold_unknown=False) == []

    steady.advance(LEASE_SECONDS + 1)
    assert other.rescue(hold_unknown=False) == [(message_id, COURIER, State.PENDING)]


def test_a_due_message_stays_due_when_the_clock_is_put_back(
    outbox: Outbox, clock: Clock
) -> None:
    due, tried, scheduled = (
        put(outbox),
        put(outbox),
        put(outbox, due_at=clock.now + 600),
    )
    held = next(one for one in outbox.claim(COURIER, "default", 10) if one.id == tried)
    outbox.record([deferred(held, clock.now, clock.now + 60)])
    outbox.resign(COURIER)
    clock.advance(-3_600)
    assert outbox.claim(COURIER, "default", 10) == []

    assert outbox.hasten(deferred=False) == 2

    assert {one.id for one in outbox.claim(COURIER, "default", 10)} == {due, tried}
    assert outbox.get(scheduled).state is State.PENDING
    assert outbox.hasten(deferred=False) == 0


def test_an_old_message_that_was_tried_is_tried_again_when_the_jump_is_seen(
    outbox: Outbox, clock: Clock
) -> None:
    message_id = put(outbox)
    clock.advance(86_400)
    outbox.record([deferred(claim_one(outbox), clock.now, clock.now + 60)])
    clock.advance(-3_600)

    assert outbox.hasten(deferred=False) == 0
    assert outbox.hasten(deferred=True) == 1

    assert claim_one(outbox).id == message_id


# ------------------------------------------------------- rescue because nobody is there


def test_a_killed_process_is_found_at_once(
    outbox: Outbox, url: str, clock: Clock
) -> None:
    message_id = put(outbox)
    with Process(
        elsewhere.claim_and_record, url, OTHER_COURIER, str(clock.now)
    ) as process:
        assert process.hear() == message_id
        assert outbox.rescue(hold_unknown=False) == []
        assert couriers(outbox)[OTHER_COURIER].alive

        process.kill()
        assert not couriers(outbox)[OTHER_COURIER].alive
        rescued = outbox.rescue(hold_unknown=False)

    assert rescued == [(message_id, OTHER_COURIER, State.PENDING)]
    assert couriers(outbox) == {}


def test_a_frozen_courier_changes_nothing_when_it_wakes(
    outbox: Outbox, url: str, clock: Clock
) -> None:
    message_id = put(outbox)
    with Process(
        elsewhere.claim_and_record, url, OTHER_COURIER, str(clock.now)
    ) as process:
        assert process.hear() == message_id
        process.freeze()
        assert outbox.rescue(hold_unknown=False) == []
        clock.advance(LEASE_SECONDS + 1)
        assert outbox.rescue(hold_unknown=False) != []
        outbox.record([unknown(claim_one(outbox), clock.now, clock.now + 300)])
        before = outbox.get(message_id)

        process.thaw()
        process.say()
        assert process.hear() == [message_id]

    assert outbox.get(message_id) == before


def test_this_process_is_found_alive() -> None:
    assert this_process()
    assert not is_gone(this_process())


def test_a_process_is_gone_as_soon_as_it_is_dead() -> None:
    """A zombie does nothing any more, however long its parent leaves it about."""
    tell = "from flask_outbox.outbox.couriers import this_process as p; print(p())"
    with subprocess.Popen(
        [sys.executable, "-uc", f"{tell}; input()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as child:
        assert child.stdout
        process = child.stdout.readline().rstrip()
        assert not is_gone(process)
        child.kill()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert is_gone(process)
        child.wait()
        assert is_gone(process)


@pytest.mark.skipif(
    os.getuid() != 0 or not shutil.which("unshare") or not shutil.which("setpriv"),
    reason="hiding processes takes root, unshare and setpriv",
)
def test_a_process_that_is_hidden_from_us_is_not_gone() -> None:
    """``hidepid`` (systemd's ProtectProc) hides the processes of other users."""
    place = this_process().rpartition(" ")[0]
    ask = (
        "from flask_outbox.outbox.couriers import is_gone; import pathlib, sys;"
        "print(pathlib.Path('/proc', sys.argv[1]).exists(), is_gone(sys.argv[2]))"
    )
    with subprocess.Popen(
        ["setpriv", "--reuid=65534", "--clear-groups", "cat"], stdin=subprocess.PIPE
    ) as other:
        try:
            said = subprocess.run(
                [
                    *("unshare", "--mount", "sh", "-c"),
                    'mount -t proc -o hidepid=2,gid=65534 proc /proc && exec "$@"',
                    *("sh", "setpriv", "--bounding-set=-sys_ptrace,-kill"),
                    *(sys.executable, "-c", ask),
                    *(str(other.pid), f"{place} {other.pid}@1"),
                ],
                capture_output=True,
                text=True,
                check=True,
            )
        finally:
            other.kill()
    assert said.stdout.split() == ["False", "False"]


def test_a_reused_pid_is_another_process() -> None:
    place, _, number = this_process().rpartition(" ")
    pid, _, started = number.partition("@")

    assert is_gone(f"{place} {pid}@{int(started) - 1}")


@pytest.mark.parametrize(
    "process",
    ["", "another-boot/pid:[4026531836] 1@1", "nonsense", "a/b c@d"],
    ids=["not told", "another machine", "no place", "no number"],
)
def test_an_undetectable_process_is_not_gone(process: str) -> None:
    assert not is_gone(process)


# ------------------------------------------------------------------------------ crashes


def crash(outbox: Outbox, *, begun: bool, hold: bool = False) -> State:
    """Claim the one message, perhaps begin, and die; the state that it gets."""
    enlist(outbox)
    held = claim_one(outbox)
    if begun:
        assert outbox.begin(held)
    assert isinstance(outbox.clock, Clock)
    outbox.clock.advance(LEASE_SECONDS + 1)
    ((_, _, state),) = outbox.rescue(hold_unknown=hold)
    return state


def test_a_message_is_suspect_after_a_crash(outbox: Outbox) -> None:
    put(outbox)
    crash(outbox, begun=False)

    assert claim_one(outbox).crashes == 1


def test_the_third_crash_is_poison(outbox: Outbox) -> None:
    message_id = put(outbox, ADA, BOB)

    assert crash(outbox, begun=False) is State.PENDING
    assert crash(outbox, begun=True) is State.PENDING
    assert crash(outbox, begun=True) is State.FAILED

    found = outbox.get(message_id)
    assert found.state is State.FAILED
    assert states(outbox, message_id) == {ADA: State.FAILED, BOB: State.FAILED}
    assert describe(found)[-1].what == (
        "Failed as poison: 3 couriers died delivering it"
    )
    assert outbox.claim(COURIER, "default", 10) == []


def test_crashes_before_an_attempt_never_make_poison(outbox: Outbox) -> None:
    put(outbox)
    for _ in range(5):
        assert crash(outbox, begun=False) is State.PENDING

    assert claim_one(outbox).crashes == 1


def test_a_finished_attempt_resets_the_crashes(outbox: Outbox, clock: Clock) -> None:
    put(outbox)
    crash(outbox, begun=False)
    crash(outbox, begun=True)
    outbox.record([deferred(claim_one(outbox), clock.now, clock.now)])

    assert claim_one(outbox).crashes == 0


def test_a_return_does_not_reset_the_crashes(outbox: Outbox, clock: Clock) -> None:
    put(outbox)
    crash(outbox, begun=False)
    outbox.record([returned(claim_one(outbox), clock.now)])

    assert claim_one(outbox).crashes == 1


def test_poison_does_not_change_recipients_who_have_the_message(
    outbox: Outbox, clock: Clock
) -> None:
    message_id = put(outbox, ADA, BOB)
    answers = {ADA: (State.SENT, KEPT), BOB: (State.PENDING, LATER)}
    held = claim_one(outbox)
    outbox.record([ended(held, clock.now, State.PENDING, answers, due_at=clock.now)])
    for _ in range(3):
        crash(outbox, begun=True)

    assert states(outbox, message_id) == {ADA: State.SENT, BOB: State.FAILED}


def test_a_retried_poison_message_starts_without_crashes(outbox: Outbox) -> None:
    message_id = put(outbox)
    for _ in range(3):
        crash(outbox, begun=True)
    outbox.act(MessageActions.retry, message_id)

    assert claim_one(outbox).crashes == 0


# ------------------------------------------------------------------------------ unknown


def test_with_hold_a_begun_message_becomes_unknown(outbox: Outbox) -> None:
    message_id = put(outbox, ADA)

    assert crash(outbox, begun=True, hold=True) is State.UNKNOWN

    assert states(outbox, message_id) == {ADA: State.UNKNOWN}
    assert describe(outbox.get(message_id))[-1].background == "on hold for a person"
    assert outbox.claim(COURIER, "default", 10) == []


def test_with_hold_a_message_not_begun_is_pending(outbox: Outbox) -> None:
    put(outbox)

    assert crash(outbox, begun=False, hold=True) is State.PENDING


def test_unknown_is_sent_again_after_its_wait(outbox: Outbox, clock: Clock) -> None:
    message_id = put(outbox)
    outbox.record([unknown(claim_one(outbox), clock.now, clock.now + 300)])

    clock.advance(299)
    assert outbox.resend_unknown() == []
    clock.advance(1)
    assert outbox.resend_unknown() == [message_id]
    assert outbox.resend_unknown() == []

    assert kinds(outbox, message_id) == ["enqueued", "unknown", "resent"]
    again = claim_one(outbox)
    assert again.id == message_id
    assert again.attempt == 2


def test_only_unknown_recipients_are_resent_to(outbox: Outbox, clock: Clock) -> None:
    message_id = put(outbox, ADA, BOB)
    held = claim_one(outbox)
    answers = {ADA: (State.SENT, KEPT), BOB: (State.UNKNOWN, LATER)}
    outbox.record(
        [ended(held, clock.now, State.UNKNOWN, answers, due_at=clock.now + 300)]
    )
    clock.advance(300)
    outbox.resend_unknown()

    assert states(outbox, message_id) == {ADA: State.SENT, BOB: State.PENDING}
    assert claim_one(outbox).envelope.recipients == (BOB,)


def test_a_resent_message_finishes_like_any_other(outbox: Outbox, clock: Clock) -> None:
    message_id = put(outbox)
    outbox.record([unknown(claim_one(outbox), clock.now, clock.now)])
    outbox.resend_unknown()
    outbox.record([sent(claim_one(outbox), clock.now)])

    assert outbox.get(message_id).state is State.SENT
    clock.advance(1)
    assert outbox.prune(0.5, 0.5).rows == 1


# ------------------------------------------------------------------------------- strays


def test_a_stray_is_returned_untried(outbox: Outbox) -> None:
    stray, held = put(outbox, owner=COURIER), put(outbox, owner=COURIER)

    outbox.return_untried(COURIER, [stray], "no task was delivering it")

    assert outbox.leased_to(COURIER) == [held]
    found = outbox.get(stray)
    assert found.state is State.PENDING
    assert describe(found)[-1].output == "no task was delivering it"
    again = claim_one(outbox, OTHER_COURIER)
    assert (again.id, again.attempt, again.crashes) == (stray, 1, 0)


def test_a_message_leased_to_another_courier_is_not_returned(
    outbox: Outbox, clock: Clock
) -> None:
    leased, pending = put(outbox, owner=OTHER_COURIER), put(outbox)
    done = put(outbox, owner=COURIER)
    held = claim_one(outbox, COURIER)
    outbox.record([sent(held, clock.now)])
    outbox.resign(COURIER)

    outbox.return_untried(COURIER, [leased, pending, done, "nobody"], "a stray")

    assert outbox.leased_to(OTHER_COURIER) == [leased]
    assert kinds(outbox, leased) == ["enqueued"]
    assert outbox.get(pending).state is State.SENT
    assert kinds(outbox, done) == ["enqueued", "returned"]


def test_the_old_token_of_a_stray_is_invalid(outbox: Outbox, clock: Clock) -> None:
    message_id = put(outbox)
    held = claim_one(outbox)
    outbox.return_untried(COURIER, [message_id], "no task was delivering it")
    again = claim_one(outbox)

    assert outbox.record([sent(held, clock.now)]).lost == [held]
    assert outbox.record([sent(again, clock.now)]).lost == []
