"""Couriers killed while rendering: every attempt sends the same bytes."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.crash.child import Child
from tests.servers import JournalSmtp
from tests.templates.jobs import POINTS, deliver
from tests.templates.stationery import Stationery, said

SENT = {"after the final dot"}
"""Where the mail has gone out before its courier is killed, and so goes out twice."""

KEPT = {"kept, before it is sent", *SENT}


DICED = "{{ dice() }} for {{ name }}"
"""It comes out another each time that it is rendered."""


def courier_of(stationery: Stationery, point: str | None) -> Child:
    """A process that delivers its mail, and is killed at ``point``, if there is one."""
    site = stationery.site
    config = {
        "OUTBOX_URL": site.runtime.settings.url,
        "MAIL_URL": site.app.config["MAIL_URL"],
        "OUTBOX_LEASE_SECONDS": 1.0,
    }
    return Child(deliver, config, str(site.app.template_folder), point)


@pytest.mark.parametrize("point", POINTS)
def test_after_a_kill_every_attempt_sends_the_same_bytes(
    stationery: Stationery, server: JournalSmtp, point: str
) -> None:
    site = stationery.site
    stationery.write("bill.txt", DICED)
    receipt = stationery.keep_later(subject="x", name="Ada")

    with courier_of(stationery, point) as first:
        first.wait_until_killed()
    kept = site.outbox.content(receipt.id)
    assert (kept is not None) is (point in KEPT)

    with courier_of(stationery, None) as second:
        assert second.hear() == "sent"
        second.say(None)
    mails = server.wait_for(2 if point in SENT else 1)
    assert {mail.content for mail in mails} == {site.outbox.content(receipt.id)}
    assert kept in (None, mails[0].content)
    assert said(mails[0].content, "plain").rstrip().endswith(" for Ada")


@pytest.mark.parametrize(
    "point", ["rendered, before it is kept", "before the commit that keeps it"]
)
def test_after_a_kill_each_message_that_was_rendered_with_it_is_sent_once(
    stationery: Stationery, server: JournalSmtp, point: str
) -> None:
    site = stationery.site
    stationery.write("bill.txt", DICED)
    receipts = [stationery.keep_later(subject="x", name=name) for name in "ABC"]

    with courier_of(stationery, point) as first:
        first.wait_until_killed()
    assert [site.outbox.content(one.id) for one in receipts] == [None] * 3

    with courier_of(stationery, None) as second:
        assert [second.hear() for _ in receipts] == ["sent"] * 3
        second.say(None)
    kept = [site.outbox.content(one.id) for one in receipts]
    sent = [mail.content for mail in server.wait_for(len(receipts))]
    assert Counter(sent) == Counter(kept)
