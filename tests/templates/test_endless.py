"""A template that never ends, or that ends its thread, delays no other mail."""

from __future__ import annotations

import asyncio
import itertools
import threading

import pytest

from flask_outbox import Message, State, signals
from flask_outbox.courier import rendering, thread_pool
from flask_outbox.courier.rendering import RENDER_THREADS
from tests.mail.conftest import MakeSite
from tests.servers import JournalSmtp
from tests.templates.stationery import Stationery
from tests.waiting import eventually

CONCURRENCY = 3

HASTY_SECONDS = 1.5
"""What an endless template exceeds, and no other, even on a busy machine."""


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(thread_pool, "QUICK_SECONDS", 0.05)


class Desk(Stationery):
    """A desk whose template ``endless`` goes on and on, as often as it is rendered."""

    def __init__(self, stationery: Stationery) -> None:
        self.__dict__.update(stationery.__dict__)
        self.going_on = 0
        self.write("endless.txt", "{% for _ in endless() %}{% endfor %}")
        self.write("endless.subject.txt", "Endless")
        self.write("bill.txt", "Seven coins")
        self.write("bill.subject.txt", "Your bill")
        self.site.app.jinja_env.globals["endless"] = self._endless

    def _endless(self) -> itertools.count[int]:
        self.going_on += 1
        return itertools.count()

    def later(self, name: str) -> Message:
        return self.compose(name, render="later")


@pytest.fixture
def make_desk(make_site: MakeSite, tmp_path):
    def make(**config: object) -> Desk:
        site = make_site(SERVER_NAME="shop.example.com", **config)
        return Desk(Stationery(site, tmp_path))

    return make


def _rendering_threads() -> int:
    threads = threading.enumerate()
    return sum(one.name.startswith("outbox-render") for one in threads)


def test_an_endless_template_fails_after_the_timeout_and_its_thread_ends(
    make_desk, server: JournalSmtp
):
    desk = make_desk(OUTBOX_RENDER_TIMEOUT_SECONDS=HASTY_SECONDS)
    receipts = [desk.site.mail.send(desk.later("endless")) for _ in range(3)]
    for one in receipts:
        record = desk.site.settled(one)
        assert record.state is State.FAILED
        assert f"within {HASTY_SECONDS} s (OUTBOX_RENDER_TIMEOUT_SECONDS)" in str(
            record.recipients[0].reply
        )
    eventually(lambda: _rendering_threads() <= RENDER_THREADS)
    assert desk.site.settled(desk.site.mail.send(desk.later("bill"))).state is (
        State.SENT
    )


def test_endless_templates_delay_no_other_mail(make_desk, server: JournalSmtp):
    desk = make_desk(OUTBOX_CONCURRENCY=CONCURRENCY, OUTBOX_GRACE_SECONDS=0.05)
    for _ in range(CONCURRENCY + 2):
        desk.site.mail.send(desk.later("endless"))
    eventually(lambda: desk.going_on == CONCURRENCY + 2)
    assert desk.site.settled(desk.site.send()).state is State.SENT
    assert desk.site.settled(desk.site.mail.send(desk.later("bill"))).state is (
        State.SENT
    )
    assert not desk.site.told(signals.message_failed)
    desk.site.close()
    eventually(lambda: not _rendering_threads())


def test_an_endless_template_delays_no_message_before_or_behind_it(
    make_desk, server: JournalSmtp, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(rendering, "SET_SECONDS", 3_600.0)
    desk = make_desk(OUTBOX_GRACE_SECONDS=0.05)
    names = ["bill", "endless", "bill", "endless", "bill", "bill"]
    receipts = [desk.keep_later(name) for name in names]
    desk.site.make_ready()
    for name, receipt in zip(names, receipts, strict=True):
        if name == "bill":
            assert desk.site.settled(receipt).state is State.SENT
    assert len(server.mails) == 4
    assert not desk.site.told(signals.message_failed)


def test_a_thread_blocked_outside_python_is_abandoned(make_desk, server: JournalSmtp):
    desk = make_desk(OUTBOX_RENDER_TIMEOUT_SECONDS=HASTY_SECONDS)
    waiting, go_on = threading.Event(), threading.Event()

    def block() -> str:
        waiting.set()
        go_on.wait()
        return ""

    desk.site.app.jinja_env.globals["block"] = block
    desk.write("blocked.txt", "{{ block() }}")
    desk.write("blocked.subject.txt", "Blocked")
    blocked = desk.site.mail.send(desk.later("blocked"))
    assert desk.site.settled(blocked).state is State.FAILED
    assert waiting.is_set()
    assert desk.site.settled(desk.site.mail.send(desk.later("bill"))).state is (
        State.SENT
    )
    go_on.set()


@pytest.mark.parametrize(
    "error", [SystemExit(3), KeyboardInterrupt(), asyncio.CancelledError()]
)
def test_a_template_that_ends_its_thread_is_retried_and_delays_no_other(
    make_desk, server: JournalSmtp, error: BaseException
):
    desk = make_desk()
    times = itertools.count()

    def leave() -> str:
        if next(times) < RENDER_THREADS + 1:
            raise error
        return "here after all"

    desk.site.app.jinja_env.globals["leave"] = leave
    desk.write("leaving.txt", "{{ leave() }}")
    desk.write("leaving.subject.txt", "Leaving")
    leaving = desk.site.mail.send(desk.later("leaving"))
    assert desk.site.settled(leaving).state is State.SENT
    told = desk.site.told(signals.message_deferred)
    assert len(told) == RENDER_THREADS + 1
    assert type(error).__name__ in str(told[0]["replies"])
    assert len(desk.site.told(signals.courier_started)) == 1
