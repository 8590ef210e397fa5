"""Budgets: what a mail may come to when somebody looks at it."""

from __future__ import annotations

import base64
import sys

from flask_outbox.checks import check
from flask_outbox.dashboard.mail_view import PICTURES_LENGTH, sanitized_html
from flask_outbox.mime.parse import parse_message


def picture_mail(html: str, size: int) -> bytes:
    picture = base64.encodebytes(bytes(size)).decode()
    return (
        "Content-Type: multipart/related; boundary=b\n\n"
        f"--b\nContent-Type: text/html\n\n{html}\n"
        f"--b\nContent-Type: image/png\nContent-ID: <p@x>\n"
        f"Content-Transfer-Encoding: base64\n\n{picture}\n--b--\n"
    ).encode()


def test_the_total_size_of_repeated_pictures_is_limited() -> None:
    mail = picture_mail("<img src='cid:p@x'>" * 20_000, 100_000)
    html = sanitized_html(parse_message(mail))
    assert html is not None
    assert "data:image/png;base64,AAAA" in html
    assert len(html) < PICTURES_LENGTH + 20_000 * 30


def test_pictures_are_inserted_only_for_their_cid() -> None:
    mail = picture_mail("<img src='cid:p@x'><img src=cid:p%40x><p>cid:q", 3)
    html = sanitized_html(parse_message(mail))
    assert html is not None
    assert html.count("data:image/png;base64,AAAA") == 2
    assert "cid:q" in html


def test_a_mail_nested_too_deeply_is_shown_as_one_file() -> None:
    depth = sys.getrecursionlimit()
    for kind in ("multipart/mixed; boundary=b{0}\n\n--b{0}", "message/rfc822\n"):
        nested = "".join(f"Content-Type: {kind.format(n)}\n" for n in range(depth))
        mail = f"Subject: Deep\n{nested}Content-Type: text/plain\n\nHello".encode()
        parsed = parse_message(mail)
        assert parsed.header("Subject") == "Deep"
        assert parsed.too_deep
        assert [part.content for part in parsed.parts] == [mail]
        findings = check(parsed, size_bytes=len(mail), tag=None).findings
        assert any("too deeply" in one.what for one in findings)
