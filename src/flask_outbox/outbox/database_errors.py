"""Classifies database errors by their SQLSTATE or error number.

Never by their text, whose language depends on the server's settings.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import Any


class Fault(Enum):
    """Kinds of database errors that need different treatment or advice."""

    CONFLICT = auto()
    """Another transaction wrote the same rows: another try may succeed."""
    LOCKED = auto()
    """Another transaction holds a lock on rows, or on a key, that this one needs."""
    BUSY = auto()
    """Another connection holds SQLite's write lock."""
    MOVED_ON = auto()
    """An SQLite transaction wants to write, but others have since changed what it read.
    """
    ABORTED = auto()
    READ_ONLY = auto()
    FILE_READ_ONLY = auto()
    FULL = auto()
    DISK = auto()
    DAMAGED = auto()
    NO_DATABASE = auto()
    NO_FILE = auto()
    NOT_CONNECTED = auto()
    CROWDED = auto()
    LOGIN = auto()
    TOO_LARGE = auto()
    ENCODING = auto()
    STATEMENT = auto()
    LOST = auto()
    SILENT = auto()

    @property
    def anchor(self) -> str:
        """What an error names in the documentation; "" where there is no advice."""
        if self in (Fault.LOST, Fault.SILENT):
            return "lost"
        return self.name.lower().replace("_", "-") if self in ADVICE else ""


ADVICE = {
    Fault.LOCKED: "Another process has held a lock for too long.",
    Fault.BUSY: "Another process has held the write lock for too long, or a "
    "transaction of the app is still open: pass session= to send in that one.",
    Fault.MOVED_ON: "Its transaction has read rows that others have changed since: "
    "roll it back and start again.",
    Fault.ABORTED: "An earlier statement of it failed: roll it back.",
    Fault.READ_ONLY: "Its transaction is read-only: send in one that can write.",
    Fault.FILE_READ_ONLY: "Its file or folder cannot be written by this user.",
    Fault.FULL: "Make room on the disk.",
    Fault.DISK: "The disk failed, or a quota on it is used up.",
    Fault.DAMAGED: "The file is damaged: restore it, or move it away to start with an "
    "empty one.",
    Fault.NO_DATABASE: "The file is not an SQLite database: check OUTBOX_URL.",
    Fault.NO_FILE: "Its folder must exist and be writable.",
    Fault.NOT_CONNECTED: "Check that the database server is running, and its URL.",
    Fault.CROWDED: "The server accepts no further connection: raise its limit, or "
    "run fewer processes.",
    Fault.LOGIN: "Check the user, the password and the name in its URL.",
    Fault.TOO_LARGE: "A message is larger than the server's max_allowed_packet: raise "
    "that.",
    Fault.ENCODING: "Its encoding cannot represent these characters: use UTF-8 "
    "(utf8mb4 on MariaDB and MySQL) for the database and for the connection.",
}
"""Fault → what to do about it."""

LOST_ADVICE = (
    "The connection was lost, so the write may or may not have been committed: "
    "sending again with the same key= is safe."
)

_MYSQL_LOST_ADVICE = (
    " If it is always the same message, it may be larger than the server's "
    "max_allowed_packet."
)

_SQLSTATES = {
    "40001": Fault.CONFLICT,  # serialization_failure
    "40P01": Fault.CONFLICT,  # deadlock_detected
    "23505": Fault.CONFLICT,  # unique_violation
    "55P03": Fault.LOCKED,  # lock_not_available
    "25P02": Fault.ABORTED,  # in_failed_sql_transaction
    "25006": Fault.READ_ONLY,  # read_only_sql_transaction
    "22P05": Fault.ENCODING,  # untranslatable_character
    "22021": Fault.ENCODING,  # character_not_in_repertoire
    "53100": Fault.FULL,  # disk_full
    "53300": Fault.CROWDED,  # too_many_connections
    "58030": Fault.DISK,  # io_error
    "XX001": Fault.DAMAGED,  # data_corrupted
    "XX002": Fault.DAMAGED,  # index_corrupted
    "3D000": Fault.LOGIN,  # invalid_catalog_name
    "57P01": Fault.LOST,  # admin_shutdown
    "57P02": Fault.LOST,  # crash_shutdown
    "57P03": Fault.NOT_CONNECTED,  # cannot_connect_now
    "57P05": Fault.LOST,  # idle_session_timeout
    "25P03": Fault.LOST,  # idle_in_transaction_session_timeout
}
_SQLSTATE_CLASSES = {"08": Fault.LOST, "28": Fault.LOGIN}
"""https://www.postgresql.org/docs/current/errcodes-appendix.html"""

_CLOSED = 0
"""PyMySQL's own code for a connection that it has closed, of which it says nothing."""

_MYSQL = {
    **dict.fromkeys((1020, 1062, 1213, 1586), Fault.CONFLICT),
    **dict.fromkeys((1205, 3572), Fault.LOCKED),
    **dict.fromkeys((1290, 1792, 1836), Fault.READ_ONLY),
    **dict.fromkeys((1021, 1041, 1114), Fault.FULL),
    **dict.fromkeys((1034, 1194, 1712), Fault.DAMAGED),
    **dict.fromkeys((1044, 1045, 1049, 1251, 1698), Fault.LOGIN),
    **dict.fromkeys((1040, 1203, 1226), Fault.CROWDED),
    **dict.fromkeys((1153, 1162, 1301, 2020), Fault.TOO_LARGE),
    **dict.fromkeys((1366, 1300, 3854), Fault.ENCODING),
    **dict.fromkeys((2002, 2003, 2005), Fault.NOT_CONNECTED),
    **dict.fromkeys(
        (_CLOSED, 1053, 1158, 1159, 1160, 1161, 1927, 2006, 2013, 2014, 2055, 4031),
        Fault.LOST,
    ),
}
"""https://mariadb.com/kb/en/mariadb-error-code-reference/"""

