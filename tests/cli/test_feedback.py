"""``flask outbox feedback``: bounces and complaints that come back as mail."""

from __future__ import annotations

import re
import signal
import smtplib
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

import pytest

from flask_outbox import MessageRecord
from flask_outbox.bounce_address import BounceAddress
from tests.cli.conftest import MakeShop
from tests.cli.shop import Process, Shop
from tests.feedback.samples import RCPT
from tests.outbox.databases import put_empty_outbox
from tests.servers import JournalSmtp
from tests.waiting import WAIT_SECONDS

SET_UP: dict[str, Any] = {
    "SECRET_KEY": "a secret",
    "OUTBOX_BOUNCE_ADDRESS": "bounces@example.com",
}
ADA, BOB = "ada@example.org", "bob@example.org"
DOCS = Path(__file__).parents[2] / "docs"
TEMPORARY = 75


def fates(record: MessageRecord) -> dict[str, str | None]:
    return {one.address: one.fate for one in record.recipients}


def report(return_path: str, *addresses: str, status: str = "5.1.1") -> bytes:
    """A delivery status notification about these recipients."""
    blocks = "\n".join(
        f"Final-Recipient: rfc822; {one}\nAction: failed\nStatus: {status}\n"
        for one in addresses
    )
    return (
        f"From: MAILER-DAEMON@mx.example.net\nTo: {return_path}\n"
        "Message-ID: <1@mx.example.net>\nMIME-Version: 1.0\n"
        "Content-Type: multipart/report; report-type=delivery-status; boundary=b\n\n"
        "--b\n\nIt could not be delivered.\n"
        f"--b\nContent-Type: message/delivery-status\n\nReporting-MTA: dns; x\n\n"
        f"{blocks}\n--b--\n"
    ).encode()


@pytest.fixture
def shop(make_shop: MakeShop) -> Shop:
    return make_shop(**SET_UP)


def sent(shop: Shop, *recipients: str) -> MessageRecord:
    """A message that was sent."""
    id = shop.send(*(recipients or [RCPT]))
    shop.deliver()
    return shop.get(id)


@contextmanager
def piping(shop: Shop, content: bytes, *options: str) -> Iterator[Process]:
    """The command, to which another process pipes ``content``."""
    with NamedTemporaryFile() as file:
        file.write(content)
        file.flush()
        with subprocess.Popen(["cat", file.name], stdout=subprocess.PIPE) as cat:
            arguments = ("feedback", "pipe", *options)
            with shop.process(*arguments, stdin=cat.stdout) as process:
                yield process
            assert cat.wait(WAIT_SECONDS) == 0  # all of it was read


def test_a_piped_bounce_is_stored_before_the_process_ends(shop: Shop):
    message = sent(shop)
    assert fates(message) == {RCPT: None}
    with piping(shop, report(message.return_path, RCPT)) as process:
        process.ended()
        assert (
            f"A bounce about message {message.id} was recorded: bounced."
            in process.said
        )
    assert fates(shop.get(message.id)) == {RCPT: "bounced"}


def test_the_report_that_the_docs_show_is_taken(shop: Shop):
    message = sent(shop, ADA)
    shown = (DOCS / "bounces/report.eml").read_bytes()
    return_path = message.return_path.encode()
    filled_in = shown.replace(b"bounces+TOKEN@example.com", return_path)
    assert filled_in != shown
    with piping(shop, filled_in) as process:
        process.ended()
        assert f"{ADA} is suppressed: bounced: 550 5.1.1 no such user" in process.said
    assert fates(shop.get(message.id)) == {ADA: "bounced"}


def test_a_repeated_mail_changes_nothing(shop: Shop):
    message = sent(shop)
    for said in ("was recorded: bounced", "recorded before: it changes nothing"):
        with piping(shop, report(message.return_path, RCPT)) as process:
            process.ended()
            assert said in process.said
    kinds = [one.kind for one in shop.get(message.id).events]
    assert kinds.count("bounced") == 1


def test_the_envelopes_recipient_may_name_the_message(shop: Shop):
    message = sent(shop)
    content = report("somebody@example.com", RCPT)
    with piping(shop, content, "--to", message.return_path) as process:
        process.ended()
    assert fates(shop.get(message.id)) == {RCPT: "bounced"}


