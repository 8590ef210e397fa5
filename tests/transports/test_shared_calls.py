"""Calls that several messages share: each message has an outcome of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from flask_outbox import AccountTrouble, Mail, Message, MessageRecord
from flask_outbox.delivery import Envelope, Outcome, Progress, Report
from flask_outbox.testing.transport_contract import (
    CONTENT,
    SENDER,
    PeerBehaviour,
)
from flask_outbox.transports.base import Transport
from tests.servers.http_api import Answer, FakeApi, Request
from tests.transports.fakes import FakeMailjet, FakePostmark
from tests.waiting import WAIT_SECONDS

SHARING: list[type[FakeApi]] = [FakeMailjet, FakePostmark]
LARGE = CONTENT + b"Thank you for a lot.\r\n" * 2_000

sharing = pytest.mark.parametrize("fake", SHARING, ids=lambda one: one.scheme)


def readers(count: int) -> list[str]:
    return [f"reader{number}@example.org" for number in range(count)]


class Mailing:
    """Messages that are handed to a transport at the same time, one to each reader."""

    def __init__(self, everyone: Sequence[str], **envelope: Any) -> None:
        self.progress = {one: Progress() for one in everyone}
        self.deliveries: dict[str, asyncio.Task[Report]] = {}
        self._envelope = envelope

    async def deliver(self, transport: Transport, content: bytes) -> list[Any]:
        for number, (one, progress) in enumerate(self.progress.items()):
            envelope = Envelope(
                SENDER, (one,), message_id=f"m{number}", **self._envelope
            )
            delivery = transport.deliver(envelope, content, progress)
            self.deliveries[one] = asyncio.create_task(delivery)
        try:
            return await asyncio.gather(
                *self.deliveries.values(), return_exceptions=True
            )
        finally:
            await transport.close()


def delivered(
    api: FakeApi, everyone: Sequence[str], content: bytes = CONTENT, **envelope: Any
) -> list[Any]:
    mailing = Mailing(everyone, **envelope)
    found = asyncio.run(mailing.deliver(api.transport(), content))
    return [outcome(one) for one in found]


def outcome(found: Any) -> Any:
    """The outcome of a report on one recipient, or the type of what was raised."""
    if not isinstance(found, Report):
        return type(found)
    (told,) = found.recipients.values()
    return told.outcome


def messages_in(requests: Iterable[Request]) -> list[int]:
    """How many messages each request had."""
    found = []
    for request in requests:
        body = request.json
        some = body.get("Messages", [body]) if isinstance(body, dict) else body
        found.append(len(some))
    return found


@sharing
def test_messages_that_wait_at_the_same_time_share_a_call(fake: type[FakeApi]) -> None:
    with fake() as api:
        assert set(delivered(api, readers(20))) == {Outcome.ACCEPTED}
        assert messages_in(api.requests) == [20]
        assert sorted(api.taken) == sorted(frozenset([one]) for one in readers(20))


@sharing
def test_a_message_that_was_tried_before_has_a_call_of_its_own(
    fake: type[FakeApi],
) -> None:
    with fake() as api:
        assert set(delivered(api, readers(3), attempt=2)) == {Outcome.ACCEPTED}
        assert messages_in(api.requests) == [1, 1, 1]


def test_a_call_has_no_more_messages_than_the_api_takes() -> None:
    with FakeMailjet() as api:
        assert set(delivered(api, readers(120))) == {Outcome.ACCEPTED}
        assert sorted(messages_in(api.requests)) == [20, 50, 50]


@sharing
def test_large_messages_share_a_call_up_to_a_size(fake: type[FakeApi]) -> None:
    content = CONTENT + b"Thank you for a lot.\r\n" * 70_000
    with fake() as api:
        assert set(delivered(api, readers(5), content)) == {Outcome.ACCEPTED}
        assert sorted(messages_in(api.requests)) == [1, 2, 2]


class RefusesShared(FakePostmark):
    def _answer(self, request: Request) -> Answer:
        if request.path == "/email/batch":
            return Answer(413, b"")
        return super()._answer(request)


def test_a_call_that_is_refused_as_a_whole_is_repeated_for_each_alone() -> None:
    with RefusesShared() as api:
        api.behave(PeerBehaviour.REFUSE_EVE)
        found = delivered(api, [*readers(3), "eve@example.org"])
        assert found == [*[Outcome.ACCEPTED] * 3, Outcome.REFUSED]
        assert sorted(messages_in(api.requests)) == [1, 1, 1, 1, 4]


def test_recipients_already_sent_stay_sent_while_the_rest_waits_again() -> None:
    """Each is for two hidden recipients, who get a request of their own in turn."""

    class RefusesTheRest(FakePostmark):
        def _answer(self, request: Request) -> Answer:
            if self.taken and request.path == "/email/batch":
                return Answer(413, b"")
            return super()._answer(request)

    async def run(api: FakeApi) -> list[Report]:
        transport = api.transport()
        try:
            return await asyncio.gather(*map(partial(deliver, transport), (0, 1)))
        finally:
            await transport.close()

    async def deliver(transport: Transport, number: int) -> Report:
        progress = Progress()

        def holds() -> bool:
            seen[number].append(progress.final_dot_sent)
            return True

        progress.lease_holds = holds
        hidden = tuple(f"hidden{number}{one}@example.org" for one in "ab")
        return await transport.deliver(Envelope(SENDER, hidden), CONTENT, progress)

    seen: dict[int, list[bool]] = {0: [], 1: []}
    with RefusesTheRest() as api:
        first, second = asyncio.run(run(api))
        assert messages_in(api.requests) == [2, 2, 1, 1]
    assert first.accepted
    assert second.accepted
    assert seen == {0: [False, True, True], 1: [False, True, True]}


@sharing
def test_a_call_that_is_deferred_defers_each(fake: type[FakeApi]) -> None:
    with fake() as api:
        api.answers = Answer(502, b"")
        assert delivered(api, readers(3)) == [Outcome.DEFERRED] * 3


@sharing
def test_a_call_without_a_reply_leaves_each_unknown(fake: type[FakeApi]) -> None:
    with fake() as api:
        api.behave(PeerBehaviour.CUT_AFTER_END)
        assert delivered(api, readers(3)) == [Outcome.UNKNOWN] * 3
        assert len(api.taken) == 3


@sharing
def test_a_fault_of_the_account_is_that_of_each_message(fake: type[FakeApi]) -> None:
    with fake() as api:
        api.behave(PeerBehaviour.REJECT_ACCOUNT)
        assert delivered(api, readers(3)) == [AccountTrouble] * 3


def test_a_sender_that_the_account_may_not_use_is_a_fault_of_its_message() -> None:
    unknown_sender = FakePostmark.numbered(422, 400, "Sender signature not found.")
    with FakePostmark() as api:
        accepted = {"ErrorCode": 0, "Message": "OK", "MessageID": "1"}
        api.answers = Answer(200, [accepted, unknown_sender.body])
        found = delivered(api, readers(2))
    assert found == [Outcome.ACCEPTED, AccountTrouble]


@sharing
def test_a_reply_about_fewer_messages_leaves_all_unknown(fake: type[FakeApi]) -> None:
    class Forgets(fake):  # type: ignore[misc, valid-type]
        def joined(self, answers: list[Answer]) -> Answer:
            joined: Answer = super().joined(answers[1:])
            return joined

    with Forgets() as api:
        assert delivered(api, readers(3)) == [Outcome.UNKNOWN] * 3


def test_a_reply_about_other_messages_leaves_all_unknown() -> None:
    class Turns(FakeMailjet):
        def joined(self, answers: list[Answer]) -> Answer:
            return super().joined(answers[::-1])

    with Turns() as api:
        assert delivered(api, readers(3)) == [Outcome.UNKNOWN] * 3


@pytest.mark.parametrize("errors", [None, "No.", [], ["No."], [{"StatusCode": "?"}]])
def test_an_error_of_one_in_no_known_form_is_its_own(errors: object) -> None:
    class Mumbles(FakeMailjet):
        def joined(self, answers: list[Answer]) -> Answer:
            joined = super().joined(answers)
            joined.body["Messages"][1] = {"Status": "error", "Errors": errors}
            return joined

    with Mumbles() as api:
        accepted, refused, another = delivered(api, readers(3))
    assert (accepted, another) == (Outcome.ACCEPTED, Outcome.ACCEPTED)
    assert refused == Outcome.REFUSED


@sharing
def test_a_message_without_the_lease_leaves_the_others_in_the_call(
    fake: type[FakeApi],
) -> None:
    async def run(api: FakeApi) -> list[Any]:
        mailing = Mailing(readers(3))
        mailing.progress[readers(3)[1]].lease_holds = lambda: False
        return await mailing.deliver(api.transport(), CONTENT)

    with fake() as api:
        first, second, third = map(outcome, asyncio.run(run(api)))
        assert (first, third) == (Outcome.ACCEPTED, Outcome.ACCEPTED)
        assert second.__name__ == "LeaseLost"
        assert messages_in(api.requests) == [2]


@sharing
def test_a_call_that_breaks_off_for_one_is_repeated_for_the_others(
    fake: type[FakeApi],
) -> None:
    """One is given up during the call, which ends before its last byte."""

    async def run(api: FakeApi) -> list[Any]:
        mailing = Mailing(readers(4))
        asked = 0

        def holds() -> bool:
            nonlocal asked
            asked += 1
            if asked == 1:
                mailing.deliveries["reader2@example.org"].cancel()
            return asked != 2

        mailing.progress["reader0@example.org"].lease_holds = holds
        found = await mailing.deliver(api.transport(), LARGE)
        assert not mailing.progress["reader2@example.org"].final_dot_sent
        return found

    with fake() as api:
        found = [outcome(one) for one in asyncio.run(run(api))]
        assert found.pop(2) is asyncio.CancelledError
        assert set(found) == {Outcome.ACCEPTED}
        assert messages_in(api.requests) == [3]


def test_a_transport_that_is_closed_leaves_nobody_waiting() -> None:
    async def run(api: FakeApi) -> list[Any]:
        transport = api.transport()
        mailing = Mailing(readers(3))
        working = asyncio.create_task(mailing.deliver(transport, CONTENT))
        async with asyncio.timeout(30):
            while not all(one.final_dot_sent for one in mailing.progress.values()):
                await asyncio.sleep(0.01)
            await transport.close()
            return await working

    with FakePostmark() as api:
        api.behave(PeerBehaviour.SILENCE)
        found = asyncio.run(run(api))
    assert [outcome(one) for one in found] == [asyncio.CancelledError] * 3


def test_each_message_of_a_shared_call_has_its_own_history(tmp_path: Path) -> None:
    app = Flask("shop", instance_path=str(tmp_path))
    app.config.update(MAIL_DEFAULT_SENDER=SENDER, OUTBOX_POLL_SECONDS=0.05)
    everyone = [*readers(60), "eve@example.org"]
    with FakePostmark() as api:
        api.behave(PeerBehaviour.REFUSE_EVE)
        app.config["MAIL_URL"] = api.url()
        mail = Mail(app)
        with app.app_context():
            mail.pause("default")
            ids = [mail.send(Message("Hi", [one], body="Hello")).id for one in everyone]
            mail.resume("default")
            assert mail.drain(WAIT_SECONDS)
            *others, eve = [mail.get(one) for one in ids]
    assert eve.state == "failed"
    assert {one.state for one in others} == {"sent"}
    assert len(api.taken) == len(provider_ids(others)) == 60
    assert max(messages_in(api.requests)) > 1


def provider_ids(records: Iterable[MessageRecord]) -> set[str]:
    """The provider's ids in the histories, each in that of one message."""
    found: list[str] = []
    for record in records:
        (sent,) = [one for one in record.events if one.kind == "sent"]
        found += sent.detail["provider_ids"].values()
    assert len(found) == len(set(found))
    return set(found)
