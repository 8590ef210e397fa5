"""Failover: another transport takes over from one that is down."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from flask_outbox import State, signals
from flask_outbox.history import describe
from tests.mail.conftest import MakeSite
from tests.mail.site import Site, url_of
from tests.servers import Behaviour, JournalSmtp
from tests.waiting import eventually

NEVER = 3_600


@pytest.fixture
def backup(tmp_path: Path) -> Iterator[JournalSmtp]:
    """The server of the transport ``backup``."""
    with JournalSmtp(tmp_path / "backup-journal") as server:
        yield server


@pytest.fixture
def site(make_site: MakeSite, backup: JournalSmtp) -> Site:
    """An app with a transport that stands in for its default."""
    return make_site(
        MAIL_TRANSPORTS={"backup": url_of(backup)},
        MAIL_FAILOVER={"default": ["backup"]},
        OUTBOX_POLL_SECONDS=NEVER,
    )


def test_mail_leaves_by_the_other_while_the_first_is_down(
    site: Site, server: JournalSmtp, backup: JournalSmtp
):
    server.go_down()
    receipts = [site.send() for _ in range(25)]
    records = [site.settled(one) for one in receipts]
    assert {one.state for one in records} == {State.SENT}
    assert len(backup.mails) == 25
    assert {one.attempts[-1].number for one in records} == {1}
    assert {one.lane for one in records} == {"default"}


def test_the_history_names_the_fallback(site: Site, server: JournalSmtp):
    server.go_down()
    site.send()
    site.wait_for(signals.lane_paused)
    record = site.settled(site.send())
    (began,) = [one for one in describe(record) if one.event.kind == "began"]
    assert began.what == ("Attempt 1 began on lane backup, as the fallback of default")
    told = site.told(signals.message_began)[-1]
    assert (told["lane"], told["instead_of"]) == ("backup", "default")
    assert site.wait_for(signals.message_sent)[-1]["lane"] == "backup"


def test_mail_goes_back_to_the_first_when_it_is_up(
    site: Site, server: JournalSmtp, backup: JournalSmtp
):
    server.go_down()
    site.settled(site.send())
    server.come_back()
    site.wait_for(signals.lane_resumed)
    receipt = site.send()
    site.settled(receipt)
    assert [mail.rfc_message_id for mail in server.mails] == [receipt.rfc_message_id]
    assert len(backup.mails) == 1


def test_a_lane_paused_by_a_person_has_no_fallback(
    make_site: MakeSite, server: JournalSmtp, backup: JournalSmtp
):
    site = make_site(
        MAIL_TRANSPORTS={"backup": url_of(backup)},
        MAIL_FAILOVER={"default": ["backup"]},
        OUTBOX_POLL_SECONDS=0.02,
    )
    site.outbox.pause_lane_by_operator("default", "")
    waiting = site.send()
    site.settled(site.send(transport="backup"))
    assert site.get(waiting).state is State.PENDING
    assert len(backup.mails) == 1


def test_mail_waits_while_all_transports_are_down(
    site: Site, server: JournalSmtp, backup: JournalSmtp
):
    server.go_down()
    backup.go_down()
    receipt = site.send()
    eventually(
        lambda: (
            {one["lane"] for one in site.told(signals.lane_paused)}
            == {"default", "backup"}
        )
    )
    assert not site.get(receipt).state.final
    backup.come_back()
    record = site.settled(receipt)
    assert (record.state, record.attempts[-1].number) == (State.SENT, 1)
    assert len(backup.mails) == 1


def test_the_next_fallback_is_used_if_the_first_is_down(
    make_site: MakeSite, server: JournalSmtp, backup: JournalSmtp
):
    site = make_site(
        MAIL_TRANSPORTS={"second": "smtp://127.0.0.1:1", "third": url_of(backup)},
        MAIL_FAILOVER={"default": ["second", "third"]},
    )
    server.go_down()
    assert site.settled(site.send()).state is State.SENT
    assert len(backup.mails) == 1


def test_a_refusal_is_no_trouble_of_the_transport(
    site: Site, server: JournalSmtp, backup: JournalSmtp
):
    """A server that says no to a message has answered: nobody else is asked."""
    server.behaviour = Behaviour(at_data="550 5.7.1 we do not want this")
    assert site.settled(site.send()).state is State.FAILED
    assert backup.mails == []
