"""Plans: what a database does for a question, and whether it reads a whole table."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from sqlalchemy import Engine, event

FULL_SCAN = {
    "sqlite": re.compile(
        r"SCAN outbox_(?:message|recipient|event|content)\b"
        r"(?! USING INDEX outbox_message_leased)"
    ),
    "postgresql": re.compile(
        r"Seq Scan on outbox_(?:message|recipient|event|content)\b"
    ),
}
"""How each database says that it reads all of a table that grows with the mail; what is
leased is never much."""

_EXPLAIN = {"sqlite": "EXPLAIN QUERY PLAN ", "postgresql": "EXPLAIN "}


def full_scans(engine: Engine, ask: Callable[[], object]) -> list[str]:
    """The statements of ``ask`` for which a whole table is read."""
    said: list[tuple[str, Any]] = []

    def listen(
        _conn: Any, _cursor: Any, text: str, parameters: Any, *_rest: Any
    ) -> None:
        said.append((text, parameters))

    event.listen(engine, "before_cursor_execute", listen)
    try:
        ask()
    finally:
        event.remove(engine, "before_cursor_execute", listen)
    return [
        text
        for text, parameters in said
        if text.startswith("SELECT")
        and any(
            FULL_SCAN[engine.dialect.name].search(line)
            for line in plan(engine, text, parameters)
        )
    ]


def plan(engine: Engine, text: str, parameters: Any) -> Iterator[str]:
    """What the database would do, line by line."""
    with engine.connect() as connection:
        explained = connection.exec_driver_sql(
            _EXPLAIN[engine.dialect.name] + text, parameters
        )
        for row in explained:
            yield str(row[-1])
