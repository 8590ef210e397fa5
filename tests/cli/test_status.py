"""``flask outbox status``: what it shows, and what its exit code means."""

from __future__ import annotations

import time
from datetime import datetime
from pathlib import Path

from flask_outbox.outbox.ids import new_id
from tests.cli.conftest import MakeShop
from tests.cli.shop import Shop
from tests.servers import Behaviour, JournalSmtp


def test_an_empty_outbox_is_healthy(shop: Shop) -> None:
    said = shop.run("status").stdout
    assert "There are no messages." in said
    assert "There are no couriers." in said
    assert said.endswith("All is well.\n")
    assert shop.document("status")["healthy"] is True


def test_mail_that_nobody_delivers_is_a_problem(shop: Shop) -> None:
    shop.send()
    shop.send()
    said = shop.run("status", code=1).stdout
    assert "Due now  2 messages, the oldest for" in said
    assert (
        "No courier is alive to deliver 2 messages: start 'flask outbox worker'."
    ) in said
    document = shop.document("status", code=1)
    assert document["healthy"] is False
    assert len(document["problems"]) == 1
    assert document["due"] == document["counts"]["pending"] == 2
    assert datetime.fromisoformat(document["oldest_due_at"]).utcoffset() is not None


def test_the_app_itself_may_be_what_has_to_be_started(make_shop: MakeShop) -> None:
    make_shop().send()
    said = make_shop(OUTBOX_ENGINE="thread").run("status", code=1).stdout
    assert "start the app or 'flask outbox worker'." in said


def test_a_guard_that_is_on_is_shown(make_shop: MakeShop) -> None:
    assert make_shop().document("status")["guard"] is None
    guarded = make_shop(
        OUTBOX_ONLY_TO="@example.com", OUTBOX_REDIRECT_TO="qa@example.net"
    )
    assert (
        "Guard    All mail but that to @example.com goes to qa@example.net instead"
    ) in guarded.run("status").stdout
    assert guarded.document("status")["guard"] == {
        "only_to": ["@example.com"],
        "redirect_to": "qa@example.net",
    }


def test_mail_that_is_not_due_yet_is_no_problem(shop: Shop) -> None:
    shop.send(delay=3_600)
    assert "pending  1" in shop.run("status").stdout


def test_a_courier_that_is_alive_makes_it_healthy(shop: Shop) -> None:
    courier = new_id()
    shop.outbox.register(courier, "external", lease_seconds=60)
    shop.send()
    said = shop.run("status").stdout
    assert courier in said
    assert " alive " in said
    (told,) = shop.document("status")["couriers"]
    assert (told["id"], told["engine"], told["alive"]) == (courier, "external", True)
    assert datetime.fromisoformat(told["seen_at"]).utcoffset() is not None


def test_mail_that_waits_for_more_than_a_minute_is_a_problem(shop: Shop) -> None:
    shop.outbox.register(new_id(), "external", lease_seconds=600)
    shop.send()
    shop.outbox.clock = lambda: time.time() + 125
    said = shop.run("status", code=1).stdout
    assert "The oldest due message has waited for 2 min 5 s." in said


def test_mail_in_the_hands_of_a_dead_courier_is_a_problem(shop: Shop) -> None:
    dead = new_id()
    shop.outbox.register(dead, "external", lease_seconds=-1)
    shop.send()
    assert len(shop.outbox.claim(dead, "default", 1)) == 1
    said = shop.run("status", code=1).stdout
    assert "Due now  0 messages" in said
    assert " dead " in said
    assert "No courier is alive to deliver 1 message:" in said


def test_a_paused_lane_is_shown_with_its_reason(shop: Shop) -> None:
    shop.outbox.pause_lane("default", time.time() + 30, "mail.test is on fire")
    said = shop.run("status", code=1).stdout
    assert "mail.test is on fire" in said
    assert said.endswith("Lane default is down: 0 messages on it.\n")
    (lane,) = shop.document("status", code=1)["lanes"]
    assert (lane["name"], lane["reason"]) == ("default", "mail.test is on fire")
    assert datetime.fromisoformat(lane["until"]).utcoffset() is not None


def test_mail_that_all_fails_is_a_problem(shop: Shop, server: JournalSmtp) -> None:
    server.behaviour = Behaviour(at_rcpt="550 5.7.1 relaying denied")
    for _ in range(20):
        shop.send()
    shop.deliver()
    said = shop.run("status", code=1).stdout
    assert "has failed, 20 messages: 550 5.7.1 relaying denied" in said
    server.behaviour = Behaviour()
    shop.send()
    shop.deliver()
    assert shop.run("status").stdout.endswith("All is well.\n")


def test_an_outbox_out_of_reach_has_an_exit_code_of_its_own(
    make_shop: MakeShop, tmp_path: Path
) -> None:
    damaged = tmp_path / "damaged.db"
    damaged.write_text("This is no database at all.")
    result = make_shop(OUTBOX_URL=f"sqlite:///{damaged}").run("status", code=2)
    assert result.stdout == ""
    assert "Error: The outbox at " in result.stderr
    assert "damaged.db cannot be used: " in result.stderr
    assert "look at OUTBOX_URL" in result.stderr
