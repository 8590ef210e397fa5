"""A database that goes away and comes back: no false success, and then on by itself."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, text

from flask_outbox import Mail, State, signals
from flask_outbox.errors import OutboxUnavailable
from flask_outbox.outbox import Database, claim, dialects
from tests.mail.site import Site, make_app, url_of
from tests.servers import Behaviour, JournalSmtp
from tests.waiting import WAIT_SECONDS, eventually

from .black_holes import locked
from .elsewhere import PORTS, outbox_behind_proxy
from .proxy import Proxy

DUE_SECONDS = 0.5
LEASE_SECONDS = 1.0
OUTAGE_SECONDS = 2.0
LONG_OUTAGE_SECONDS = 60.0
CALLERS = 8
"""One after the other, they would wait for as many outages."""

MEANWHILE_SECONDS = 1.0
"""How long a thread has the chance to do what another is to keep it from."""

NOBODY = 65_534

OpenSite = Callable[..., Site]


@pytest.fixture
def smtp(tmp_path: Path) -> Iterator[JournalSmtp]:
    with JournalSmtp(tmp_path / "journal") as server:
        yield server


@pytest.fixture
def open_site(smtp: JournalSmtp) -> Iterator[OpenSite]:
    """Makes an app with its instance folder there; keywords are settings."""
    with ExitStack() as stack:

        def open_site(folder: Path, **config: Any) -> Site:
            app = make_app(folder, **{"MAIL_URL": url_of(smtp), **config})
            site = Site(app, Mail(app))
            stack.callback(site.close)
            return site

        yield open_site


class Outage:
    """What was accepted before and during an outage, and what arrived after it."""

    def __init__(self, site: Site, smtp: JournalSmtp) -> None:
        self._site = site
        self._smtp = smtp
        self.accepted: list[str] = []
        self.send()
        smtp.wait_for(1)
        self.send(delay=DUE_SECONDS)

    def send(self, **options: Any) -> None:
        """Send one more mail."""
        self.accepted.append(self._site.send(**options).rfc_message_id)

    def refuses(self, *words: str) -> None:
        """Send in vain; the error says where, why and what to do."""
        with pytest.raises(OutboxUnavailable) as caught:
            self._fill()
        for part in (self._site.outbox.database.shown, *words):
            assert part in str(caught.value)

    def _fill(self) -> None:
        """Send until it is refused: a full disk may yet have room for some."""
        for _ in range(1_000):
            self.send()

    def stalls(self) -> None:
        """The courier says that it cannot go on."""
        self._site.wait_for(signals.courier_stalled)

    def has_all_arrived(self) -> bool:
        return len(self._smtp.mails) >= len(self.accepted)

    def is_over(self) -> None:
        """All that was accepted arrives, though nobody sends; each once."""
        self._smtp.wait_until(self.has_all_arrived)
        arrived = [mail.rfc_message_id for mail in self._smtp.mails]
        assert sorted(arrived) == sorted(self.accepted)


# ------------------------------------------------------------------------ a server's


@pytest.fixture(params=PORTS)
def behind_proxy(request: pytest.FixtureRequest) -> Iterator[tuple[str, Proxy]]:
    with outbox_behind_proxy(request.param) as url_and_proxy:
        yield url_and_proxy


LENGTHS = [
    OUTAGE_SECONDS,
    pytest.param(LONG_OUTAGE_SECONDS, marks=pytest.mark.long),
]


@pytest.mark.parametrize("seconds", LENGTHS)
def test_sending_resumes_after_the_database_server_was_down(
    behind_proxy: tuple[str, Proxy],
    open_site: OpenSite,
    smtp: JournalSmtp,
    tmp_path: Path,
    seconds: float,
):
    url, proxy = behind_proxy
    outage = Outage(open_site(tmp_path / "app", OUTBOX_URL=url), smtp)
    proxy.refuse()
    ends_at = time.monotonic() + seconds
    outage.refuses("Check that the database server is running", "Nothing was stored.")
    outage.stalls()
    while time.monotonic() < ends_at:
        outage.refuses()
        time.sleep(0.2)
    proxy.pass_on()
    outage.is_over()


def test_sending_survives_cut_database_connections(
    behind_proxy: tuple[str, Proxy],
    open_site: OpenSite,
    smtp: JournalSmtp,
    tmp_path: Path,
):
    url, proxy = behind_proxy
    outage = Outage(open_site(tmp_path / "app", OUTBOX_URL=url), smtp)
    for _ in range(5):
        proxy.cut()
        outage.send()
    outage.is_over()


@pytest.mark.parametrize("seconds", LENGTHS)
def test_sending_resumes_after_the_database_server_fell_silent(
    behind_proxy: tuple[str, Proxy],
    open_site: OpenSite,
    smtp: JournalSmtp,
    tmp_path: Path,
    seconds: float,
):
    """Whoever sends meanwhile waits, or is refused, and is never told a lie."""
    url, proxy = behind_proxy
    outage = Outage(open_site(tmp_path / "app", OUTBOX_URL=url), smtp)

    def send(_number: int) -> bool:
        try:
            outage.send()
        except OutboxUnavailable:
            return False
        return True

    with ThreadPoolExecutor(4) as threads:
        with proxy.swallowing():
            sending = threads.map(send, range(4))
            time.sleep(seconds)
        accepted = list(sending)
    assert all(accepted) or seconds > dialects.ANSWER_SECONDS
    assert not all(accepted) or seconds < dialects.ANSWER_SECONDS
    outage.is_over()


def test_a_courier_records_delivery_after_an_outage_longer_than_its_lease(
    open_site: OpenSite,
    smtp: JournalSmtp,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    """A courier does not take itself for dead: it records what it has delivered."""
    smtp.behaviour = Behaviour(hang=True)
    site = open_site(tmp_path / "app", OUTBOX_LEASE_SECONDS=LEASE_SECONDS)
    receipt = site.send()
    smtp.wait_until(lambda: smtp.held)

    def out_of_reach(*_: object) -> bool:
        raise OutboxUnavailable("no answer")

    with monkeypatch.context() as meanwhile:
        meanwhile.setattr(site.outbox, "renew", out_of_reach)
        time.sleep(2 * LEASE_SECONDS)
    smtp.behaviour = Behaviour()
    eventually(lambda: site.mail.get(receipt.id).state is State.SENT)
    assert len(smtp.mails) == 1


# ------------------------------------------------------------------------ a file's


def test_concurrent_callers_are_refused_together_while_the_file_is_locked(
    open_site: OpenSite,
    smtp: JournalSmtp,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    """Who waits for it together is refused together, not one after the other."""
    monkeypatch.setattr(dialects, "BUSY_SECONDS", OUTAGE_SECONDS)
    site = open_site(tmp_path)
    outage = Outage(site, smtp)
    file = Path(site.outbox.database.url.database or "")
    with locked(file), ThreadPoolExecutor(CALLERS) as threads:
        began = time.monotonic()
        list(threads.map(lambda _: outage.refuses("locked"), range(CALLERS)))
        assert time.monotonic() - began < (CALLERS - 1) * OUTAGE_SECONDS
        outage.stalls()
    outage.is_over()


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


def test_a_full_disk_is_reported_and_sending_resumes_with_space(
    open_site: OpenSite, smtp: JournalSmtp, small_disk: Path
):
    outage = Outage(open_site(small_disk), smtp)
    ballast = small_disk / "ballast"
    with ballast.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(1_000))
    outage.refuses("full", "Make room on the disk.")
    outage.stalls()
    ballast.unlink()
    outage.is_over()


@contextmanager
def closed(site: Site) -> Iterator[Path]:
    """The outbox's file while nobody has it open."""
    site.mail.stop()
    site.outbox.database.close()
    yield Path(str(site.outbox.database.url.database))


