"""A database in trouble: a clear error, no false success, and recovery."""

from __future__ import annotations

import os
import re
import resource
import shutil
import sqlite3
import subprocess
import tempfile
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import closing, contextmanager
from pathlib import Path

import alembic.command  # noqa: F401  (what nobody may read cannot be imported later)
import pytest
from sqlalchemy import make_url

from flask_outbox.delivery import State
from flask_outbox.errors import OutboxUnavailable
from flask_outbox.outbox import Database, Outbox, dialects
from tests.process_models.proxy import Proxy
from tests.waiting import eventually

from .conftest import Opener
from .databases import need_driver
from .making import new_message, put

NOBODY = 65_534
BIG = b"x" * 100_000


def refused(outbox: Outbox, *words: str) -> None:
    """Enqueue in vain; the error says where, why and what to do."""
    with pytest.raises(OutboxUnavailable) as caught:
        put(outbox, content=BIG)
    text = str(caught.value)
    for part in (f"The outbox at {outbox.database.shown} cannot be used: ", *words):
        assert part in text
    assert isinstance(caught.value.__cause__, Exception)


def folder_refused(outbox: Outbox, folder: Path, reason: str) -> None:
    """Enqueue in vain, because of a folder."""
    words = f"The outbox's folder {folder} cannot be created: {reason}."
    with pytest.raises(OutboxUnavailable, match=re.escape(words)):
        put(outbox)


def works(outbox: Outbox) -> str:
    """Enqueue, and find it again."""
    message_id = put(outbox)
    assert outbox.get(message_id).state is State.PENDING
    return message_id


def path_of(url: str) -> Path:
    return Path(url.removeprefix("sqlite:///"))


# ----------------------------------------------------------------- what may not be done


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that everyone may enter, unlike pytest's own."""
    folder = Path(tempfile.mkdtemp(prefix="outbox-"))
    folder.chmod(0o777)
    yield folder
    shutil.rmtree(folder)


