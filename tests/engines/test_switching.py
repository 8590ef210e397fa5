"""The engine is switched with mail in flight: all of them work on the same outbox."""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from flask_outbox import State
from tests.cli.shop import Shop
from tests.servers import Behaviour, JournalSmtp
from tests.waiting import WAIT_SECONDS

from .conftest import Config, StartWorker, shop

ENGINES = ("thread", "external", "celery", "external", "thread")

MAILS = 20
"""What each engine is given twice: while the one before still works, and alone."""

HANGING = Behaviour(hang=True)
BRISK = Behaviour(delay_seconds=0.1)

DRAIN_SECONDS = 2 * WAIT_SECONDS
"""How long an engine may take with all that: far longer than it needs."""


@pytest.fixture
def config(config: Config, tmp_path: Path) -> Config:
    """Couriers that look often, and have little in hand."""
    return {**config, "OUTBOX_POLL_SECONDS": 0.1, "OUTBOX_CONCURRENCY": 2}


def test_each_mail_arrives_once_whichever_engine_delivers(
    config: Config, server: JournalSmtp, start_worker: StartWorker
) -> None:
    handed_over: list[str] = []
    with ExitStack() as processes:
        old = ExitStack()
        for engine in ENGINES:
            new = processes.enter_context(ExitStack())
            now = {**config, "OUTBOX_ENGINE": engine}
            site = new.enter_context(shop(now))
            if engine == "external":
                new.enter_context(_external_worker(now))
            elif engine == "celery":
                new.callback(start_worker().stop)
            server.behaviour = HANGING
            handed_over += [site.send().rfc_message_id for _ in range(MAILS)]
            assert site.counts()[State.PENDING] > 0, "nothing is in flight"
            server.behaviour = BRISK
            old.close()
            arrived = len(server.mails)
            handed_over += [site.send().rfc_message_id for _ in range(MAILS)]
            server.wait_for(arrived + MAILS, DRAIN_SECONDS)
            assert engine in {one.engine for one in site.status().couriers}
            old = new
        server.behaviour = Behaviour()
        assert site.runtime.drain(DRAIN_SECONDS)

    copies = Counter(mail.rfc_message_id for mail in server.mails)
    assert copies == Counter(handed_over)


@contextmanager
def _external_worker(config: Config) -> Iterator[None]:
    """``flask outbox worker``, which is told to stop in the end."""
    settings = {name: value for name, value in config.items() if name != "CELERY"}
    shop = Shop(**settings)
    with shop.process("worker") as worker:
        worker.wait_for("started (engine external)")
        yield
        worker.signal(signal.SIGTERM)
        worker.ended()
    shop.close()
