"""How each kind of database is opened, and how long it waits for locks."""

from __future__ import annotations

import os
import select
import sqlite3
import stat
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import Context, ContextVar
from math import inf
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Dialect, Engine, create_engine, event, exc
from sqlalchemy.engine import URL, make_url
from sqlalchemy.pool import ConnectionPoolEntry

from ..errors import ConfigError, OutboxUnavailable, SchemaError, redacted
from ..limits import CHANCE
from .database_errors import Fault, fault_of

BUSY_SECONDS = 10.0
"""How long a writer waits for SQLite's write lock, or for a row lock of a server.

Far longer than any transaction of the outbox, far shorter than a web server's timeout.
"""

CONNECT_SECONDS = 5
"""How long a database server may take to accept a connection."""

ANSWER_SECONDS = 15
"""How long a database server may take to answer a statement, and how long it waits for
the next statement of a transaction, or for a host that was cut off: nobody else can
have the rows which that client has locked."""

LOCK_RETRY_SECONDS = (0.001, 0.004)
"""Range of the pause between two tries for SQLite's write lock: about one commit."""

WAL_RETRY_SECONDS = 0.01
"""Pause between two tries to switch a file to WAL while another process does so."""

PING_AFTER_SECONDS = 1.0
"""How long a connection to a server may be idle before a ping tells whether it still
works. That costs a round trip."""

FOUND_ROWS, MULTI_STATEMENTS = 1 << 1, 1 << 16
"""Flags of MySQL's protocol: an update counts the rows that it found, also where it
changed nothing; and a connection takes several statements at once."""

_DRIVERS = {
    "sqlite": ("sqlite+pysqlite", None),
    "postgresql": ("postgresql+psycopg", "postgresql"),
    "mysql": ("mysql+pymysql", "mysql"),
    "mariadb": ("mariadb+pymysql", "mysql"),
}
"""Backend → the driver that is used, and the extra that installs it."""


def parse_url(url: str, given_as: str = "OUTBOX_URL") -> URL:
    """The parsed URL, with its driver. Raises `ConfigError` that says what to set."""
    try:
        parsed = make_url(url)
    except (exc.ArgumentError, ValueError):
        raise ConfigError(
            f"{given_as} is not a database URL. It looks like "
            '"sqlite:////var/lib/app/outbox.db" or "postgresql://user@host/name"; in a '
            "password, special characters must be percent-encoded."
        ) from None
    backend, _, driver = parsed.drivername.partition("+")
    if backend == "postgres":
        raise ConfigError(
            f'{given_as} begins with "{parsed.drivername}://": write '
            '"postgresql+psycopg://" instead.'
        )
    if backend not in _DRIVERS:
        known = ", ".join(_DRIVERS)
        raise ConfigError(
            f"{given_as} begins with {backend!r}, which is not supported: use one of "
            f"{known}."
        )
    if backend == "sqlite" and parsed.database in (None, "", ":memory:"):
        raise ConfigError(
            f"{given_as} names an SQLite database in memory, which loses all mail when "
            "the process ends. Name a file, in tests one in a temporary folder."
        )
    return parsed if driver else parsed.set(drivername=_DRIVERS[backend][0])


def check_url(url: str, given_as: str = "OUTBOX_URL") -> None:
    """Raise `ConfigError` unless ``url`` names a database that could be opened."""
    parsed = parse_url(url, given_as)
    if "prepare_threshold" in parsed.query:
        prepare_threshold(parsed, given_as)
    try:
        parsed.get_dialect().import_dbapi()
    except (exc.NoSuchModuleError, ModuleNotFoundError) as error:
        raise _no_driver(parsed, given_as) from error


def shown_url(url: str | URL) -> str:
    """A database URL to show to people: without its password, also in the query."""
    return redacted(make_url(url).render_as_string(hide_password=True))


def open_engine(url: URL, durability: str, *, patient: bool = False) -> Engine:
    """An engine for ``url``. Raises `ConfigError` if its driver is not installed.

    If it is ``patient``, a server may take any time to answer, as it needs to change
    large tables.
    """
    backend = url.get_backend_name()
    try:
        # In a context of its own: opened in a courier's, which is kept out of traces,
        # the engine would not be traced for views either.
        engine: Engine = Context().run(_OPENERS[backend], url, durability, patient)
        return engine
    except (exc.NoSuchModuleError, ModuleNotFoundError) as error:
        raise _no_driver(url) from error