def test_each_recipient_has_a_fate_of_its_own(shop: Shop):
    message = sent(shop, RCPT, BOB)
    with piping(shop, report(message.return_path, BOB)) as process:
        process.ended()
    assert fates(shop.get(message.id)) == {RCPT: None, BOB: "bounced"}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (report("bounces@example.com", RCPT), "has no token that this app signed"),
        (b"", "has no token"),
        (bytes(range(256)) * 9_000, "has no token"),
    ],
)
def test_what_has_no_token_changes_nothing(shop: Shop, content: bytes, said: str):
    message = sent(shop)
    with piping(shop, content) as process:
        process.ended()
        assert said in process.said
    assert fates(shop.get(message.id)) == {RCPT: None}


def test_the_mail_server_keeps_a_mail_while_the_outbox_is_out_of_reach(
    make_shop: MakeShop, tmp_path: Path
):
    place = tmp_path / "place"
    shop = make_shop(**SET_UP, OUTBOX_URL=f"sqlite:///{place}")
    put_empty_outbox(place)
    message = sent(shop)
    content = report(message.return_path, RCPT)
    shop.close()
    kept = place.read_bytes()
    place.unlink()
    place.mkdir()
    with piping(shop, content) as process:
        process.ended(TEMPORARY)
        assert "Error: The outbox at" in process.said
    place.rmdir()
    place.write_bytes(kept)
    with piping(shop, content) as process:
        process.ended()
    assert fates(shop.get(message.id)) == {RCPT: "bounced"}


def test_it_needs_a_bounce_address(make_shop: MakeShop):
    shop = make_shop()
    with piping(shop, b"") as process:
        process.ended(TEMPORARY)
        assert "set OUTBOX_BOUNCE_ADDRESS" in process.said
    assert (
        "set OUTBOX_BOUNCE_ADDRESS"
        in shop.run("feedback", "lmtp", "--bind", "127.0.0.1:0", code=1).output
    )


# ------------------------------------------------------------------------------- LMTP


@contextmanager
def lmtp(shop: Shop) -> Iterator[tuple[smtplib.LMTP, Process]]:
    """A client of a running server."""
    with shop.process("feedback", "lmtp", "--bind", "127.0.0.1:0") as process:
        process.wait_for("Listening at")
        found = re.search(r"Listening at 127\.0\.0\.1:(\d+)", process.said)
        assert found
        port = int(found[1])
        with smtplib.LMTP("127.0.0.1", port, timeout=WAIT_SECONDS) as client:
            yield client, process


def hand_over(client: smtplib.LMTP, content: bytes, *recipients: str) -> list[bytes]:
    """The replies to RCPT that refuse, or those to the content."""
    client.ehlo_or_helo_if_needed()
    client.mail("<>")
    refused = []
    for one in recipients:
        code, text = client.rcpt(one)
        if code != 250:
            refused.append(b"%d %s" % (code, text))
    if len(refused) == len(recipients):
        return refused
    code, text = client.data(content)
    replies = [b"%d %s" % (code, text)]
    for _ in range(len(recipients) - len(refused) - 1):
        code, text = client.getreply()
        replies.append(b"%d %s" % (code, text))
    return refused + replies


def test_a_bounce_by_lmtp_is_stored_before_it_is_accepted(shop: Shop):
    message = sent(shop)
    content = report("elsewhere@example.com", RCPT)
    with lmtp(shop) as (client, process):
        replies = hand_over(client, content, message.return_path.upper())
        assert replies == [b"250 2.0.0 taken"]
        assert fates(shop.get(message.id)) == {RCPT: "bounced"}
        process.signal(signal.SIGTERM)
        assert process.ended() == "Ended: 1 mail taken (1 applied).\n"


def test_lmtp_answers_for_each_recipient(shop: Shop):
    first, second = sent(shop), sent(shop)
    content = report("elsewhere@example.com", RCPT)
    with lmtp(shop) as (client, process):
        paths = [first.return_path, "stranger@example.com", second.return_path]
        replies = hand_over(client, content, *paths)
        assert replies == [
            b"550 5.1.1 no return path of a message of this app",
            b"250 2.0.0 taken",
            b"250 2.0.0 taken",
        ]
        for one in (first, second):
            assert fates(shop.get(one.id)) == {RCPT: "bounced"}
        process.signal(signal.SIGTERM)
        process.ended()


