"""Several transports: which one a message takes, and that none delays another."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from flask_outbox import Message, MessageError, State, signals
from tests.mail.conftest import MakeSite
from tests.mail.site import ADA, url_of
from tests.servers import Behaviour, JournalSmtp
from tests.waiting import eventually

NEVER = 3_600


@pytest.fixture
def bulk(tmp_path: Path) -> Iterator[JournalSmtp]:
    """The server of the transport ``bulk``."""
    with JournalSmtp(tmp_path / "bulk-journal") as server:
        yield server


def _ids(server: JournalSmtp) -> list[str]:
    return [mail.rfc_message_id for mail in server.mails]


# ----------------------------------------------------------------------------- routes


def test_a_message_leaves_by_the_transport_that_is_asked_for(
    make_site: MakeSite, server: JournalSmtp, bulk: JournalSmtp
):
    site = make_site(MAIL_TRANSPORTS={"bulk": url_of(bulk)})
    usual, asked = site.send(), site.send(transport="bulk")
    assert site.settled(usual).lane == "default"
    assert site.settled(asked).lane == "bulk"
    assert (_ids(server), _ids(bulk)) == (
        [usual.rfc_message_id],
        [asked.rfc_message_id],
    )


def test_an_unknown_transport_is_refused_at_once(
    make_site: MakeSite, bulk: JournalSmtp
):
    site = make_site(MAIL_TRANSPORTS={"bulk": url_of(bulk)})
    with pytest.raises(MessageError) as refused:
        site.send(transport="bulc")
    assert str(refused.value) == (
        "transport: there is no transport 'bulc': this app has 'bulk', 'default'."
    )
    assert site.counts() == {}


def test_a_tag_can_choose_the_transport(
    make_site: MakeSite, server: JournalSmtp, bulk: JournalSmtp
):
    site = make_site(
        MAIL_TRANSPORTS={"bulk": url_of(bulk)}, MAIL_ROUTE={"news": "bulk"}
    )
    news, other, none = site.send(tag="news"), site.send(tag="other"), site.send()
    asked = site.send(tag="news", transport="default")
    lanes = [site.settled(one).lane for one in (news, other, none, asked)]
    assert lanes == ["bulk", "default", "default", "default"]


def test_a_function_can_choose_the_transport(make_site: MakeSite, bulk: JournalSmtp):
    def route(message: Any, tag: str | None) -> str | None:
        return "bulk" if len(message.recipients) > 1 and tag == "news" else None

    site = make_site(MAIL_TRANSPORTS={"bulk": url_of(bulk)}, MAIL_ROUTE=route)
    many = site.send(ADA, "bob@example.org", tag="news")
    assert site.settled(many).lane == "bulk"
    assert site.settled(site.send(tag="news")).lane == "default"


def test_a_route_function_that_returns_nonsense_is_an_error(make_site: MakeSite):
    site = make_site(MAIL_ROUTE=lambda message, tag: "nowhere")
    with pytest.raises(MessageError, match="MAIL_ROUTE returned 'nowhere': this app"):
        site.send()


def test_send_now_uses_the_same_transports(
    make_site: MakeSite, server: JournalSmtp, bulk: JournalSmtp
):
    site = make_site(MAIL_TRANSPORTS={"bulk": url_of(bulk)})
    with site.app.app_context():
        site.mail.send_now(Message("Hello", [ADA], "Hello\n"), transport="bulk")
        with pytest.raises(MessageError, match="there is no transport 'x'"):
            site.mail.send_now(Message("Hello", [ADA], "Hello\n"), transport="x")
    assert (len(server.mails), len(bulk.mails)) == (0, 1)


def test_the_route_is_kept_with_the_message(make_site: MakeSite, bulk: JournalSmtp):
    """A retry after the route was changed goes where the message was sent."""
    site = make_site(
        MAIL_TRANSPORTS={"bulk": url_of(bulk)}, MAIL_ROUTE=lambda message, tag: "bulk"
    )
    bulk.behaviour = Behaviour(at_data="550 5.0.0 no")
    receipt = site.send()
    assert site.settled(receipt).state is State.FAILED
    bulk.behaviour = Behaviour()
    with site.app.app_context():
        site.mail.retry(receipt.id)
    assert site.settled(receipt).state is State.SENT
    assert _ids(bulk) == [receipt.rfc_message_id]


# --------------------------------------------------------- none holds up another


def test_a_transport_that_stalls_delays_no_other(
    make_site: MakeSite, server: JournalSmtp, bulk: JournalSmtp
):
    """Its places are full and more waits, and another's mail all arrives."""
    site = make_site(
        MAIL_TRANSPORTS={"bulk": url_of(bulk)},
        OUTBOX_CONCURRENCY=2,
        OUTBOX_POLL_SECONDS=NEVER,
    )
    bulk.behaviour = Behaviour(hang=True)
    stalled = [site.send(transport="bulk") for _ in range(10)]
    bulk.wait_until(lambda: bulk.held == 2)
    others = [site.send() for _ in range(20)]
    server.wait_for(20)
    assert {site.settled(one).state for one in others} == {State.SENT}
    assert bulk.held == 2
    assert site.counts() == {State.SENT: 20, State.LEASED: 2, State.PENDING: 8}
    bulk.behaviour = Behaviour()
    assert {site.settled(one).state for one in stalled} == {State.SENT}


