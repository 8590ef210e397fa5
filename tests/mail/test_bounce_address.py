"""`OUTBOX_BOUNCE_ADDRESS`: the return path of each message, and its headers."""

from __future__ import annotations

from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from jinja2 import DictLoader

from flask_outbox import ConfigError, Mail, Message, signals
from flask_outbox.bounce_address import BounceAddress, token_of
from flask_outbox.message.addresses import LOCAL_OCTETS
from tests.dkim.keyring import RSA, verified
from tests.mail.conftest import MakeSite
from tests.mail.site import ADA, SENDER, Site, make_app_with_outbox, url_of
from tests.servers import Behaviour, JournalSmtp
from tests.servers import Mail as ReceivedMail

SET_UP: dict[str, Any] = {
    "SECRET_KEY": "a secret",
    "OUTBOX_BOUNCE_ADDRESS": "bounces@example.com",
}


@pytest.fixture
def site(make_site: MakeSite) -> Site:
    return make_site(**SET_UP)


def bounces_of(site: Site, key: str = "a secret") -> BounceAddress:
    return BounceAddress.read("bounces@example.com", site.app.name, (key,))


def headers_of(mail: ReceivedMail) -> list[str]:
    head = mail.content.decode().partition("\r\n\r\n")[0].replace("\r\n ", " ")
    return [one for one in head.split("\r\n") if one.startswith("CFBL")]


def test_each_message_has_a_return_path_that_names_it(site: Site, server: JournalSmtp):
    receipt = site.send()
    site.settled(receipt)

    (mail,) = server.wait_for(1)
    assert mail.return_path == site.get(receipt).return_path
    token = token_of(mail.return_path)
    assert mail.return_path == f"bounces+{token}@example.com"
    assert len(mail.return_path.partition("@")[0]) <= LOCAL_OCTETS
    assert bounces_of(site).message_of(token or "") == receipt.id
    assert headers_of(mail) == [
        f"CFBL-Address: {mail.return_path}; report=arf",
        f"CFBL-Feedback-ID: {token}",
    ]


def test_retries_have_the_same(site: Site, server: JournalSmtp):
    server.behaviour = Behaviour(at_data="451 4.3.0 later")
    receipt = site.send()
    site.wait_for(signals.message_deferred)
    first = site.get(receipt).return_path
    server.behaviour = Behaviour()
    site.settled(receipt)
    assert server.mails[-1].return_path == first


def test_a_message_that_is_sent_again_has_its_own(site: Site, server: JournalSmtp):
    receipt = site.send()
    site.settled(receipt)
    with site.app.app_context():
        again = site.mail.send_again(receipt.id)
    site.settled(again)

    first, second = server.wait_for(2)
    bounces = bounces_of(site)
    assert second.return_path == bounces.of(again.id)
    assert bounces.token(receipt.id).encode() not in second.content
    assert len(headers_of(second)) == len(headers_of(first)) == 2


def test_so_has_one_whose_template_is_rendered_later(site: Site, server: JournalSmtp):
    site.app.jinja_loader = DictLoader({"mail/bill.txt": "{{ sum }}"})
    with site.app.app_context():
        message = Message.from_template(
            "bill", [ADA], context={"sum": 5}, subject="Bill", render="later"
        )
        receipt = site.mail.send(message)
        site.settled(receipt)
        again = site.mail.send_again(receipt.id)
    site.settled(again)
    bounces = bounces_of(site)
    for mail, one in zip(server.wait_for(2), (receipt, again), strict=True):
        assert mail.return_path == bounces.of(one.id)
        assert headers_of(mail)[1] == f"CFBL-Feedback-ID: {bounces.token(one.id)}"


def test_an_email_message_has_it_too(site: Site, server: JournalSmtp):
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = SENDER, ADA, "Hello"
    message.set_content("Hello\n")
    with site.app.app_context():
        receipt = site.mail.send(message)
    site.settled(receipt)
    (mail,) = server.wait_for(1)
    assert mail.return_path == bounces_of(site).of(receipt.id)
    assert len(headers_of(mail)) == 2
    assert "CFBL-Address" not in message


def test_the_users_own_return_path_counts(site: Site, server: JournalSmtp):
    site.settled(site.send(return_path="own@example.com"))
    (mail,) = server.wait_for(1)
    assert mail.return_path == "own@example.com"
    assert headers_of(mail) == []


def test_the_users_own_headers_count(site: Site, server: JournalSmtp):
    own = {"cfbl-address": "fbl@example.com"}
    with site.app.app_context():
        message = Message("Hello", [ADA], "Hello\n", extra_headers=own)
        receipt = site.mail.send(message)
    site.settled(receipt)
    (mail,) = server.wait_for(1)
    assert mail.content.lower().count(b"cfbl-address") == 1
    assert mail.content.count(b"CFBL-Feedback-ID") == 1


def test_without_it_bounces_go_to_the_sender(make_site: MakeSite, server: JournalSmtp):
    site = make_site(SECRET_KEY="a secret")
    site.settled(site.send())
    (mail,) = server.wait_for(1)
    assert mail.return_path == SENDER
    assert headers_of(mail) == []


def test_the_headers_are_signed(make_site: MakeSite, server: JournalSmtp):
    site = make_site(**SET_UP, MAIL_DKIM_KEYS=[RSA])
    site.settled(site.send())
    (mail,) = server.wait_for(1)
    signature = mail.content.partition(b"\r\nFrom:")[0]
    assert b"cfbl-address:cfbl-feedback-id;" in b"".join(signature.split())
    assert verified(mail.content) == [True]


def test_it_is_signed_with_the_newest_key(make_site: MakeSite):
    site = make_site(
        **{**SET_UP, "SECRET_KEY": "new", "SECRET_KEY_FALLBACKS": ["a secret"]}
    )
    receipt = site.send()
    assert site.get(receipt).return_path == bounces_of(site, "new").of(receipt.id)
    bounces = site.outbox.bounces
    assert bounces is not None
    assert bounces.message_of(bounces_of(site).token(receipt.id)) == receipt.id


def test_it_needs_a_secret_key(tmp_path: Path):
    app = make_app_with_outbox(
        tmp_path,
        MAIL_URL="smtp://127.0.0.1",
        OUTBOX_BOUNCE_ADDRESS="bounces@example.com",
    )
    mail = Mail(app)
    wanted = pytest.raises(ConfigError, match="SECRET_KEY, which is not set")
    with app.app_context(), wanted:
        mail.send(Message("Hello", [ADA], "Hello\n"))


@pytest.mark.parametrize("failover", [True, False])
def test_mail_that_may_leave_by_smtp_has_it(
    make_site: MakeSite, server: JournalSmtp, failover: bool
):
    site = make_site(
        **SET_UP,
        MAIL_URL="postmark://key@api.postmarkapp.com",
        MAIL_TRANSPORTS={"backup": url_of(server)},
        MAIL_FAILOVER={"default": ["backup"]} if failover else {},
        OUTBOX_ENGINE="external",
    )
    receipt = site.send()
    ours = bounces_of(site).of(receipt.id)
    assert site.get(receipt).return_path == (ours if failover else SENDER)