def test_a_damaged_file_is_reported_and_sending_resumes_once_restored(
    open_site: OpenSite, smtp: JournalSmtp, tmp_path: Path
):
    site = open_site(tmp_path)
    outage = Outage(site, smtp)
    with closed(site) as file:
        whole = file.read_bytes()
        page = 4_096
        file.write_bytes(whole[:page] + b"\xa5" * (len(whole) - page))
        outage.refuses("malformed", "restore it, or move it away")
        outage.stalls()
        file.write_bytes(whole)
    outage.is_over()


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that everyone may use, unlike pytest's own."""
    folder = Path(tempfile.mkdtemp(prefix="outbox-"))
    folder.chmod(0o777)
    yield folder
    shutil.rmtree(folder)


@contextmanager
def as_nobody(folder: Path) -> Iterator[None]:
    """Give up what root may do, so that the permissions of the folder's files count."""
    if os.geteuid() != 0:
        yield
        return
    for one in folder.iterdir():
        os.chown(one, NOBODY, NOBODY)
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


def make_writable(folder: Path) -> None:
    """Make the outbox's file writable, and what SQLite may just have put beside it."""
    for one in folder.iterdir():
        with suppress(FileNotFoundError):
            one.chmod(0o644)


@contextmanager
def read_only(site: Site, folder: Path) -> Iterator[Database]:
    """The site's database, whose file may only be read from now on."""
    site.outbox.database.open()
    with closed(site) as file, as_nobody(folder):
        file.chmod(0o444)
        site.outbox.list()  # SQLite makes its files, and leaves them
        yield site.outbox.database


