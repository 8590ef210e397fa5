"""``flask outbox move``."""

from __future__ import annotations

import os
import pty
import signal
import time
from pathlib import Path

import pytest
from sqlalchemy import make_url

from flask_outbox import State
from flask_outbox.history import describe
from flask_outbox.outbox import Database, Outbox
from flask_outbox.outbox.transfer import rows
from tests.cli.conftest import MakeShop
from tests.cli.shop import Shop
from tests.moving.places import place
from tests.outbox.making import enlist, kinds
from tests.process_models.proxy import Proxy
from tests.waiting import eventually

DAY = 86_400


@pytest.fixture
def new(tmp_path: Path) -> Path:
    """The file that the outbox is moved to."""
    return tmp_path / "new.db"


@pytest.fixture
def to(new: Path) -> str:
    """Its URL."""
    return f"sqlite:///{new}"


@pytest.fixture
def moved(make_shop: MakeShop, to: str) -> Shop:
    """The same shop with the new outbox."""
    return make_shop(OUTBOX_URL=to)


def break_off(shop: Shop, to: str, step: str = "delete_departed") -> None:
    """Have a move end as if it were killed."""

    class Killed(BaseException):
        pass

    def kill(*_: object) -> None:
        raise Killed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rows, step, kill)
        with pytest.raises(Killed):
            shop.app.test_cli_runner().invoke(args=["outbox", "move", "--to", to])


def test_it_moves_waiting_and_finished_messages(
    shop: Shop, moved: Shop, to: str, tmp_path: Path
) -> None:
    sent, waiting = shop.send(), shop.send(delay=DAY)
    shop.deliver()
    said = shop.run("move", "--to", to, columns=200).stdout
    assert said == (
        f"Moved 1 message to be delivered and 1 finished from sqlite:///{tmp_path}/"
        f"outbox.db to {to}.\nNothing is left here. Set OUTBOX_URL to the new one and "
        "restart the app and its workers; then run this again for messages that were "
        "enqueued in the meantime.\n"
    )
    assert moved.get(sent).state == State.SENT
    assert moved.get(waiting).state == State.PENDING
    assert (
        f"It moved here from sqlite:///{tmp_path}/"
        in describe(moved.get(sent))[-1].what
    )
    assert shop.document("list") == {"messages": []}


def test_the_result_is_printed_as_json(shop: Shop, to: str, tmp_path: Path) -> None:
    shop.send(delay=DAY)
    assert shop.document("move", "--to", to) == {
        "from": f"sqlite:///{tmp_path}/outbox.db",
        "to": to,
        "carried": {"waiting": 1, "finished": 0, "cancelled": 0},
        "left": {"waiting": 0, "leased": 0, "finished": 0, "moving": 0},
        "ended": "empty",
    }


def test_a_key_used_in_both_outboxes_is_delivered_once(
    shop: Shop, moved: Shop, to: str
) -> None:
    shop.send(key="order-1")
    moved.send(key="order-1")
    said = shop.run("move", "--to", to).stdout
    assert "(1 cancelled, because a message there has the same key)" in said


def test_it_waits_for_messages_being_delivered(
    shop: Shop, moved: Shop, to: str
) -> None:
    enlist(shop.outbox)
    leased = shop.send()
    shop.outbox.claim("01COURIER00000000000000000", "default", 1)
    result = shop.run("move", "--to", to, "--wait", "0.1", code=1)
    assert "1 message left here, 1 of them being delivered: run this again." in (
        result.stderr
    )
    assert shop.document("move", "--to", to, "--wait", "0", code=1)["ended"] == "waited"

    shop.outbox.resign("01COURIER00000000000000000")
    shop.run("move", "--to", to)
    assert moved.get(leased).state == State.PENDING


def test_messages_of_a_dead_courier_are_rescued_and_moved(
    shop: Shop, moved: Shop, to: str
) -> None:
    leased = shop.send()
    shop.outbox.claim("01NOBODY000000000000000000", "default", 1)
    shop.run("move", "--to", to)
    assert moved.get(leased).state == State.PENDING


def test_a_dry_run_moves_nothing(
    shop: Shop, to: str, new: Path, tmp_path: Path
) -> None:
    shop.send(delay=DAY)
    said = shop.run("move", "--to", to, "--dry-run").stdout
    assert said == (
        f"The outbox at sqlite:///{tmp_path}/outbox.db has 1 message: 1 to be "
        "delivered, 0 being delivered, 0 finished and 0 half moved.\n"
        f"The outbox at {to} has no tables yet.\n"
    )
    assert not new.exists()
    Database(to).upgrade()
    document = shop.document("move", "--to", to, "--dry-run")
    assert document["left"]["waiting"] == 1
    assert document["target_has_tables"]
    other = Outbox(Database(to))
    assert other.list() == []
    other.database.close()


