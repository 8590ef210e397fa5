"""``flask outbox status``: what it shows, and what its exit code means."""

from __future__ import annotations

import time
from datetime import datetime
from pathlib import Path

from sqlalchemy import update

from flask_outbox import Fate
from flask_outbox.outbox import new_id
from flask_outbox.outbox.records import Count
from flask_outbox.outbox.schema import message
from tests.cli.conftest import MakeShop
from tests.cli.shop import Shop
from tests.reports import ADA, BOB, report
from tests.servers import Behaviour, JournalSmtp


def test_an_empty_outbox_is_healthy(shop: Shop) -> None:
    said = shop.run("status").stdout
    assert "There are no messages." in said
    assert "There are no couriers." in said
    assert said.endswith("No problems.\n")
    assert shop.document("status")["healthy"] is True


def test_due_mail_without_a_courier_is_a_problem(shop: Shop) -> None:
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


def test_with_engine_thread_it_says_to_start_the_app(make_shop: MakeShop) -> None:
    make_shop().send()
    said = make_shop(OUTBOX_ENGINE="thread").run("status", code=1).stdout
    assert "start the app and send it a request, or start 'flask outbox worker'" in said


def test_an_unknown_state_is_a_problem(shop: Shop) -> None:
    id = shop.send(delay=3_600)
    shop.send(delay=3_600)
    with shop.outbox.database.engine.begin() as connection:
        damage = update(message).where(message.c.id == id).values(state="pendin")
        connection.execute(damage)

    said = shop.run("status", code=1).stdout

    assert "pending  1" in said
    assert "1 message cannot be read: the state 'pendin' is not known" in said
    assert shop.document("status", code=1)["unreadable"] == {"pendin": 1}


def test_a_recipient_guard_is_shown(make_shop: MakeShop) -> None:
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


def test_scheduled_mail_is_no_problem(shop: Shop) -> None:
    shop.send(delay=3_600)
    assert "pending  1" in shop.run("status").stdout


def test_with_a_courier_alive_the_outbox_is_healthy(shop: Shop) -> None:
    courier = new_id()
    shop.outbox.register(courier, "external", lease_seconds=60)
    shop.send()
    said = shop.run("status").stdout
    assert courier in said
    assert " alive " in said
    (told,) = shop.document("status")["couriers"]
    assert (told["id"], told["engine"], told["alive"]) == (courier, "external", True)
    assert datetime.fromisoformat(told["seen_at"]).utcoffset() is not None


def test_mail_due_for_more_than_a_minute_is_a_problem(shop: Shop) -> None:
    shop.outbox.register(new_id(), "external", lease_seconds=600)
    due_at = shop.outbox.get(shop.send()).due_at.timestamp()
    shop.outbox.clock = lambda: due_at + 125
    said = shop.run("status", code=1).stdout
    assert "The oldest due message has waited for 2 min 5 s." in said


def test_mail_leased_by_a_dead_courier_is_a_problem(shop: Shop) -> None:
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
    assert said.endswith("Lane default is down: 0 messages waiting.\n")
    (lane,) = shop.document("status", code=1)["lanes"]
    assert (lane["name"], lane["reason"]) == ("default", "mail.test is on fire")
    assert datetime.fromisoformat(lane["until"]).utcoffset() is not None


def test_if_every_attempt_fails_it_is_a_problem(
    shop: Shop, server: JournalSmtp
) -> None:
    server.behaviour = Behaviour(at_rcpt="550 5.7.1 relaying denied")
    for _ in range(20):
        shop.send()
    shop.deliver()
    said = shop.run("status", code=1).stdout
    assert "has failed, 20 messages: 550 5.7.1 relaying denied" in said
    server.behaviour = Behaviour()
    shop.send()
    shop.deliver()
    assert shop.run("status").stdout.endswith("No problems.\n")


def test_the_exit_code_is_2_if_the_outbox_is_unavailable(
    make_shop: MakeShop, tmp_path: Path
) -> None:
    damaged = tmp_path / "damaged.db"
    damaged.write_text("This is no database at all.")
    result = make_shop(OUTBOX_URL=f"sqlite:///{damaged}").run("status", code=2)
    assert result.stdout == ""
    assert "Error: The outbox at " in result.stderr
    assert "damaged.db cannot be used: " in result.stderr
    assert "check OUTBOX_URL" in result.stderr


def test_fates_of_the_last_days_mail_and_waiting_reports_are_counted(
    shop: Shop,
) -> None:
    assert "Fate" not in shop.run("status").stdout
    old, new = shop.send(ADA), shop.send(ADA, BOB)
    shop.deliver()
    shop.runtime.take_feedback(
        [
            report(Fate.DELIVERED, old),
            report(Fate.DELIVERED, new),
            report(Fate.BOUNCED, new, address=BOB),
            report(Fate.BOUNCED, None, provider_id="nobody-knows"),
        ]
    )
    said = shop.run("status").stdout
    lines = [line.split() for line in said.splitlines()]
    assert ["delivered", "2"] in lines
    assert ["bounced", "1"] in lines
    assert "Reports  1 report waits for a message\n" in said
    document = shop.document("status")
    assert document["fates"] == {"delivered": 2, "bounced": 1}
    assert document["unmatched_reports"] == 1


def test_fates_of_older_mail_are_not_counted(shop: Shop) -> None:
    id = shop.send(ADA)
    shop.deliver()
    shop.runtime.take_feedback([report(Fate.BOUNCED, id)])
    clock = shop.outbox.clock
    shop.outbox.clock = lambda: clock() + 86_000
    assert shop.outbox.status().fates == {Fate.BOUNCED: 1}
    assert shop.outbox.overview().fates == {Fate.BOUNCED: Count(1)}
    shop.outbox.clock = lambda: clock() + 86_500
    assert shop.outbox.status().fates == {}
    assert shop.outbox.overview().fates == {}


def test_an_alert_is_a_problem(make_shop: MakeShop) -> None:
    shop = make_shop(OUTBOX_ALERTS={"oldest_due_seconds": 30, "lane_down_seconds": 30})
    assert shop.document("status")["alerts"] == []
    clock = shop.outbox.clock
    shop.outbox.pause_lane("default", clock() + 100, "mail.test is on fire")
    shop.outbox.clock = lambda: clock() + 50
    (news,) = shop.outbox.look_for_alerts()
    shop.outbox.clock = lambda: clock() + 110
    said = shop.run("status", code=1).stdout
    assert "Alert, for 1 min 0 s: The lane default has been down for more than" in said
    (alert,) = shop.document("status", code=1)["alerts"]
    assert (alert["kind"], alert["lane"]) == ("lane_down", "default")
    assert (alert["id"], alert["reason"]) == (news.alert.id, "mail.test is on fire")
