"""The page to which providers post events, in apps."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from flask import Flask
from werkzeug.test import EnvironBuilder, TestResponse

from flask_outbox import ConfigError, Mail, signals
from flask_outbox.feedback import Fate
from flask_outbox.transports.intakes import EventCounts
from tests.mail.site import Site
from tests.provider_events.conftest import MakeShop
from tests.provider_events.posting import (
    ADA,
    LOGIN,
    OUTBOX_ID,
    PROVIDERS,
    Mailgun,
    Mailjet,
    Post,
    Postmark,
    Provider,
    SendGrid,
    SparkPost,
)

PAGE = "/mail-events/default"
DIRECT = [one for one in PROVIDERS if one.scheme not in ("ses", "scaleway")]


def now() -> datetime:
    return datetime.now(UTC)


def by_scheme(provider: Provider) -> str:
    return provider.scheme


def posted(shop: Site, post: Post, page: str = PAGE) -> TestResponse:
    client = shop.app.test_client(use_cookies=False)
    return client.post(page, data=post.body, headers=post.headers, buffered=True)


def bounce_of(shop: Site, provider: Provider, id: str) -> Any:
    """A bounce of the message, as the provider tells it."""
    told = json.dumps(provider.bounce()).replace(OUTBOX_ID, id)
    return json.loads(told)


def counts(shop: Site) -> EventCounts:
    return shop.runtime.event_intakes.counts["default"]


# --------------------------------------------------------------------- what is taken


@pytest.mark.parametrize("provider", DIRECT, ids=by_scheme)
def test_a_bounce_is_stored_once_however_often_it_is_posted(
    make_shop: MakeShop, provider: Provider
) -> None:
    shop = make_shop(provider)
    receipt = shop.send()
    post = provider.post(bounce_of(shop, provider, receipt.id), at=now())

    answers = [posted(shop, post) for _ in range(3)]

    assert [one.status_code for one in answers] == [200, 200, 200]
    (told,) = shop.told(signals.fate_changed)
    assert (told["message_id"], told["address"]) == (receipt.id, ADA)
    assert (told["fate"], told["source"]) == (Fate.BOUNCED, provider.scheme)
    (one,) = shop.mail.suppressions()
    assert one.address == ADA
    assert counts(shop).said == {Fate.BOUNCED: 3}


def test_a_batch_is_stored_whole(make_shop: MakeShop) -> None:
    shop = make_shop(SendGrid())
    people = [f"person-{one}@example.org" for one in range(500)]
    receipt = shop.send(*people)
    events = [SendGrid().bounce(one, at) for at, one in enumerate(people)]
    text = json.dumps(events).replace(OUTBOX_ID, receipt.id)

    assert posted(shop, SendGrid().signed(text.encode(), now())).status_code == 200

    assert len(shop.told(signals.fate_changed)) == 500
    assert {one.fate for one in shop.get(receipt).recipients} == {Fate.BOUNCED}


def test_listeners_are_called_after_the_response(make_shop: MakeShop) -> None:
    """They may take longer than a provider waits for its answer."""
    shop = make_shop(Postmark())
    event = bounce_of(shop, Postmark(), shop.send().id)
    post = Postmark().post(event)
    environ = EnvironBuilder(
        PAGE, method="POST", data=post.body, headers=[*post.headers.items()]
    ).get_environ()
    statuses: list[str] = []

    def start(status: str, *_: Any) -> Any:
        statuses.append(status)

    body: Any = shop.app.wsgi_app(environ, start)
    assert b"".join(body) == b""
    assert statuses == ["200 OK"]
    assert shop.told(signals.fate_changed) == []
    assert [one.address for one in shop.mail.suppressions()] == [ADA]
    body.close()
    assert len(shop.told(signals.fate_changed)) == 1


def test_kinds_that_are_unknown_are_counted_and_told_once(
    make_shop: MakeShop, caplog: pytest.LogCaptureFixture
) -> None:
    shop = make_shop(Mailjet())
    for _ in range(3):
        post = Mailjet().post(Mailjet().event("poem"), Mailjet().event("ode"))
        assert posted(shop, post).status_code == 200
    assert counts(shop).unknown == {"poem": 3, "ode": 3}
    told = [
        one.getMessage() for one in caplog.records if "are unknown" in one.getMessage()
    ]
    assert len(told) == 1
    assert "'ode', 'poem'" in told[0]


def test_an_outbox_that_is_out_of_reach_means_later(make_shop: MakeShop) -> None:
    shop = make_shop(Postmark(), OUTBOX_URL="postgresql+psycopg://127.0.0.1:1/none")
    answer = posted(shop, Postmark().post(Postmark().bounce()))
    assert answer.status_code == 503
    assert counts(shop).refused == {503: 1}


def test_a_provider_that_looks_for_the_page_finds_it(make_shop: MakeShop) -> None:
    shop = make_shop(Postmark())
    client = shop.app.test_client()
    assert client.get(PAGE).status_code == client.head(PAGE).status_code == 200


def test_sparkposts_test_is_answered(make_shop: MakeShop) -> None:
    shop = make_shop(SparkPost())
    assert posted(shop, SparkPost().signed(b'[{"msys":{}}]')).status_code == 200


# ------------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("changed", "status", "words"),
    [
        ({"Authorization": "Basic b3RoZXI6b3RoZXI="}, 401, "missing or wrong"),
        (
            {"Content-Type": "application/x-www-form-urlencoded"},
            415,
            "application/json",
        ),
        ({"Content-Type": ""}, 415, "application/json"),
    ],
)
def test_why_a_request_is_refused_is_told_and_counted(
    make_shop: MakeShop,
    caplog: pytest.LogCaptureFixture,
    changed: dict[str, str],
    status: int,
    words: str,
) -> None:
    shop, post = make_shop(Postmark()), Postmark().post(Postmark().bounce())
    wrong = replace(post, headers={**post.headers, **changed})

    answers = [posted(shop, wrong) for _ in range(3)]

    assert {one.status_code for one in answers} == {status}
    assert words in answers[0].text
    assert ("WWW-Authenticate" in answers[0].headers) == (status == 401)
    assert counts(shop).refused == {status: 3}
    told = [one for one in caplog.records if f"answered {status}" in one.getMessage()]
    assert [one.levelname for one in told] == ["WARNING"]


@pytest.mark.parametrize("provider", DIRECT, ids=by_scheme)
@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"\xff\xfe\x00", b"NaN", b"[" * 100_000, b"5", b'"text"', b"9" * 5_000],
    ids=["empty", "half", "bytes", "nan", "deep", "number", "text", "long-number"],
)
def test_what_is_no_event_is_refused(
    make_shop: MakeShop, provider: Provider, body: bytes
) -> None:
    answer = posted(make_shop(provider), provider.signed(body, now()))
    assert answer.status_code == 400 or (
        provider.scheme == "mailgun" and answer.status_code == 401
    )


@pytest.mark.parametrize("provider", DIRECT, ids=by_scheme)
def test_a_request_that_is_too_long_is_refused(
    make_shop: MakeShop, provider: Provider
) -> None:
    """Batches of 5 MB are taken; one event is never that long."""
    shop = make_shop(provider)
    event = json.dumps([{"event": "x" * 1024 * 1024}] * (6 if provider.batches else 2))
    answer = posted(shop, provider.signed(event.encode(), now()))
    assert answer.status_code == 413


class Endless(io.RawIOBase):
    """A body that never ends, and how much of it was read."""

    taken = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self.taken += len(buffer)
        buffer[:] = b" " * len(buffer)
        return len(buffer)


@pytest.mark.parametrize("told", [True, False])
def test_a_body_without_end_is_not_read_to_its_end(
    make_shop: MakeShop, told: bool
) -> None:
    shop, body = make_shop(SendGrid()), Endless()
    length = {"CONTENT_LENGTH": str(10**12)} if told else {}
    answer = shop.app.test_client().post(
        PAGE,
        content_type="application/json",
        environ_overrides={
            "wsgi.input": body,
            "wsgi.input_terminated": True,
            **length,
        },
    )
    assert answer.status_code == 413
    assert body.taken < 6 * 1024 * 1024


def test_an_event_of_before_with_another_address_is_refused(
    make_shop: MakeShop,
) -> None:
    """Mailgun's signature is for a token, not for the event: the token is good once."""
    shop = make_shop(Mailgun())
    shop.send(ADA, "bob@example.org")
    for first in (Mailgun().event("accepted"), Mailgun().bounce()):
        post = Mailgun().post(first, at=now())
        assert posted(shop, post).status_code == 200
        signature = json.loads(post.body)["signature"]
        bobs = Mailgun().bounce("bob@example.org")
        other = {"signature": signature, "event-data": bobs}
        changed = Mailgun().signed(json.dumps(other).encode())
        assert posted(shop, changed).status_code == 406
        assert posted(shop, post).status_code == 200
    assert {one.address for one in shop.mail.suppressions()} <= {ADA}


