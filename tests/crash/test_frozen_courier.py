"""A courier that stands still past its lease: another delivers, it changes nothing."""

from __future__ import annotations

import signal
from typing import Any

import pytest
from sqlalchemy import select

from flask_outbox.outbox import Outbox
from flask_outbox.outbox.schema import content, event, message, recipient
from tests.crash.conftest import SendMails, Start
from tests.crash.jobs import Config, deliver_and_tell
from tests.crash.points import Stop
from tests.servers import JournalSmtp

LEASE_SECONDS = 1.0


@pytest.mark.parametrize(
    ("point", "copies"),
    [("after a claim", 1), ("after the final dot", 2), ("after the reply", 2)],
)
def test_a_stale_courier_changes_nothing(
    config: Config,
    outbox: Outbox,
    server: JournalSmtp,
    start: Start,
    send_mails: SendMails,
    point: str,
    copies: int,
):
    config["OUTBOX_LEASE_SECONDS"] = LEASE_SECONDS
    send_mails("once")
    (id,) = [one.id for one in outbox.list()]
    stop = Stop(point, signal=signal.SIGSTOP)
    stale = start(deliver_and_tell, config, ["lease_lost", "message_sent"], stop)
    stale.wait_until_frozen()
    other = start(deliver_and_tell, config, ["message_rescued", "message_sent"])
    assert other.hear() == "at work"
    assert other.hear() == ("message_rescued", id)
    assert other.hear() == ("message_sent", id)
    other.kill()

    before = _everything(outbox)
    stale.thaw()
    assert stale.hear() == "at work"
    assert stale.hear() == ("lease_lost", id)
    assert _everything(outbox) == before
    (message_id,) = {mail.rfc_message_id for mail in server.mails}
    assert message_id == outbox.get(id).rfc_message_id
    assert len(server.mails) == copies

    send_mails("afterwards")
    name, message_id = stale.hear()
    assert name == "message_sent"
    assert message_id != id


def _everything(outbox: Outbox) -> dict[str, list[Any]]:
    """All that is in the outbox about messages."""
    with outbox.database.reading() as connection:
        return {
            table.name: sorted(map(repr, connection.execute(select(table))))
            for table in (message, content, recipient, event)
        }