def _no_driver(url: URL, given_as: str = "OUTBOX_URL") -> ConfigError:
    driver, extra = _DRIVERS[url.get_backend_name()]
    if url.drivername != driver:
        return ConfigError(
            f"{given_as} needs the driver {url.drivername}, which is not installed. "
            f'Write "{driver}://" instead'
            + (
                f"; pip install 'flask-outbox[{extra}]' installs that driver."
                if extra
                else "."
            )
        )
    return ConfigError(
        f"{given_as} needs the driver {url.drivername}, which is not installed: "
        f"pip install 'flask-outbox[{extra}]'."
    )


def _open_sqlite(url: URL, durability: str, _patient: bool) -> Engine:
    assert url.database
    path = _path_of(url)
    if path is not None:
        _make_folder(path.parent)
    engine = create_engine(
        url, connect_args={"timeout": BUSY_SECONDS}, hide_parameters=True
    )
    synchronous = "FULL" if durability == "full" else "NORMAL"

    @event.listens_for(engine, "do_connect")
    def make_file(*_: object) -> None:
        """Make the file first: one that SQLite makes may be open to other users."""
        if path is not None:
            _make_file(path)

    @event.listens_for(engine, "connect")
    def prepare(connection: sqlite3.Connection, _record: object) -> None:
        connection.isolation_level = None
        _into_wal(connection)
        connection.execute(f"PRAGMA synchronous = {synchronous}")
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA secure_delete = ON")  # as many builds have it
        connection.create_function("lower", 1, str.lower, deterministic=True)

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        reading = connection.get_execution_options().get("outbox_reading")
        driver: Any = connection.connection.dbapi_connection
        if reading:
            driver.execute("BEGIN")
        else:
            begin_immediate(driver)

    return engine


def disable_busy_timeout(connection: Connection) -> None:
    """Turn off SQLite's own wait for the write lock: `begin_immediate` is fairer."""
    driver: Any = connection.connection.dbapi_connection
    driver.execute("PRAGMA busy_timeout = 0")


def enable_busy_timeout(connection: Connection) -> None:
    """Turn SQLite's own wait for the write lock on again."""
    driver: Any = connection.connection.dbapi_connection
    driver.execute(f"PRAGMA busy_timeout = {int(BUSY_SECONDS * 1_000)}")


_waits: ContextVar[bool] = ContextVar("waits", default=True)


@contextmanager
def without_busy_wait() -> Iterator[None]:
    """Within this, `begin_immediate` does not wait for the write lock."""
    token = _waits.set(False)
    try:
        yield
    finally:
        _waits.reset(token)


def begin_immediate(driver: sqlite3.Connection) -> None:
    """Begin a write transaction; wait for the write lock.

    SQLite's own wait polls less and less often, up to 100 ms apart. So among many
    writers newcomers win, and some wait for seconds. Here all poll equally often.
    """
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            driver.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            waits = _waits.get() and time.monotonic() <= deadline
            if fault_of(error) is not Fault.BUSY or not waits:
                raise
            time.sleep(CHANCE.uniform(*LOCK_RETRY_SECONDS))
        else:
            return


def _into_wal(connection: sqlite3.Connection) -> None:
    """Switch the file to WAL mode; try again while another process does the same.

    SQLite's busy timeout does not apply here, as waiting could be a deadlock.
    """
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if fault_of(error) is not Fault.BUSY or time.monotonic() > deadline:
                raise
            time.sleep(WAL_RETRY_SECONDS)
        else:
            return


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise OutboxUnavailable(
            f"The outbox's folder {folder} cannot be created: {error.strerror}. Check "
            "OUTBOX_URL. Nothing was stored.",
            anchor="folder",
        ) from error


def _make_file(path: Path) -> None:
    """Make the file with mode 0600; SQLite gives the files beside it the same mode."""
    with suppress(OSError):  # opening it reports the error
        path.touch(mode=0o600, exist_ok=False)


