"""``flask outbox feedback imap``: a mailbox of a real Dovecot."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from flask_outbox.feedback import Fate
from flask_outbox.intake.imap import AT_A_TIME
from tests.cli.conftest import MakeShop
from tests.cli.shop import Shop
from tests.cli.test_feedback import SET_UP, fates, report, sent
from tests.feedback.samples import RCPT
from tests.outbox.databases import is_required
from tests.servers import Authority
from tests.servers.dovecot import PASSWORD, Dovecot, why_absent
from tests.waiting import eventually

pytestmark = pytest.mark.usefixtures("trusted")


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def trusted(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    """The processes trust the server's certificate, and no other."""
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.ca_file))


@pytest.fixture
def dovecot(authority: Authority) -> Iterator[Dovecot]:
    if reason := why_absent():
        (pytest.fail if is_required("dovecot") else pytest.skip)(reason)
    with Dovecot(authority) as server:
        yield server


@pytest.fixture
def shop(make_shop: MakeShop, dovecot: Dovecot) -> Shop:
    return make_shop(**SET_UP, OUTBOX_BOUNCE_MAILBOX=dovecot.url)


def once(shop: Shop, *options: str) -> str:
    """What it says of a mailbox that it reads once."""
    with shop.process("feedback", "imap", "--once", *options) as process:
        summary = process.ended()
        assert PASSWORD not in process.said
    return summary


def test_each_mail_is_taken_once_and_stays(shop: Shop, dovecot: Dovecot):
    messages = [sent(shop) for _ in range(2)]
    dovecot.deliver(report(messages[0].return_path, RCPT))
    dovecot.deliver(b"Subject: hello\n\nHello\n")
    assert once(shop) == "Ended: 2 mails taken (1 applied, 1 unsigned).\n"
    dovecot.deliver(report(messages[1].return_path, RCPT))
    assert once(shop) == "Ended: 1 mail taken (1 applied).\n"
    assert once(shop) == "Ended: 0 mails taken (none).\n"
    for one in messages:
        assert fates(shop.get(one.id)) == {RCPT: Fate.BOUNCED}
    assert dovecot.mails_in("INBOX") == 3


def test_many_mails_are_taken_in_parts(shop: Shop, dovecot: Dovecot):
    for _ in range(2 * AT_A_TIME + 1):
        dovecot.deliver(b"Subject: hello\n\nHello\n")
    assert once(shop) == "Ended: 41 mails taken (41 unsigned).\n"


def test_mails_are_taken_as_they_come(shop: Shop, dovecot: Dovecot):
    message = sent(shop)
    with shop.process("feedback", "imap") as process:
        process.wait_for("Reading bounces@127.0.0.1")
        dovecot.deliver(report(message.return_path, RCPT))
        process.wait_for(f"A bounce about message {message.id} was recorded")
        later = sent(shop)
        dovecot.deliver(report(later.return_path, RCPT))
        process.wait_for(f"A bounce about message {later.id} was recorded")
        process.signal(signal.SIGTERM)
        assert process.ended() == "Ended: 2 mails taken (2 applied).\n"
    assert fates(shop.get(later.id)) == {RCPT: Fate.BOUNCED}


def test_it_connects_again(shop: Shop, dovecot: Dovecot):
    with shop.process("feedback", "imap") as process:
        eventually(lambda: "Login: user=<bounces>" in dovecot.log)
        dovecot.restart()
        process.wait_for("cannot be read: ")
        message = sent(shop)
        dovecot.deliver(report(message.return_path, RCPT))
        process.wait_for(f"A bounce about message {message.id} was recorded")
        process.signal(signal.SIGINT)
        process.ended()


def test_a_mail_is_not_passed_over_while_the_outbox_is_out_of_reach(
    make_shop: MakeShop, dovecot: Dovecot, tmp_path: Path
):
    place = tmp_path / "place"
    place.mkdir()
    shop = make_shop(
        **SET_UP, OUTBOX_BOUNCE_MAILBOX=dovecot.url, OUTBOX_URL=f"sqlite:///{place}"
    )
    dovecot.deliver(b"Subject: hello\n\nHello\n")
    with shop.process("feedback", "imap") as process:
        process.wait_for("The outbox at")
        place.rmdir()
        process.wait_for("A mail has no token")
        process.signal(signal.SIGTERM)
        assert process.ended() == "Ended: 1 mail taken (1 unsigned).\n"


def test_mails_are_moved_once_they_are_taken(shop: Shop, dovecot: Dovecot):
    message = sent(shop)
    dovecot.deliver(b"Subject: old\n\nOld\n", "Done")
    dovecot.deliver(report(message.return_path, RCPT))
    assert once(shop, "--move-to", "Done") == "Ended: 1 mail taken (1 applied).\n"
    assert (dovecot.mails_in("INBOX"), dovecot.mails_in("Done")) == (0, 2)


def test_a_mailbox_that_counts_anew_is_read_anew(shop: Shop, dovecot: Dovecot):
    message = sent(shop)
    dovecot.deliver(report(message.return_path, RCPT))
    once(shop)
    (dovecot.mail / "dovecot-uidlist").unlink()
    for index in dovecot.mail.glob("dovecot.index*"):
        index.unlink()
    assert once(shop) == "Ended: 1 mail taken (1 repeated).\n"


def test_another_mailbox_has_a_count_of_its_own(shop: Shop, dovecot: Dovecot):
    for folder in ("INBOX", "Other"):
        dovecot.deliver(b"Subject: hello\n\nHello\n", folder)
    assert once(shop).startswith("Ended: 1 mail ")
    other = dovecot.url.replace("/INBOX", "/Other")
    assert once(shop, other).startswith("Ended: 1 mail ")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("horse", "donkey"), "AUTHENTICATIONFAILED"),
        (("/INBOX", "/Nowhere"), "Mailbox doesn't exist"),
    ],
)
def test_what_the_server_refuses_ends_it(
    shop: Shop, dovecot: Dovecot, change: tuple[str, str], said: str
):
    url = dovecot.url.replace(*change)
    with shop.process("feedback", "imap", url) as process:
        process.ended(1)
        assert re.search(
            f"The mailbox bounces@.* cannot be read: .*{said}", process.said
        )
        assert "donkey" not in process.said


def test_a_certificate_that_nobody_vouches_for_is_refused(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    (tmp_path / "other").mkdir()
    other = Authority(tmp_path / "other")
    monkeypatch.setenv("SSL_CERT_FILE", str(other.ca_file))
    with shop.process("feedback", "imap", "--once") as process:
        process.ended(1)
        assert "certificate verify failed" in process.said


@pytest.mark.parametrize(
    "url",
    [
        "imap://bounces:secret@127.0.0.1/INBOX",
        "https://bounces:secret@127.0.0.1/",
        "imaps://127.0.0.1/INBOX",
        "imaps://bounces@127.0.0.1",
        "imaps://bounces:secret@127.0.0.1:port",
        "secret",
    ],
)
def test_a_malformed_url_is_refused_without_the_password(make_shop: MakeShop, url: str):
    said = make_shop(**SET_UP).run("feedback", "imap", url, code=1).output
    assert "Write it as 'imaps://user:" in said
    assert "secret" not in said


def test_it_asks_for_a_mailbox(make_shop: MakeShop):
    said = make_shop(**SET_UP).run("feedback", "imap", code=2).output
    assert "Give a URL, or set OUTBOX_BOUNCE_MAILBOX." in said