def test_lmtp_takes_complaints_at_the_bare_address(shop: Shop):
    message = sent(shop)
    token = message.return_path.partition("+")[2].partition("@")[0]
    complaint = (
        "Content-Type: multipart/report; boundary=b; report-type=feedback-report\n\n"
        "--b\nContent-Type: message/feedback-report\n\nFeedback-Type: abuse\n\n"
        f"--b\nContent-Type: message/rfc822\n\nCFBL-Feedback-ID: {token}\n\n\n--b--\n"
    )
    with lmtp(shop) as (client, _):
        replies = hand_over(client, complaint.encode(), "Bounces@Example.COM")
        assert replies == [b"250 2.0.0 taken"]
    assert fates(shop.get(message.id)) == {RCPT: "complained"}


@pytest.mark.parametrize(
    "recipient",
    [
        "stranger@example.com",
        "bounces@elsewhere.example",
        "bounces+01jx3m5v8q2w4e6r8t0y1a3b5daaaaaaaaaaaaaaaa@example.com",
        "bounces+@example.com",
    ],
)
def test_lmtp_refuses_what_is_no_return_path_of_ours(shop: Shop, recipient: str):
    with lmtp(shop) as (client, _):
        (reply,) = hand_over(client, b"x", recipient)
        assert reply.startswith(b"550 5.1.1")


def test_lmtp_answers_for_each_recipient_of_what_is_too_large(shop: Shop):
    first, second = sent(shop), sent(shop)
    content = b"x" * 2_000_000
    with lmtp(shop) as (client, _):
        replies = hand_over(client, content, first.return_path, second.return_path)
        assert [one[:3] for one in replies] == [b"500", b"500"]
        assert client.noop()[0] == 250


def test_lmtp_takes_nothing_while_the_outbox_is_out_of_reach(
    make_shop: MakeShop, tmp_path: Path
):
    place = tmp_path / "place"
    shop = make_shop(**SET_UP, OUTBOX_URL=f"sqlite:///{place}")
    place.mkdir()
    bounces = BounceAddress.read("bounces@example.com", "shop", ("a secret",))
    path = bounces.of("01JX3M5V8Q2W4E6R8T0Y1A3B5D")
    with lmtp(shop) as (client, process):
        (reply,) = hand_over(client, report(path, RCPT), path)
        assert reply.startswith(b"451 4.3.0")
        process.wait_for("could not be taken: The outbox at")


def test_lmtp_serves_at_a_unix_socket(shop: Shop, tmp_path: Path):
    message = sent(shop)
    place = tmp_path / "lmtp.sock"
    for _ in range(2):  # a killed server leaves its socket
        with shop.process("feedback", "lmtp", "--bind", f"unix:{place}") as process:
            process.wait_for("Listening at unix:")
            with smtplib.LMTP(str(place), timeout=WAIT_SECONDS) as client:
                content = report(message.return_path, RCPT)
                replies = hand_over(client, content, message.return_path)
                assert replies == [b"250 2.0.0 taken"]
    assert fates(shop.get(message.id)) == {RCPT: "bounced"}


@pytest.mark.parametrize("bind", ["2400", "127.0.0.1", "127.0.0.1:x", ":2400", "unix:"])
def test_lmtp_says_how_to_write_a_place(shop: Shop, bind: str):
    said = shop.run("feedback", "lmtp", "--bind", bind, code=1).output
    assert "write it as '127.0.0.1:2400' or 'unix:" in said


def test_lmtp_says_where_it_cannot_listen(shop: Shop, server: JournalSmtp):
    taken = f"{server.host}:{server.port}"
    said = shop.run("feedback", "lmtp", "--bind", taken, code=1).output
    assert f"LMTP cannot listen at {taken}" in said


def test_a_client_that_stays_does_not_keep_the_server(shop: Shop):
    with lmtp(shop) as (client, process):
        client.ehlo_or_helo_if_needed()
        process.signal(signal.SIGTERM)
        process.ended()