def open_to_others(url: str | URL) -> list[str]:
    """What any user may read or write of an SQLite outbox, as words for a shell.

    A pattern for its files, since SQLite makes and removes those beside it, and its
    folder, if any user may replace files in it. Empty for other databases, and if the
    folder keeps other users out.
    """
    path = _path_of(make_url(url))
    if path is None or os.name == "nt":
        return []
    folder = _mode(path.parent)
    if not folder & stat.S_IXOTH:
        return []
    from shlex import quote

    files = [path.with_name(f"{path.name}{one}") for one in ("", "-wal", "-shm")]
    wide = []
    if any(_mode(one) & (stat.S_IROTH | stat.S_IWOTH) for one in files):
        wide.append(f"{quote(str(path))}*")
    if folder & stat.S_IWOTH and not folder & stat.S_ISVTX:
        wide.append(quote(str(path.parent)))
    return wide


def _mode(path: Path) -> int:
    try:
        return path.stat().st_mode
    except OSError:
        return 0


def _path_of(url: URL) -> Path | None:
    """The file of an SQLite database; None where the URL holds a ``file:`` URI."""
    path = url.database
    if url.get_backend_name() != "sqlite" or not path or path.startswith("file:"):
        return None
    return Path(path)


def _open_postgresql(url: URL, durability: str, patient: bool) -> Engine:
    milliseconds = 1_000
    answer_seconds = inf if patient else ANSWER_SECONDS
    session = {
        "lock_timeout": int(BUSY_SECONDS * milliseconds),
        "statement_timeout": 0 if patient else ANSWER_SECONDS * milliseconds,
        "idle_in_transaction_session_timeout": ANSWER_SECONDS * milliseconds,
        "tcp_user_timeout": ANSWER_SECONDS * milliseconds,
        "tcp_keepalives_idle": CONNECT_SECONDS,
        "tcp_keepalives_interval": CONNECT_SECONDS,
        "synchronous_commit": "on" if durability == "full" else "off",
    }
    if "options" in url.query:
        session = {}
    arguments: dict[str, Any] = {
        "connect_timeout": CONNECT_SECONDS,
        "tcp_user_timeout": ANSWER_SECONDS * milliseconds,
        "keepalives_idle": CONNECT_SECONDS,
        "keepalives_interval": CONNECT_SECONDS,
    }
    if "prepare_threshold" in url.query:
        arguments["prepare_threshold"] = prepare_threshold(url)
    from .psycopg_connection import SessionSettings, connect_with_timeout

    bare = url.difference_update_query(["prepare_threshold", "client_encoding"])
    engine = _open_server(bare, {**arguments, "client_encoding": "utf8"})
    connect = connect_with_timeout(answer_seconds)
    settings = SessionSettings(session, prepares="prepare_threshold" in arguments)

    @event.listens_for(engine, "do_connect")
    def open_connection(
        _dialect: object, _record: object, args: list[Any], options: dict[str, Any]
    ) -> object:
        driver = connect(*args, **options)
        encoding = driver.info.parameter_status("server_encoding")
        if encoding != "UTF8":
            driver.close()
            raise _not_utf8(url, encoding)
        settings.apply_to_connection(driver)
        return driver

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        settings.apply_to_transaction(connection.connection.dbapi_connection)

    return engine


def _not_utf8(url: URL, encoding: str | None) -> SchemaError:
    return SchemaError(
        f"The outbox at {shown_url(url)} is in a database whose encoding is "
        f"{encoding}, which cannot store every mail: make one with CREATE DATABASE … "
        "ENCODING 'UTF8' TEMPLATE template0, and set OUTBOX_URL to it.",
        anchor="encoding",
    )


def prepare_threshold(url: URL, given_as: str = "OUTBOX_URL") -> int | None:
    """The URL's ``prepare_threshold`` for psycopg; None prepares no statements.

    Raises `ConfigError` if it is neither a number nor 'none'.
    """
    said = str(url.query["prepare_threshold"])
    if said.lower() in ("", "none"):
        return None
    if not said.isdecimal():
        raise ConfigError(
            f"{given_as} has prepare_threshold={said}: it must be a whole number, or "
            "'none' to prepare no statements."
        )
    return int(said)


