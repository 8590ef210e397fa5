"""Faults: what a database's error is, told by its SQLSTATE or its number.

Never by its words, which are in whatever language the server was told to speak.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import Any


class Fault(Enum):
    """What went wrong, as far as it decides what happens next."""

    CONFLICT = auto()
    """Somebody else wrote the same rows at the same moment: another try may do."""
    HELD = auto()
    """Somebody holds a lock on rows, or on a key, that this needs."""
    BUSY = auto()
    """Somebody holds SQLite's one write lock."""
    MOVED_ON = auto()
    """An SQLite transaction that has read, and that others have since overtaken."""
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


ADVICE = {
    Fault.HELD: "Another process has held a lock for too long.",
    Fault.BUSY: "Another process has held the write lock for too long, or a "
    "transaction of the app's own that is not over: pass session= to send in that one.",
    Fault.MOVED_ON: "Its transaction has read what others have changed since: roll it "
    "back and begin anew.",
    Fault.ABORTED: "An earlier statement of it failed: roll it back.",
    Fault.READ_ONLY: "Its transaction may only read: send in one that may write.",
    Fault.FILE_READ_ONLY: "Its file or folder cannot be written by this user.",
    Fault.FULL: "Make room on the disk.",
    Fault.DISK: "The disk failed, or a quota on it is used up.",
    Fault.DAMAGED: "The file is damaged: restore it, or move it away to begin anew.",
    Fault.NO_DATABASE: "The file is not an SQLite database: look at OUTBOX_URL.",
    Fault.NO_FILE: "Its folder must exist and be writable.",
    Fault.NOT_CONNECTED: "Is the database server running? Else look at its URL.",
    Fault.CROWDED: "The server has no room for another connection: raise its limit, or "
    "run fewer processes.",
    Fault.LOGIN: "Look at the user, the password and the name in its URL.",
    Fault.TOO_LARGE: "A message is larger than the server's max_allowed_packet: raise "
    "that.",
    Fault.ENCODING: "Its encoding has no place for these characters: use UTF-8 "
    "(utf8mb4 on MariaDB and MySQL) for the database and for the connection.",
}
"""Fault → what to do about it."""

LOST_ADVICE = (
    "The connection was lost, so what was being written may or may not be there: "
    "sending again with the same key= is safe."
)

_MYSQL_LOST_ADVICE = (
    " Where it is always the same message: it may be larger than the server's "
    "max_allowed_packet."
)

_SQLSTATES = {
    "40001": Fault.CONFLICT,  # serialization_failure
    "40P01": Fault.CONFLICT,  # deadlock_detected
    "23505": Fault.CONFLICT,  # unique_violation
    "55P03": Fault.HELD,  # lock_not_available
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

_MYSQL = {
    **dict.fromkeys((1020, 1062, 1213, 1586), Fault.CONFLICT),
    **dict.fromkeys((1205, 3572), Fault.HELD),
    **dict.fromkeys((1290, 1792, 1836), Fault.READ_ONLY),
    **dict.fromkeys((1021, 1041, 1114), Fault.FULL),
    **dict.fromkeys((1034, 1194, 1712), Fault.DAMAGED),
    **dict.fromkeys((1044, 1045, 1049, 1251, 1698), Fault.LOGIN),
    **dict.fromkeys((1040, 1203, 1226), Fault.CROWDED),
    **dict.fromkeys((1153, 1162, 1301, 2020), Fault.TOO_LARGE),
    **dict.fromkeys((1366, 1300, 3854), Fault.ENCODING),
    **dict.fromkeys((2002, 2003, 2005), Fault.NOT_CONNECTED),
    **dict.fromkeys(
        (0, 1053, 1158, 1159, 1160, 1161, 1927, 2006, 2013, 2014, 2055, 4031),
        Fault.LOST,
    ),
}
"""https://mariadb.com/kb/en/mariadb-error-code-reference/; 0 is PyMySQL's own, for a
connection that it has closed."""

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
"""https://sqlite.org/rescode.html; the low byte of an extended code is its kind."""


def fault_of(error: BaseException) -> Fault | None:
    """What ``error`` is, of SQLAlchemy's or a driver's; None where nobody knows."""
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
    """What to do about a database's error; "" where nobody knows.

    ``unless_lost`` is added where the connection outlived the error.
    """
    fault = fault_of(error)
    if fault in (Fault.LOST, Fault.SILENT):
        cause = getattr(error, "orig", None) or error
        return LOST_ADVICE + ("" if _number(cause) is None else _MYSQL_LOST_ADVICE)
    known = ADVICE.get(fault, "") if fault else ""
    return f"{known} {unless_lost}".strip()


_OF_ONE = (
    Fault.CONFLICT,
    Fault.HELD,
    Fault.TOO_LARGE,
    Fault.ENCODING,
    Fault.STATEMENT,
    Fault.LOST,
)
"""What one work can bring upon itself, though drivers count it among the database's
own failures. A server ends the connection over which too much came."""

_OF_ALL = ("OperationalError", "InterfaceError", "OutboxUnavailable", "SchemaError")
"""What drivers (PEP 249) and we raise when the database itself fails."""


def concerns_all(error: BaseException) -> bool:
    """Whether the database failed, not a work: then nobody need wait for it again."""
    cause = getattr(error, "orig", None) or error
    return any(_is(cause, name) for name in _OF_ALL) and fault_of(error) not in _OF_ONE


def is_databases(error: BaseException) -> bool:
    """Whether ``error`` is a database's, of SQLAlchemy's or a driver's (PEP 249)."""
    return hasattr(error, "orig") or _is(error, "DatabaseError")


def _postgresql(cause: Any) -> Fault | None:
    """psycopg's: without a SQLSTATE it is of the connection, which it names if none was
    made.
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
    """The number that MariaDB's and MySQL's drivers give first."""
    number = cause.args[0] if cause.args else None
    return number if isinstance(number, int) else None


def _timed_out(cause: BaseException) -> bool:
    return isinstance(cause.__cause__ or cause.__context__, TimeoutError)


def _is(cause: BaseException, name: str) -> bool:
    return any(kind.__name__ == name for kind in type(cause).__mro__)
