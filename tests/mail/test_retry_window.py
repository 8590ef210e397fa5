"""How long a deferred message is tried, by its tag."""

from __future__ import annotations

from datetime import timedelta

from flask_outbox import State, signals
from flask_outbox.history import describe
from tests.mail.conftest import MakeSite
from tests.mail.site import Site
from tests.servers import Behaviour, JournalSmtp

LATER = "451 4.3.0 try later"
HOUR = 3_600.0
SOON = 0.4
BY_TAG = {"code": SOON, "report": timedelta(days=2), "": HOUR}


def _budget_seconds(site: Site, tag: str | None) -> float:
    """From when a message with this tag comes due until it is given up."""
    receipt = site.send(tag=tag, delay=HOUR)
    with site.outbox.database.reading() as connection:
        (held,) = connection.exec_driver_sql(
            f"SELECT give_up_at - due_at FROM outbox_message WHERE id = '{receipt.id}'"
        ).one()
    return float(held)


def test_a_tag_has_a_budget_of_its_own(make_site: MakeSite):
    site = make_site(OUTBOX_GIVE_UP_AFTER=BY_TAG)
    budgets = {tag: _budget_seconds(site, tag) for tag in ("code", "report", "x", None)}
    assert {tag: round(one, 3) for tag, one in budgets.items()} == {
        "code": SOON,
        "report": 2 * 86_400,
        "x": HOUR,
        None: HOUR,
    }


def test_only_the_message_whose_budget_is_over_is_given_up(
    make_site: MakeSite, server: JournalSmtp
):
    site = make_site(OUTBOX_GIVE_UP_AFTER=BY_TAG)
    site.make_ready()
    server.behaviour = Behaviour(at_data=LATER)
    news, code = site.send(tag="news"), site.send(tag="code")
    (failed,) = site.wait_for(signals.message_failed)
    assert failed["message_id"] == code.id
    assert "OUTBOX_GIVE_UP_AFTER" in describe(site.get(code))[-1].what
    server.behaviour = Behaviour()
    assert site.settled(news).state is State.SENT


def test_a_retry_gives_the_tags_budget_again(make_site: MakeSite, server: JournalSmtp):
    """By a retry, and by a new message with what the old one said."""
    site = make_site(OUTBOX_GIVE_UP_AFTER=BY_TAG)
    server.behaviour = Behaviour(at_data=LATER)
    receipt = site.send(tag="code")
    site.wait_for(signals.message_failed)
    site.mail.retry(receipt.id)
    site.wait_for(signals.message_failed, times=2)
    again = site.mail.send_again(receipt.id)
    failed = site.wait_for(signals.message_failed, times=3)
    assert [one["message_id"] for one in failed] == [receipt.id, receipt.id, again.id]
