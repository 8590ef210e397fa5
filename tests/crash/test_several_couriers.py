"""Several couriers on one outbox: each mail goes once."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from sqlalchemy import select

from flask_outbox.outbox import Outbox
from flask_outbox.outbox.schema import message
from tests.crash.aftermath import accepted, states
from tests.crash.child import PATIENCE_SECONDS
from tests.crash.conftest import Start
from tests.crash.jobs import deliver, send
from tests.servers import Behaviour, JournalSmtp
from tests.waiting import WAIT_SECONDS, eventually

COURIERS = 4
CONCURRENCY = 5
MAILS_A_SECOND = 10
"""Far fewer than what an idle machine delivers: a bound, not a measure."""


@pytest.mark.parametrize(
    "mails",
    [
        pytest.param(200, id="short"),
        pytest.param(10_000, id="long", marks=pytest.mark.long),
    ],
)
def test_four_couriers_deliver_each_mail_once(
    mails: int,
    url: str,
    outbox: Outbox,
    server: JournalSmtp,
    start: Start,
    tmp_path: Path,
):
    config = {
        "OUTBOX_URL": url,
        "MAIL_URL": f"smtp://{server.host}:{server.port}",
        "OUTBOX_CONCURRENCY": CONCURRENCY,
    }
    journal = tmp_path / "accepted"
    quick = {"OUTBOX_ENGINE": "external", "OUTBOX_DURABILITY": "process"}
    sender = start(send, {**config, **quick}, journal)
    sender.say([f"mail-{number}" for number in range(mails)])
    sender.ask(None)

    server.behaviour = Behaviour(hang=True)
    couriers = [start(deliver, config) for _ in range(COURIERS)]
    server.wait_until(lambda: server.held == COURIERS * CONCURRENCY, PATIENCE_SECONDS)
    server.behaviour = Behaviour()
    eventually(lambda: not outbox.anything_due(), WAIT_SECONDS + mails / MAILS_A_SECOND)
    for courier in couriers:
        courier.kill()

    arrived = [mail.rfc_message_id for mail in server.mails]
    print(f"{len(arrived)} mails, by courier: {_attempts(outbox)}")
    assert len(arrived) == mails
    assert set(arrived) == accepted(journal)
    assert states(outbox) == dict.fromkeys(arrived, "sent")
    assert len(_attempts(outbox)) == COURIERS


def _attempts(outbox: Outbox) -> Counter[str]:
    """Courier → how many attempts it began."""
    with outbox.database.reading() as connection:
        ids = connection.scalars(select(message.c.id)).all()
    records = [outbox.get(one) for one in ids]
    return Counter(one.courier for record in records for one in record.attempts)
