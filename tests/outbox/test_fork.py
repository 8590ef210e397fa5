"""Forks: the child starts afresh, and the parent is not affected."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from flask_outbox.outbox import Outbox
from tests.waiting import WAIT_SECONDS

from .conftest import Opener

REPOSITORY = Path(__file__).parents[2]

PREFACE = """
import os, sys, threading
from flask import Flask
from flask_outbox import Mail, Message

app = Flask(__name__)
app.config.update(
    TESTING=True, OUTBOX_URL=sys.argv[1], MAIL_DEFAULT_SENDER="shop@example.org"
)
mail = Mail(app)
database = app.extensions["outbox"].runtime.outbox.database


def send(subject):
    mail.send(Message(subject, recipients=["ada@example.org"]))
    with database.reading() as connection:
        assert_own(connection)
    database.write(assert_own)


def assert_own(connection):
    assert connection.info.setdefault("process", os.getpid()) == os.getpid()


def finished(child):
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0

"""

ONE_AFTER_THE_OTHER = """
send("parent before")
child = os.fork()
if child == 0:
    send("child")
    sys.exit()  # as a process ends by itself: everything is torn down
send("parent meanwhile")
finished(child)
send("parent after")
"""

WHILE_ANOTHER_THREAD_WRITES = """
send("parent before")
writing, forked = threading.Event(), threading.Event()


def work(connection):
    writing.set()
    forked.wait(0.5)  # a fork that waits until this is over is as right


thread = threading.Thread(target=database.write, args=(work,))
thread.start()
writing.wait()
child = os.fork()
forked.set()
thread.join() if child else None
send("parent" if child else "child")
finished(child) if child else sys.exit()
send("parent after")
"""

SEVERAL_GENERATIONS = """
send("parent before")
child = os.fork()
if child == 0:
    grandchild = os.fork()
    if grandchild == 0:
        send("child")
        sys.exit()
    finished(grandchild)
    send("child again")
    sys.exit()
finished(child)
"""

THE_PARENT_ENDS_FIRST = """
send("parent before")
parent_is_there, end_of_parent = os.pipe()
if os.fork():
    database.close()
    sys.exit()
os.close(end_of_parent)
os.read(parent_is_there, 1)
send("child")
send("child again")
"""

A_VISITOR_COMES_AND_GOES = """
import sqlite3, subprocess

send("parent before")
parent_is_there, end_of_parent = os.pipe()
if os.fork():
    os._exit(0)
os.close(end_of_parent)
os.read(parent_is_there, 1)
look = "import sqlite3, sys; sqlite3.connect(sys.argv[1]).execute(sys.argv[2])"
question = "SELECT count(*) FROM outbox_message"
subprocess.run([sys.executable, "-c", look, database.url.database, question])
send("child")
send("child again")
"""

SCRIPTS = {
    "one after the other": (
        ONE_AFTER_THE_OTHER,
        {"parent before", "child", "parent meanwhile", "parent after"},
    ),
    "while another thread writes": (
        WHILE_ANOTHER_THREAD_WRITES,
        {"parent before", "parent", "child", "parent after"},
    ),
}

ON_A_FILE = {
    "several generations": SEVERAL_GENERATIONS,
    "the parent ends first": THE_PARENT_ENDS_FIRST,
    "a visitor comes and goes": A_VISITOR_COMES_AND_GOES,
}


def run(script: str, url: str) -> None:
    """Run it to its end, and that of all its children."""
    done = subprocess.run(
        [
            sys.executable,
            "-W",
            "ignore::DeprecationWarning",
            "-c",
            PREFACE + script,
            url,
        ],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=WAIT_SECONDS,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(("script", "sent"), SCRIPTS.values(), ids=SCRIPTS.keys())
def test_parent_and_child_can_both_send_after_a_fork(
    outbox: Outbox, url: str, script: str, sent: set[str]
) -> None:
    run(script, url)

    assert {one.subject for one in outbox.list()} == sent


@pytest.mark.parametrize("script", ON_A_FILE.values(), ids=ON_A_FILE.keys())
def test_a_file_that_is_forked_over_stays_whole(
    sqlite_url: str, opener: Opener, script: str
) -> None:
    run(script, sqlite_url)

    outbox = opener(sqlite_url)
    subjects = {one.subject for one in outbox.list()}
    assert subjects == {"parent before", "child", "child again"}
    with outbox.database.reading() as connection:
        check = connection.exec_driver_sql("PRAGMA integrity_check").scalars().all()
    assert check == ["ok"]