def test_a_read_only_file_is_reported_and_sending_resumes_once_writable(
    open_folder: Path, open_site: OpenSite
):
    with JournalSmtp(open_folder / "journal") as smtp:
        site = open_site(open_folder, MAIL_URL=url_of(smtp))
        outage = Outage(site, smtp)
        with closed(site) as file, as_nobody(open_folder):
            file.chmod(0o444)
            outage.refuses("readonly", "cannot be written by this user")
            outage.stalls()

            def has_recovered() -> bool:
                make_writable(open_folder)
                return outage.has_all_arrived()

            eventually(has_recovered)
            outage.is_over()


def test_a_connection_opened_read_only_and_in_use_is_closed_when_it_comes_back(
    open_folder: Path, open_site: OpenSite
):
    """While one of a process is open, SQLite opens all others read-only, too."""
    with read_only(open_site(open_folder), open_folder) as database:
        database.close()
        with database.reading() as connection:
            connection.scalar(text("SELECT count(*) FROM outbox_message"))
            make_writable(open_folder)
            with pytest.raises(OutboxUnavailable, match="readonly"):
                database.write_ungrouped(claim.check_writable)
        database.write_ungrouped(claim.check_writable)


def test_connections_opened_read_only_are_closed_also_by_two_threads_at_once(
    open_folder: Path, open_site: OpenSite
):
    """A reader gets its connection between the two: it is closed nevertheless."""
    with read_only(open_site(open_folder), open_folder) as database:
        database.close()
        reads, may_end = threading.Event(), threading.Event()

        def write_and_read() -> None:
            with pytest.raises(OutboxUnavailable, match="readonly"):
                database.write_ungrouped(claim.check_writable)
            with database.reading() as connection:
                connection.scalar(text("SELECT count(*) FROM outbox_message"))
                reads.set()
                may_end.wait(WAIT_SECONDS)

        other = threading.Thread(target=write_and_read)
        closed: list[object] = []

        def let_the_other_close_them(driver: object, _: object) -> None:
            closed.append(driver)
            if len(closed) == 2:  # the first is the one that could not write
                other.start()
                reads.wait(MEANWHILE_SECONDS)

        with database.reading() as one, database.reading() as another:
            for connection in (one, another):
                connection.scalar(text("SELECT count(*) FROM outbox_message"))
        event.listen(database.engine.pool, "close", let_the_other_close_them)
        with pytest.raises(OutboxUnavailable, match="readonly"):
            database.write_ungrouped(claim.check_writable)
        assert reads.wait(WAIT_SECONDS)
        may_end.set()
        other.join()
        make_writable(open_folder)
        with suppress(OutboxUnavailable):
            database.write_ungrouped(claim.check_writable)
        database.write_ungrouped(claim.check_writable)


def test_a_connection_opened_read_only_is_not_reused(
    open_folder: Path, open_site: OpenSite
):
    with read_only(open_site(open_folder), open_folder) as database:
        make_writable(open_folder)
        with pytest.raises(OutboxUnavailable, match="readonly"):
            database.write_ungrouped(claim.check_writable)
        database.write_ungrouped(claim.check_writable)