_SQLITE = {
    1: Fault.STATEMENT,
    5: Fault.BUSY,
    517: Fault.MOVED_ON,  # SQLITE_BUSY_SNAPSHOT
    6: Fault.BUSY,  # SQLITE_LOCKED, by a connection that shares the cache
    8: Fault.FILE_READ_ONLY,
    10: Fault.DISK,
    11: Fault.DAMAGED,
    13: Fault.FULL,
    14: Fault.NO_FILE,
    26: Fault.NO_DATABASE,
    1555: Fault.CONFLICT,  # SQLITE_CONSTRAINT_PRIMARYKEY
    2067: Fault.CONFLICT,  # SQLITE_CONSTRAINT_UNIQUE
}
"""https://sqlite.org/rescode.html; the low byte of an extended code is the primary one.
"""


def fault_of(error: BaseException) -> Fault | None:
    """The kind of an error of SQLAlchemy or of a driver; None if it is unknown."""
    cause: Any = getattr(error, "orig", None) or error
    if isinstance(cause, UnicodeError):
        return Fault.ENCODING
    code = getattr(cause, "sqlite_errorcode", None)
    if code is not None:
        return _SQLITE.get(code) or _SQLITE.get(code & 0xFF)
    if hasattr(cause, "sqlstate") and hasattr(cause, "pgconn"):
        return _postgresql(cause)
    state = getattr(cause, "pgcode", None)
    if state is not None:
        return _of_sqlstate(state)
    number = _number(cause)
    if number is None:
        return None
    fault = _MYSQL.get(number)
    return Fault.SILENT if fault is Fault.LOST and _timed_out(cause) else fault


def advice(error: BaseException, unless_lost: str = "") -> str:
    """What to do about a database error; "" if it is unknown.

    ``unless_lost`` is appended unless the error says that the connection was lost.
    """
    fault = fault_of(error)
    if fault in (Fault.LOST, Fault.SILENT):
        cause = getattr(error, "orig", None) or error
        return LOST_ADVICE + ("" if _number(cause) is None else _MYSQL_LOST_ADVICE)
    known = ADVICE.get(fault, "") if fault else ""
    return f"{known} {unless_lost}".strip()


def words_of(error: BaseException) -> str:
    """What a driver says of an error, in one line.

    Its primary message only: PostgreSQL's detail may show values of a row.
    """
    cause = getattr(error, "orig", None) or error
    if _number(cause) == _CLOSED:
        return "the connection was closed"
    said = getattr(getattr(cause, "diag", None), "message_primary", None)
    return " ".join(str(said or cause).split())


_OF_ONE = (
    None,
    Fault.CONFLICT,
    Fault.LOCKED,
    Fault.TOO_LARGE,
    Fault.ENCODING,
    Fault.STATEMENT,
    Fault.LOST,
)
"""Faults that one transaction's own work can cause, though drivers report them as
failures of the database: unknown ones, and a lost connection, because a server closes
one over which too large a statement came."""

_OF_ALL = ("OperationalError", "InterfaceError")
"""Error classes of drivers (PEP 249) for a failure of the database itself."""

_OURS = ("OutboxUnavailable", "SchemaError")
"""Our error classes for it."""


def concerns_all(error: BaseException) -> bool:
    """Whether the database itself failed, so that other work would fail in it too."""
    cause = getattr(error, "orig", None) or error
    if any(_is(cause, name) for name in _OURS):
        return True
    return any(_is(cause, name) for name in _OF_ALL) and fault_of(error) not in _OF_ONE


def is_databases(error: BaseException) -> bool:
    """Whether ``error`` is a database error of SQLAlchemy or of a driver (PEP 249)."""
    return hasattr(error, "orig") or _is(error, "DatabaseError")


def _postgresql(cause: Any) -> Fault | None:
    """The kind of an error of psycopg.

    One without a SQLSTATE concerns the connection: ``pgconn`` is the connection if it
    could not be made, and None if it was lost.
    """
    if cause.sqlstate is not None:
        return _of_sqlstate(cause.sqlstate)
    if not _is(cause, "OperationalError"):
        return None
    if _is(cause, "NoAnswer"):
        return Fault.SILENT
    if cause.pgconn is None:
        return Fault.LOST
    login = cause.pgconn.needs_password or cause.pgconn.used_password
    return Fault.LOGIN if login else Fault.NOT_CONNECTED


def _of_sqlstate(state: str) -> Fault | None:
    return _SQLSTATES.get(state) or _SQLSTATE_CLASSES.get(state[:2])


def _number(cause: Any) -> int | None:
    """The error number, which drivers for MariaDB and MySQL give as first argument."""
    number = cause.args[0] if cause.args else None
    return number if isinstance(number, int) else None


def _timed_out(cause: BaseException) -> bool:
    return isinstance(cause.__cause__ or cause.__context__, TimeoutError)


def _is(cause: BaseException, name: str) -> bool:
    return any(kind.__name__ == name for kind in type(cause).__mro__)
