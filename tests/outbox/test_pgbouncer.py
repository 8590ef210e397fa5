"""PgBouncer in transaction mode: each transaction is on another connection."""

from __future__ import annotations

import getpass
import os
import select
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import make_url

from flask_outbox.delivery import State
from flask_outbox.doctor.database import examine_database
from flask_outbox.errors import OutboxUnavailable
from flask_outbox.outbox import Database, Outbox
from flask_outbox.outbox.notify import MAIL, Notifications, notify_of_mail
from tests.cli.shop import Shop
from tests.servers.ports import free_port
from tests.waiting import WAIT_SECONDS, eventually

from .conftest import Opener
from .databases import SERVERS, is_required
from .making import COURIER, LEASE_SECONDS, put, sent

pytestmark = pytest.mark.parametrize("home", ["postgresql"], indirect=True)

SERVER_CONNECTIONS = 3


@pytest.fixture(scope="module")
def pgbouncer_port() -> Iterator[int]:
    """Where a PgBouncer answers that has few connections to the server."""
    program = shutil.which("pgbouncer") or "/usr/sbin/pgbouncer"
    if not Path(program).exists():
        reason = "there is no pgbouncer here"
        if is_required("pgbouncer"):
            pytest.fail(reason)
        pytest.skip(reason)
    folder = Path(tempfile.mkdtemp(prefix="outbox-pgbouncer-"))
    folder.chmod(0o755)
    port = free_port()
    config = folder / "pgbouncer.ini"
    server = make_url(SERVERS["postgresql"])
    config.write_text(
        f"[databases]\n* = host={server.host} port={server.port or 5432} "
        f"user={server.username}\n"
        f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n"
        "auth_type = any\nunix_socket_dir =\npool_mode = transaction\n"
        f"default_pool_size = {SERVER_CONNECTIONS}\nmax_client_conn = 200\n"
    )
    user = "postgres" if os.geteuid() == 0 else getpass.getuser()
    with subprocess.Popen(
        [program, "-q", config],
        user=user if os.geteuid() == 0 else None,
        stderr=subprocess.DEVNULL,
    ) as process:
        eventually(lambda: answers(port))
        yield port
        process.kill()
    shutil.rmtree(folder)


def answers(port: int) -> bool:
    with socket.socket() as connection:
        return connection.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def pooled_url(url: str, pgbouncer_port: int) -> str:
    """The outbox by way of PgBouncer."""
    pooled = make_url(url).set(port=pgbouncer_port)
    return pooled.render_as_string(hide_password=False)


@pytest.fixture
def pooled(pooled_url: str, opener: Opener) -> Outbox:
    return opener(pooled_url)


def test_mail_is_sent_through_pgbouncer(outbox: Outbox, pooled: Outbox) -> None:
    pooled.register(COURIER, "thread", LEASE_SECONDS)

    def deliver(number: int) -> str:
        message_id = put(pooled, key=f"order-{number}")
        assert put(pooled, key=f"order-{number}") == message_id
        held = pooled.claim(COURIER, "default", 3)
        assert pooled.record([sent(one, pooled.clock()) for one in held]).lost == []
        return message_id

    with ThreadPoolExecutor(8) as threads:
        ids = {*threads.map(deliver, range(40))}
    while held := pooled.claim(COURIER, "default", 10):
        pooled.record([sent(one, pooled.clock()) for one in held])

    assert pooled.renew(COURIER, LEASE_SECONDS)
    assert len(ids) == outbox.status().counts[State.SENT] == 40


def test_settings_apply_to_one_transaction_each(outbox: Outbox, pooled: Outbox) -> None:
    put(pooled)
    with pooled.database.engine.connect() as connection:
        ask = "SELECT current_setting('lock_timeout'), pg_backend_pid()"
        lock_timeout, _ = connection.exec_driver_sql(ask).one()
        connection.rollback()
        driver = connection.connection.driver_connection
        assert driver is not None
        driver.autocommit = True
        left = driver.execute("SELECT current_setting('lock_timeout')").fetchone()
        driver.autocommit = False

    assert lock_timeout == "10s"
    assert left == ("0",)


def test_a_worker_listens_at_the_database_itself(
    url: str, pooled_url: str, outbox: Outbox
) -> None:
    database = Database(pooled_url, listen_url=url)
    line = Notifications(database)
    try:
        line.open()
        notify_of_mail(database)
        assert select.select([line], [], [], WAIT_SECONDS)[0]
        assert line.received() == {MAIL}
    finally:
        line.close()
        database.close()


def test_without_the_listen_url_the_error_names_it(pooled: Outbox) -> None:
    with pytest.raises(OutboxUnavailable, match="set OUTBOX_LISTEN_URL"):
        Notifications(pooled.database).open()


def test_the_doctor_sees_the_pooler(url: str, pooled_url: str) -> None:
    def found(**config: str) -> set[str]:
        shop = Shop(MAIL_URL="inbox://", OUTBOX_ENGINE="external", **config)
        try:
            findings = examine_database(shop.runtime).findings
            return {one.id for one in findings} - {"outbox-slow"}  # on a busy machine
        finally:
            shop.close()

    assert found(OUTBOX_URL=url) == {"no-worker"}
    assert found(OUTBOX_URL=pooled_url) == {"no-worker", "pooler-in-between"}
    notified = found(OUTBOX_URL=pooled_url, OUTBOX_LISTEN_URL=url)
    assert notified == {"no-worker"}
