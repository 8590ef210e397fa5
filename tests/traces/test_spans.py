"""A span for each hand-over, and one for each attempt that is linked to it."""

from __future__ import annotations

import asyncio
import json
import logging
import runpy
import sys
import threading
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from jinja2 import DictLoader
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import (
    ALWAYS_OFF,
    ALWAYS_ON,
    ParentBased,
    Sampler,
    SamplingResult,
)
from opentelemetry.trace import (
    NonRecordingSpan,
    NoOpTracer,
    SpanContext,
    StatusCode,
    TraceFlags,
    TraceState,
    use_span,
)
from sqlalchemy import Connection

from flask_outbox import (
    ConfigError,
    Mail,
    Message,
    MessageError,
    Outcome,
    Reply,
    Report,
    State,
    signals,
    traces,
)
from flask_outbox.courier import thread_pool
from flask_outbox.log import JsonFormatter
from flask_outbox.sending import batch
from flask_outbox.transports import registry
from flask_outbox.transports.base import Transport
from tests.mail.conftest import MakeSite
from tests.mail.site import ADA, BOB, Site, make_app
from tests.servers import Behaviour, JournalSmtp
from tests.traces.conftest import MakeTraced, Spans, identity, links, said

SAMPLING = Path(__file__).parents[2] / "docs" / "traces" / "sampling.py"
TRACER = trace.get_tracer("the test")


# ------------------------------------------------------------------ what the spans say


def test_a_hand_over_and_its_attempt(
    traced: MakeTraced, spans: Spans, server: JournalSmtp
) -> None:
    site = traced()
    with TRACER.start_as_current_span("POST /orders") as request:
        receipt = site.send()
    record = site.settled(receipt)

    (sent,) = spans.hand_overs
    assert sent.name == "send default"
    assert sent.parent == request.get_span_context()
    assert said(sent) == {
        "messaging.system": "flask_outbox",
        "messaging.operation.name": "send",
        "messaging.operation.type": "send",
        "messaging.destination.name": "default",
        "messaging.message.id": receipt.id,
    }
    (attempt,) = spans.attempts
    assert attempt.name == "deliver default"
    assert attempt.parent is None
    assert identity(attempt)[0] != identity(sent)[0]
    assert links(attempt) == [identity(sent)]
    assert said(attempt) == {
        "messaging.system": "flask_outbox",
        "messaging.operation.name": "deliver",
        "messaging.operation.type": "process",
        "messaging.destination.name": "default",
        "messaging.message.id": receipt.id,
        "flask_outbox.attempt": 1,
        "flask_outbox.outcome": "sent",
        "server.address": server.host,
        "server.port": server.port,
    }
    assert {sent.status.status_code, attempt.status.status_code} == {StatusCode.UNSET}
    assert record.trace_id == f"{identity(sent)[0]:032x}"
    assert record.origin is None


def test_each_attempt_is_a_trace_of_its_own(
    traced: MakeTraced, spans: Spans, server: JournalSmtp
) -> None:
    server.behaviour = Behaviour(at_rcpt="451 4.3.0 later")
    site = traced()
    receipt = site.send()
    site.wait_for(signals.message_deferred)
    server.behaviour = Behaviour()
    site.settled(receipt)

    (sent,) = spans.hand_overs
    *deferred, last = spans.attempts
    assert deferred
    for number, one in enumerate(deferred, start=1):
        assert said(one)["flask_outbox.attempt"] == number
        assert said(one)["flask_outbox.outcome"] == "deferred"
        assert said(one)["error.type"] == "451"
        assert one.status.status_code is StatusCode.ERROR
    assert said(last)["flask_outbox.outcome"] == "sent"
    assert "error.type" not in said(last)
    assert {links(one)[0] for one in spans.attempts} == {identity(sent)}
    traces_of_them = {identity(one)[0] for one in spans.all}
    assert len(traces_of_them) == len(spans.all)


