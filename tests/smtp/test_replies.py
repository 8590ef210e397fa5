"""The reply parser: RFC 5321 section 4.2, strictly, with limits, in any chunks."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flask_outbox.delivery import Reply
from flask_outbox.transports.smtp.replies import (
    KEPT_CHARACTERS,
    MAX_LINE_BYTES,
    MAX_REPLY_BYTES,
    MAX_REPLY_LINES,
    MalformedReply,
    ReplyParser,
)


def parse(*pieces: bytes) -> tuple[list[Reply], str | None]:
    """The replies in these bytes, and the error that ended them."""
    parser, replies = ReplyParser(), []
    try:
        for piece in pieces:
            for reply in parser.feed(piece):
                replies.append(reply)  # noqa: PERF402 (kept, if an error follows)
    except MalformedReply as error:
        return replies, str(error)
    return replies, None


@pytest.mark.parametrize(
    ("said", "reply"),
    [
        (b"250 ok\r\n", Reply(250, None, "ok")),
        (b"250 ok\n", Reply(250, None, "ok")),
        (b"250\r\n", Reply(250, None, "")),
        (b"250 \r\n", Reply(250, None, "")),
        (b"250-\r\n250\r\n", Reply(250, None, "")),
        (b"250 2.1.5 ok\r\n", Reply(250, "2.1.5", "ok")),
        (b"250 2.1.5\r\n", Reply(250, "2.1.5", "")),
        (b"571 no\r\n", Reply(571, None, "no")),
        (
            b"550-5.1.1 The account\r\n550-5.1.1 does not\r\n550 5.1.1 exist\r\n",
            Reply(550, "5.1.1", "The account does not exist"),
        ),
        (b"250-a\r\n250-\r\n250 b\r\n", Reply(250, None, "a b")),
        (b"250 na\xc3\xafve\r\n", Reply(250, None, "naïve")),
        (b"250 \xff\r\n", Reply(250, None, "\\xff")),
        (b"250 a\x00b\x1b[2Jc\td\re\r\n", Reply(250, None, "a\\x00b\\x1b[2Jc d\\re")),
        ("250 \u202eevil\r\n".encode(), Reply(250, None, "\\u202eevil")),
    ],
)
def test_a_valid_reply_is_parsed(said: bytes, reply: Reply) -> None:
    assert parse(said) == ([reply], None)


@pytest.mark.parametrize(
    "said",
    [
        b"\r\n",
        b"ok\r\n",
        b"25 ok\r\n",
        b"2500 ok\r\n",
        b"250_ok\r\n",
        b"150 ok\r\n",
        b"650 ok\r\n",
        b" 250 ok\r\n",
        b"+25 ok\r\n",
        "٢٥٠ ok\r\n".encode(),
        b"250-a\r\n251 b\r\n",
        b"250-a\r\nb\r\n",
        b"HTTP/1.1 400 Bad Request\r\n",
        b"\x15\x03\x01\x00\x02\x02\x46\n",
    ],
)
def test_an_invalid_reply_is_refused(said: bytes) -> None:
    replies, error = parse(said)
    assert replies == []
    assert error is not None
    assert error.isprintable()


def test_good_replies_before_a_bad_one_are_kept() -> None:
    assert parse(b"250 a\r\n550 b\r\nc\r\n") == (
        [Reply(250, None, "a"), Reply(550, None, "b")],
        'not a reply: "c"',
    )


def test_quotations_of_invalid_replies_are_short() -> None:
    _, error = parse(b"x" * 5000 + b"\r\n")
    assert error is not None
    assert len(error) < 120


def test_whether_a_reply_has_begun() -> None:
    parser = ReplyParser()
    assert not parser.midway
    for piece, midway in [
        (b"2", True),
        (b"50-a\r\n", True),
        (b"250 b\r", True),
        (b"\n", False),
    ]:
        list(parser.feed(piece))
        assert parser.midway is midway


# ---------------------------------------------------------------------------- bounds

LONGEST_LINE = b"250 " + b"x" * (MAX_LINE_BYTES - 6) + b"\r\n"


def test_a_line_up_to_the_limit_is_accepted_and_no_longer_one() -> None:
    replies, error = parse(LONGEST_LINE)
    assert error is None
    assert replies[0].text == "x" * KEPT_CHARACTERS + "…"
    assert parse(b"250 x" + LONGEST_LINE[4:]) == ([], "a reply without end")


def test_a_reply_up_to_the_limit_is_accepted_and_no_longer_one() -> None:
    full, rest = divmod(MAX_REPLY_BYTES, MAX_LINE_BYTES)
    assert rest == 0
    lines = [LONGEST_LINE.replace(b" ", b"-")] * (full - 1) + [LONGEST_LINE]
    assert parse(b"".join(lines))[1] is None
    assert parse(b"".join([lines[0], *lines])) == ([], "a reply without end")


def test_a_reply_of_the_most_lines_is_accepted_and_no_longer_one() -> None:
    lines = b"250-\r\n" * (MAX_REPLY_LINES - 1)
    assert parse(lines + b"250 \r\n") == ([Reply(250, None, "")], None)
    assert parse(lines + b"250-\r\n250 \r\n") == ([], "a reply without end")


def test_the_limits_apply_to_each_reply() -> None:
    lines = b"250-" + b"x" * 4000 + b"\r\n"
    replies, error = parse((lines * 10 + b"250 \r\n") * 20)
    assert (len(replies), error) == (20, None)


@pytest.mark.parametrize("endless", [b"x", b"250-more\r\n", b"250-\n"])
def test_memory_is_bounded_whatever_comes(endless: bytes) -> None:
    parser, fed = ReplyParser(), 0

    def feed_forever() -> None:
        nonlocal fed
        while True:
            list(parser.feed(endless))
            fed += len(endless)

    with pytest.raises(MalformedReply, match="without end"):
        feed_forever()
    assert fed <= MAX_REPLY_BYTES


# ------------------------------------------------------------------------------ fuzz

CODES = st.sampled_from([b"220", b"250", b"354", b"421", b"550", b"999", b"25", b""])
SEPARATORS = st.sampled_from([b" ", b"-", b"", b"_"])
TEXTS = st.one_of(
    st.binary(max_size=20),
    st.just(b"5.1.1 no"),
    st.integers(0, MAX_LINE_BYTES + 9).map(lambda length: b"x" * length),
)
ENDS = st.sampled_from([b"\r\n", b"\r\n", b"\n", b"\r", b""])
LINES = st.tuples(CODES, SEPARATORS, TEXTS, ENDS).map(b"".join)
STREAMS = st.one_of(st.binary(), st.lists(LINES, max_size=24).map(b"".join))


@given(STREAMS, st.data())
def test_any_bytes_in_any_pieces_mean_the_same(stream: bytes, data: st.DataObject):
    cuts = data.draw(st.lists(st.integers(0, len(stream)), max_size=12).map(sorted))
    edges = [0, *cuts, len(stream)]
    pieces = [stream[a:b] for a, b in pairwise(edges)]

    replies, error = parse(stream)

    assert parse(*pieces) == (replies, error)
    assert all(reply.text.isprintable() for reply in replies)
    assert all(200 <= (reply.code or 0) < 600 for reply in replies)


@given(STREAMS.filter(lambda stream: len(stream) < 2000))
def test_a_reply_is_parsed_byte_by_byte(stream: bytes):
    single = [stream[at : at + 1] for at in range(len(stream))]
    assert parse(*single) == parse(stream)


@given(
    st.integers(200, 599),
    st.lists(st.text(max_size=30), min_size=1, max_size=9),
    st.sampled_from([b"\r\n", b"\n"]),
)
def test_every_valid_reply_is_understood(code: int, texts: list[str], end: bytes):
    printable = ["".join(one for one in text if one.isprintable()) for text in texts]
    *first, last = (text.encode("utf-8", "replace") for text in printable)
    lines = [b"%d-%s" % (code, text) for text in first] + [b"%d %s" % (code, last)]

    replies, error = parse(end.join(lines) + end)

    assert error is None
    (reply,) = replies
    assert reply.code == code
    said = " ".join(text.strip() for text in printable)
    assert "".join(str(reply).split()) == "".join(f"{code}{said}".split())
