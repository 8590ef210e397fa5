"""Servers with unusual habits, end to end: each mail arrives once."""

from __future__ import annotations

import pytest

from flask_outbox import Message, MessageRecord, State, signals
from tests.mail.conftest import MakeSite
from tests.mail.site import Site
from tests.servers.model_smtp import Fate, Habits, Model, ModelSmtp, Riders
from tests.waiting import BUSY_SECONDS

MAILS = 30
LATER = [f"m{number}" for number in range(3, MAILS, 10)]
"""Those whose content is put off by a server that keeps the transaction open."""


def _send(site: Site) -> dict[str, str]:
    """Hand over mails, each with a sender and a recipient of its own: name → id."""
    with site.app.app_context():
        return {
            name: site.mail.send(
                Message(name, [f"to-{name}@a.test"], "x", sender=f"from-{name}@a.test")
            ).id
            for name in (f"m{number}" for number in range(MAILS))
        }


def _tried(site: Site, ids: dict[str, str]) -> dict[str, MessageRecord]:
    """The records once each mail was tried, and what came of it was recorded."""
    site.wait_until(
        lambda: all(site.mail.get(one).recipients[0].reply for one in ids.values()),
        "each was tried",
    )
    return {name: site.mail.get(one) for name, one in ids.items()}


KEEPS = Habits(keeps_sender=True, verdict_seconds=0.005)
HABITS = {
    "keeps a refused transaction": KEEPS,
    "keeps it, and takes BDAT": Habits(
        chunking=True, keeps_sender=True, keeps_recipients=True, verdict_seconds=0.005
    ),
    "refuses riders": Habits(riders=Riders.REFUSED, verdict_seconds=0.005),
    "swallows riders": Habits(riders=Riders.SWALLOWED, verdict_seconds=0.005),
    "ends a session's credit": Habits(credit=5),
}


@pytest.mark.parametrize("greeting", ["model.test ESMTP", "model.test ESMTP Postfix"])
@pytest.mark.parametrize("habit", HABITS)
def test_each_mail_arrives_once_under_its_envelope(
    habit: str, greeting: str, make_site: MakeSite
) -> None:
    habits = HABITS[habit]
    late = LATER if habits.keeps_sender else []
    model = Model(habits, {name: Fate(MAILS, 450) for name in late})
    with ModelSmtp(model, greeting) as server:
        site = make_site(
            MAIL_URL=f"smtp://{server.host}:{server.port}",
            MAIL_MAX_CONNECTIONS=1,
            MAIL_COMMAND_TIMEOUT_SECONDS=BUSY_SECONDS,
        )
        records = _tried(site, _send(site))
        site.close()

    sent = [name for name, one in records.items() if one.state is State.SENT]
    assert sent == [name for name in records if name not in late]
    assert {len(records[name].attempts) for name in sent} == {1}
    for name in late:
        assert not records[name].state.final
        assert f"<{name}> is refused" in str(records[name].recipients[0].reply)
    assert sorted(
        (one.content, one.sender, one.recipients) for one in model.kept
    ) == sorted((name, f"from-{name}@a.test", (f"to-{name}@a.test",)) for name in sent)
    assert not site.told(signals.lane_paused)
