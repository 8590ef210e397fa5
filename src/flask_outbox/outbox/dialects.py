"""Dialects: how each kind of database is opened, and what its errors ask for."""

from __future__ import annotations

import os
import random
import sqlite3
import stat
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, exc
from sqlalchemy.engine import URL, make_url

from ..errors import ConfigError, OutboxUnavailable, SchemaError, redacted
from .faults import Fault, fault_of

BUSY_SECONDS = 10.0
"""How long a writer waits for SQLite's one write lock, or for a row of a server's: far
longer than any transaction of ours, far shorter than a web server's patience."""

CONNECT_SECONDS = 5
"""How long a database server may take to answer a connection."""

ANSWER_SECONDS = 15
"""How long a database server may leave a statement without an answer, and how long it
waits for us within a transaction: it does not see that a host was cut off, and nobody
else can take up what that has locked."""

TURN_SECONDS = (0.001, 0.004)
"""How often a writer looks whether it is its turn: a commit takes about as long."""

WAL_RETRY_SECONDS = 0.01
"""How soon a file that another process is just opening is tried again."""

_DRIVERS = {
    "sqlite": ("sqlite+pysqlite", None),
    "postgresql": ("postgresql+psycopg", "postgresql"),
    "mysql": ("mysql+pymysql", "mysql"),
    "mariadb": ("mariadb+pymysql", "mysql"),
}
"""Backend → the driver that is used, and the extra that brings it."""


