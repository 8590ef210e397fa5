"""Fork: the child begins anew, and the parent never notices."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from flask_outbox.outbox.database import Database
from flask_outbox.outbox.store import Outbox

REPOSITORY = Path(__file__).parents[2]

PREFACE = """
import json, os, sys, threading
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


def connections():
    with database.reading() as reader:
        reading = id(reader.connection.dbapi_connection)
    writing = database.write(lambda writer: id(writer.connection.dbapi_connection))
    return {reading, writing}


def finished(child):
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0

"""

ONE_AFTER_THE_OTHER = """
send("parent before")
before = connections()
child = os.fork()
if child == 0:
    send("child")
    assert not before & connections()
    sys.exit()  # as a process ends by itself: everything is torn down
send("parent meanwhile")
finished(child)
assert before & connections()
send("parent after")
"""

IN_THE_MIDDLE_OF_A_COMMIT = """
send("parent before")
writing, forked = threading.Event(), threading.Event()


def work(connection):
    writing.set()
    assert forked.wait(10)


thread = threading.Thread(target=database.write, args=(work,))
thread.start()
assert writing.wait(10)
child = os.fork()
if child == 0:
    send("child")
    sys.exit()
forked.set()
thread.join()
finished(child)
send("parent after")
"""

SEVERAL_GENERATIONS = """
send("parent before")
child = os.fork()
if child == 0:
    send("child")
    grandchild = os.fork()
    if grandchild == 0:
        send("grandchild")
        sys.exit()
    finished(grandchild)
    send("child after")
    sys.exit()
finished(child)
send("parent after")
"""

SCRIPTS = {
    "one after the other": (
        ONE_AFTER_THE_OTHER,
        {"parent before", "child", "parent meanwhile", "parent after"},
    ),
    "in the middle of a commit": (
        IN_THE_MIDDLE_OF_A_COMMIT,
        {"parent before", "child", "parent after"},
    ),
    "several generations": (
        SEVERAL_GENERATIONS,
        {"parent before", "child", "grandchild", "child after", "parent after"},
    ),
}


@pytest.mark.parametrize(("script", "sent"), SCRIPTS.values(), ids=SCRIPTS.keys())
def test_parent_and_child_each_have_their_own(
    outbox: Outbox, url: str, script: str, sent: set[str]
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PREFACE + script, url],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert {one.subject for one in outbox.list()} == sent


def test_the_file_is_whole_afterwards(sqlite_url: str) -> None:
    script = PREFACE + ONE_AFTER_THE_OTHER
    subprocess.run(
        [sys.executable, "-c", script, sqlite_url], cwd=REPOSITORY, check=True
    )

    database = Database(sqlite_url)
    with database.reading() as connection:
        check = connection.exec_driver_sql("PRAGMA integrity_check").scalars().all()
    database.close()
    assert check == ["ok"]
