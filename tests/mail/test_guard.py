"""The recipient guard: however mail is sent, only allowed recipients get it."""

from __future__ import annotations

import logging
from email import message_from_bytes

import pytest

from flask_outbox import (
    ConfigError,
    DeliveryError,
    Message,
    MessageRecord,
    Outcome,
    State,
    TransitionRefused,
)
from flask_outbox.history import describe
from tests.dkim.keyring import RSA, verified
from tests.mail.conftest import MakeSite
from tests.mail.shop import engine_on
from tests.mail.site import ADA, BOB
from tests.servers import JournalSmtp
from tests.servers.journal_smtp import Mail as Journaled

QA = "qa@example.com"
WHY = "not in OUTBOX_ONLY_TO: only @example.com may be"
INSTEAD = f"(for {QA} instead: OUTBOX_REDIRECT_TO)"
HOUR = 3_600


def _states(record: MessageRecord) -> dict[str, State]:
    return {one.address: one.state for one in record.recipients}


def _original(mail: Journaled) -> list[str]:
    return message_from_bytes(mail.content).get_all("X-Original-To", [])


def _waiting(make_site: MakeSite, *recipients: str) -> tuple[str, str]:
    """The id of a message that an app without a guard handed over, and its outbox."""
    production = make_site(OUTBOX_ENGINE="external")
    receipt = production.send(*recipients)
    return receipt.id, str(production.outbox.database.url)


# ---------------------------------------------------------------------- OUTBOX_ONLY_TO


def test_only_allowed_recipients_are_mailed(make_site: MakeSite, server: JournalSmtp):
    site = make_site(OUTBOX_ONLY_TO=["@Example.com", ADA])
    near = "eve@sub.example.com"

    receipt = site.send("Ada@Example.org", "Cy@example.COM", BOB, near)

    record = site.settled(receipt)
    why = f"not in OUTBOX_ONLY_TO: only @example.com, {ADA} may be"
    assert receipt.suppressed == {BOB: why, near: why}
    assert _states(record) == {
        "Ada@example.org": State.SENT,
        "Cy@example.com": State.SENT,
        BOB: State.SUPPRESSED,
        near: State.SUPPRESSED,
    }
    (mail,) = server.wait_for(1)
    assert mail.recipients == ("Ada@example.org", "Cy@example.com")
    (told,) = [one for one in describe(record) if one.event.kind == "suppressed"]
    assert told.output == why


def test_mail_without_an_allowed_recipient_is_not_sent(
    make_site: MakeSite, server: JournalSmtp
):
    site = make_site(OUTBOX_ONLY_TO="@example.com")
    site.mail.start()

    receipt = site.send()

    assert site.get(receipt).state is State.SUPPRESSED
    with pytest.raises(TransitionRefused, match=WHY):
        site.mail.retry(receipt.id)
    again = site.mail.send_again(receipt.id)
    assert again.suppressed == {ADA: WHY}
    released = site.mail.send_again(
        receipt.id, transport="default", recipients=[BOB, QA]
    )
    assert released.suppressed == {BOB: WHY}
    assert site.settled(released).state is State.SENT
    assert [one.recipients for one in server.mails] == [(QA,)]


def test_the_guard_applies_to_waiting_mail(make_site: MakeSite, server: JournalSmtp):
    """As in a copy of production's database."""
    message_id, url = _waiting(make_site, ADA, QA)
    staging = make_site(OUTBOX_URL=url, OUTBOX_ONLY_TO="@example.com", MAIL_RATE="9/s")
    staging.mail.start()

    staging.wait_until(lambda: staging.mail.get(message_id).state.final, "settled")

    assert _states(staging.mail.get(message_id)) == {
        ADA: State.SUPPRESSED,
        QA: State.SENT,
    }
    assert [one.recipients for one in server.wait_for(1)] == [(QA,)]


def test_send_now_and_transactions_are_guarded(
    make_site: MakeSite, server: JournalSmtp
):
    site = make_site(OUTBOX_ONLY_TO="@example.com")
    with pytest.raises(DeliveryError, match=WHY) as caught:
        site.mail.send_now(Message("Hello", [ADA, QA], "Hello"))
    assert caught.value.report.recipients[ADA].outcome is Outcome.SUPPRESSED
    assert caught.value.report.recipients[QA].outcome is Outcome.ACCEPTED

    with (
        engine_on(site.outbox.database.url) as engine,
        engine.begin() as connection,
    ):
        receipt = site.send(session=connection)

    assert site.get(receipt).state is State.SUPPRESSED
    assert [one.recipients for one in server.mails] == [(QA,)]


# ------------------------------------------------------------------ OUTBOX_REDIRECT_TO


