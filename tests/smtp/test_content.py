"""Content on the wire: it arrives unchanged, and has one end."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flask_outbox.transports.smtp.capabilities import FINAL_DOT, dot_stuffed, with_crlf
from flask_outbox.transports.smtp.transaction import CHUNK_BYTES
from tests.servers import JournalSmtp, ScriptedSmtp

from .talk import HELLO, ONE_MAIL, QUIT, deliver_once, settings_for

HEAD = b"Subject: dots\r\n\r\n"
SECOND_MAIL = (
    b"MAIL FROM:<evil@example.org>\r\nRCPT TO:<victim@example.org>\r\nDATA\r\n"
    b"Subject: smuggled\r\n\r\nHa\r\n.\r\n"
)
BODIES = {
    "plain": b"hello\r\n",
    "none": b"",
    "no final newline": b"hello",
    "a dot": b".\r\n",
    "a dot without newline": b".",
    "leading dots": b".a\r\n..b\r\n...\r\n",
    "dots elsewhere": b"a.\r\n .b\r\na.b\r\n",
    "bare LF": b"a\nb\n",
    "bare CR": b"a\rb\r",
    "CR CR LF": b"a\r\r\nb",
    "smuggling CRLF.CRLF": b"a\r\n.\r\n" + SECOND_MAIL,
    "smuggling LF.LF": b"a\n.\n" + SECOND_MAIL,
    "smuggling LF.CRLF": b"a\n.\r\n" + SECOND_MAIL,
    "smuggling CRLF.LF": b"a\r\n.\n" + SECOND_MAIL,
    "smuggling CR.CR": b"a\r.\r" + SECOND_MAIL,
    "smuggling CR.CRLF": b"a\r.\r\n" + SECOND_MAIL,
    "smuggling CRLF.CR": b"a\r\n.\r" + SECOND_MAIL,
    "smuggling NUL": b"a\r\n\0.\r\n" + SECOND_MAIL,
    "8-bit": "gr\u00fc\u00dfe\r\n".encode(),
}


def line_ends(content: bytes) -> bytes:
    """CRLF for whatever ends a line: an oracle that shares no code with ours."""
    lines = content.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    return lines.removesuffix(b"\n").replace(b"\n", b"\r\n") + b"\r\n"


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_a_real_server_gets_one_mail_with_these_bytes(
    body: bytes, tmp_path: Path
) -> None:
    with JournalSmtp(tmp_path / "journal") as server:
        made = deliver_once(settings_for(server), content=HEAD + body)
        (mail,) = server.wait_for(1)
    assert mail.content == line_ends(HEAD + body)
    assert made.report is not None
    assert made.report.accepted
    assert len(server.mails) == 1


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_there_is_one_final_dot_on_the_wire(body: bytes) -> None:
    with ScriptedSmtp([*HELLO, *ONE_MAIL, QUIT]) as server:
        deliver_once(settings_for(server), content=HEAD + body)
        server.wait_for_end()
    (wire,) = (one for one in server.received[0] if one.startswith(HEAD))
    assert wire.endswith(b"\r\n.\r\n")
    assert wire.count(b"\r\n.\r\n") == 1
    stripped = wire.replace(b"\r\n", b"")
    assert b"\n" not in stripped
    assert b"\r" not in stripped


@pytest.mark.parametrize("extra_bytes", [-1, 0, 1, CHUNK_BYTES, 150 * CHUNK_BYTES])
def test_large_content_is_written_in_pieces(extra_bytes: int) -> None:
    line = b".0123456789" * 7 + b"\r\n"
    size_bytes = CHUNK_BYTES + extra_bytes
    content = HEAD + line * (size_bytes // len(line)) + b"x" * 70 + b"\r\n"
    with ScriptedSmtp([*HELLO, *ONE_MAIL, QUIT]) as server:
        deliver_once(settings_for(server), content=content)
        server.wait_for_end()
    (wire,) = (one for one in server.received[0] if one.startswith(HEAD))
    assert wire == content.replace(b"\r\n.", b"\r\n..") + b".\r\n"


def test_a_line_of_any_length_is_sent_unchanged() -> None:
    content = HEAD + b"x" * 5000 + b"\r\n"
    with ScriptedSmtp([*HELLO, *ONE_MAIL, QUIT]) as server:
        deliver_once(settings_for(server), content=content)
        server.wait_for_end()
    assert content + b".\r\n" in server.received[0]


def test_content_without_need_of_a_change_is_not_copied() -> None:
    content = HEAD + b"hello\r\n"
    assert with_crlf(content) is content
    assert dot_stuffed(content) is content


PIECES = st.sampled_from([b"\r", b"\n", b".", b"a", b"\r\n", b"\r\n.\r\n", b"\0"])


@given(st.lists(PIECES, max_size=20).map(b"".join))
def test_stuffed_content_ends_once_and_reads_back(content: bytes) -> None:
    sent = with_crlf(content)
    wire = b"\r\n" + dot_stuffed(sent) + FINAL_DOT

    assert wire.index(b"\r\n.\r\n") == len(wire) - len(b"\r\n.\r\n")
    assert wire.replace(b"\r\n..", b"\r\n.") == b"\r\n" + sent + FINAL_DOT
    assert sent == (line_ends(content) if content else b"")
