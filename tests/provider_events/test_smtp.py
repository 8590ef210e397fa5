"""Mail by a provider's SMTP server names itself as the provider's events repeat it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from flask_outbox import Message, signals
from tests.dkim.keyring import RSA, verified
from tests.mail.site import ADA
from tests.mail.site import url_of as smtp_url_of
from tests.provider_events.conftest import MakeShop
from tests.provider_events.posting import PROVIDERS, Mailgun, Postmark, Provider
from tests.servers import JournalSmtp

HEADERS = {
    "postmark": "X-PM-Metadata-outbox_id: {id}",
    "sendgrid": 'X-SMTPAPI: {{"unique_args": {{"outbox_id": "{id}"}}}}',
    "resend": "",
    "mailgun": 'X-Mailgun-Variables: {{"outbox_id": "{id}"}}',
    "brevo": "X-Mailin-custom: outbox_id:{id}",
    "mailjet": "X-MJ-CustomID: {id}",
    "sparkpost": 'X-MSYS-API: {{"metadata": {{"outbox_id": "{id}"}}}}',
    "mailersend": "X-MailerSend-Tags: outbox_id:{id}",
    "ses": "X-SES-MESSAGE-TAGS: outbox_id={id}",
    "scaleway": "X-Outbox-ID: {id}",
}
"""As the providers' pages on SMTP say; Resend's events tell the Message-ID."""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[JournalSmtp]:
    with JournalSmtp(tmp_path / "journal") as server:
        yield server


def by_smtp(server: JournalSmtp, provider: Provider) -> dict[str, object]:
    return {
        "MAIL_URL": smtp_url_of(server),
        "MAIL_SUPPRESS_SEND": False,
        "MAIL_EVENTS_FROM": provider.scheme,
    }


@pytest.mark.parametrize("provider", PROVIDERS, ids=lambda one: one.scheme)
def test_the_mail_has_the_header_that_events_repeat(
    make_shop: MakeShop, server: JournalSmtp, provider: Provider
) -> None:
    shop = make_shop(provider, **by_smtp(server, provider), MAIL_DKIM_KEYS=[RSA])
    receipt = shop.send()

    (mail,) = server.wait_for(1)
    header = HEADERS[provider.scheme].format(id=receipt.id)
    first = mail.content.split(b"\r\n", 1)[0].decode()
    assert first == header if header else receipt.id not in first
    assert verified(mail.content) == [True]


def test_a_header_of_the_apps_own_is_left_as_it_is(
    make_shop: MakeShop, server: JournalSmtp
) -> None:
    shop = make_shop(Mailgun(), **by_smtp(server, Mailgun()))
    own = {"x-mailgun-variables": '{"campaign": 5}'}
    with shop.app.app_context():
        shop.mail.send(Message("Hello", [ADA], "Hello\n", extra_headers=own))

    (mail,) = server.wait_for(1)
    assert mail.content.lower().count(b"x-mailgun-variables:") == 1
    assert b'{"campaign": 5}' in mail.content


def test_without_events_the_mail_has_no_such_header(
    make_shop: MakeShop, server: JournalSmtp
) -> None:
    shop = make_shop(
        MAIL_URL=smtp_url_of(server),
        MAIL_SUPPRESS_SEND=False,
        OUTBOX_EVENTS_PATH=None,
    )
    receipt = shop.send()
    (mail,) = server.wait_for(1)
    assert receipt.id.encode() not in mail.content.split(b"Message-ID")[0]


def test_an_event_finds_the_mail_by_it(
    make_shop: MakeShop, server: JournalSmtp
) -> None:
    shop = make_shop(Postmark(), **by_smtp(server, Postmark()))
    receipt = shop.settled(shop.send())
    event = {**Postmark().bounce(), "Metadata": {"outbox_id": receipt.id}}
    post = Postmark().post(event, at=datetime.now(UTC))

    answer = shop.app.test_client().post(
        "/mail-events/default", data=post.body, headers=post.headers, buffered=True
    )

    assert answer.status_code == 200
    (told,) = shop.told(signals.fate_changed)
    assert told["message_id"] == receipt.id