def test_all_mail_is_redirected(make_site: MakeSite, server: JournalSmtp):
    site = make_site(OUTBOX_REDIRECT_TO=QA, MAIL_DKIM_KEYS=[RSA])

    record = site.settled(site.send(ADA, BOB))

    (mail,) = server.wait_for(1)
    assert (mail.recipients, _original(mail)) == ((QA,), [ADA, BOB])
    assert message_from_bytes(mail.content)["To"] == f"{ADA}, {BOB}"
    assert verified(mail.content) == [True]
    for one in record.recipients:
        assert one.state is State.SENT
        assert str(one.reply) == f"250 2.0.0 journaled as 1 {INSTEAD}"
    (sent,) = [one for one in describe(record) if one.event.kind == "sent"]
    assert INSTEAD in sent.output
    told = f"us: for {ADA}, {BOB} to {QA} instead (OUTBOX_REDIRECT_TO)"
    assert told in sent.event.detail["dialogue"]


def test_mail_by_every_transport_is_redirected(
    make_site: MakeSite, server: JournalSmtp
):
    message_id, url = _waiting(make_site)
    here = f"smtp://{server.host}:{server.port}"
    site = make_site(
        MAIL_URL="inbox://",
        MAIL_TRANSPORTS={"real": here, "spare": here},
        OUTBOX_URL=url,
        OUTBOX_REDIRECT_TO=QA,
    )
    kept = site.settled(site.send())
    site.settled(site.mail.send_again(kept.id, transport="real"))
    site.settled(site.send(BOB, transport="spare"))
    site.mail.send_now(Message("Hello", [ADA], "Hello"), transport="real")
    site.wait_until(lambda: site.mail.get(message_id).state.final, "settled")

    assert kept.recipients[0].reply is not None
    assert "OUTBOX_REDIRECT_TO" not in str(kept.recipients[0].reply)
    mails = server.wait_for(3)
    assert {one.recipients for one in mails} == {(QA,)}
    assert sorted(_original(one)[0] for one in mails) == [ADA, ADA, BOB]


def test_waiting_mail_is_redirected(make_site: MakeSite, server: JournalSmtp):
    _, url = _waiting(make_site)
    make_site(OUTBOX_URL=url, OUTBOX_REDIRECT_TO=QA).mail.start()

    (mail,) = server.wait_for(1)

    assert (mail.recipients, _original(mail)) == ((QA,), [ADA])


def test_a_header_is_encoded_where_an_address_is_not_ascii(
    make_site: MakeSite, server: JournalSmtp
):
    site = make_site(OUTBOX_REDIRECT_TO=QA)
    site.mail.send(Message("Hello", [ADA], "Hello", bcc=["jörg@example.org"]))

    (mail,) = server.wait_for(1)

    assert mail.recipients == (QA,)
    assert b"X-Original-To: =?utf-8?q?j=C3=B6rg=40example=2Eorg?=\r\n" in mail.content


# --------------------------------------------------------------------------- together


def test_allowed_recipients_get_their_mail_and_one_address_the_rest(
    make_site: MakeSite, server: JournalSmtp
):
    site = make_site(OUTBOX_ONLY_TO="@example.com", OUTBOX_REDIRECT_TO=BOB)

    record = site.settled(site.send(ADA, QA))
    site.settled(site.send(QA))
    site.settled(site.send(BOB))

    first, second, third = server.wait_for(3)
    assert (first.recipients, _original(first)) == ((QA, BOB), [ADA])
    assert [one.recipients for one in (second, third)] == [(QA,), (BOB,)]
    assert _original(second) == _original(third) == []
    replies = {one.address: str(one.reply) for one in record.recipients}
    assert replies == {
        ADA: f"250 2.0.0 journaled as 1 (for {BOB} instead: OUTBOX_REDIRECT_TO)",
        QA: "250 2.0.0 journaled as 1",
    }


# ----------------------------------------------------------------------------- said


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (
            {"OUTBOX_ONLY_TO": ["ada"]},
            "OUTBOX_ONLY_TO: 'ada' has no '@'; .* or a domain such as '@example.com'",
        ),
        ({"OUTBOX_ONLY_TO": "@exa mple.com"}, "has a space in its domain"),
        ({"OUTBOX_ONLY_TO": "*"}, "OUTBOX_ONLY_TO: '\\*' has no '@'"),
        (
            {"OUTBOX_REDIRECT_TO": "@example.com"},
            r"OUTBOX_REDIRECT_TO: .*Write an address such as 'qa@example.com'\.",
        ),
    ],
)
def test_an_invalid_address_in_the_guards_settings_is_refused(
    make_site: MakeSite, config: dict[str, object], said: str
):
    with pytest.raises(ConfigError, match=said):
        make_site(**config)


def test_the_log_says_that_the_guard_is_on(
    make_site: MakeSite, caplog: pytest.LogCaptureFixture
):
    site = make_site(OUTBOX_REDIRECT_TO=QA)
    site.status()

    (record,) = [one for one in caplog.records if "guard" in one.getMessage()]
    assert record.levelno == logging.WARNING
    said = record.getMessage().removeprefix(f"[{site.app.name}] ")
    assert said == (
        "The guard of this app's mail is on. All mail goes to qa@example.com instead "
        "(OUTBOX_REDIRECT_TO)."
    )
