"""Keys that are wrong or missing: what is refused, and what waits for its key."""

from __future__ import annotations

import builtins
import logging
from typing import Any

import pytest
from sqlalchemy import Column, select, update

from flask_outbox import ConfigError, State
from flask_outbox.config import EncryptionKey
from flask_outbox.errors import KeyMissing, KeyRefused
from flask_outbox.outbox import Database, Outbox
from flask_outbox.outbox.encryption import Keyring, Place
from flask_outbox.outbox.schema import message, suppression
from tests.mail.conftest import MakeSite
from tests.outbox.making import ADA, BOB, COURIER, claim_one, enlist, put, sent

from .conftest import NEW, OLD, Opener
from .test_at_rest import KEYS, LARGE

OTHER = EncryptionKey("new", b"3" * 32)

CHANGED = "(changed since it was encrypted: restore it from a backup)"
SWAPPED = Keyring([NEW]).seal("asked", Place("outbox_suppression.reason", "nobody"))


def test_another_key_with_the_same_id_is_refused(open_with: Opener) -> None:
    message_id = put(open_with(NEW))

    with pytest.raises(KeyRefused, match=r"'new' in OUTBOX_ENCRYPTION_KEYS is not the"):
        open_with(OTHER).get(message_id)
    with pytest.raises(KeyRefused):
        put(open_with(OLD, OTHER))
    assert open_with(NEW).get(message_id).subject == "Hello"


def test_an_encrypted_outbox_is_not_opened_without_keys(open_with: Opener) -> None:
    put(open_with(NEW))

    for use in (put, Outbox.list):
        with pytest.raises(KeyRefused) as refused:
            use(open_with())
        assert "set OUTBOX_ENCRYPTION_KEYS." in str(refused.value)
        assert "nothing is read from the outbox or stored in it" in str(refused.value)


def open_without_old(open_with: Opener) -> Outbox:
    """The outbox once the new key is in use, and the old one was removed too early."""
    open_with(NEW, OLD).database.open()
    return open_with(NEW)


def test_all_keys_decrypt(open_with: Opener) -> None:
    first = put(open_with(OLD), content=b"Subject: first\r\n\r\n" + LARGE)
    both = open_with(NEW, OLD)
    second = put(both)

    assert {one.id for one in both.claim(enlist(both), "default", 10)} == {
        first,
        second,
    }
    assert LARGE in (both.content(first) or b"")


def test_a_message_waits_for_its_key_and_the_others_go_on(
    open_with: Opener, clock: Any
) -> None:
    content = b"Subject: Hello\r\n\r\n" + LARGE
    locked = [put(open_with(OLD)), put(open_with(OLD), content=content)]
    outbox = open_without_old(open_with)
    free = put(outbox)

    claims = outbox.claim(enlist(outbox), "default", 10)
    (held,) = [one for one in claims if one.envelope.recipients]
    outbox.record([sent(held, clock())])

    assert outbox.get(free).state is State.SENT
    assert outbox.claim(COURIER, "default", 10) == []
    whole = open_with(NEW, OLD)
    for one in locked:
        record = whole.get(one)
        assert record.state is State.PENDING
        assert record.attempts == ()
        reason = record.events[-1].detail["reason"]
        assert f"message {one} is encrypted with the key 'old', which is" in reason
    clock.advance(400)
    claims = whole.claim(enlist(whole), "default", 10)
    assert {one.id for one in claims} == {*locked}
    assert content in [one.content for one in claims]


def test_what_is_encrypted_is_not_sent_by_a_process_that_had_no_keys_when_it_began(
    open_with: Opener,
) -> None:
    before = open_with()
    courier = enlist(before)
    message_id = put(open_with(NEW))

    (claim,) = before.claim(courier, "default", 10)

    assert claim.envelope.recipients == ()
    after = open_with(NEW)
    record = after.get(message_id)
    assert record.state is State.PENDING
    reason = record.events[-1].detail["reason"]
    assert f"message {message_id} is encrypted with the key 'new', which" in reason


