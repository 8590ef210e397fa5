"""``flask outbox worker``: real processes, real signals, a real SMTP server."""

from __future__ import annotations

import gc
import json
import signal
import time
from pathlib import Path

import pytest

from flask_outbox import State, signals
from flask_outbox.history import describe
from tests.cli.conftest import MakeShop
from tests.cli.shop import Shop
from tests.servers import STALL, Behaviour, JournalSmtp, ScriptedSmtp, Step
from tests.waiting import eventually

WORKS = "started (engine external)"
FINISHING = "finishing attempts"


@pytest.mark.parametrize("engine", ["thread", "external"])
def test_it_delivers_waiting_and_new_messages(
    make_shop: MakeShop, server: JournalSmtp, engine: str
) -> None:
    front = make_shop()
    ids = [front.send()]
    with make_shop(OUTBOX_ENGINE=engine).process("worker") as worker:
        server.wait_for(1)
        ids.append(front.post())
        server.wait_for(2)
        eventually(lambda: all(front.get(id).state is State.SENT for id in ids))
        (courier,) = front.outbox.status().couriers
        worker.signal(signal.SIGTERM)
        assert worker.ended() == "Ended (SIGTERM): 2 sent.\n"
    assert (courier.engine, courier.alive) == ("external", True)
    assert front.outbox.status().couriers == ()
    assert f" to {server.host}:{server.port}. Ctrl-C" in worker.said
    for id in ids:
        assert f"Message {id} sent on attempt 1." in worker.said


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_on_a_signal_it_finishes_its_attempts(
    shop: Shop, server: JournalSmtp, number: signal.Signals
) -> None:
    id = shop.send()
    server.behaviour = Behaviour(hang=True)
    with shop.process("worker") as worker:
        server.wait_until(lambda: server.held)
        worker.signal(number)
        worker.wait_for(FINISHING)
        server.behaviour = Behaviour()
        assert worker.ended() == f"Ended ({number.name}): 1 sent.\n"
    assert shop.get(id).state is State.SENT
    assert len(server.mails) == 1


def test_it_returns_messages_after_the_grace_time(
    make_shop: MakeShop, server: JournalSmtp
) -> None:
    greeting = Step("", b"220 scripted.test ready\r\n")
    deaf = [greeting, Step("EHLO", b"250 scripted.test\r\n"), Step("MAIL", STALL)]
    shop = make_shop()
    begun, waiting = shop.send(), shop.send()
    with ScriptedSmtp(deaf) as stalling:
        slow = make_shop(
            MAIL_URL=f"smtp://{stalling.host}:{stalling.port}",
            OUTBOX_CONCURRENCY=1,
            OUTBOX_GRACE_SECONDS=0.2,
        )
        with slow.process("worker") as worker:
            eventually(lambda: stalling.received and stalling.commands(0)[1:])
            worker.signal(signal.SIGTERM)
            assert worker.ended() == "Ended (SIGTERM): 1 returned.\n"
    assert shop.get(begun).events[-1].kind == "returned"
    assert "its courier stopped" in describe(shop.get(begun))[-1].output
    assert shop.outbox.status().due == 2
    shop.deliver()
    assert shop.get(waiting).state is State.SENT
    assert len(server.mails) == 2


def test_a_second_signal_ends_it_at_once(
    make_shop: MakeShop, server: JournalSmtp
) -> None:
    shop = make_shop(OUTBOX_GRACE_SECONDS=600)
    id = shop.send()
    server.behaviour = Behaviour(hang=True)
    with shop.process("worker") as worker:
        server.wait_until(lambda: server.held)
        worker.signal(signal.SIGINT)
        worker.wait_for(FINISHING)
        worker.signal(signal.SIGINT)
        assert worker.ended(-signal.SIGINT) == ""
    server.wait_until(lambda: not server.held)
    assert shop.get(id).state is State.LEASED
    shop.run("status", code=1)
    server.behaviour = Behaviour()
    shop.deliver()
    assert shop.get(id).state is State.SENT
    (mail,) = server.mails
    assert mail.rfc_message_id == shop.get(id).rfc_message_id


def test_it_waits_for_an_unavailable_outbox(
    make_shop: MakeShop, server: JournalSmtp, tmp_path: Path
) -> None:
    place = tmp_path / "place"
    place.mkdir()
    shop = make_shop(OUTBOX_URL=f"sqlite:///{place}")
    with shop.process("worker") as worker:
        worker.wait_for("cannot use the outbox and retries: The outbox at ")
        place.rmdir()
        shop.send()
        server.wait_for(1)
        worker.signal(signal.SIGTERM)
        assert worker.ended() == "Ended (SIGTERM): 1 sent.\n"


# Until drained


def test_until_drained_ends_when_nothing_is_due(
    shop: Shop, server: JournalSmtp
) -> None:
    shop.send()
    later = shop.send(delay=3_600)
    with shop.process("worker", "--until-drained") as worker:
        assert worker.ended() == "Ended (drained): 1 sent.\n"
    assert len(server.mails) == 1
    assert shop.get(later).state is State.PENDING
    assert shop.deliver().stdout == "Ended (drained): no mail.\n"


def test_until_drained_leaves_deferred_messages(
    shop: Shop, server: JournalSmtp
) -> None:
    server.behaviour = Behaviour(at_data="451 4.3.0 later")
    id = shop.send()
    assert shop.deliver().stdout == "Ended (drained): 1 deferred.\n"
    assert shop.get(id).state is State.PENDING