def test_another_process_delivers_what_is_due(
    traced: MakeTraced, spans: Spans, tmp_path: Path
) -> None:
    url = f"sqlite:///{tmp_path / 'outbox.db'}"
    state = TraceState([("vendor", "ok")])
    above = SpanContext(
        5, 7, is_remote=True, trace_flags=TraceFlags(1), trace_state=state
    )
    shop = traced(OUTBOX_URL=url, OUTBOX_ENGINE="external")
    with use_span(NonRecordingSpan(above)):
        receipt = shop.send()
    assert shop.get(receipt).trace_id == f"{5:032x}"

    worker = traced(OUTBOX_URL=url)
    worker.make_ready()
    worker.wait_for(signals.message_sent)

    (sent,), (attempt,) = spans.hand_overs, spans.attempts
    assert sent.parent == above
    (link,) = attempt.links
    assert identity(sent) == links(attempt)[0]
    assert link.context.is_remote
    assert link.context.trace_state == state


def test_a_trace_that_cannot_be_read_holds_up_no_mail(
    traced: MakeTraced, spans: Spans, tmp_path: Path
) -> None:
    url = f"sqlite:///{tmp_path / 'outbox.db'}"
    shop = traced(OUTBOX_URL=url, OUTBOX_ENGINE="external")
    receipts = [shop.send(), shop.send()]
    for receipt, origin in zip(receipts, ("{", '{"traceparent":"00-x"}'), strict=True):
        shop.outbox.database.write(partial(_set_origin, receipt.id, origin))
    worker = traced(OUTBOX_URL=url)
    worker.make_ready()
    worker.wait_for(signals.message_sent, times=2)
    assert [links(one) for one in spans.attempts] == [[], []]


def _set_origin(message_id: str, origin: str, connection: Connection) -> None:
    statement = "UPDATE outbox_message SET origin = ? WHERE id = ?"
    connection.exec_driver_sql(statement, (origin, message_id))


def test_a_batch_has_a_span_for_each_commit(
    traced: MakeTraced, spans: Spans, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch, "CHUNK_ROWS", 2)
    site = traced(MAIL_URL="inbox://")
    mails = [Message("News", [f"{number}@example.org"]) for number in range(3)]
    receipt = site.mail.send_many(mails, name="news")
    site.wait_for(signals.message_sent, times=3)

    first, second = spans.hand_overs
    for one, rows in ((first, 2), (second, 1)):
        assert one.name == "send default"
        assert said(one) == {
            "messaging.system": "flask_outbox",
            "messaging.operation.name": "send",
            "messaging.operation.type": "send",
            "messaging.destination.name": "default",
            "messaging.batch.message_count": rows,
            "flask_outbox.batch": receipt.id,
        }
    linked = sorted(links(one)[0] for one in spans.attempts)
    assert linked == sorted([identity(first), identity(first), identity(second)])
    assert {said(one)["flask_outbox.batch"] for one in spans.attempts} == {receipt.id}
    assert not any("server.address" in said(one) for one in spans.attempts)


def test_a_batch_for_several_lanes_names_none(traced: MakeTraced, spans: Spans) -> None:
    site = traced(
        MAIL_URL="inbox://",
        MAIL_TRANSPORTS={"bulk": "inbox://"},
        MAIL_ROUTE=lambda message, tag: "bulk" if ADA in message.recipients else None,
        OUTBOX_ENGINE="external",
    )
    site.mail.send_many([Message("News", [one]) for one in (ADA, BOB)], name="news")
    (sent,) = spans.hand_overs
    assert sent.name == "send"
    assert "messaging.destination.name" not in said(sent)


def test_a_message_that_is_sent_again_has_a_trace_of_its_own(
    traced: MakeTraced, spans: Spans
) -> None:
    site = traced()
    first = site.send()
    site.settled(first)
    with site.app.app_context():
        again = site.mail.send_again(first.id)
    site.settled(again)

    sent, sent_again = spans.hand_overs
    assert said(sent_again)["messaging.message.id"] == again.id
    assert said(sent_again)["messaging.destination.name"] == "default"
    assert [links(one)[0] for one in spans.attempts] == [
        identity(sent),
        identity(sent_again),
    ]
    assert site.get(again).trace_id != site.get(first).trace_id


