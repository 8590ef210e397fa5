"""``flask outbox worker --processes``: they share the work, and none is left behind."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

from flask_outbox import State
from tests.cli.conftest import MakeShop
from tests.cli.shop import PATIENCE_SECONDS, Process, Shop
from tests.servers import Behaviour, JournalSmtp
from tests.waiting import eventually

FINISHING = "finishing attempts"


def pids(shop: Shop, count: int = 3) -> list[int]:
    """The processes of that many couriers, once they work."""
    eventually(lambda: len(shop.outbox.status().couriers) == count, PATIENCE_SECONDS)
    return [one.pid for one in shop.outbox.status().couriers]


def is_gone(pid: int) -> bool:
    """Whether a process has ended, be it that nobody has taken note of it."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return True
    return stat.rpartition(")")[2].split()[0] == "Z"


def wait_until_gone(pids: list[int]) -> None:
    """Return once these processes have ended."""
    eventually(lambda: all(is_gone(one) for one in pids), PATIENCE_SECONDS)


def wait_for_held(server: JournalSmtp, count: int) -> None:
    """Return once the server lets that many mails hang."""
    server.wait_until(lambda: server.held == count, PATIENCE_SECONDS)


def sent_once(shop: Shop, server: JournalSmtp, ids: list[str]) -> None:
    """Fail unless each message was sent, and arrived once."""
    eventually(
        lambda: shop.outbox.status().counts[State.SENT] == len(ids), PATIENCE_SECONDS
    )
    assert server.arrived == sorted(shop.get(id).rfc_message_id for id in ids)


def test_processes_share_the_work(
    make_shop: MakeShop, server: JournalSmtp, url: str
) -> None:
    shop = make_shop(OUTBOX_URL=url, OUTBOX_CONCURRENCY=2)
    ids = [shop.send() for _ in range(30)]
    server.behaviour = Behaviour(hang=True)
    with shop.process("worker", "--processes", "3") as worker:
        wait_for_held(server, 6)
        assert worker.pid not in pids(shop)
        assert len(set(pids(shop))) == 3
        server.behaviour = Behaviour()
        server.wait_for(30)
        sent_once(shop, server, ids)
        worker.signal(signal.SIGTERM)
        assert worker.ended() == "Ended (SIGTERM): 30 sent.\n"
    assert "3 worker processes started: from the outbox at" in worker.said
    assert shop.outbox.status().couriers == ()


# The end


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("whom", ["the parent", "all"])
def test_on_a_signal_processes_finish_their_attempts(
    make_shop: MakeShop, server: JournalSmtp, number: signal.Signals, whom: str
) -> None:
    """A terminal and a service manager tell all of them, the first one only that.

    Until one is told, it may begin another message.
    """
    shop = make_shop(OUTBOX_CONCURRENCY=1)
    ids = [shop.send() for _ in range(40)]
    server.behaviour = Behaviour(hang=True)
    with shop.process("worker", "--processes=3", start_new_session=True) as worker:
        wait_for_held(server, 3)
        if whom == "all":
            os.killpg(worker.pid, number)
        else:
            worker.signal(number)
        worker.wait_for(FINISHING)
        server.behaviour = Behaviour(delay_seconds=0.5)
        last_words = worker.ended()
        sent = len(server.mails)
        assert last_words == f"Ended ({number.name}): {sent} sent.\n"
        assert 3 <= sent < len(ids)
        assert worker.said.count(FINISHING) == 1
    server.behaviour = Behaviour()
    assert shop.outbox.status().couriers == ()
    shop.deliver()
    sent_once(shop, server, ids)


def test_a_second_signal_ends_all_processes_at_once(
    make_shop: MakeShop, server: JournalSmtp
) -> None:
    shop = make_shop(OUTBOX_GRACE_SECONDS=600)
    id = shop.send()
    server.behaviour = Behaviour(hang=True)
    with shop.process("worker", "--processes", "3") as worker:
        wait_for_held(server, 1)
        children = pids(shop)
        worker.signal(signal.SIGTERM)
        worker.wait_for(FINISHING)
        worker.signal(signal.SIGTERM)
        assert worker.ended(-signal.SIGTERM) == ""
        wait_until_gone(children)
    assert shop.get(id).state is State.LEASED
    server.behaviour = Behaviour()
    shop.deliver()
    assert shop.get(id).state is State.SENT