def _open_mysql(url: URL, durability: str, patient: bool) -> Engine:
    arguments = {
        "connect_timeout": CONNECT_SECONDS,
        "read_timeout": None if patient else ANSWER_SECONDS,
        "write_timeout": ANSWER_SECONDS,
        "init_command": f"SET innodb_lock_wait_timeout = {int(BUSY_SECONDS)} "
        f"/*M! , idle_transaction_timeout = {ANSWER_SECONDS} */",  # MariaDB only
        "charset": "utf8mb4",
        "client_flag": FOUND_ROWS | MULTI_STATEMENTS,
    }
    return _open_server(url, arguments)


def _open_server(url: URL, arguments: Mapping[str, Any]) -> Engine:
    """An engine for a server; the URL's query overrides ``arguments``."""
    engine = create_engine(
        url,
        connect_args={
            name: value for name, value in arguments.items() if name not in url.query
        },
        isolation_level="READ COMMITTED",
        hide_parameters=True,
    )
    _ping_after_idleness(engine)
    return engine


def _ping_after_idleness(engine: Engine) -> None:
    """Replace a pooled connection that was lost while nobody used it."""

    @event.listens_for(engine, "checkin")
    def note(_driver: object, record: ConnectionPoolEntry) -> None:
        record.info["idle_since"] = time.monotonic()

    @event.listens_for(engine, "checkout")
    def ping(driver: Any, record: ConnectionPoolEntry, _fairy: object) -> None:
        try:
            _ping(engine.dialect, driver, record.info.pop("idle_since", inf))
        except engine.dialect.loaded_dbapi.Error as error:
            raise exc.DisconnectionError from error


def is_alive(connection: Connection, idle_since: float) -> bool:
    """Whether a connection to a server was not lost while nobody used it."""
    dialect = connection.dialect
    try:
        _ping(dialect, connection.connection.dbapi_connection, idle_since)
    except dialect.loaded_dbapi.Error:
        return False
    return True


def _ping(dialect: Dialect, driver: Any, idle_since: float) -> None:
    """Raise the driver's error if the connection is lost, as far as can be seen."""
    long_idle = time.monotonic() - idle_since > PING_AFTER_SECONDS
    if long_idle or _is_readable(driver):
        dialect.do_ping(driver)


def _is_readable(driver: Any) -> bool:
    """Whether an idle connection has something to read: then the server has ended it,
    or said why it will.
    """
    try:
        source = driver.fileno() if hasattr(driver, "fileno") else driver._sock
        return bool(select.select([source], [], [], 0)[0])
    except (OSError, TypeError, ValueError):  # closed, or too high a number
        return True


_OPENERS: Mapping[str, Callable[[URL, str, bool], Engine]] = {
    "sqlite": _open_sqlite,
    "postgresql": _open_postgresql,
    "mysql": _open_mysql,
    "mariadb": _open_mysql,
}

_SHORT_LOCK_TIMEOUT = {
    "postgresql": ("SET LOCAL lock_timeout = '10ms'", None),
    "mysql": (
        "SET @outbox_wait = @@innodb_lock_wait_timeout, innodb_lock_wait_timeout = 1",
        "SET innodb_lock_wait_timeout = @outbox_wait",
    ),
    "mariadb": (
        "SET @outbox_wait = @@innodb_lock_wait_timeout, innodb_lock_wait_timeout = 0",
        "SET innodb_lock_wait_timeout = @outbox_wait",
    ),
}
"""Dialect → statement that shortens the wait for locks, and one that restores it."""


@contextmanager
def short_lock_timeout(connection: Connection) -> Iterator[None]:
    """Within this, a server refuses a locked row almost at once instead of waiting."""
    dialect: Any = connection.dialect
    mariadb = getattr(dialect, "is_mariadb", False)
    begin, end = _SHORT_LOCK_TIMEOUT["mariadb" if mariadb else dialect.name]
    connection.exec_driver_sql(begin)
    try:
        yield
    finally:
        if end and not connection.invalidated:
            with suppress(exc.SQLAlchemyError):
                connection.exec_driver_sql(end)


SERVER_NOW = {
    "postgresql": "SELECT extract(epoch FROM clock_timestamp())",
    "mysql": "SELECT unix_timestamp(sysdate(6))",
    "mariadb": "SELECT unix_timestamp(sysdate(6))",
}
"""Backend → query for the server's time, in epoch seconds."""