@pytest.mark.parametrize(
    ("config", "address"),
    [
        ({"MAIL_URL": "smtps://mx.example.com"}, ("mx.example.com", 465)),
        ({"MAIL_URL": "resend://KEY@"}, ("api.resend.com", 443)),
        (
            {"MAIL_URL": "resend://KEY@127.0.0.1:8025?tls=no"},
            ("127.0.0.1", 8025),
        ),
        (
            {"MAIL_URL": "smtp://mx.example.com", "OUTBOX_REDIRECT_TO": BOB},
            ("mx.example.com", 25),
        ),
        ({"MAIL_URL": "inbox://"}, None),
    ],
    ids=["smtp", "api", "api elsewhere", "redirected", "inbox"],
)
def test_a_transport_says_where_it_delivers_to(
    traced: MakeTraced, config: dict[str, str], address: tuple[str, int] | None
) -> None:
    site = traced(OUTBOX_ENGINE="external", **config)
    transport = site.runtime.settings.default
    made = registry.transport_for(transport, site.outbox.guard)
    assert made.server_address == address


# --------------------------------------------------------------------- when it fails


def test_a_hand_over_that_fails(traced: MakeTraced, spans: Spans) -> None:
    site = traced(OUTBOX_ENGINE="external")
    with pytest.raises(MessageError):
        site.send("ada@no such host")
    (sent,) = spans.hand_overs
    assert sent.status.status_code is StatusCode.ERROR
    assert sent.status.description is None
    assert said(sent)["error.type"] == "flask_outbox.errors.AddressError"
    assert sent.events == ()


@pytest.mark.parametrize(
    ("behaviour", "outcome", "error"),
    [
        (Behaviour(at_rcpt="550 5.1.1 no such user"), "failed", "550"),
        (Behaviour(recipients={BOB: "550 5.1.1 no Bob"}), "failed", "550"),
        (Behaviour(drop="journaled"), "unknown", "unknown"),
    ],
    ids=["refused", "refused for one", "lost"],
)
def test_an_attempt_that_fails(
    traced: MakeTraced,
    spans: Spans,
    server: JournalSmtp,
    behaviour: Behaviour,
    outcome: str,
    error: str,
) -> None:
    server.behaviour = behaviour
    site = traced(OUTBOX_ON_UNKNOWN="hold")
    site.settled(site.send(ADA, BOB))
    (attempt,) = spans.attempts
    assert attempt.status.status_code is StatusCode.ERROR
    assert attempt.status.description is None
    assert said(attempt)["flask_outbox.outcome"] == outcome
    assert said(attempt)["error.type"] == error


def test_an_attempt_whose_transport_is_down(
    traced: MakeTraced, spans: Spans, server: JournalSmtp
) -> None:
    server.behaviour = Behaviour(at_mail="421 4.7.0 not now")
    site = traced()
    site.send()
    site.wait_for(signals.lane_paused)
    attempt = spans.attempts[0]
    assert attempt.status.status_code is StatusCode.ERROR
    assert said(attempt)["error.type"] == "flask_outbox.errors.TransportDown"
    assert attempt.events == ()


def test_a_template_that_cannot_be_rendered(traced: MakeTraced, spans: Spans) -> None:
    site = traced()
    site.app.jinja_loader = DictLoader({"mail/hello.txt": "{{ 1 / 0 }}"})
    with site.app.app_context():
        message = Message.from_template(
            "hello", render="later", subject="Hello", recipients=[ADA]
        )
        site.mail.send(message)
    site.wait_for(signals.message_failed)
    (attempt,) = spans.attempts
    assert said(attempt)["flask_outbox.outcome"] == "failed"


class Broken(Sampler, SpanProcessor):
    """Raises where an app's own code may."""

    def __init__(self, where: str) -> None:
        self._where = where

    def should_sample(self, *arguments: Any, **options: Any) -> SamplingResult:
        if self._where == "start":
            raise ValueError("no sample today")
        return ALWAYS_ON.should_sample(*arguments, **options)

    def on_end(self, span: ReadableSpan) -> None:
        raise ValueError("no export today")

    def get_description(self) -> str:
        return "broken"


@pytest.mark.parametrize("where", ["start", "end"])
def test_a_provider_that_fails_affects_no_mail(
    traced: MakeTraced,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    where: str,
) -> None:
    broken = Broken(where)
    provider = TracerProvider(sampler=broken)
    provider.add_span_processor(broken)
    monkeypatch.setattr(traces, "get_tracer", provider.get_tracer)
    site = traced(MAIL_URL="inbox://")
    for receipt in (site.send(), site.send()):
        assert site.settled(receipt).state is State.SENT
    (line,) = [one for one in caplog.records if one.exc_info]
    assert "no mail is affected" in line.getMessage()
    caplog.clear()