@pytest.mark.parametrize(
    ("to", "said", "code"),
    [
        ("sqlite:///{folder}/outbox.db", "is in sqlite:///{folder}/outbox.db alr", 1),
        ("oracle://here", "--to begins with 'oracle'", 1),
        ("nonsense", "--to is not a database URL", 1),
        ("sqlite://", "--to names an SQLite database in memory", 1),
        ("postgresql://u:secret@127.0.0.1:1/x", "u:***@127.0.0.1:1/x cannot be", 2),
    ],
)
def test_an_unusable_target_is_refused(
    shop: Shop, to: str, said: str, code: int, tmp_path: Path
) -> None:
    shop.send(delay=DAY)
    stderr = shop.run("move", "--to", to.format(folder=tmp_path), code=code).stderr
    assert said.format(folder=tmp_path) in stderr
    assert "secret" not in stderr
    assert shop.document("status")["counts"]["pending"] == 1


def test_an_outbox_of_another_version_is_not_touched(
    shop: Shop, to: str, new: Path
) -> None:
    Database(to).upgrade()
    engine = Database(to).new_engine()
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE outbox_version SET version_num = '9999'")
    engine.dispose()
    shop.send(delay=DAY)
    assert "has a version that this Flask-Outbox" in (
        shop.run("move", "--to", to, code=2).stderr
    )


def test_half_moved_messages_are_reported_with_the_command_to_run(
    shop: Shop, to: str, tmp_path: Path
) -> None:
    message_id = shop.send(delay=DAY)
    break_off(shop, to)
    sentence = (
        f"1 message is half moved to {to}: run 'flask outbox move --to {to}' again."
    )
    said = shop.run("list", columns=200).stdout
    assert "moving" in said
    assert said.endswith(f"\n{sentence}\n")
    assert (
        "being moved to another outbox" in shop.run("cancel", message_id, code=1).stderr
    )
    elsewhere = f"sqlite:///{tmp_path}/elsewhere.db"
    assert sentence in shop.run("move", "--to", elsewhere, code=1).stderr

    assert shop.document("status")["problems"] == []
    shop.outbox.clock = lambda: time.time() + 61
    status = shop.document("status", code=1)
    assert status["problems"] == [sentence]
    (batch,) = status["moves"]
    assert (batch["messages"], batch["heading_to"]) == (1, to)

    shop.run("move", "--to", to)
    assert shop.document("status")["moves"] == []


@pytest.mark.parametrize(
    ("step", "stayed"),
    [("import_rows", 1), ("delete_departed", 0)],
    ids=["departed", "arrived"],
)
def test_abandon_takes_back_half_moved_messages(
    step: str, stayed: int, shop: Shop, moved: Shop, to: str
) -> None:
    shop.send(delay=DAY)
    break_off(shop, to, step)
    document = shop.document("move", "--to", to, "--abandon")
    assert (document["stayed"], document["gone"]) == (stayed, 1 - stayed)
    assert shop.document("status")["counts"]["pending"] == stayed
    assert moved.document("status")["counts"]["pending"] == 1 - stayed
    assert (
        "0 messages taken back into" in shop.run("move", "--to", to, "--abandon").stdout
    )


def test_follow_moves_new_messages_until_a_signal(
    shop: Shop, moved: Shop, to: str
) -> None:
    first = shop.send(delay=DAY)
    with shop.process("move", "--to", to, "--follow") as process:
        process.wait_for("Following: Ctrl-C or SIGTERM stops.")
        second = shop.send(delay=DAY)
        eventually(lambda: len(moved.outbox.list()) == 2)
        process.signal(signal.SIGTERM)
        said = process.ended()
    assert said.startswith("Moved 2 messages to be delivered and 0 finished")
    assert {one.id for one in moved.outbox.list()} == {first, second}


def test_follow_continues_after_an_outage(shop: Shop, tmp_path: Path) -> None:
    with (
        place("postgresql", "followed", tmp_path) as url,
        Proxy(make_url(url).port or 5432) as proxy,
    ):
        through = make_url(url).set(port=proxy.port)
        to = through.render_as_string(hide_password=False)
        with shop.process("move", "--to", to, "--follow") as process:
            process.wait_for("Following: Ctrl-C or SIGTERM stops.")
            proxy.refuse()
            message_id = shop.send(delay=DAY)
            process.wait_for("Retrying.")
            assert shop.get(message_id).state == State.MOVING
            proxy.pass_on()
            eventually(lambda: shop.outbox.list() == [])
            process.signal(signal.SIGTERM)
            process.ended()
        new = Outbox(Database(url))
        assert kinds(new, message_id) == ["enqueued", "moved"]
        new.database.close()


def test_a_signal_ends_the_wait(shop: Shop, to: str) -> None:
    enlist(shop.outbox)
    shop.send()
    shop.outbox.claim("01COURIER00000000000000000", "default", 1)
    with shop.process("move", "--to", to, "--json") as process:
        process.wait_for("Waiting up to 60 s for 1 message being delivered.")
        process.signal(signal.SIGINT)
        said = process.ended(1)
    assert '"ended": "SIGINT"' in said


def test_progress_is_shown_on_a_terminal(shop: Shop, to: str) -> None:
    shop.send(delay=DAY)
    screen, terminal = pty.openpty()
    with shop.process("move", "--to", to, stderr=terminal) as process:
        process.ended()
    os.close(terminal)
    shown = os.read(screen, 65_536).decode()
    os.close(screen)
    assert "Moving" in shown
    assert "100%" in shown
