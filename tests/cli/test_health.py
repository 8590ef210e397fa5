"""``flask outbox health``: the probe that is a command."""

from __future__ import annotations

from pathlib import Path

from flask_outbox.outbox import new_id
from tests.cli.conftest import MakeShop
from tests.cli.shop import Shop
from tests.process_models.black_holes import silent
from tests.waiting import WAIT_SECONDS

PATIENTLY = ("--timeout", str(WAIT_SECONDS))


def test_an_outbox_that_takes_mail_is_ready(shop: Shop) -> None:
    assert shop.run("health", *PATIENTLY).stdout == "Ready.\n"
    assert shop.document("health", *PATIENTLY, "--ready") == {
        "well": True,
        "why": "Ready.",
    }


def test_lanes_that_are_down_are_named(shop: Shop) -> None:
    shop.outbox.pause_lane("default", shop.outbox.clock() + 30, "it is down")
    assert "These lanes are down: default." in shop.run("health", *PATIENTLY).stdout


def test_alerts_are_named_and_do_no_harm(make_shop: MakeShop) -> None:
    shop = make_shop(OUTBOX_ALERTS={"oldest_due_seconds": 60})
    shop.send()
    clock = shop.outbox.clock
    shop.outbox.clock = lambda: clock() + 61
    shop.outbox.look_for_alerts()
    shop.outbox.clock = clock
    assert "Ready. Alert: Mail has been due" in shop.run("health", *PATIENTLY).stdout


def test_a_machine_with_a_living_courier_is_live(shop: Shop) -> None:
    assert (
        "No courier of this machine"
        in shop.run("health", *PATIENTLY, "--live", code=1).stdout
    )
    courier = new_id()
    shop.outbox.register(courier, "external", lease_seconds=60)
    assert "is alive" in shop.run("health", *PATIENTLY, "--live").stdout
    shop.outbox.resign(courier)
    shop.outbox.register(new_id(), "external", lease_seconds=-1)
    assert shop.document("health", *PATIENTLY, "--live", code=1)["well"] is False


def test_an_outbox_out_of_reach_is_not_ready_and_no_reason_to_restart(
    make_shop: MakeShop, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    shop = make_shop(OUTBOX_URL=f"sqlite:///{tmp_path / 'file' / 'outbox.db'}")
    assert "cannot be created" in shop.run("health", *PATIENTLY, code=1).stdout
    said = shop.run("health", *PATIENTLY, "--live").stdout
    assert said.startswith("Whether a courier is alive cannot be known.")


def test_the_command_ends_though_the_database_never_answers(
    make_shop: MakeShop,
) -> None:
    with silent() as place:
        url = place.replace("smtp://", "postgresql://shop:hunter2@") + "/shop"
        with make_shop(OUTBOX_URL=url).process("health") as process:
            said = process.ended(code=1)
    assert "has not answered" in said
    assert "hunter2" not in said