# --------------------------------------------------------------------------- privacy

SECRET = "canary"


def test_no_span_has_anything_of_a_person(
    traced: MakeTraced, spans: Spans, server: JournalSmtp
) -> None:
    server.behaviour = Behaviour(at_rcpt=f"550 5.1.1 no {SECRET} here")
    site = traced(MAIL_DEFAULT_SENDER=(f"{SECRET} shop", f"{SECRET}@example.com"))
    given: dict[str, Any] = {
        "recipients": [(f"{SECRET} Ada", f"{SECRET}@example.org")],
        "cc": [f"{SECRET}-cc@example.org"],
        "body": SECRET,
        "html": SECRET,
        "extra_headers": {"X-Secret": SECRET},
        "reply_to": f"{SECRET}-reply@example.org",
    }
    options: dict[str, Any] = {
        "key": SECRET, "tag": SECRET, "metadata": {SECRET: SECRET},
    }  # fmt: skip
    with site.app.test_request_context(f"/{SECRET}?{SECRET}"):
        receipt = site.mail.send(Message(SECRET, **given), **options)
        site.mail.send_many([Message(SECRET, **given)], name=SECRET)
        with pytest.raises(MessageError):
            site.mail.send(Message(SECRET, [f"{SECRET} {SECRET}"]))
    site.wait_for(signals.message_failed, times=2)
    assert SECRET in json.dumps([one.text for one in _replies(site.get(receipt))])

    assert len(spans.hand_overs) == 3
    assert len(spans.attempts) == 2
    assert SECRET not in "".join(one.to_json() for one in spans.all)


def _replies(record: Any) -> list[Reply]:
    return [one.reply for one in record.recipients]


# ----------------------------------------------------------------- contexts that stay


class Probe(Transport):
    """Makes a span in each delivery, and lets none end before all have begun."""

    def __init__(self, settings: Any) -> None:
        del settings

    async def deliver(self, envelope: Any, content: bytes, progress: Any) -> Report:
        with TRACER.start_as_current_span("inside") as inside:
            inside.set_attribute("for", str(envelope.message_id))
            await asyncio.sleep(0)
        return Report.same(envelope.recipients, Outcome.ACCEPTED, Reply.observed("ok"))

    async def probe(self) -> None:
        """Always well."""

    async def close(self) -> None:
        """Nothing is open."""


