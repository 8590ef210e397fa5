"""A process that is killed in the middle of API calls: nothing lost, and doubled only
where the API has no idempotency keys, whether messages share calls or not.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from flask_outbox.testing import PeerBehaviour
from tests.processes.running import ROOT
from tests.servers.http_api import FakeApi
from tests.transports.fakes import (
    FakeBrevo,
    FakeMailjet,
    FakePostmark,
    FakeResend,
    FakeSendGrid,
    FakeSparkPost,
)
from tests.waiting import eventually

READERS = [f"reader{number}@example.org" for number in range(12)]

APP = """
import sys
from flask import Flask
from flask_outbox import Mail, Message

folder, url, *readers = sys.argv[1:]
app = Flask("shop", instance_path=folder)
app.config.update(
    MAIL_URL=url, MAIL_DEFAULT_SENDER="shop@example.com", OUTBOX_CONCURRENCY=5,
    OUTBOX_LEASE_SECONDS=2, OUTBOX_POLL_SECONDS=0.1, OUTBOX_UNKNOWN_WAIT_SECONDS=0.1,
)
mail = Mail(app)
with app.app_context():
    mail.pause("default")
    for reader in readers:
        mail.send(Message("Your order", [reader], body="Hello"))
    mail.resume("default")
    print("handed over", flush=True)
    mail.drain(60)
"""


@contextmanager
def running(folder: Path, api: FakeApi, *readers: str) -> Iterator[subprocess.Popen]:
    command = [sys.executable, "-c", APP, str(folder), api.url(), *readers]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"handed over\n"
            yield process
        finally:
            process.kill()


def _sent_over_a_kill(folder: Path, api: FakeApi) -> Counter[str]:
    """How often each reader's mail was taken, the first ones just before a kill."""
    api.behave(PeerBehaviour.SILENCE)
    with running(folder, api, *READERS) as process:
        eventually(lambda: _received(api) >= 5)
        process.send_signal(signal.SIGKILL)
        process.wait()
    began = _received(api)
    api.behave(PeerBehaviour.ACCEPT)
    with running(folder, api):
        eventually(lambda: _taken(api).keys() >= set(READERS))
        eventually(lambda: _received(api) >= len(READERS) + began)
    return _taken(api)


def _taken(api: FakeApi) -> Counter[str]:
    return Counter(one for mail in api.taken for one in mail)


def _received(api: FakeApi) -> int:
    """How many messages were in requests, each as often as it was."""
    return sum(len(api.parts(one)) for one in list(api.requests))


@pytest.mark.parametrize(
    "fake", [FakeBrevo, FakeResend, FakeSparkPost], ids=lambda one: one.scheme
)
def test_with_idempotency_keys_nothing_is_lost_or_doubled(
    fake: type[FakeApi], tmp_path: Path
) -> None:
    with fake() as api:
        assert _sent_over_a_kill(tmp_path, api) == Counter(READERS)
        assert {len(api.parts(one)) for one in api.requests} == {1}


def test_without_them_nothing_is_lost(tmp_path: Path) -> None:
    with FakeSendGrid() as api:
        assert max(_sent_over_a_kill(tmp_path, api).values()) <= 2


@pytest.mark.parametrize(
    "fake", [FakeMailjet, FakePostmark], ids=lambda one: one.scheme
)
def test_in_a_shared_call_nothing_is_lost(fake: type[FakeApi], tmp_path: Path) -> None:
    with fake() as api:
        assert max(_sent_over_a_kill(tmp_path, api).values()) <= 2
        assert max(len(api.parts(one)) for one in api.requests) > 1