def test_there_is_no_page_for_a_transport_without_a_secret(
    make_shop: MakeShop, caplog: pytest.LogCaptureFixture
) -> None:
    shop = make_shop(Postmark(), MAIL_TRANSPORTS={"bulk": "sendgrid://key@"})
    post = Postmark().post(Postmark().bounce())
    for page in ("/mail-events/bulk", "/mail-events/none", "/mail-events/"):
        assert posted(shop, post, page).status_code == 404
        assert shop.app.test_client().get(page).status_code == 404
    (told,) = [one for one in caplog.messages if "answered 404" in one]
    assert "transport bulk" in told
    assert "set MAIL_EVENTS_SECRET" in told
    assert "the path must end in the name of a transport" in told


def test_there_is_no_page_without_a_path(make_shop: MakeShop) -> None:
    shop = make_shop(MAIL_URL="postmark://key@", OUTBOX_EVENTS_PATH=None)
    assert shop.app.test_client().get(PAGE).status_code == 404


def test_no_other_route_may_be_there(make_shop: MakeShop, tmp_path: Any) -> None:
    app = Flask("shop", instance_path=str(tmp_path))
    app.config.update(MAIL_URL="inbox://", OUTBOX_EVENTS_PATH="/mail-events")
    app.add_url_rule("/mail-events/<name>", "mine", lambda name: name)
    with pytest.raises(ConfigError, match="set OUTBOX_EVENTS_PATH to another path"):
        Mail(app)