def test_no_context_leaks_from_a_view_or_between_attempts(
    traced: MakeTraced, spans: Spans, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(registry._found, "probe", Probe)
    site = traced(MAIL_URL="probe://here")
    around: list[SpanContext] = []

    def look(*_: object, **__: object) -> None:
        around.append(trace.get_current_span().get_span_context())

    with TRACER.start_as_current_span("POST /orders") as request:
        site.make_ready()
        with (
            signals.message_began.connected_to(look, site.app),
            signals.message_sent.connected_to(look, site.app),
        ):
            sent = [site.send() for _ in range(5)]
            site.wait_for(signals.message_sent, times=5)
        assert trace.get_current_span() is request

    insides = [one for one in spans.all if one.name == "inside"]
    own = {said(one)["messaging.message.id"]: one for one in spans.attempts}
    assert len(insides) == len(sent)
    for one in insides:
        assert one.parent == own[said(one)["for"]].get_span_context()
    assert len(around) == 2 * len(sent)
    assert not any(one.is_valid for one in around)


def test_an_attempt_that_begins_another_is_not_around_it(
    traced: MakeTraced, spans: Spans, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """One that renders slowly lends its lane another place, for what waits behind it.

    Some of that is claimed already, since those before it were quick.
    """
    monkeypatch.setattr(thread_pool, "QUICK_SECONDS", 0.01)
    outbox = {"MAIL_URL": "inbox://", "OUTBOX_URL": f"sqlite:///{tmp_path / 'o.db'}"}
    other_is_sent = threading.Event()

    def site(**config: object) -> Site:
        site = traced(**outbox, **config)
        site.app.jinja_loader = DictLoader({"mail/hello.txt": "{{ wait(60) }}"})
        site.app.jinja_env.globals["wait"] = other_is_sent.wait
        return site

    shop = site(OUTBOX_ENGINE="external")
    with shop.app.app_context():
        slow = Message.from_template(
            "hello", render="later", subject="Hello", recipients=[ADA]
        )
        plain = Message("Hello", [ADA])
        shop.mail.send_many([*[plain] * 40, slow, *[plain] * 40], name="some")
    worker = site(OUTBOX_CONCURRENCY=1)
    around: list[SpanContext] = []

    def look(*_: object, **__: object) -> None:
        around.append(trace.get_current_span().get_span_context())

    with signals.message_began.connected_to(look, worker.app):
        worker.make_ready()
        worker.wait_for(signals.message_sent, times=80)
        other_is_sent.set()
        worker.wait_for(signals.message_sent, times=81)
    assert len(around) == len(spans.attempts) == 81
    assert not any(one.is_valid for one in around)


# --------------------------------------------------------------------------- sampling


@pytest.mark.parametrize("sampled", [True, False])
def test_the_sampler_of_the_docs_keeps_attempts_like_their_hand_over(
    traced: MakeTraced, spans: Spans, monkeypatch: pytest.MonkeyPatch, sampled: bool
) -> None:
    sampler = runpy.run_path(str(SAMPLING))["LikeTheHandOver"]
    monkeypatch.setattr(sampler, "others", ALWAYS_OFF)
    kept = InMemorySpanExporter()
    provider = TracerProvider(sampler=ParentBased(sampler()))
    provider.add_span_processor(SimpleSpanProcessor(kept))
    monkeypatch.setattr(traces, "get_tracer", provider.get_tracer)
    site = traced(MAIL_URL="inbox://")
    request = SpanContext(5, 7, True, TraceFlags(int(sampled)))
    with use_span(NonRecordingSpan(request)):
        receipt = site.send()
    assert site.settled(receipt).trace_id == f"{5:032x}"
    names = [one.name for one in kept.get_finished_spans()]
    assert sorted(names) == (["deliver default", "send default"] if sampled else [])


# ------------------------------------------------------------------------ on and off


def test_there_are_none_unless_the_app_wants_them(
    make_site: MakeSite, spans: Spans
) -> None:
    site = make_site()
    with TRACER.start_as_current_span("POST /orders"):
        receipt = site.send()
    assert site.settled(receipt).trace_id is None
    assert [one.name for one in spans.all] == ["POST /orders"]
    with site.outbox.database.reading() as connection:
        found = connection.exec_driver_sql("SELECT origin FROM outbox_message")
        assert found.scalar() is None


def test_without_a_provider_mail_is_sent_and_nothing_kept(
    traced: MakeTraced, spans: Spans, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(traces, "get_tracer", lambda _: NoOpTracer())
    site = traced()
    record = site.settled(site.send())
    assert (record.state, record.trace_id) == (State.SENT, None)
    assert spans.all == []


def test_the_extra_is_named_where_it_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.trace", None)
    app = make_app(tmp_path, MAIL_URL="inbox://", OUTBOX_TRACES=True)
    with pytest.raises(ConfigError, match=r"OUTBOX_TRACES.*flask-outbox\[otel\]"):
        Mail(app)


# --------------------------------------------------------------- where else it is told


def test_the_trace_is_told_by_log_lines_signals_and_pages(
    traced: MakeTraced, spans: Spans, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "flask_outbox")
    site = traced(OUTBOX_DASHBOARD=lambda: True)
    receipt = site.send()
    site.settled(receipt)
    (sent,) = spans.hand_overs
    trace_id = f"{identity(sent)[0]:032x}"

    lines = [json.loads(JsonFormatter().format(one)) for one in caplog.records]
    told = [one["trace_id"] for one in lines if one.get("message_id") == receipt.id]
    assert len(told) >= 3  # stored, begins, sent
    assert set(told) == {trace_id}
    for signal in (
        signals.message_enqueued,
        signals.message_began,
        signals.message_sent,
    ):
        (payload,) = site.told(signal)
        assert payload["trace_id"] == trace_id

    cli = site.app.test_cli_runner()
    assert trace_id in cli.invoke(args=["outbox", "show", receipt.id]).output
    shown = cli.invoke(args=["outbox", "show", receipt.id, "--json"]).output
    assert json.loads(shown)["trace_id"] == trace_id
    page = site.app.test_client().get(f"/outbox/messages/{receipt.id}")
    assert f"<dt>Trace</dt><dd><code>{trace_id}</code></dd>" in page.text
