"""What OpenTelemetry sees of the outbox, where the app traces its SQLAlchemy."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.processes.running import Running
from tests.servers import JournalSmtp

pytest.importorskip(
    "opentelemetry.instrumentation.sqlalchemy",
    reason="opentelemetry-instrumentation-sqlalchemy is not installed",
)

APP = """
import json, sys, threading

from opentelemetry.instrumentation.sqlalchemy import SQLAlchemyInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

spans, provider = InMemorySpanExporter(), TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(spans))
SQLAlchemyInstrumentor().instrument(tracer_provider=provider, skip_dep_check=True)

from flask import Flask
from flask_outbox import Mail, Message, signals

started = threading.Event()


@signals.courier_started.connect
def _(*_, **payload):
    started.set()


app = Flask("shop", instance_path=sys.argv[2])
app.config.update(MAIL_URL=sys.argv[1], MAIL_DEFAULT_SENDER="shop@example.com")
mail = Mail(app)
mail.start()
assert started.wait(60)
tracer = provider.get_tracer("shop")
with tracer.start_as_current_span("POST /orders"), app.app_context():
    mail.send(Message("Hello", ["ada@example.org"], body="Hi"))
    mail.drain(60)
mail.stop()
for span in spans.get_finished_spans():
    print(json.dumps({"name": span.name, "root": span.parent is None}))
"""


def test_views_are_traced_and_couriers_begin_no_traces(tmp_path: Path) -> None:
    with JournalSmtp(tmp_path / "journal") as server:
        url = f"smtp://127.0.0.1:{server.port}"
        with Running(tmp_path, "-c", APP, url, str(tmp_path)) as shop:
            printed, _ = shop.process.communicate(timeout=60)
        assert len(server.mails) == 1, shop.stderr
    spans = [json.loads(line) for line in printed.splitlines()]
    assert [one["name"] for one in spans if one["root"]] == ["POST /orders"]
    assert [one for one in spans if one["name"].startswith("SELECT")]