# ------------------------------------------------------------------------ transports


def test_each_transport_has_a_page_and_a_secret_of_its_own(
    make_shop: MakeShop,
) -> None:
    shop = make_shop(
        Postmark(),
        MAIL_TRANSPORTS={"bulk": {"MAIL_URL": "sendgrid://key@", **SendGrid.settings}},
    )
    post = SendGrid().post(SendGrid().bounce(), at=now())
    assert posted(shop, post, "/mail-events/bulk").status_code == 200
    assert posted(shop, post, PAGE).status_code == 401


def test_a_transport_with_a_server_of_its_own_does_not_inherit_the_secret(
    make_shop: MakeShop,
) -> None:
    shop = make_shop(Postmark(), MAIL_TRANSPORTS={"bulk": "mailjet://key:secret@"})
    post = Mailjet().post(Mailjet().bounce())
    assert posted(shop, post, "/mail-events/bulk").status_code == 404


def test_events_of_mail_by_smtp_are_matched_by_their_message_id(
    make_shop: MakeShop,
) -> None:
    shop = make_shop(
        MAIL_URL="smtps://user:password@smtp.mailgun.org",
        MAIL_EVENTS_FROM="mailgun",
        **Mailgun.settings,
    )
    receipt = shop.send()
    rfc_message_id = shop.get(receipt).rfc_message_id
    event = Mailgun().bounce()
    event["user-variables"] = {}
    event["message"] = {"headers": {"message-id": rfc_message_id.strip("<>")}}

    assert posted(shop, Mailgun().post(event, at=now())).status_code == 200

    (told,) = shop.told(signals.fate_changed)
    assert (told["message_id"], told["source"]) == (receipt.id, "mailgun")


def test_a_transport_that_the_app_finds_by_name_has_a_page(
    make_shop: MakeShop,
) -> None:
    shop = make_shop(MAIL_URL="inbox://")
    found: dict[str, Any] = {
        "customer-1": {
            "MAIL_URL": "postmark://key@",
            "MAIL_EVENTS_SECRET": LOGIN,
        },
        "customer-2": "postmark://key@",
    }

    @shop.mail.transport_resolver
    def find(name: str) -> Any:
        if name == "broken":
            raise OSError("the database is away")
        return found.get(name)

    post = Postmark().post(Postmark().bounce())
    answers = [
        posted(shop, post, f"/mail-events/{name}").status_code
        for name in ("customer-1", "customer-2", "customer-3", "broken")
    ]
    assert answers == [200, 404, 404, 503]
    found["customer-1"]["MAIL_EVENTS_SECRET"] = "other:secret"
    assert posted(shop, post, "/mail-events/customer-1").status_code == 401


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (
            {"MAIL_URL": "postmark://k@", "MAIL_EVENTS_SECRET": "hunter2"},
            "MAIL_EVENTS_SECRET is of another form",
        ),
        (
            {"MAIL_URL": "graph://k@", "MAIL_EVENTS_SECRET": "a:hunter2"},
            "graph:// has no events",
        ),
        (
            {"MAIL_URL": "smtps://u:p@h", "MAIL_EVENTS_SECRET": "a:hunter2"},
            "set MAIL_EVENTS_FROM",
        ),
        (
            {
                "MAIL_URL": "smtps://u:p@h",
                "MAIL_EVENTS_SECRET": "a:hunter2",
                "MAIL_EVENTS_FROM": "pigeon",
            },
            "pigeon",
        ),
        (
            {"MAIL_URL": "smtps://u:p@h", "MAIL_EVENTS_FROM": "postmark"},
            "MAIL_EVENTS_SECRET is not set",
        ),
        (
            {
                "MAIL_URL": "brevo://k@",
                "MAIL_EVENTS_SECRET": "a:hunter2",
                "MAIL_EVENTS_FROM": "postmark",
            },
            "MAIL_EVENTS_FROM is 'postmark', and mail leaves by brevo://",
        ),
        (
            {
                "MAIL_URL": "postmark://k@",
                "MAIL_EVENTS_SECRET": "a:hunter2",
                "OUTBOX_EVENTS_PATH": None,
            },
            "set OUTBOX_EVENTS_PATH too",
        ),
        (
            {
                "MAIL_URL": "inbox://",
                "MAIL_TRANSPORTS": {
                    "bulk": {
                        "MAIL_URL": "postmark://k@",
                        "MAIL_EVENTS_SECRET": "hunter2",
                    }
                },
            },
            r"MAIL_TRANSPORTS\['bulk'\]: MAIL_EVENTS_SECRET is of another form",
        ),
    ],
)
def test_settings_that_cannot_be_are_refused_at_the_start(
    make_shop: MakeShop, config: dict[str, Any], words: str
) -> None:
    with pytest.raises(ConfigError, match=words) as refused:
        make_shop(**config)
    assert "hunter2" not in str(refused.value)
