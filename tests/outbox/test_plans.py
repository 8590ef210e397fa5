"""Query plans: each query of a page uses an index."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, event, update

from flask_outbox.delivery import Envelope, State
from flask_outbox.feedback import Fate
from flask_outbox.outbox import Outbox
from flask_outbox.outbox.batch_store import BatchStore
from flask_outbox.outbox.ids import id_at, new_id
from flask_outbox.outbox.records import Search
from flask_outbox.outbox.schema import batch, message
from tests.outbox import databases

from .making import SENDER, new_message

ROWS = 2_000
BATCH = new_id()

FULL_SCAN = {
    "sqlite": re.compile(
        r"SCAN outbox_(?:message|recipient|event|content|attached|attachment)\b"
        r"(?! USING INDEX outbox_message_leased)"
    ),
    "postgresql": re.compile(
        r"Seq Scan on outbox_(?:message|recipient|event|content|attached|attachment)\b"
    ),
}
"""How each says that it reads all of a table; what is leased is never much."""

EXPLAIN = {"sqlite": "EXPLAIN QUERY PLAN ", "postgresql": "EXPLAIN "}

Ask = Callable[[Outbox], object]

NOW = datetime.now(UTC)
SEARCHES = {
    "all": Search(),
    "state": Search(state=State.FAILED),
    "due": Search(due=True),
    "tag": Search(tag="orders"),
    "batch": Search(batch=BATCH),
    "batch and state": Search(batch=BATCH, state=State.FAILED),
    "batch that no message has": Search(batch="01NONE"),
    "tag that no message has": Search(tag="nothing"),
    "address": Search(address="user7@example.org"),
    "beginning of an address": Search(address="user77*"),
    "beginning of very many": Search(address="user*"),
    "subject": Search(subject="order 7"),
    "subject that no message has": Search(subject="nowhere"),
    "lane": Search(lane="bulk"),
    "fate": Search(fate=Fate.BOUNCED),
    "fate and tag": Search(fate=Fate.BOUNCED, tag="orders"),
    "fate and address": Search(fate=Fate.BOUNCED, address="user7@example.org"),
    "message id": Search(rfc_message_id="<nobody@example.org>"),
    "time": Search(since=NOW - timedelta(days=9), until=NOW - timedelta(days=8)),
    "tag and state": Search(tag="orders", state=State.FAILED),
    "address and subject": Search(address="user7*", subject="nowhere"),
}
QUESTIONS: dict[str, Ask] = {
    **{
        name: lambda outbox, wanted=wanted: outbox.search(wanted)  # type: ignore[misc]
        for name, wanted in SEARCHES.items()
    },
    "folded": lambda outbox: outbox.search(Search(), fold=True),
    "counts": lambda outbox: outbox.counts(),
    "glance": lambda outbox: outbox.overview(),
    "metrics": lambda outbox: outbox.measure(["default"]),
    "one mail": lambda outbox: outbox.get(outbox.search(Search()).messages[0].id),
    "next of each lane": lambda outbox: outbox.next_due_by_lane(),
    "next of a lane": lambda outbox: outbox.next_due_at("default", {"orders"}),
    "content": lambda outbox: outbox.content(new_id()),
    "news": lambda outbox: outbox.change_marker(),
    "batches": lambda outbox: BatchStore(outbox).newest(),
    "a batch": lambda outbox: BatchStore(outbox).get(BATCH),
    "its failures": lambda outbox: list(BatchStore(outbox).failures(BATCH)),
}


@pytest.fixture(scope="module", params=EXPLAIN)
def much(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Outbox]:
    """An outbox with a month of mail, of which a hundredth failed."""
    folder: Path = tmp_path_factory.mktemp("much")
    with databases.opened(request.param) as home, home.empty(folder) as database:
        outbox = Outbox(database)
        fill(outbox)
        yield outbox


def fill(outbox: Outbox) -> None:
    began = time.time() - 30 * 86_400
    ids = [id_at(began + one * 1_296)[:10] + new_id()[10:] for one in range(ROWS)]
    new = [
        new_message(
            outbox.clock(),
            id=one,
            envelope=Envelope(SENDER, (f"user{number % 500}@example.org",)),
            subject=f"Your order {number}",
            tag="orders" if number % 2 else None,
            batch=BATCH if number % 3 else None,
            batch_row=number if number % 3 else None,
        )
        for number, one in enumerate(ids)
    ]
    for start in range(0, ROWS, 1_000):
        outbox.enqueue(new[start : start + 1_000])
    with outbox.database.engine.begin() as connection:
        connection.execute(
            batch.insert().values(
                id=BATCH,
                name="news",
                rows_stored=ROWS,
                digest="",
                process="",
                began_at=began,
                stored_at=began,
            )
        )
        for state, before in ((State.SENT, 1_980), (State.FAILED, 20)):
            connection.execute(
                update(message)
                .where(message.c.id < ids[before])
                .values(state=state.value, finished_at=message.c.enqueued_at)
            )
        connection.exec_driver_sql("ANALYZE")


def statements(engine: Engine, ask: Callable[[], object]) -> list[tuple[str, Any]]:
    said: list[tuple[str, Any]] = []

    def listen(
        _conn: Any, _cursor: Any, text: str, parameters: Any, *_rest: Any
    ) -> None:
        if not text.startswith("SET "):
            said.append((text, parameters))

    event.listen(engine, "before_cursor_execute", listen)
    try:
        ask()
    finally:
        event.remove(engine, "before_cursor_execute", listen)
    return said


def full_scans(engine: Engine, text: str, parameters: Any) -> list[str]:
    """The lines of the statement's plan that read a whole table.

    PostgreSQL would rightly prefer that for so little mail, unless it is told not to.
    """
    with engine.connect() as connection:
        if engine.dialect.name == "postgresql":
            connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
        explained = connection.exec_driver_sql(
            EXPLAIN[engine.dialect.name] + text, parameters
        )
        lines = [str(row[-1]) for row in explained]
    return [line for line in lines if FULL_SCAN[engine.dialect.name].search(line)]


@pytest.mark.parametrize("ask", QUESTIONS.values(), ids=QUESTIONS)
def test_each_query_uses_an_index(much: Outbox, ask: Ask) -> None:
    engine = much.database.engine
    said = statements(engine, lambda: ask(much))

    assert said
    for text, parameters in said:
        assert full_scans(engine, text, parameters) == [], text


def test_a_full_table_scan_is_noticed(much: Outbox) -> None:
    unheard_of = "SELECT id FROM outbox_message WHERE subject = 'Hello'"

    assert full_scans(much.database.engine, unheard_of, ())
