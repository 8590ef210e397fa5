"""Schemes: which adapter has them, and the error for an unknown one."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from flask_outbox import ConfigError, Mail, Message, MessageError
from flask_outbox.transports import registry
from tests.waiting import WAIT_SECONDS

MODULE = """
from flask_outbox import MessageError, Outcome, Reply, Report, Transport
from flask_outbox.config import Key
from flask_outbox.config.convert import as_whole

WENT = []


class PigeonTransport(Transport):
    options = (Key("birds", "int", 1, "How many fly.", as_whole(1, 9)),)

    def __init__(self, settings):
        self.settings = settings

    @classmethod
    def check_message(cls, envelope, content):
        if len(content) > 2000:
            raise MessageError("message", "a pigeon cannot carry that much")

    async def deliver(self, envelope, content, progress):
        WENT.append((self.settings.options["birds"], envelope.recipients))
        reply = Reply.observed("it flew")
        return Report.same(envelope.recipients, Outcome.ACCEPTED, reply)

    async def probe(self):
        pass

    async def close(self):
        pass
"""


EVENTS = """

from flask_outbox.errors import EventsRefused
from flask_outbox.feedback import Fate, Feedback
from flask_outbox.feedback.proof import same
from flask_outbox.feedback.provider import ProviderEvents, Said


class PigeonEvents(ProviderEvents):
    def check(self, request):
        given = request.headers.get("x-pigeon-key", "")
        if not self.fits_a_secret(lambda secret: same(given, secret)):
            raise EventsRefused(401, "the key is missing or wrong")

    def read(self, request):
        event = request.json
        landed = Feedback(
            Fate.DELIVERED,
            self.source,
            event_id=event["flight"].text,
            at=event["landed_at"].time(request.at),
            address=event["roof"].address,
            message_id=event["message"].outbox_id,
        )
        return Said((landed,))


PigeonTransport.events = PigeonEvents
"""


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The module of a package with transports, as an installer leaves it."""
    name = f"pigeons_{tmp_path.name}".replace("-", "_")
    (tmp_path / f"{name}.py").write_text(MODULE)
    metadata = tmp_path / f"{name}-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\n")
    (metadata / "entry_points.txt").write_text(
        f"[flask_outbox.transports]\npigeon = {name}:PigeonTransport\n"
        f"absent = {name}_absent:X\nnone = {name}:WENT\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(registry, "_found", {})
    return name


def make_app(folder: Path, **config: Any) -> Flask:
    app = Flask("shop", instance_path=str(folder))
    app.config.update(
        MAIL_DEFAULT_SENDER="shop@example.com",
        OUTBOX_URL=f"sqlite:///{folder / 'outbox.db'}",
        **config,
    )
    return app


def test_a_package_adds_a_scheme_by_its_entry_point(
    installed: str, tmp_path: Path
) -> None:
    app = make_app(tmp_path, MAIL_URL="pigeon://roof?birds=3")
    mail = Mail(app)
    with app.app_context():
        receipt = mail.send(Message("Hi", ["ada@example.org"], body="Hello"))
        assert mail.drain(WAIT_SECONDS)
        assert mail.get(receipt.id).state == "sent"
    assert sys.modules[installed].WENT == [(3, ("ada@example.org",))]


def test_a_packages_transport_says_what_reads_its_events(
    installed: str, tmp_path: Path
) -> None:
    (tmp_path / f"{installed}.py").write_text(MODULE + EVENTS)
    app = make_app(
        tmp_path,
        MAIL_URL="pigeon://",
        MAIL_EVENTS_SECRET=["old", "coo"],
        OUTBOX_EVENTS_PATH="/mail-events",
    )
    mail = Mail(app)
    with app.app_context():
        receipt = mail.send(Message("Hi", ["ada@example.org"], body="Hello"))
    event = {"flight": "1", "roof": "ada@example.org", "message": receipt.id}

    client = app.test_client()
    answers = [
        client.post(
            "/mail-events/default", json=event, headers={"X-Pigeon-Key": key}
        ).status_code
        for key in ("rook", "coo")
    ]

    assert answers == [401, 200]
    with app.app_context():
        assert mail.get(receipt.id).recipients[0].fate == "delivered"
        mail.stop()


def test_a_message_that_a_transport_cannot_carry_is_refused_at_hand_over(
    installed: str, tmp_path: Path
) -> None:
    app = make_app(tmp_path, MAIL_URL="pigeon://")
    mail = Mail(app)
    message = Message("Hi", ["ada@example.org"], body="Hello " * 1000)
    with app.app_context():
        for send in (mail.send, mail.send_now):
            with pytest.raises(MessageError, match="a pigeon cannot carry that much"):
                send(message)


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("pigeom://", "begins with 'pigeom': it must begin with one of smtp://"),
        ("pigeom://", ", pigeon://, or the scheme of"),
        ("pigeon://?birds=many", "birds is 'many': it must be a whole number"),
        ("pigeon://?bird=2", "the option bird that pigeon:// does not have. It has"),
        ("pigeon://?bird=2", "Did you mean birds?"),
        ("pigeon://?birds=2&birds=3", "has the same option twice"),
        ("absent://", "cannot be imported from"),
        ("none://", "is not a subclass of flask_outbox.Transport"),
    ],
)
@pytest.mark.parametrize("config", [{}, {"TESTING": True}])
def test_a_url_that_no_transport_accepts_is_refused_at_start(
    tmp_path: Path, url: str, words: str, config: dict[str, Any]
) -> None:
    with pytest.raises(ConfigError) as refused:
        Mail(make_app(tmp_path, MAIL_URL=url, **config))
    assert words in str(refused.value)


@pytest.mark.usefixtures("installed")
def test_an_error_names_the_transport(tmp_path: Path) -> None:
    named = {"MAIL_URL": "inbox://", "MAIL_TRANSPORTS": {"roof": "pigeom://a:b@c"}}
    with pytest.raises(ConfigError) as refused:
        Mail(make_app(tmp_path, **named))
    assert str(refused.value).startswith("MAIL_TRANSPORTS['roof']: MAIL_URL begins")


def test_entry_points_are_read_for_an_unknown_scheme_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(**_: Any) -> Any:
        raise AssertionError("the entry points were read")

    monkeypatch.setattr(registry, "entry_points", never)
    Mail(make_app(tmp_path, MAIL_URL="smtp://127.0.0.1", MAIL_RATE="1/s"))
    with pytest.raises(AssertionError, match="were read"):
        Mail(make_app(tmp_path, MAIL_URL="pigeon://"))