def test_a_transport_that_is_down_delays_no_other(
    make_site: MakeSite, server: JournalSmtp, bulk: JournalSmtp
):
    site = make_site(MAIL_TRANSPORTS={"bulk": url_of(bulk)})
    bulk.go_down()
    waiting = site.send(transport="bulk")
    site.wait_for(signals.lane_paused)
    assert site.settled(site.send()).state is State.SENT
    assert site.get(waiting).state is not State.SENT
    bulk.come_back()
    assert site.settled(waiting).state is State.SENT


# ------------------------------------------------------------------ paused by a person


def test_mail_of_a_paused_transport_waits_until_it_is_resumed(
    make_site: MakeSite, server: JournalSmtp, bulk: JournalSmtp
):
    site = make_site(MAIL_TRANSPORTS={"bulk": url_of(bulk)}, OUTBOX_POLL_SECONDS=0.02)
    site.outbox.pause_lane_by_operator("bulk", "the list is wrong")
    site.make_ready()
    receipt = site.send(transport="bulk")
    assert site.settled(site.send()).state is State.SENT
    assert [one.kind for one in site.get(receipt).events] == ["enqueued"]
    (lane,) = site.status().lanes
    assert (lane.name, lane.paused_by, lane.reason, lane.waiting, lane.due) == (
        "bulk", "person", "the list is wrong", 1, 1,
    )  # fmt: skip
    site.outbox.resume_lane_by_operator("bulk")
    assert site.settled(receipt).state is State.SENT
    assert site.status().lanes == ()


def test_a_working_courier_follows_a_pause(make_site: MakeSite, server: JournalSmtp):
    site = make_site(OUTBOX_POLL_SECONDS=0.02)
    site.settled(site.send())
    site.outbox.pause_lane_by_operator("default", "")

    def obeyed() -> bool:
        receipt = site.send()
        return not eventually(lambda: site.get(receipt).events)[0].detail.get("courier")

    eventually(obeyed)
    present = len(server.mails)
    waiting = site.send()
    site.outbox.resume_lane_by_operator("default")
    assert site.settled(waiting).state is State.SENT
    assert len(server.mails) > present


def test_a_pause_by_a_person_outlives_the_courier(
    make_site: MakeSite, server: JournalSmtp
):
    first = make_site()
    first.outbox.pause_lane_by_operator("default", "")
    first.make_ready()
    first.mail.stop()
    second = make_site(OUTBOX_URL=str(first.outbox.database.url))
    second.make_ready()
    second.send()
    assert second.counts() == {State.PENDING: 1}
    assert second.status().lanes[0].paused_by == "person"


# ----------------------------------------------------------------------- connections


def test_each_transport_has_connections_of_its_own(
    make_site: MakeSite, server: JournalSmtp, bulk: JournalSmtp
):
    """As many as there are messages for, up to its limit."""
    keys = {"MAIL_URL": url_of(bulk), "MAIL_MAX_CONNECTIONS": 2}
    site = make_site(MAIL_TRANSPORTS={"bulk": keys}, OUTBOX_CONCURRENCY=4)
    server.behaviour = bulk.behaviour = Behaviour(hang=True)
    receipts = [site.send(transport=one) for one in ("bulk", "default") * 6]
    server.wait_until(lambda: server.held == 4)
    bulk.wait_until(lambda: bulk.held == 2)
    server.behaviour = bulk.behaviour = Behaviour()
    assert {site.settled(one).state for one in receipts} == {State.SENT}
    assert (server.most_connections, bulk.most_connections) == (4, 2)


def test_a_connection_that_lies_idle_is_closed(
    make_site: MakeSite, server: JournalSmtp
):
    site = make_site(MAIL_IDLE_SECONDS=0.05)
    site.settled(site.send())
    server.wait_until(lambda: server.connections == 0)
    site.settled(site.send())
    assert server.connections_made == 2