def test_no_process_outlives_the_supervisor(
    make_shop: MakeShop, server: JournalSmtp
) -> None:
    """They finish what they have begun, and end."""
    shop = make_shop(OUTBOX_CONCURRENCY=1)
    ids = [shop.send() for _ in range(5)]
    server.behaviour = Behaviour(hang=True)
    with shop.process("worker", "--processes", "3") as worker:
        wait_for_held(server, 3)
        children = pids(shop)
        worker.signal(signal.SIGKILL)
        eventually(lambda: is_gone(worker.pid))
        server.behaviour = Behaviour()
        wait_until_gone(children)
    assert shop.outbox.status().couriers == ()
    assert len(server.mails) >= 3
    shop.deliver()
    sent_once(shop, server, ids)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_stuck_process_does_not_outlive_the_supervisor(
    make_shop: MakeShop, number: signal.Signals
) -> None:
    shop = make_shop(OUTBOX_GRACE_SECONDS=0.1, HANGS=True)
    shop.send()
    with shop.process("worker", "--processes", "2") as worker:
        children = pids(shop, 2)
        eventually(lambda: shop.outbox.status().counts[State.LEASED], PATIENCE_SECONDS)
        worker.signal(number)
        wait_until_gone(children)
        if number == signal.SIGTERM:
            worker.ended(1)
            assert "Error: Process " in worker.said
            assert " was ended by SIGALRM. Due messages stay" in worker.said


# One that is killed


def test_a_killed_process_is_replaced_and_its_mail_rescued(
    make_shop: MakeShop, server: JournalSmtp
) -> None:
    shop = make_shop(OUTBOX_CONCURRENCY=1, OUTBOX_LEASE_SECONDS=6)
    ids = [shop.send() for _ in range(3)]
    server.behaviour = Behaviour(hang=True)
    with shop.process("worker", "--processes", "3") as worker:
        wait_for_held(server, 3)
        killed, *others = pids(shop)
        os.kill(killed, signal.SIGKILL)
        worker.wait_for(
            f"Process {killed} was ended by SIGKILL; a new one starts in 1 s."
        )
        server.behaviour = Behaviour()
        sent_once(shop, server, ids)
        present = eventually(
            lambda: [one for one in pids(shop) if one not in (killed, *others)]
        )
        assert len(present) == 1
        worker.signal(signal.SIGTERM)
        worker.ended()


def test_a_stopped_process_ends_gracefully_and_is_replaced(
    shop: Shop, server: JournalSmtp
) -> None:
    with shop.process("worker", "--processes", "2") as worker:
        told, _other = pids(shop, 2)
        os.kill(told, signal.SIGTERM)
        worker.wait_for(f"Process {told} ended with exit code 0; a new one")
        eventually(lambda: told not in pids(shop, 2))
        worker.signal(signal.SIGTERM)
        assert worker.ended() == "Ended (SIGTERM): no mail.\n"


# Until drained


def drain(shop: Shop, *options: str, code: int = 0) -> tuple[str, Process]:
    """What a worker of several processes says at its end, which this waits for."""
    arguments = ("worker", "--until-drained", "--processes", "3", *options)
    with shop.process(*arguments) as worker:
        return worker.ended(code), worker


def test_until_drained_ends_when_nothing_is_due(
    make_shop: MakeShop, server: JournalSmtp, url: str
) -> None:
    shop = make_shop(OUTBOX_URL=url, OUTBOX_CONCURRENCY=2)
    ids = [shop.send() for _ in range(20)]
    later = shop.send(delay=3_600)
    document = json.loads(drain(shop, "--json")[0])
    assert document["ended"] == "drained"
    assert document["attempts"]["sent"] == 20
    assert len(set(document["couriers"])) == 3
    sent_once(shop, server, ids)
    assert shop.get(later).state is State.PENDING
    assert drain(shop)[0] == "Ended (drained): no mail.\n"


def test_until_drained_ends_when_the_server_is_down(
    shop: Shop, server: JournalSmtp
) -> None:
    id = shop.send()
    server.go_down()
    output, worker = drain(shop, code=1)
    assert output.startswith("Ended (down): ")
    assert worker.said.count("Error: Lane default is paused: ") == 1
    assert shop.get(id).state is State.PENDING


def test_until_drained_does_not_wait_for_an_unavailable_outbox(
    make_shop: MakeShop, tmp_path: Path
) -> None:
    shop = make_shop(OUTBOX_URL=f"sqlite:///{tmp_path}")
    output, worker = drain(shop, code=2)
    assert output == ""
    assert worker.said.count("Error: The outbox at ") == 1


def test_until_drained_reports_a_killed_process(
    make_shop: MakeShop, server: JournalSmtp
) -> None:
    shop = make_shop(OUTBOX_CONCURRENCY=1, OUTBOX_LEASE_SECONDS=6)
    ids = [shop.send() for _ in range(3)]
    server.behaviour = Behaviour(hang=True)
    with shop.process("worker", "--processes=3", "--until-drained") as worker:
        wait_for_held(server, 3)
        killed, *_ = pids(shop)
        os.kill(killed, signal.SIGKILL)
        wait_for_held(server, 2)
        server.behaviour = Behaviour()
        assert worker.ended(1) == "Ended (drained): 3 sent.\n"
    assert f"Error: Process {killed} was ended by SIGKILL." in worker.said
    sent_once(shop, server, ids)
