"""A real web process: whatever the SMTP server does, the app goes on as ever."""

from __future__ import annotations

import pytest

from tests.processes.conftest import OpenShop
from tests.processes.running import Shop
from tests.servers import Behaviour, JournalSmtp
from tests.waiting import eventually

RATIO = 4
"""As fast as without: in the middle of a hundred, on a machine that others use too."""

SLOW_SECONDS = 4.0
WARM = 20
SENDS = 200


def _make_slow(server: JournalSmtp) -> None:
    server.behaviour = Behaviour(delay_seconds=SLOW_SECONDS)


def _make_hang(server: JournalSmtp) -> None:
    server.behaviour = Behaviour(hang=True)


def _take_down(server: JournalSmtp) -> None:
    server.go_down()


def _make_well(server: JournalSmtp) -> None:
    server.behaviour = Behaviour()
    server.come_back()


TROUBLES = {"slow": _make_slow, "hanging": _make_hang, "down": _take_down}


def _warm(shop: Shop, server: JournalSmtp) -> list[str]:
    """Let everything happen once that happens only once."""
    sent = shop.send_emails(WARM)
    shop.median_seconds("/ping", WARM)
    server.wait_for(WARM)
    return sent


def _assert_all_arrived_once(server: JournalSmtp, sent: list[str]) -> None:
    server.wait_for(len(sent))
    assert server.arrived == sorted(sent)


@pytest.mark.parametrize("trouble", TROUBLES)
def test_the_app_answers_whatever_the_mail_server_does(
    open_shop: OpenShop, server: JournalSmtp, trouble: str
):
    shop = open_shop()
    sent = _warm(shop, server)
    before = shop.median_seconds("/ping")
    threads = shop.get("/threads")["count"]

    TROUBLES[trouble](server)
    sent += shop.send_emails(10)
    assert len(server.mails) == WARM
    meanwhile = shop.median_seconds("/ping")
    sent += shop.send_emails(SENDS - 10)
    eventually(lambda: shop.get("/threads")["count"] <= threads)

    _make_well(server)
    _assert_all_arrived_once(server, sent)
    eventually(lambda: shop.get("/status")["counts"] == {"sent": len(sent)})
    assert shop.get("/status")["lanes"] == []
    assert meanwhile < RATIO * max(before, shop.median_seconds("/ping"))


def test_sending_is_as_fast_with_a_hanging_server(
    open_shop: OpenShop, server: JournalSmtp
):
    shop = open_shop()
    _warm(shop, server)
    before = shop.median_seconds("/send-email", 50)
    _make_hang(server)
    meanwhile = shop.median_seconds("/send-email", 50)
    _make_well(server)
    server.wait_for(WARM + 100)
    assert meanwhile < RATIO * max(before, shop.median_seconds("/send-email", 50))


def test_the_lane_says_why_it_is_paused(open_shop: OpenShop, server: JournalSmtp):
    shop = open_shop()
    server.go_down()
    shop.send_email()
    (reason,) = eventually(lambda: shop.get("/status")["lanes"])
    assert f"{server.host}:{server.port} refused the connection" in reason
    eventually(lambda: shop.get("/status")["counts"] == {"pending": 1})


def test_an_idle_app_is_woken_not_polled(open_shop: OpenShop, server: JournalSmtp):
    """It looks by itself once an hour; each mail leaves at once all the same."""
    shop = open_shop(OUTBOX_POLL_SECONDS=3_600)
    for count in range(1, 6):
        shop.send_email()
        server.wait_for(count)
        eventually(lambda: set(shop.get("/status")["counts"]) == {"sent"})
    shop.send_emails(30)
    server.wait_for(35)
