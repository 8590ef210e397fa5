"""A fault at every call that a message passes: no message is stuck or lost."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from flask_outbox import State
from flask_outbox.courier import maintenance, recorder
from flask_outbox.errors import OutboxUnavailable
from tests.mail.conftest import MakeSite
from tests.mail.site import Site
from tests.servers import JournalSmtp
from tests.waiting import eventually

CALLS = (
    "begin",
    "claim",
    "return_untried",
    "lanes_paused_by_operator",
    "leased_to",
    "next_due_at",
    "record",
    "renew",
    "resend_unknown",
    "rescue",
    "write_stats",
)
"""What a courier asks of its outbox while it works."""

ERRORS: tuple[Callable[[], BaseException], ...] = (
    lambda: OutboxUnavailable("the outbox is away"),
    lambda: RuntimeError("nobody thought of this"),
    lambda: SystemExit(3),
)

FAULTS = 3
"""How often each call fails, before it did anything or after it did it…"""

MOMENTS = 10
"""… and among how many such moments these are."""

MESSAGES = 12


class Faults:
    """Makes calls fail, each a few times at random moments."""

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(seed)
        self._moments = {
            name: self._chance.sample(range(MOMENTS), FAULTS)
            for name in (*CALLS, "deliver")
        }
        self._passed: Counter[str] = Counter()
        self.met: Counter[str] = Counter()

    def around(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def faulty(*args: Any, **given: Any) -> Any:
            if self._strikes(name):
                raise self._chance.choice(ERRORS)()
            answer = call(*args, **given)
            if self._strikes(name):
                raise self._chance.choice(ERRORS)()
            return answer

        return faulty

    def before(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        async def faulty(*args: Any, **given: Any) -> Any:
            if self._strikes(name):
                raise self._chance.choice(ERRORS)()
            return await call(*args, **given)

        return faulty

    def _strikes(self, name: str) -> bool:
        strikes = self._passed[name] in self._moments[name]
        self._passed[name] += 1
        self.met[name] += strikes
        return strikes


@pytest.mark.parametrize("seed", range(3))
def test_after_any_fault_every_message_is_sent_and_none_stays_in_flight(
    make_site: MakeSite,
    server: JournalSmtp,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    seed: int,
):
    for module in (maintenance, recorder):
        monkeypatch.setattr(module, "RETRY_WAIT_SECONDS", 0.01)
    monkeypatch.setattr("flask_outbox.courier.attempt.BROKEN_OFF_SECONDS", 0.01)
    site = make_site(
        OUTBOX_ON_UNKNOWN="hold",
        OUTBOX_LEASE_SECONDS=1,
        OUTBOX_POLL_SECONDS=0.05,
        OUTBOX_CONCURRENCY=4,
    )
    site.make_ready()
    courier = site.courier
    faults = Faults(seed)
    for name in CALLS:
        call = getattr(site.outbox, name)
        monkeypatch.setattr(site.outbox, name, faults.around(name, call))
    transport = courier.lanes["default"].transport
    deliver = faults.before("deliver", transport.deliver)
    monkeypatch.setattr(transport, "deliver", deliver)

    receipts = [site.send() for _ in range(MESSAGES)]

    eventually(lambda: site.counts() == {State.SENT: MESSAGES})
    eventually(lambda: len(courier._in_flight) == 0)
    assert faults.met["deliver"] == faults.met["begin"] == FAULTS
    arrived = Counter(one.rfc_message_id for one in server.mails)
    assert arrived == {one.rfc_message_id: 1 for one in receipts}
    assert site.runtime._courier() is courier
    assert not [
        one for one in caplog.records if "no task was delivering" in one.getMessage()
    ]
    site.close()  # a fault may still be met until then
    caplog.clear()


def test_a_bug_in_recording_sends_no_mail_again(
    site: Site,
    server: JournalSmtp,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
):
    """The courier gave up with the ends of attempts, and all mail waited for another
    one.
    """
    monkeypatch.setattr(recorder, "RETRY_WAIT_SECONDS", 0.01)
    site.make_ready()
    courier, write = site.courier, recorder.Recorder._try

    async def fail_once(*args: Any, **given: Any) -> Exception | None:
        monkeypatch.setattr(recorder.Recorder, "_try", write)
        raise TypeError("a bug")

    monkeypatch.setattr(recorder.Recorder, "_try", fail_once)
    receipts = [site.send() for _ in range(5)]
    assert {site.settled(one).state for one in receipts} == {State.SENT}
    assert len(server.mails) == 5
    assert site.runtime._courier() is courier
    (said,) = [one.getMessage() for one in caplog.records if one.exc_info]
    assert said.startswith("Ends of attempts could not be recorded")
    caplog.clear()
