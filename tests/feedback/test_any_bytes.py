"""Whatever comes to a bounce address is read, within bounds, and never raises."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flask_outbox.feedback.incoming import MOST_BOUNDARIES, READ_BYTES, IncomingMail
from flask_outbox.feedback.reading import read_mail
from flask_outbox.message import comparable

from .samples import BOUNCES, ID, RCPT, RETURN_PATH, SAMPLES
from .test_samples import NOW

HEAD = f"To: {RETURN_PATH}\n".encode()


@given(st.binary(max_size=2_000))
def test_any_bytes_are_read(content: bytes):
    read_mail(HEAD + content, BOUNCES, NOW)
    read_mail(content, BOUNCES, NOW)


@given(
    st.sampled_from(SAMPLES),
    st.lists(st.tuples(st.integers(0, 3_000), st.binary(max_size=12)), max_size=8),
)
def test_damaged_reports_are_read(sample, damages):
    content = bytearray(sample.content)
    for at, bytes_ in damages:
        content[at : at + len(bytes_)] = bytes_
    reading = read_mail(bytes(content), BOUNCES, NOW)
    for one in reading.attributed([RCPT]).feedback:
        assert (one.message_id, one.address) == (ID, RCPT)


_fields = st.sampled_from(
    [
        "Content-Type: multipart/report; boundary=b; report-type=delivery-status",
        "Content-Type: message/delivery-status",
        "Content-Type: message/global-delivery-status",
        "Content-Type: message/feedback-report",
        "Content-Type: text/html; charset=utf-7",
        "Content-Type: text/plain; charset*=x''%ff",
        "Content-Transfer-Encoding: base64",
        "Content-Transfer-Encoding: x-uuencode",
        "Content-Transfer-Encoding: quoted-printable",
        "--b",
        "--b--",
        "",
        f"Final-Recipient: rfc822; {RCPT}",
        "Final-Recipient: utf-8; \\x{110000}\\x{D800}@x.example",
        "Action: failed",
        "Status: 5.1.1",
        "Status: 9.9.9",
        "Date: Mon, 99 Foo 99999 99:99:99 +9999",
        "Subject: =?utf-8?b?/////w==?=",
        "Feedback-Type: abuse",
        " folded",
        "<ada@example.org>: 550 user unknown",
    ]
)


@given(st.lists(_fields, max_size=30))
def test_any_order_of_the_usual_lines_is_read(lines: list[str]):
    reading = read_mail(HEAD + "\n".join(lines).encode(), BOUNCES, NOW)
    addresses = {one.address for one in reading.attributed([RCPT]).feedback}
    assert {comparable(one or "") for one in addresses} <= {RCPT}


def _nested(depth: int) -> bytes:
    return b"".join(
        b"Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n" % (one, one)
        for one in range(depth)
    )


_BROKEN = {
    "deep": _nested(MOST_BOUNDARIES) + b"\n" + b"x\n" * READ_BYTES,
    "too deep": _nested(5_000),
    "deeper messages": b"Content-Type: message/rfc822\n\n" * 10_000,
    "long type": b"Content-Type: text/plain; a=" + b'";x' * READ_BYTES + b"\n\n",
    "many parts": b"Content-Type: multipart/mixed; boundary=b\n\n"
    + b"--b\n\n" * 60_000,
    "many blocks": b"Content-Type: message/delivery-status\n\n"
    + b"Final-Recipient: rfc822; a@b.example\nAction: failed\n\n" * 10_000,
    "open tags": b"Content-Type: text/html\nSubject: undeliverable\n\n"
    + b"<p" * 100_000,
    "addresses": b"Subject: undeliverable\n\n" + b"a@b.example " * 20_000,
    "one word": b"Subject: undeliverable\n\n" + b"a" * READ_BYTES,
    "dots": b"Subject: undeliverable\n\n" + b"mailbox " + b"a." * READ_BYTES,
    "dashes": b"Subject: undeliverable\n\n" + b"-" * READ_BYTES,
    "spaces": b"Subject: undeliverable\n\n" + b" " * READ_BYTES,
    "fields": b"A: b\n" * 60_000,
    "words": b"=?utf-8?q?x?= " * 20_000 + b"\n\n",
    "long subject": b"Subject: " + b"=?utf-8?q?delivery_to?= " * 20_000 + b"\n\n",
    "huge": b"Subject: undeliverable\n\n" + b"550 user unknown\n" * 2_000_000,
}


@pytest.mark.parametrize("content", _BROKEN.values(), ids=_BROKEN.keys())
def test_a_hostile_mail_is_read(content: bytes):
    reading = read_mail(HEAD + content, BOUNCES, NOW)
    assert reading.message_id == ID


def test_what_is_behind_the_limit_is_not_read():
    padded = HEAD + b"\n" + b"x" * READ_BYTES + b"\n\nthe end"
    assert "the end" not in IncomingMail.read(padded).whole


def test_only_this_apps_tokens_are_valid():
    others = [
        replace(BOUNCES, app_name="other"),
        replace(BOUNCES, keys=(b"another secret",)),
    ]
    for one in others:
        assert one.message_of(BOUNCES.token(ID)) is None
    rotated = replace(BOUNCES, keys=(b"new", *BOUNCES.keys))
    assert rotated.message_of(BOUNCES.token(ID).upper()) == ID
    assert rotated.token(ID) != BOUNCES.token(ID)


@given(st.text(max_size=42))
def test_no_text_is_taken_for_a_token(text: str):
    assert BOUNCES.message_of(text) is None
    assert BOUNCES.first_message_in(text) is None


def test_a_forwarded_recipient_is_told_only_where_there_is_no_other():
    (sample,) = [one for one in SAMPLES if "forwarded" in one.name]
    reading = read_mail(sample.content, BOUNCES, NOW)
    assert [one.address for one in reading.attributed([RCPT]).feedback] == [RCPT]
    assert reading.attributed([RCPT, "bob@example.org"]).feedback == ()


def test_each_recipient_of_a_report_has_a_fate_of_its_own():
    block = "Final-Recipient: rfc822; {}\nAction: {}\nStatus: {}\n\n"
    text = block.format("a@x.example", "failed", "5.1.1")
    text += block.format("b@x.example", "delayed", "4.4.1")
    text += block.format("c@x.example", "failed", "5.7.1")
    content = HEAD + b"Content-Type: message/delivery-status\n\n" + text.encode()
    everyone = ["a@x.example", "B@x.example", "c@x.example", "d@x.example"]
    fed = read_mail(content, BOUNCES, NOW).attributed(everyone).feedback
    assert [(one.address, str(one.fate), one.operator) for one in fed] == [
        ("a@x.example", "bounced", False),
        ("B@x.example", "delayed", False),
        ("c@x.example", "bounced", True),
    ]


def test_the_same_report_has_the_same_id_whichever_way_it_comes():
    ids = []
    for trace in (b"", b"Received: from elsewhere\n", b"Delivered-To: x@example.com\n"):
        for sample in SAMPLES[:40]:
            read = read_mail(trace + sample.content, BOUNCES, NOW)
            ids.append([one.event_id for one in read.feedback])
    assert ids[:40] == ids[40:80] == ids[80:]
    assert len({one for some in ids for one in some}) == 40
