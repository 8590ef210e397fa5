"""DKIM: mail is signed when it is sent, and stored unsigned."""

from __future__ import annotations

import pytest

from flask_outbox import Message, SigningError, State, dkim, signals
from tests.dkim.keyring import ED25519, RSA, signatures, verified
from tests.mail.conftest import MakeSite
from tests.mail.site import ADA
from tests.servers import Behaviour, JournalSmtp

KEYS = [RSA, ED25519]
BODY = "Hello\n\n.dots\n..\n\n\n"


def test_mail_is_signed(server: JournalSmtp, make_site: MakeSite) -> None:
    site = make_site(MAIL_DKIM_KEYS=KEYS)
    with site.app.app_context():
        receipt = site.mail.send(Message("Hello", [ADA], BODY))
    record = site.settled(receipt)
    (mail,) = server.wait_for(1)
    assert verified(mail.content) == [True, True]
    told = "us: signed (DKIM) for example.com by rsa, ed"
    (sent,) = [one for one in record.events if one.kind == "sent"]
    assert told in sent.detail["dialogue"]


def test_send_now_signs(server: JournalSmtp, make_site: MakeSite) -> None:
    site = make_site(MAIL_DKIM_KEYS=KEYS)
    with site.app.app_context():
        site.mail.send_now(Message("Hello", [ADA], BODY))
    (mail,) = server.wait_for(1)
    assert verified(mail.content) == [True, True]


def test_a_large_mail_is_signed(server: JournalSmtp, make_site: MakeSite) -> None:
    """In another thread, so that nothing else waits for it."""
    site = make_site(MAIL_DKIM_KEYS=KEYS)
    with site.app.app_context():
        receipt = site.mail.send(Message("Hello", [ADA], "Hello  you\n" * 30_000))
    assert site.settled(receipt).state is State.SENT
    (mail,) = server.wait_for(1)
    assert verified(mail.content) == [True, True]


def test_a_retry_is_the_same_mail_byte_for_byte(
    server: JournalSmtp, make_site: MakeSite
) -> None:
    """Here the first one arrived, and its reply was lost."""
    server.behaviour = Behaviour(drop="journaled")
    site = make_site(MAIL_DKIM_KEYS=KEYS)
    receipt = site.send()
    site.wait_for(signals.message_unknown)
    server.behaviour = Behaviour()
    assert site.settled(receipt).state in (State.SENT, State.UNKNOWN)
    first, again = server.wait_for(2)[:2]
    assert first.content == again.content
    assert verified(again.content) == [True, True]


def test_a_domain_without_a_key_is_not_signed_and_says_so(
    server: JournalSmtp, make_site: MakeSite
) -> None:
    site = make_site(MAIL_DKIM_KEYS=KEYS, MAIL_DEFAULT_SENDER="shop@example.org")
    record = site.settled(site.send())
    (mail,) = server.wait_for(1)
    assert signatures(mail.content) == []
    (sent,) = [one for one in record.events if one.kind == "sent"]
    assert (
        "us: not signed (DKIM): MAIL_DKIM_KEYS has no key for example.org"
        in sent.detail["dialogue"]
    )


def test_a_message_that_cannot_be_signed_is_deferred_not_lost(
    server: JournalSmtp, make_site: MakeSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A provider of OpenSSL that is gone meanwhile, say."""
    site = make_site(MAIL_DKIM_KEYS=KEYS)

    def broken(*_: object) -> bytes:
        raise ValueError("no provider")

    with monkeypatch.context() as meanwhile:
        meanwhile.setattr(dkim, "write_signature", broken)
        with site.app.app_context(), pytest.raises(SigningError, match="no provider"):
            site.mail.send_now(Message("Hello", [ADA], BODY))
        receipt = site.send()
        (told, *_) = site.wait_for(signals.message_deferred)
        reply = str(told["replies"][ADA])
        assert reply.startswith("The message could not be signed with the keys in MAIL")
        assert "no provider" in reply
        assert server.mails == []
    assert site.settled(receipt).state is State.SENT
    (mail,) = server.wait_for(1)
    assert verified(mail.content) == [True, True]
