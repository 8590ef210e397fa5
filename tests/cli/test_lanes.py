"""``flask outbox pause`` and ``resume``, and what ``status`` then says of lanes."""

from __future__ import annotations

import time

from flask_outbox.humanize import clock
from tests.cli.conftest import MakeShop
from tests.cli.shop import Shop
from tests.servers import JournalSmtp

BULK = "smtp://bulk.example.com:2525"


def _bulk_shop(make_shop: MakeShop) -> Shop:
    keys = {"MAIL_URL": BULK, "MAIL_RATE": "10/s, 500/h"}
    return make_shop(MAIL_TRANSPORTS={"bulk": keys})


def test_a_lane_is_paused_and_resumed(make_shop: MakeShop) -> None:
    shop = _bulk_shop(make_shop)
    said = shop.run("pause", "bulk", "--reason", "the list is wrong").stdout
    assert "Lane bulk was paused by a person: the list is wrong" in said
    assert shop.outbox.lanes_paused_by_operator() == {"bulk": "the list is wrong"}
    assert "person" not in shop.run("resume", "bulk").stdout
    assert shop.outbox.lanes_paused_by_operator() == {}


def test_all_lanes_are_paused_and_resumed(make_shop: MakeShop) -> None:
    shop = _bulk_shop(make_shop)
    lanes = shop.document("pause")["lanes"]
    assert [(one["name"], one["paused_by"]) for one in lanes] == [
        ("default", "person"),
        ("bulk", "person"),
    ]
    lanes = shop.document("resume")["lanes"]
    assert {one["paused_by"] for one in lanes} == {None}


def test_an_unknown_lane_is_refused(make_shop: MakeShop) -> None:
    result = _bulk_shop(make_shop).run("pause", "bulc", code=1)
    assert result.stderr == (
        "Error: There is no transport 'bulc': this app has 'bulk', 'default'.\n"
    )


def test_resume_does_not_open_a_lane_whose_server_is_down(shop: Shop) -> None:
    shop.outbox.pause_lane("default", time.time() + 30, "mail.test is on fire")
    (lane,) = shop.outbox.lanes()
    shop.run("pause")
    said = shop.run("resume").stdout
    assert lane.since is not None
    assert f"Lane default is down since {clock(lane.since)}, next probe 20" in said
    assert "mail.test is on fire" in said


def test_until_drained_leaves_paused_mail(shop: Shop, server: JournalSmtp) -> None:
    shop.run("pause")
    shop.send()
    assert "Ended (drained): no mail." in shop.deliver().stdout
    assert server.mails == []
    shop.run("resume")
    assert "Ended (drained): 1 sent." in shop.deliver().stdout


def test_until_drained_delivers_by_other_lanes_if_one_is_down(
    make_shop: MakeShop, server: JournalSmtp
) -> None:
    shop = make_shop(
        MAIL_TRANSPORTS={"bulk": "smtp://127.0.0.1:1"},
        OUTBOX_LANE_PAUSE_CAP_SECONDS=0.05,
    )
    shop.send(transport="bulk")
    for _ in range(3):
        shop.send()
    result = shop.run("worker", "--until-drained", code=1)
    assert "Ended (down): 3 sent" in result.stdout
    assert "Error: Lane bulk is paused: 127.0.0.1:1 refused" in result.stderr
    assert len(server.mails) == 3


def test_status_shows_each_lane(make_shop: MakeShop, server: JournalSmtp) -> None:
    shop = _bulk_shop(make_shop)
    shop.send(transport="bulk", delay=60)
    said = shop.run("status").stdout
    assert f"default  {server.host}:{server.port}" in said
    (line,) = [one for one in said.splitlines() if one.startswith("bulk ")]
    assert line.split() == [
        "bulk",
        "bulk.example.com:2525",
        "10/s,",
        "500/h",
        "1",
        "open",
    ]
    default, bulk = shop.document("status")["lanes"]
    assert (default["name"], default["waiting"], default["rate"]) == (
        "default",
        0,
        None,
    )
    assert bulk["leaves_by"] == "bulk.example.com:2525"
    assert (bulk["waiting"], bulk["due"], bulk["paused_by"]) == (1, 0, None)


def test_mail_for_a_removed_transport_is_a_problem(
    make_shop: MakeShop,
) -> None:
    _bulk_shop(make_shop).send(transport="bulk", delay=60)
    shop = make_shop()
    said = shop.run("status", code=1).stdout
    assert (
        "1 message cannot be sent: this app has no transport 'bulk'. Add it to "
        "MAIL_TRANSPORTS, or cancel the messages."
    ) in said
    bulk = shop.document("status", code=1)["lanes"][1]
    assert (bulk["name"], bulk["leaves_by"], bulk["waiting"]) == ("bulk", None, 1)
    assert "Ended (drained): no mail." in shop.deliver().stdout
