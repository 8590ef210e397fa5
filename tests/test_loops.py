"""Which event loop couriers get."""

from __future__ import annotations

import asyncio
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from flask_outbox import concurrency
from flask_outbox.engines.shutdown import signals_wake_loop
from tests.waiting import eventually


def test_uvloop_is_used_if_it_is_installed() -> None:
    uvloop = pytest.importorskip("uvloop")
    loop = concurrency.new_loop()
    try:
        assert isinstance(loop, uvloop.Loop)
    finally:
        loop.close()


@pytest.fixture
def _own_policy() -> Iterator[None]:
    """asyncio's own loops, also where ``OUTBOX_TEST_LOOP`` has asked for others."""
    before = asyncio.get_event_loop_policy()
    asyncio.set_event_loop_policy(None)
    yield
    asyncio.set_event_loop_policy(before)


@pytest.mark.usefixtures("_own_policy")
@pytest.mark.parametrize("why", ["not installed", "gevent"])
def test_asyncios_loop_is_used_without_uvloop_or_under_gevent(
    why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if why == "gevent":
        monkeypatch.setattr(concurrency, "gevent_patched", lambda: True)
    else:
        monkeypatch.setattr(concurrency, "uvloop", None)
    loop = concurrency.new_loop()
    try:
        assert isinstance(loop, asyncio.BaseEventLoop)
    finally:
        loop.close()


@pytest.fixture(params=["asyncio", "uvloop"])
def make_loop(request: pytest.FixtureRequest) -> Callable[[], Any]:
    """What makes a loop of each kind."""
    if request.param == "asyncio":
        return asyncio.SelectorEventLoop
    make: Callable[[], Any] = pytest.importorskip("uvloop").new_event_loop
    return make


def test_a_signal_received_by_another_thread_wakes_the_loop(
    make_loop: Callable[[], Any],
) -> None:
    waits = "select" if make_loop is asyncio.SelectorEventLoop else "run"
    told = asyncio.Event()
    before = signal.signal(signal.SIGUSR1, lambda *_: told.set())

    def take_it() -> None:
        eventually(lambda: what_runs(threading.main_thread()) == waits)
        signal.pthread_kill(threading.get_ident(), signal.SIGUSR1)

    async def wait() -> None:
        with signals_wake_loop():
            threading.Thread(target=take_it).start()
            now = asyncio.get_running_loop().time
            latest = now() + 40  # the timeout wakes the loop too
            await asyncio.wait_for(told.wait(), 40)
            assert now() < latest

    try:
        with asyncio.Runner(loop_factory=make_loop) as runner:
            runner.run(wait())
    finally:
        signal.signal(signal.SIGUSR1, before)


def what_runs(thread: threading.Thread) -> str:
    """The name of the function that a thread is in."""
    assert thread.ident
    return sys._current_frames()[thread.ident].f_code.co_name
