"""The outbox beside OpenTelemetry's instrumentations of the app."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from flask_outbox.outbox import Database
from tests.processes.running import Running
from tests.servers import JournalSmtp

pytest.importorskip(
    "opentelemetry.instrumentation.flask",
    reason="opentelemetry-instrumentation-flask is not installed",
)
pytest.importorskip(
    "opentelemetry.instrumentation.sqlalchemy",
    reason="opentelemetry-instrumentation-sqlalchemy is not installed",
)

TRACED_APP = """
import json, sys, threading

from opentelemetry import trace
from opentelemetry.instrumentation.flask import FlaskInstrumentor
from opentelemetry.instrumentation.sqlalchemy import SQLAlchemyInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

spans, provider = InMemorySpanExporter(), TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(spans))
trace.set_tracer_provider(provider)
SQLAlchemyInstrumentor().instrument(enable_commenter=True, skip_dep_check=True)

from flask import Flask
from sqlalchemy import create_engine, text
from sqlalchemy.orm import Session

from flask_outbox import Mail, Message, signals

started, sent = threading.Event(), threading.Semaphore(0)


@signals.courier_started.connect
def note_start(*_, **payload):
    started.set()


@signals.message_sent.connect
def note_sent(*_, **payload):
    sent.release()


mail_url, folder, url, traces = sys.argv[1:]
app = Flask("shop", instance_path=folder)
app.config.update(
    MAIL_URL=mail_url,
    MAIL_DEFAULT_SENDER="shop@example.com",
    OUTBOX_URL=url,
    OUTBOX_TRACES=traces,
)
FlaskInstrumentor().instrument_app(app)
mail = Mail(app)
engine = create_engine(url)
with engine.begin() as connection:
    connection.execute(text("CREATE TABLE orders (number INTEGER)"))
spans.clear()


@app.post("/orders")
def order():
    mail.send(Message("Hello", ["ada@example.org"], body="Hi"))
    with Session(engine) as session:
        session.execute(text("INSERT INTO orders VALUES (1)"))
        mail.send(Message("Thanks", ["ada@example.org"], body="Hi"), session=session)
        session.commit()
    return ""


mail.start()
assert started.wait(60)
assert app.test_client().post("/orders").status_code == 200
assert sent.acquire(timeout=60) and sent.acquire(timeout=60)
mail.stop()
for span in spans.get_finished_spans():
    print(json.dumps({
        "name": span.name,
        "id": span.context.span_id,
        "trace": span.context.trace_id,
        "parent": span.parent and span.parent.span_id,
        "links": [link.context.span_id for link in span.links],
    }))
"""

Span = dict[str, Any]


def traced(folder: Path, url: str, *, traces: bool) -> list[Span]:
    """The spans of a shop that sent two mails in one request."""
    with JournalSmtp(folder / "journal") as server:
        arguments = [f"smtp://127.0.0.1:{server.port}", str(folder), url, str(traces)]
        with Running(folder, "-c", TRACED_APP, *arguments) as shop:
            printed, _ = shop.process.communicate(timeout=60)
            assert shop.process.returncode == 0, shop.stderr
        assert len(server.mails) == 2, shop.stderr
    return [json.loads(line) for line in printed.splitlines()]


def test_a_request_is_the_parent_of_its_hand_overs(
    tmp_path: Path, database: Database
) -> None:
    url = database.url.render_as_string(hide_password=False)
    spans = traced(tmp_path, url, traces=True)
    (request,) = [one for one in spans if one["name"] == "POST /orders"]
    attempts = [one for one in spans if one["name"] == "deliver default"]
    assert len(attempts) == 2
    roots = {one["id"] for one in spans if one["parent"] is None}
    assert roots == {one["id"] for one in [request, *attempts]}
    sent = [one for one in spans if one["name"] == "send default"]
    assert [one["parent"] for one in sent] == [request["id"]] * 2
    linked = [link for one in attempts for link in one["links"]]
    assert sorted(linked) == sorted(one["id"] for one in sent)
    assert len({one["trace"] for one in [request, *attempts]}) == 3
    (order,) = [one for one in spans if one["name"].startswith("INSERT")]
    assert order["parent"] == request["id"]


def test_without_traces_couriers_begin_none(tmp_path: Path) -> None:
    spans = traced(tmp_path, f"sqlite:///{tmp_path / 'shop.db'}", traces=False)
    assert [one["name"] for one in spans if one["parent"] is None] == ["POST /orders"]
    assert not [one for one in spans if one["name"] == "send default"]
    assert [one for one in spans if one["name"].startswith("INSERT")]


FORKED_APP = """
import json, os, sys

from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

spans, provider = InMemorySpanExporter(), TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(spans))
trace.set_tracer_provider(provider)

from flask import Flask
from flask_outbox import Mail, Message

app = Flask("shop", instance_path=sys.argv[1])
app.config.update(
    MAIL_URL="inbox://", MAIL_DEFAULT_SENDER="shop@example.com", OUTBOX_TRACES=True
)
mail = Mail(app)
mail.send(Message("Hello", ["ada@example.org"], body="before"))
assert mail.drain(60)
mail.stop()
child = os.fork()
if child:
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
else:
    spans.clear()
    mail.send(Message("Hello", ["ada@example.org"], body="after"))
    assert mail.drain(60)
    mail.stop()
print(json.dumps([
    [
        span.name,
        span.parent is None,
        f"{span.context.span_id:x}",
        [f"{one.context.span_id:x}" for one in span.links],
    ]
    for span in spans.get_finished_spans()
]), flush=True)
"""


def test_a_fork_makes_spans_of_its_own(tmp_path: Path) -> None:
    with Running(tmp_path, "-c", FORKED_APP, str(tmp_path)) as shop:
        printed, _ = shop.process.communicate(timeout=60)
        assert shop.process.returncode == 0, shop.stderr
    parent_and_child = [json.loads(line) for line in printed.splitlines()]
    assert len(parent_and_child) == 2
    for sent, attempt in parent_and_child:
        assert sent[:2] == ["send default", True]
        assert attempt[:2] == ["deliver default", True]
        assert attempt[3] == [sent[2]]
    (one, _), (other, _) = parent_and_child
    assert one[2] != other[2]
