"""Hints for what some mail clients leave out, and silence about what all show."""

from __future__ import annotations

from pathlib import Path

import pytest

from flask_outbox import Message
from flask_outbox.checks import Finding, Severity, check
from flask_outbox.checks.clients import ELEMENTS, IMAGES, STYLES
from flask_outbox.mime import compose
from flask_outbox.mime.parse import parse_message

DOCS = Path(__file__).parents[2] / "docs" / "inbox.rst"
TEXT = "Your order of seven brass kettles leaves our warehouse on Thursday."


def findings(html: str, **image: str) -> list[Finding]:
    """What the checks say of a mail with this HTML, and with an inline image."""
    message = Message(
        "Your kettles", ["ada@example.org"], TEXT, html=html, sender="shop@example.com"
    )
    if image:
        message.attach(image["name"], image["kind"], b"image", content_id="logo")
    content = compose(message).content
    return list(check(parse_message(content), size_bytes=len(content)).findings)


def hints(html: str, **image: str) -> list[str]:
    return [one.what for one in findings(f"<p>{TEXT}</p>{html}", **image)]


HINTS = {
    '<div style="display:flex">x</div>': "leaves out display: flex (tested 2021-11)",
    '<p style="DISPLAY : inline-flex">x': "classic Outlook for Windows leaves out",
    "<style>.a { display: grid }</style>": "display: grid (tested 2019-02)",
    "<style>@media x { p { position:\n fixed } }</style>": "position: absolute, fixed",
    '<p style="background: red url(x.png)">x': "background images",
    '<p style="background-image:url(x.png)">x': "background images",
    '<p style="background:linear-gradient(red, blue)">x': "linear-gradient()",
    "<style>@font-face { font-family: x }</style>": "fonts of your own (@font-face)",
    '<p style="color: var(--ink)">x': "CSS variables",
    "<style>@-webkit-keyframes a {}</style>": "animations (@keyframes)",
    "<video></video>": "out <video> (tested 2019-09)",
    "<SVG></SVG>": "Outlook.com and Yahoo Mail leave out <svg> (tested 2020-02)",
}


def test_what_some_clients_leave_out_is_a_hint(subtests: pytest.Subtests) -> None:
    for html, told in HINTS.items():
        with subtests.test(html):
            (finding,) = findings(f"<p>{TEXT}</p>{html}")
            assert told in finding.what
            assert finding.severity is Severity.ADVICE
            assert finding.todo


def test_each_feature_is_told_once() -> None:
    twice = '<style>p { display: flex }</style><p style="display:flex">x'
    assert len(hints(twice)) == 1


def test_images_are_known_by_their_address_or_their_type() -> None:
    image = '<img src="{}" alt="">'
    for address in ("https://a.example/Logo.WEBP?v=1#x", "https://a.example/a%20.webp"):
        assert any("images in WebP" in one for one in hints(image.format(address)))
    logo = image.format("cid:logo")
    assert "images in WebP" in hints(logo, name="x", kind="image/webp")[0]
    assert "images in AVIF" in hints(logo, name="x.png", kind="image/avif")[0]
    assert hints(logo, name="x.png", kind="image/png") == []


@pytest.mark.parametrize(
    "html",
    [
        "<p>display: flex and @font-face, var(--x) as words</p>",
        '<p style="position: relative; display: inline-block; background: red">x',
        "<style>/* display: grid */ p { color: red } /* @keyframes</style>",
        '<!-- <video> --><p style="">x',
        '<table style="max-width:600px;border-radius:6px"><tr><td>x</table>',
        "<!--[if mso]><style>p { position: absolute }</style><![endif]-->",
    ],
)
def test_there_is_no_hint_for_what_all_show(html: str) -> None:
    assert hints(html) == []


def test_the_documentation_has_each_feature() -> None:
    table = DOCS.read_text().partition(".. _clients:")[2].replace("``", "")
    for feature in (*STYLES.values(), *ELEMENTS.values(), *IMAGES.values()):
        clients = ", ".join(feature.clients)
        assert (
            f"* - {feature.name}\n     - {clients}\n     - {feature.tested}\n" in table
        )