def parse_url(url: str, given_as: str = "OUTBOX_URL") -> URL:
    """The URL with its driver. Raises `ConfigError` that says what to set."""
    try:
        parsed = make_url(url)
    except (exc.ArgumentError, ValueError):
        raise ConfigError(
            f"{given_as} is not a database URL. It looks like "
            '"sqlite:////var/lib/app/outbox.db" or "postgresql://user@host/name"; in a '
            "password, what is special must be percent-encoded."
        ) from None
    backend, _, driver = parsed.drivername.partition("+")
    if backend == "postgres":
        raise ConfigError(
            f'{given_as} begins with "{parsed.drivername}://": write '
            '"postgresql+psycopg://" in its place.'
        )
    if backend not in _DRIVERS:
        known = ", ".join(_DRIVERS)
        raise ConfigError(
            f"{given_as} begins with {backend!r}: the outbox is kept in one of {known}."
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
    """A database URL for people, without its password, wherever that stands in it."""
    return redacted(make_url(url).render_as_string(hide_password=True))


def open_engine(url: URL, durability: str) -> Engine:
    """An engine for ``url``. Raises `ConfigError` where its driver is not installed."""
    backend = url.get_backend_name()
    try:
        return _OPENERS[backend](url, durability)
    except (exc.NoSuchModuleError, ModuleNotFoundError) as error:
        raise _no_driver(url) from error


def _no_driver(url: URL, given_as: str = "OUTBOX_URL") -> ConfigError:
    driver, extra = _DRIVERS[url.get_backend_name()]
    if url.drivername != driver:
        return ConfigError(
            f"{given_as} asks for {url.drivername}, and that driver is not installed. "
            f'Write "{driver}://" in its place'
            + (f": pip install 'flask-outbox[{extra}]' brings that." if extra else ".")
        )
    return ConfigError(
        f"{given_as} asks for {url.drivername}, and that driver is not installed: "
        f"pip install 'flask-outbox[{extra}]' brings {extra}'s."
    )


def _open_sqlite(url: URL, durability: str) -> Engine:
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
        """Have no moment in which others could open what SQLite makes."""
        if path is not None:
            _make_file(path)

    @event.listens_for(engine, "connect")
    def prepare(connection: sqlite3.Connection, _record: object) -> None:
        connection.isolation_level = None
        _into_wal(connection)
        connection.execute(f"PRAGMA synchronous = {synchronous}")
        connection.execute("PRAGMA foreign_keys = ON")
        connection.create_function("lower", 1, str.lower, deterministic=True)

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        reading = connection.get_execution_options().get("outbox_reading")
        driver: Any = connection.connection.dbapi_connection
        if reading:
            driver.execute("BEGIN")
        else:
            _take_turn(driver)

    return engine


def impatient(connection: Connection) -> None:
    """Have SQLite not wait for the write lock by itself: `_take_turn` is fairer."""
    driver: Any = connection.connection.dbapi_connection
    driver.execute("PRAGMA busy_timeout = 0")


def patient(connection: Connection) -> None:
    """Have SQLite wait by itself again."""
    driver: Any = connection.connection.dbapi_connection
    driver.execute(f"PRAGMA busy_timeout = {int(BUSY_SECONDS * 1_000)}")


def _take_turn(driver: sqlite3.Connection) -> None:
    """Begin to write, waiting for the one write lock.

    SQLite's own waiters look ever less often, up to 100 ms apart, so that among many
    writers the newcomers win and some wait for seconds. Here all look equally often.
    """
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            driver.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            if fault_of(error) is not Fault.BUSY or time.monotonic() > deadline:
                raise
            time.sleep(random.uniform(*TURN_SECONDS))  # noqa: S311
        else:
            return


def _into_wal(connection: sqlite3.Connection) -> None:
    """Have the file in WAL mode; two who make it so at once are in each other's way.

    SQLite does not wait here by itself, since it fears that both hold a lock.
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
            f"The outbox's folder {folder} cannot be made: {error.strerror}. Look at "
            "OUTBOX_URL. Nothing was stored."
        ) from error


def _make_file(path: Path) -> None:
    """Make the file for its own user alone; what SQLite puts beside it is like it."""
    with suppress(OSError):  # SQLite says what is the matter
        path.touch(mode=0o600, exist_ok=False)


def open_to_others(url: str | URL) -> list[Path]:
    """The files of an SQLite outbox, and its folder, that users of no group of theirs
    may read or write; none for other databases.
    """
    path = _path_of(make_url(url))
    if path is None or os.name == "nt":
        return []
    files = [path.with_name(f"{path.name}{one}") for one in ("", "-wal", "-shm")]
    wide = [one for one in files if _mode(one) & (stat.S_IROTH | stat.S_IWOTH)]
    mode = _mode(path.parent)
    if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
        wide.append(path.parent)
    return wide


def _mode(path: Path) -> int:
    try:
        return path.stat().st_mode
    except OSError:
        return 0


def _path_of(url: URL) -> Path | None:
    """The file of an SQLite database; None for one that a URI of its own names."""
    path = url.database
    if url.get_backend_name() != "sqlite" or not path or path.startswith("file:"):
        return None
    return Path(path)


def _open_postgresql(url: URL, durability: str) -> Engine:
    milliseconds = 1_000
    session = {
        "lock_timeout": int(BUSY_SECONDS * milliseconds),
        "statement_timeout": ANSWER_SECONDS * milliseconds,
        "idle_in_transaction_session_timeout": ANSWER_SECONDS * milliseconds,
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
    from .impatient_psycopg import SetUp, impatient

    bare = url.difference_update_query(["prepare_threshold", "client_encoding"])
    engine = _open_server(bare, {**arguments, "client_encoding": "utf8"})
    connect = impatient(ANSWER_SECONDS)
    set_up = SetUp(session, prepares="prepare_threshold" in arguments)

    @event.listens_for(engine, "do_connect")
    def connect_impatiently(
        _dialect: object, _record: object, args: list[Any], options: dict[str, Any]
    ) -> object:
        driver = connect(*args, **options)
        encoding = driver.info.parameter_status("server_encoding")
        if encoding != "UTF8":
            driver.close()
            raise _not_utf8(url, encoding)
        set_up.connection(driver)
        return driver

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        set_up.transaction(connection.connection.dbapi_connection)

    return engine


def _not_utf8(url: URL, encoding: str | None) -> SchemaError:
    return SchemaError(
        f"The outbox at {shown_url(url)} is in a database whose encoding is "
        f"{encoding}, which cannot hold every mail: make one with CREATE DATABASE … "
        "ENCODING 'UTF8' TEMPLATE template0, and set OUTBOX_URL to it."
    )


def prepare_threshold(url: URL, given_as: str = "OUTBOX_URL") -> int | None:
    """What the URL says about psycopg's prepared statements; None has none.

    Raises `ConfigError`.
    """
    said = str(url.query["prepare_threshold"])
    if said.lower() in ("", "none"):
        return None
    if not said.isdecimal():
        raise ConfigError(
            f"{given_as} says prepare_threshold={said}: it is a whole number, or "
            "'none' to prepare no statements."
        )
    return int(said)


def _open_mysql(url: URL, durability: str) -> Engine:
    arguments = {
        "connect_timeout": CONNECT_SECONDS,
        "read_timeout": ANSWER_SECONDS,
        "write_timeout": ANSWER_SECONDS,
        "init_command": f"SET innodb_lock_wait_timeout = {int(BUSY_SECONDS)} "
        f"/*M! , idle_transaction_timeout = {ANSWER_SECONDS} */",  # MySQL has none
        "charset": "utf8mb4",
    }
    return _open_server(url, arguments)


def _open_server(url: URL, arguments: Mapping[str, Any]) -> Engine:
    """What the URL's own query says comes first."""
    return create_engine(
        url,
        connect_args={
            name: value for name, value in arguments.items() if name not in url.query
        },
        isolation_level="READ COMMITTED",
        pool_pre_ping=True,
        hide_parameters=True,
    )


_OPENERS: Mapping[str, Callable[[URL, str], Engine]] = {
    "sqlite": _open_sqlite,
    "postgresql": _open_postgresql,
    "mysql": _open_mysql,
    "mariadb": _open_mysql,
}

_WAIT_LESS = {
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
"""Dialect → how not to wait for locks in a transaction, and how to wait again."""


@contextmanager
def hardly_waiting(connection: Connection) -> Iterator[None]:
    """Have a server refuse what somebody holds instead of waiting for it."""
    dialect: Any = connection.dialect
    mariadb = getattr(dialect, "is_mariadb", False)
    begin, end = _WAIT_LESS["mariadb" if mariadb else dialect.name]
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
"""Backend → the question what time its server has, in epoch seconds."""
