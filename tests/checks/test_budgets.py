"""Budgets: what a mail may come to when somebody looks at it."""

from __future__ import annotations

import base64
import sys

from flask_outbox.checks import check
from flask_outbox.dashboard.inert import PICTURES_LENGTH, inert_html
from flask_outbox.opened import open_message


def picture_mail(html: str, size: int) -> bytes:
    picture = base64.encodebytes(bytes(size)).decode()
    return (
        "Content-Type: multipart/related; boundary=b\n\n"
        f"--b\nContent-Type: text/html\n\n{html}\n"
        f"--b\nContent-Type: image/png\nContent-ID: <p@x>\n"
        f"Content-Transfer-Encoding: base64\n\n{picture}\n--b--\n"
    ).encode()


def test_a_picture_is_not_written_again_and_again() -> None:
    mail = picture_mail("<img src='cid:p@x'>" * 20_000, 100_000)
    html = inert_html(open_message(mail))
    assert html is not None
    assert "data:image/png;base64,AAAA" in html
    assert len(html) < PICTURES_LENGTH + 20_000 * 30


def test_a_picture_is_shown_where_it_is_asked_for() -> None:
    mail = picture_mail("<img src='cid:p@x'><img src=cid:p%40x><p>cid:q", 3)
    html = inert_html(open_message(mail))
    assert html is not None
    assert html.count("data:image/png;base64,AAAA") == 2
    assert "cid:q" in html


def test_a_mail_that_is_nested_too_deeply_is_shown_as_one_file() -> None:
    depth = sys.getrecursionlimit()
    for kind in ("multipart/mixed; boundary=b{0}\n\n--b{0}", "message/rfc822\n"):
        nested = "".join(f"Content-Type: {kind.format(n)}\n" for n in range(depth))
        mail = f"Subject: Deep\n{nested}Content-Type: text/plain\n\nHello".encode()
        opened = open_message(mail)
        assert opened.header("Subject") == "Deep"
        assert opened.too_deep
        assert [part.content for part in opened.parts] == [mail]
        findings = check(opened, size_bytes=len(mail), tag=None).findings
        assert any("too deeply" in one.what for one in findings)