def test_until_drained_resends_unknown_messages_after_their_wait(
    make_shop: MakeShop, server: JournalSmtp
) -> None:
    shop = make_shop(OUTBOX_UNKNOWN_WAIT_SECONDS=60)
    server.behaviour = Behaviour(drop="unjournaled")
    id = shop.send()
    assert shop.deliver().stdout == "Ended (drained): 1 unknown.\n"
    server.behaviour = Behaviour()
    assert shop.deliver().stdout == "Ended (drained): no mail.\n"
    assert shop.get(id).state is State.UNKNOWN
    shop.outbox.clock = lambda: time.time() + 61
    assert shop.deliver().stdout == "Ended (drained): 1 sent.\n"
    assert len(server.mails) == 1


def test_until_drained_leaves_messages_on_hold(
    make_shop: MakeShop, server: JournalSmtp
) -> None:
    shop = make_shop(OUTBOX_ON_UNKNOWN="hold")
    server.behaviour = Behaviour(drop="unjournaled")
    id = shop.send()
    assert shop.deliver().stdout == "Ended (drained): 1 unknown.\n"
    assert shop.deliver().stdout == "Ended (drained): no mail.\n"
    assert shop.get(id).state is State.UNKNOWN


def test_until_drained_continues_if_the_server_comes_back(
    shop: Shop, server: JournalSmtp
) -> None:
    happened = []

    def paused(_app: object, **_: object) -> None:
        happened.append("paused")
        server.come_back()

    def resumed(_app: object, **_: object) -> None:
        happened.append("resumed")
        if happened.count("resumed") == 1:
            server.go_down()

    id = shop.send()
    server.go_down()
    with (
        signals.lane_paused.connected_to(paused, shop.app),
        signals.lane_resumed.connected_to(resumed, shop.app),
    ):
        said = shop.deliver().stdout
    assert happened == ["paused", "resumed", "paused", "resumed"]
    assert said == "Ended (drained): 1 sent, 2 returned.\n"
    assert shop.get(id).state is State.SENT


def test_garbage_is_not_looked_for_in_what_the_app_has_loaded(
    shop: Shop, server: JournalSmtp
) -> None:
    shop.send()
    passed_over = []

    def note(_app: object, **_: object) -> None:
        passed_over.append(gc.get_freeze_count())

    with signals.message_sent.connected_to(note):
        shop.deliver()
    assert passed_over[0] > 0
    assert gc.get_freeze_count() == 0


def test_until_drained_ends_when_the_server_stays_down(
    shop: Shop, server: JournalSmtp
) -> None:
    id = shop.send()
    server.go_down()
    result = shop.run("worker", "--until-drained", code=1)
    assert "Ended (down): 1 returned.\n" in result.stdout
    assert "Error: Lane default is paused: " in result.stderr
    assert str(server.port) in result.stderr
    assert shop.get(id).state is State.PENDING
    server.come_back()
    shop.deliver()
    assert shop.get(id).state is State.SENT


def test_until_drained_stops_at_a_signal(shop: Shop, server: JournalSmtp) -> None:
    shop.send()
    server.behaviour = Behaviour(hang=True)
    with shop.process("worker", "--until-drained") as worker:
        server.wait_until(lambda: server.held)
        worker.signal(signal.SIGTERM)
        worker.wait_for(FINISHING)
        server.behaviour = Behaviour()
        assert worker.ended() == "Ended (SIGTERM): 1 sent.\n"


def test_until_drained_does_not_wait_for_an_unavailable_outbox(
    make_shop: MakeShop, tmp_path: Path
) -> None:
    shop = make_shop(OUTBOX_URL=f"sqlite:///{tmp_path}")
    result = shop.run("worker", "--until-drained", code=2)
    assert "Error: The outbox at " in result.stderr
    assert result.stdout == ""


# What is printed


def test_the_result_is_printed_as_json(shop: Shop) -> None:
    shop.send()
    document = json.loads(shop.run("worker", "--until-drained", "--json").stdout)
    assert [len(one) for one in document.pop("couriers")] == [26]
    assert document == {
        "ended": "drained",
        "attempts": {
            "sent": 1, "deferred": 0, "failed": 0, "unknown": 0, "returned": 0,
        },
    }  # fmt: skip


# Its settings


@pytest.mark.parametrize("concurrency", [3, 12])
def test_concurrency_limits_simultaneous_deliveries(
    make_shop: MakeShop, server: JournalSmtp, concurrency: int
) -> None:
    shop = make_shop(OUTBOX_CONCURRENCY=7)
    for _ in range(15):
        shop.send()
    server.behaviour = Behaviour(hang=True)
    with shop.process("worker", "--concurrency", str(concurrency)) as worker:
        server.wait_until(lambda: server.held == concurrency)
        assert shop.outbox.status().counts[State.LEASED] == concurrency
        server.behaviour = Behaviour()
        server.wait_for(15)
        worker.signal(signal.SIGTERM)
        assert worker.ended() == "Ended (SIGTERM): 15 sent.\n"


def test_concurrency_is_refused_once_the_outbox_is_in_use(shop: Shop) -> None:
    shop.send()
    result = shop.run("worker", "--concurrency", "3", code=1)
    assert "OUTBOX_CONCURRENCY = 10, so --concurrency has no effect" in result.stderr


@pytest.mark.parametrize("option", ["--processes", "--concurrency"])
@pytest.mark.parametrize("number", ["0", "-1", "1001", "many"])
def test_invalid_numbers_are_refused(shop: Shop, option: str, number: str) -> None:
    result = shop.run("worker", option, number, code=2)
    assert f"Invalid value for '{option}'" in result.stderr


def test_it_says_that_mail_stays_in_the_dev_inbox(make_shop: MakeShop) -> None:
    shop = make_shop(MAIL_URL="inbox://")
    shop.send()
    result = shop.deliver()
    assert "to the dev inbox" in result.stderr
    assert result.stdout == "Ended (drained): 1 sent.\n"
