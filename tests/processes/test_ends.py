"""How a process ends, well or not: what it accepted is delivered, exactly once."""

from __future__ import annotations

import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.processes.conftest import OpenShop, RunScript
from tests.servers import Behaviour, JournalSmtp
from tests.waiting import BUSY_SECONDS, WAIT_SECONDS, eventually

GRACE_SECONDS = 1.0
TIDY_SECONDS = 5.0 + BUSY_SECONDS
"""A process ends within its grace time and this."""

SEND = "send()\n"

SAY_WHEN_THEY_END = """
def say_when_they_end(*apps):
    threads = [one.extensions["outbox"].runtime._thread for one in apps]
    def say():
        while not all(one.courier._stopping.is_set() for one in threads):
            time.sleep(0.01)
        if not any(one._ended.is_set() for one in threads):
            print("they end", flush=True)
    threading.Thread(target=say, daemon=True).start()
"""
"""Says that the couriers of all ``apps`` were told to end, while all are at work."""


@pytest.fixture
def black_hole() -> Iterator[str]:
    """The ``MAIL_URL`` of a server that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        host, port = silent.getsockname()
        yield f"smtp://{host}:{port}"


# ------------------------------------------------------------------------- killed


def test_mail_survives_a_kill_before_delivery(open_shop: OpenShop, server: JournalSmtp):
    """kill -9 after the response: the next start delivers, with the same Message-ID."""
    server.go_down()
    shop = open_shop()
    sent = shop.send_emails(5)
    shop.kill()
    server.come_back()
    again = open_shop()
    again.get("/ping")
    server.wait_for(5)
    eventually(lambda: again.get("/status")["counts"] == {"sent": 5})
    assert server.arrived == sorted(sent)


def test_mail_survives_a_kill_during_delivery(open_shop: OpenShop, server: JournalSmtp):
    """Under a lease, past the final dot, and never answered."""
    server.behaviour = Behaviour(hang=True)
    shop = open_shop()
    sent = shop.send_emails(3)
    server.wait_until(lambda: server.connections == 3)
    shop.kill()
    server.wait_until(lambda: server.connections == 0)
    server.behaviour = Behaviour()
    again = open_shop()
    again.get("/ping")
    server.wait_for(3)
    eventually(lambda: again.get("/status")["counts"] == {"sent": 3})
    assert server.arrived == sorted(sent)


def test_mail_survives_repeated_kills(open_shop: OpenShop, server: JournalSmtp):
    server.go_down()
    sent = []
    for _ in range(2):
        shop = open_shop()
        sent += shop.send_emails(6)
        shop.kill()
    server.come_back()
    last = open_shop()
    last.get("/ping")
    eventually(lambda: last.get("/status")["counts"] == {"sent": 12})
    assert server.arrived == sorted(sent)
    assert last.get("/status")["lanes"] == []


# ------------------------------------------------------------------ a plain script


def test_a_script_that_ends_at_once_delivers_its_mail(
    run_script: RunScript, server: JournalSmtp
):
    sent = run_script(SEND * 20).end().split()
    assert len(sent) == 20
    assert server.arrived == sorted(sent)


def test_a_script_waits_for_a_slow_server(run_script: RunScript, server: JournalSmtp):
    server.behaviour = Behaviour(delay_seconds=1.0)
    sent = run_script(SEND * 3, OUTBOX_GRACE_SECONDS=10).end().split()
    assert server.arrived == sorted(sent)


def test_a_script_with_a_black_hole_ends_and_the_next_delivers(
    run_script: RunScript, server: JournalSmtp, black_hole: str
):
    settings = {"MAIL_URL": black_hole, "OUTBOX_GRACE_SECONDS": GRACE_SECONDS}
    first = run_script(SEND * 15, **settings)
    sent = [first.line() for _ in range(15)]
    has_sent_at = time.monotonic()
    assert first.end() == ""
    assert time.monotonic() - has_sent_at < GRACE_SECONDS + TIDY_SECONDS
    run_script("assert mail.drain(60)").end()
    assert server.arrived == sorted(sent)


def test_a_script_whose_name_server_never_answers_ends_and_the_next_delivers(
    run_script: RunScript, server: JournalSmtp
):
    """Stood in for by a look-up that takes longer than anybody waits."""
    first = run_script(
        "import socket\nsocket.getaddrinfo = lambda *_, **__: time.sleep(60)\n" + SEND,
        MAIL_URL="smtp://mail.example.com",
        OUTBOX_GRACE_SECONDS=GRACE_SECONDS,
    )
    sent = first.line()
    has_sent_at = time.monotonic()
    assert first.end() == ""
    assert time.monotonic() - has_sent_at < GRACE_SECONDS + TIDY_SECONDS
    run_script("assert mail.drain(60)").end()
    assert server.arrived == [sent]


def test_a_script_with_a_hanging_server_ends_and_the_next_resends(
    run_script: RunScript, server: JournalSmtp
):
    """Past the final dot nobody can know: it is sent once more after its wait."""
    server.behaviour = Behaviour(hang=True)
    first = run_script(SEND + "time.sleep(0.5)", OUTBOX_GRACE_SECONDS=GRACE_SECONDS)
    (sent,) = first.end().split()
    server.behaviour = Behaviour()
    second = run_script(
        "mail.start()\nwhile outbox().list()[0].state != 'sent': time.sleep(0.05)"
    )
    second.end()
    assert server.arrived == [sent]


@pytest.mark.parametrize("before", [0, 1])
def test_a_thread_that_outlives_the_main_thread_may_still_send(
    run_script: RunScript, server: JournalSmtp, before: int
):
    """Python waits for such a thread; what it sends is kept, which is said."""
    script = run_script(
        f"{SEND * before}"
        "def late():\n"
        "    threading.main_thread().join()\n"
        "    for _ in range(3): send()\n"
        "threading.Thread(target=late).start()"
    )
    sent = script.end().split()
    assert len(sent) == before + 3
    assert script.stderr.count("no courier of this process delivers it") == 1
    run_script("assert mail.drain(60)").end()
    assert server.arrived == sorted(sent)


def test_of_several_apps_the_one_whose_mail_is_kept_is_named(
    run_script: RunScript, server: JournalSmtp
):
    script = run_script(
        "from flask import Flask\n"
        "from flask_outbox import Mail\n"
        "blog = Flask('blog')\n"
        "blog.config['MAIL_URL'] = app.config['MAIL_URL']\n"
        "Mail(blog)\n"
        "def late():\n"
        "    threading.main_thread().join()\n"
        "    send()\n"
        "threading.Thread(target=late).start()"
    )
    script.end()
    assert "[shop] Mail is kept in the outbox" in script.stderr


def test_a_script_under_testing_leaves_nothing_behind(
    run_script: RunScript, server: JournalSmtp
):
    script = run_script(
        "send()\nprint(outbox().database.url.database)",
        TESTING=True,
    )
    script.line()
    file = script.line()
    script.end()
    assert script.stderr == ""
    assert server.connections == 0
    assert not Path(file).parent.exists()


def test_couriers_of_several_apps_end_at_the_same_time(
    run_script: RunScript, server: JournalSmtp
):
    """Not one after the other, each within its own grace time."""
    server.behaviour = Behaviour(hang=True)
    script = run_script(
        "names = [one for one in app.config if one.startswith(('MAIL_', 'OUTBOX_'))]\n"
        "other, _ = create_app({one: app.config[one] for one in names})\n"
        f"{SEND}with other.app_context(): {SEND}"
        f"{SAY_WHEN_THEY_END}say_when_they_end(app, other)"
    )
    sent = [script.line() for _ in range(2)]
    assert script.line() == "they end"
    server.behaviour = Behaviour()
    script.end()
    assert server.arrived == sorted(sent)


# ------------------------------------------------------------------------- signals


def test_ctrl_c_ends_the_wait_for_mail_and_not_the_attempt(
    run_script: RunScript, server: JournalSmtp
):
    """No traceback, and nothing that was just being sent is sent twice."""
    server.behaviour = Behaviour(hang=True)
    script = run_script(
        f"{SEND * 5}{SAY_WHEN_THEY_END}say_when_they_end(app)", OUTBOX_CONCURRENCY=1
    )
    sent = [script.line() for _ in range(5)]
    server.wait_until(lambda: server.held)
    assert script.line() == "they end"
    script.signal(signal.SIGINT)
    server.behaviour = Behaviour()
    script.end()
    run_script("assert mail.drain(60)").end()
    assert server.arrived == sorted(sent)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=str)
def test_on_a_signal_the_courier_finishes_its_attempts(
    open_shop: OpenShop, server: JournalSmtp, number: signal.Signals
):
    server.behaviour = Behaviour(delay_seconds=1.0)
    shop = open_shop(OUTBOX_GRACE_SECONDS=10)
    sent = shop.send_emails(3)
    server.wait_until(lambda: server.connections == 3)
    shop.signal(number)
    shop.process.wait(WAIT_SECONDS)
    assert server.arrived == sorted(sent)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=str)
def test_a_signal_ends_the_process_even_with_a_black_hole(
    open_shop: OpenShop,
    server: JournalSmtp,
    black_hole: str,
    number: signal.Signals,
):
    shop = open_shop(MAIL_URL=black_hole, OUTBOX_GRACE_SECONDS=GRACE_SECONDS)
    sent = shop.send_emails(15)
    began = time.monotonic()
    shop.signal(number)
    shop.process.wait(WAIT_SECONDS)
    assert time.monotonic() - began < GRACE_SECONDS + TIDY_SECONDS
    again = open_shop()
    again.get("/ping")
    server.wait_for(15)
    eventually(lambda: again.get("/status")["counts"] == {"sent": 15})
    assert server.arrived == sorted(sent)
