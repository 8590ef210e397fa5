"""Reports in any order, repeated and cut in any way come to the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flask_outbox.delivery import Reply
from flask_outbox.feedback import Fate, Feedback
from flask_outbox.feedback.rules import GROUNDS, FeedbackRules
from flask_outbox.outbox import Outbox

from .making import COURIER, put, sent

START = datetime(2030, 1, 1, tzinfo=UTC)
RECIPIENTS, MESSAGES = 2, 2

_numbers = count()


@dataclass(frozen=True)
class Told:
    """One report, whose message and recipient are numbers."""

    fate: Fate
    day: int
    message: int
    recipient: int
    words: str
    operator: bool


TOLD = st.builds(
    Told,
    fate=st.sampled_from(Fate),
    day=st.integers(0, 8),
    message=st.integers(0, MESSAGES - 1),
    recipient=st.integers(0, RECIPIENTS - 1),
    words=st.sampled_from(["full", "gone"]),
    operator=st.sampled_from([*4 * [False], True]),
)

BOUNCING = st.builds(
    Told,
    fate=st.sampled_from([Fate.SOFT_BOUNCED, Fate.DELIVERED]),
    day=st.integers(0, 4),
    message=st.just(0),
    recipient=st.just(0),
    words=st.just("full"),
    operator=st.just(False),
)
"""What becomes of mail to an address of which soft bounces are counted."""


class World:
    """Messages of which reports are taken; worlds in one outbox share no address."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self._number = next(_numbers)
        self._addresses = [
            f"{one}@world-{self._number}.example" for one in range(RECIPIENTS)
        ]
        self._ids = [put(outbox, *self._addresses, tag="news") for _ in range(MESSAGES)]
        held = outbox.claim(COURIER, "default", MESSAGES)
        outbox.record([sent(one, outbox.clock()) for one in held])

    def take(self, told: Sequence[Told], order: Sequence[int]) -> None:
        """Take those of ``told`` that ``order`` names."""
        self._outbox.take_feedback([self._report(told[one], one) for one in order])

    def _report(self, told: Told, number: int) -> Feedback:
        return Feedback(
            told.fate,
            "postmark",
            f"{self._number}-{number}",
            START + timedelta(days=told.day),
            address=self._addresses[told.recipient],
            message_id=self._ids[told.message],
            reply=Reply(None, None, told.words),
            operator=told.operator,
        )

    @property
    def state(self) -> tuple[object, ...]:
        """What is known of each recipient, and on which lists their addresses are."""
        recipients = [
            (one.fate, one.fate_at, one.fate_text)
            for message_id in self._ids
            for one in self._outbox.get(message_id).recipients
        ]
        barred = {
            (self._addresses.index(one.address), one.list)
            for one in self._outbox.suppressions()
            if one.address in self._addresses
        }
        return recipients, barred


@settings(
    max_examples=30,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    told=st.lists(TOLD, max_size=12) | st.lists(BOUNCING, min_size=3, max_size=6),
    choices=st.data(),
)
def test_the_order_of_reports_makes_no_difference(
    outbox: Outbox, told: list[Told], choices: st.DataObject
) -> None:
    outbox.feedback_rules = FeedbackRules(
        frozenset(GROUNDS), soft_bounce_count=2, soft_bounce_days=3, track_tags=True
    )
    straight, crooked = World(outbox), World(outbox)
    numbers = list(range(len(told)))
    straight.take(told, numbers)

    repeated = (
        choices.draw(st.lists(st.sampled_from(numbers), max_size=5)) if told else []
    )
    order = choices.draw(st.permutations([*numbers, *repeated]))
    cuts = sorted(choices.draw(st.sets(st.integers(0, len(order)), max_size=4)))
    for start, end in zip([0, *cuts], [*cuts, len(order)], strict=True):
        crooked.take(told, order[start:end])

    assert crooked.state == straight.state