@contextmanager
def as_nobody() -> Iterator[None]:
    """Give up what root may do, so that the permissions of files count."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


def test_a_read_only_folder_is_an_error_until_it_is_writable(
    open_folder: Path, opener: Opener
) -> None:
    outbox = opener(f"sqlite:///{open_folder / 'outbox.db'}")
    open_folder.chmod(0o555)

    with as_nobody():
        refused(outbox, "unable to open", "Its folder must exist and be writable.")

    open_folder.chmod(0o777)
    with as_nobody():
        works(outbox)


def test_a_folder_that_cannot_be_created_is_an_error(
    open_folder: Path, opener: Opener
) -> None:
    outbox = opener(f"sqlite:///{open_folder / 'a' / 'b' / 'outbox.db'}")
    open_folder.chmod(0o555)

    with as_nobody():
        folder_refused(outbox, open_folder / "a" / "b", "Permission denied")

    open_folder.chmod(0o777)
    works(outbox)


def test_a_file_in_place_of_the_folder_is_an_error(
    tmp_path: Path, opener: Opener
) -> None:
    place = tmp_path / "instance"
    place.write_text("")
    outbox = opener(f"sqlite:///{place / 'outbox.db'}")

    folder_refused(outbox, place, "File exists")

    place.unlink()
    works(outbox)


def test_a_read_only_file_is_an_error_until_it_is_writable(
    open_folder: Path, opener: Opener
) -> None:
    path = open_folder / "outbox.db"
    Database(f"sqlite:///{path}").upgrade()
    path.chmod(0o444)
    outbox = opener(f"sqlite:///{path}")

    with as_nobody():
        refused(outbox, "readonly", "cannot be written by this user")

    for one in open_folder.iterdir():  # what SQLite put beside it is as the file was
        one.chmod(0o666)
    with as_nobody():
        works(outbox)


# -------------------------------------------------------------------- what is no outbox


def test_a_file_that_is_no_database_is_an_error(
    sqlite_url: str, opener: Opener
) -> None:
    path_of(sqlite_url).write_text("Dear diary, today I wrote no database at all. " * 9)
    outbox = opener(sqlite_url)

    refused(outbox, "not a database", "check OUTBOX_URL")

    path_of(sqlite_url).unlink()
    works(outbox)


def test_a_damaged_file_is_an_error(sqlite_url: str, opener: Opener) -> None:
    outbox = opener(sqlite_url)
    kept = works(outbox)
    outbox.database.close()
    path = path_of(sqlite_url)
    whole = path.read_bytes()
    page = 4_096
    path.write_bytes(whole[:page] + b"\xa5" * (len(whole) - page))

    refused(outbox, "malformed", "restore it, or move it away")
    with pytest.raises(OutboxUnavailable, match="malformed"):
        outbox.list()

    path.write_bytes(whole)
    works(outbox)
    assert outbox.get(kept).state is State.PENDING


# --------------------------------------------------------------------- what is not free


@contextmanager
def locked(url: str) -> Iterator[None]:
    """Somebody else holds SQLite's one write lock."""
    with closing(sqlite3.connect(path_of(url), isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield


def test_waiting_too_long_for_the_write_lock_is_an_error(
    sqlite_url: str, opener: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dialects, "BUSY_SECONDS", 0.1)
    outbox = opener(sqlite_url)
    works(outbox)

    with locked(sqlite_url):
        refused(outbox, "locked", "Another process has held the write lock")
        assert len(outbox.list()) == 1

    works(outbox)
    assert len(outbox.list()) == 2


def test_a_send_waits_for_the_write_lock(sqlite_url: str, opener: Opener) -> None:
    outbox, other = opener(sqlite_url), opener(sqlite_url)
    works(outbox)

    def while_it_is_held(_connection: object) -> None:
        waiting.append(threads.submit(works, other))
        assert not wait(waiting, 0.2).done

    waiting: list[Future[str]] = []
    with ThreadPoolExecutor(1) as threads:
        outbox.database.write(while_it_is_held)
        assert waiting[0].result()


# ------------------------------------------------------------------------- what is full


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of one megabyte."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", place],
        capture_output=True,
        text=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip(f"no disk can be mounted here: {mounted.stderr.strip()}")
    yield place
    subprocess.run(["umount", "--lazy", place], check=True)


def fill(outbox: Outbox) -> set[str]:
    """Enqueue until the database refuses; what was accepted."""
    accepted = set()
    for _ in range(1_000):
        try:
            accepted.add(put(outbox, content=BIG))
        except OutboxUnavailable:
            return accepted
    raise AssertionError("it is never full")


def test_a_full_disk_refuses_mail_and_keeps_what_was_accepted(
    small_disk: Path, opener: Opener
) -> None:
    ballast = small_disk / "ballast"
    ballast.write_bytes(BIG * 3)
    outbox = opener(f"sqlite:///{small_disk / 'outbox.db'}")

    accepted = fill(outbox)

    refused(outbox, "full", "Make room on the disk.")
    assert {one.id for one in outbox.list(limit=100)} == accepted
    assert all(outbox.content(one) == BIG for one in accepted)
    ballast.unlink()
    accepted.add(works(outbox))
    assert {one.id for one in outbox.list(limit=100)} == accepted


@contextmanager
def no_file_beyond(size: int) -> Iterator[None]:
    """A quota: writing further than this into a file fails."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_used_up_quota_refuses_mail(sqlite_url: str, opener: Opener) -> None:
    outbox = opener(sqlite_url)
    works(outbox)

    with no_file_beyond(500_000):
        accepted = fill(outbox)
        refused(outbox, "disk I/O error", "disk")

    assert len(outbox.list(limit=100)) == 1 + len(accepted)
    assert all(outbox.content(one) == BIG for one in accepted)
    works(outbox)


# ----------------------------------------------------------------- what does not answer


@pytest.mark.parametrize(
    ("name", "driver"), [("postgresql", "psycopg"), ("mariadb", "pymysql")]
)
def test_an_unreachable_server_is_an_error_without_the_password(
    name: str, driver: str, opener: Opener
) -> None:
    need_driver(name, driver)
    outbox = opener(f"{name}+{driver}://app:s3cret@127.0.0.1:1/app")

    refused(
        outbox, "app:***@127.0.0.1:1/app", "Check that the database server is running"
    )

    with pytest.raises(OutboxUnavailable) as caught:
        outbox.status()
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("home", ["postgresql"], indirect=True)
def test_a_reply_lost_after_the_commit_is_not_reported_as_not_stored(
    url: str, opener: Opener, outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One statement stores the message, so nobody may say that it was not stored."""
    monkeypatch.setattr(dialects, "PING_AFTER_SECONDS", 3_600)
    with Proxy(make_url(url).port or 5432) as proxy, ThreadPoolExecutor(1) as thread:
        through = make_url(url).set(port=proxy.port)
        sender = opener(through.render_as_string(hide_password=False))
        put(sender)
        new = new_message(sender.clock())

        proxy.swallow_answers()
        handing_over = thread.submit(sender.enqueue, [new])
        eventually(lambda: outbox.status().due == 2)
        proxy.cut()
        with pytest.raises(OutboxUnavailable, match="may or may not") as caught:
            handing_over.result()

    assert "Nothing was stored" not in str(caught.value)
    assert outbox.get(new.id).state is State.PENDING