def test_what_lacks_its_key_is_listed_and_says_so(open_with: Opener) -> None:
    message_id = put(open_with(OLD), subject="Secret")
    outbox = open_without_old(open_with)

    (listed,) = outbox.list()
    assert listed.subject == "(encrypted with the key old, which is missing)"
    with pytest.raises(KeyMissing, match=f"message {message_id} .*'old'"):
        outbox.content(message_id)
    encryption = outbox.status().encryption
    assert encryption is not None
    assert (encryption.key, encryption.missing_keys) == ("new", ("old",))


def test_what_was_changed_is_listed_and_hides_no_other(open_with: Opener) -> None:
    """The whole list was refused, and all pages that show it."""
    outbox = open_with(NEW)
    changed, other = (put(outbox, subject=one) for one in ("Changed", "Whole"))
    exchange(outbox, message.c.subject, changed, other)

    listed = {one.id: one.subject for one in outbox.list()}
    assert listed == {changed: CHANGED, other: "Whole"}
    assert outbox.get(changed).subject == CHANGED
    claimed = outbox.claim(enlist(outbox), "default", 10)
    assert {one.id for one in claimed} == {changed, other}


def test_nobody_is_mailed_because_their_suppression_was_changed(
    open_with: Opener,
) -> None:
    outbox = open_with(NEW)
    for address in (ADA, BOB):
        outbox.suppress(address, reason="asked")
    with outbox.database.engine.begin() as connection:
        connection.execute(update(suppression).values(reason=SWAPPED))

    assert {one.reason for one in outbox.suppressions()} == {CHANGED}
    assert outbox.get(put(outbox, ADA)).state is State.SUPPRESSED


def exchange(outbox: Outbox, column: Column[Any], changed: str, other: str) -> None:
    """Put into one message's row what is encrypted for another's."""
    with outbox.database.engine.begin() as connection:
        stored = connection.scalar(select(column).where(message.c.id == other))
        connection.execute(
            update(message).where(message.c.id == changed).values({column.name: stored})
        )


def test_nobody_is_mailed_because_the_key_of_their_suppression_is_missing(
    open_with: Opener,
) -> None:
    open_with(OLD).suppress(ADA, reason="asked")
    outbox = open_without_old(open_with)

    assert outbox.get(put(outbox, ADA)).state is State.SUPPRESSED
    to_bob = put(outbox, BOB)
    assert claim_one(outbox, enlist(outbox)).id == to_bob


def test_the_log_names_the_message_and_the_key(
    make_site: MakeSite, caplog: pytest.LogCaptureFixture
) -> None:
    site = make_site(**KEYS)
    locked = put_with(site, OLD)

    with caplog.at_level(logging.INFO, "flask_outbox"):
        site.settled(site.send())
        site.wait_until(
            lambda: any(locked in one for one in caplog.messages), "it is logged"
        )

    (said,) = [one for one in caplog.messages if locked in one]
    assert f"Message {locked} returned untried" in said
    assert "'old', which is not in OUTBOX_ENCRYPTION_KEYS" in said


def put_with(site: Any, key: EncryptionKey) -> str:
    """A message that another process encrypts with ``key``; its id."""
    site.outbox.database.open()
    url = site.outbox.database.url.render_as_string()
    database = Database(url, keys=[key, NEW])
    try:
        return put(Outbox(database))
    finally:
        database.close()


def test_without_the_package_the_extra_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    real = builtins.__import__

    def without(name: str, *args: Any, **options: Any) -> Any:
        if name.startswith("cryptography"):
            raise ModuleNotFoundError(name)
        return real(name, *args, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ConfigError, match=r"flask-outbox\[encryption\]"):
        Database(f"sqlite:///{tmp_path / 'outbox.db'}", keys=[NEW])
