"""Several couriers on one outbox: each mail goes once."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
from sqlalchemy import select

from flask_outbox.outbox.schema import event
from flask_outbox.outbox.store import Outbox
from tests.crash.aftermath import accepted, states
from tests.crash.conftest import Start
from tests.crash.jobs import deliver, send
from tests.crash.mail_server import MailServer
from tests.waiting import eventually

COURIERS = 4
MAILS_A_SECOND = 10
"""Far fewer than what any machine delivers: a bound, not a measure."""


@pytest.mark.parametrize(
    "mails",
    [
        pytest.param(1_000, id="short"),
        pytest.param(10_000, id="long", marks=pytest.mark.long),
    ],
)
def test_four_couriers_deliver_each_mail_once(
    mails: int,
    url: str,
    outbox: Outbox,
    mail_server: MailServer,
    start: Start,
    tmp_path: Path,
):
    config = {"OUTBOX_URL": url, "MAIL_URL": mail_server.url}
    journal = tmp_path / "accepted"
    quick = {"OUTBOX_ENGINE": "external", "OUTBOX_DURABILITY": "process"}
    sender = start(send, {**config, **quick}, journal)
    sender.say([f"mail-{number}" for number in range(mails)])
    sender.ask(None)

    couriers = [start(deliver, config) for _ in range(COURIERS)]
    eventually(lambda: not outbox.anything_due(), mails / MAILS_A_SECOND)
    for courier in couriers:
        courier.kill()

    arrived = [mail.message_id for mail in mail_server.mails]
    print(f"{len(arrived)} mails, by courier: {_attempts(outbox)}")
    assert len(arrived) == mails
    assert set(arrived) == accepted(journal)
    assert states(outbox) == dict.fromkeys(arrived, "sent")
    assert len(_attempts(outbox)) == COURIERS


def _attempts(outbox: Outbox) -> Counter[str]:
    """Courier → how many attempts it began."""
    with outbox.database.reading() as connection:
        began = select(event.c.detail).where(event.c.kind == "began")
        return Counter(
            json.loads(detail)["courier"] for detail in connection.scalars(began)
        )
