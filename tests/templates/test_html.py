"""HTML for mail programs: its styles, its images, and a text beside it."""

from __future__ import annotations

import sys

import pytest

from flask_outbox import TemplateError
from flask_outbox.templating import html as styles
from tests.servers import JournalSmtp
from tests.templates.stationery import PNG, Stationery, opened, said

STYLED = """<!doctype html>
<html><head>
<link rel="stylesheet" href="{{ url_for('static', filename='mail.css') }}">
<link rel="stylesheet" href="https://fonts.example/font.css">
<style>h1 { color: red } @media (max-width: 600px) { h1 { color: blue } }</style>
</head><body><h1>Bill</h1><p>Hello</p></body></html>
"""


def test_styles_are_inlined(stationery: Stationery) -> None:
    stationery.keep("mail.css", b"p { margin: 0 } h1 { color: green; margin: 1px }")
    stationery.write("bill.html", STYLED)
    html = stationery.compose(subject="x").html
    assert html is not None
    assert '<h1 style="color: red;margin: 1px;">Bill</h1>' in html
    assert '<p style="margin: 0;">Hello</p>' in html
    assert "@media (max-width: 600px)" in html
    assert "static/mail.css" not in html
    assert 'href="https://fonts.example/font.css"' in html


UNSEEN = [
    "a:hover { color: blue; }",
    "a:visited { color: green; }",
    'p::before { content: "x"; }',
    ".ExternalClass { width: 100%; }",
    "u + .body { margin: 9px; }",
    "[data-ogsc] h1 { color: black; }",
    "@font-face{font-family:x}",
    "@supports (display:grid){h1{color:lime}}",
]


def test_rules_that_cannot_be_inlined_stay(stationery: Stationery) -> None:
    rules = "\n".join([*UNSEEN, "h1 { margin: 1px }"])
    stationery.write(
        "bill.html", f"<style>{rules}</style><body class=body><h1>Bill</h1><a>x</a>"
    )
    html = stationery.compose(subject="x").html
    assert html is not None
    assert [rule for rule in UNSEEN if rule not in html] == []
    assert '<h1 style="margin: 1px;">Bill</h1><a>x</a>' in html


@pytest.mark.parametrize("media", ["print", "(max-width: 9px)", "not screen"])
def test_rules_for_other_media_stay(stationery: Stationery, media: str) -> None:
    stationery.keep("mail.css", b"h1 { color: green }")
    stationery.write(
        "bill.html",
        f'<style media="{media}">h1{{color:gray}}</style><style media=screen>'
        f'h1{{margin:1px}}</style><link rel=stylesheet media="{media}" '
        "href=/static/mail.css><h1>Bill</h1>",
    )
    html = stationery.compose(subject="x").html
    assert html is not None
    assert '<h1 style="margin: 1px;">Bill</h1>' in html
    assert f"@media {media} {{h1{{color:gray}}}}" in html
    assert f"@media {media} {{h1 {{ color: green }}}}" in html


def test_comments_are_ignored(stationery: Stationery) -> None:
    comments = (
        "<!-- <link rel=stylesheet href=/static/gone.css> -->"
        "<!--[if mso]><style media=print>h1{color:red}</style><![endif]-->"
        "<![if !mso]><!--><p>x</p><!--<![endif]-->"
    )
    stationery.write(
        "bill.html",
        f"<body>{comments}<style>/* <link> */ h1{{margin:1px}}</style><h1>Bill",
    )
    html = stationery.compose(subject="x").html
    assert html is not None
    assert "<!-- <link rel=stylesheet href=/static/gone.css> -->" in html
    assert "<!--[if mso]><style media=print>h1{color:red}</style><![endif]-->" in html
    assert '<h1 style="margin: 1px;">Bill</h1>' in html


@pytest.mark.parametrize("piece", ["<!--", "<style", "<link ", "<style>", "<"])
def test_unclosed_html_takes_linear_time(stationery: Stationery, piece: str) -> None:
    with stationery.site.app.app_context():
        assert "<h1>" in styles.inlined("<h1>Bill</h1>" + piece * 50_000)


def test_without_server_name_stylesheets_are_found_by_the_request(
    stationery: Stationery,
) -> None:
    app = stationery.site.app
    app.config["SERVER_NAME"] = None
    stationery.keep("mail.css", b"p { margin: 0 }")
    stationery.write("bill.html", STYLED)
    with app.test_request_context("/", base_url="http://localhost:5000/shop"):
        html = stationery.compose(subject="x").html
    assert html is not None
    assert '<p style="margin: 0;">Hello</p>' in html


def test_a_missing_stylesheet_is_an_error(stationery: Stationery) -> None:
    stationery.write("bill.html", STYLED)
    with pytest.raises(TemplateError, match=r"no stylesheet 'mail\.css' in the app's"):
        stationery.compose(subject="x")
    outside = stationery.keep("../secret.css", b"p { color: red }")
    assert outside.exists()
    stationery.write("bill.html", '<link rel=stylesheet href="/static/../secret.css">')
    with pytest.raises(TemplateError, match=r"no stylesheet '\.\./secret\.css'"):
        stationery.compose(subject="x")


def test_html_without_styles_is_unchanged(stationery: Stationery) -> None:
    stationery.write("bill.html", "<p>Hello</p>")
    assert stationery.compose(subject="x").html == "<p>Hello</p>"


def test_a_missing_text_is_made_from_the_html(stationery: Stationery) -> None:
    stationery.write(
        "bill.html",
        "<title>{% block subject %}Bill{% endblock %}</title><style>p{}</style>"
        "<h1>Your bill</h1><p>Hello {{ name }},<br>pay "
        "<a href='{{ link }}'>here</a> or write to "
        "<a href='mailto:a@example.org'>a@example.org</a>.</p>"
        "<ul><li>One</li><li>Two</li></ul>",
    )
    message = stationery.compose(name="<Ada>", link="https://example.org/?a=1&b=2")
    assert message.body == (
        "Your bill\n\nHello <Ada>,\npay [here](https://example.org/?a=1&b=2) or write "
        "to a@example.org.\n\n  * One\n  * Two\n"
    )


def test_each_image_is_attached_once(
    stationery: Stationery, server: JournalSmtp
) -> None:
    stationery.write("bill.html", "")
    (stationery.write("unused", "").parent / "logo.png").write_bytes(PNG)
    stationery.keep("img/dot.gif", b"GIF89a")
    stationery.write(
        "bill.html",
        "{% from 'mail/parts.html' import logo %}{{ logo() }}"
        "<img src=\"{{ mail_image('logo.png') }}\">"
        "<img src=\"{{ mail_image('img/dot.gif') }}\">",
    )
    stationery.write(
        "parts.html",
        "{% macro logo() %}<img src=\"{{ mail_image('logo.png') }}\">{% endmacro %}",
    )
    stationery.site.mail.send_now(stationery.compose(subject="x"))
    (mail,) = server.mails
    images = [one for one in opened(mail.content).walk() if one.get("Content-ID")]
    assert [(one.get_content_type(), one.get_filename()) for one in images] == [
        ("image/png", "logo.png"),
        ("image/gif", "dot.gif"),
    ]
    assert [one.get_content() for one in images] == [PNG, b"GIF89a"]
    html = said(mail.content, "html")
    for image, times in zip(images, (2, 1), strict=True):
        assert html.count(f"cid:{image['Content-ID'].strip('<>')}") == times
    assert {one.get_content_disposition() for one in images} == {"inline"}


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("gone.png", "there is no such file below mail/"),
        ("../secret.png", "there is no such file below mail/"),
        ("/etc/passwd.png", "there is no such file below mail/"),
        ("bill.pdf", "its file name is not that of an image"),
    ],
)
def test_an_invalid_image_is_an_error(
    stationery: Stationery, name: str, told: str
) -> None:
    stationery.keep("../secret.png", PNG)
    (stationery.write("unused", "").parents[1] / "secret.png").write_bytes(PNG)
    stationery.write("bill.html", f"\n{{{{ mail_image('{name}') }}}}")
    with pytest.raises(TemplateError, match=told) as raised:
        stationery.compose(subject="x")
    assert (raised.value.template, raised.value.line) == ("mail/bill.html", 2)


def test_an_image_in_a_text_is_an_error(stationery: Stationery) -> None:
    stationery.write("bill.txt", "{{ mail_image('logo.png') }}")
    with pytest.raises(TemplateError, match="a text or a subject can show no image"):
        stationery.compose(subject="x")


def test_without_the_extras_mail_is_still_sent(
    stationery: Stationery,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    for name in ("css_inline", "inscriptis"):
        monkeypatch.setitem(sys.modules, name, None)
    html = "<style>p { color: red }</style><p>Hello</p>"
    stationery.write("bill.html", html)
    for _ in range(2):
        message = stationery.compose(subject="x")
        assert (message.html, message.body) == (html, None)
    texts = [one.getMessage() for one in caplog.records]
    assert len(texts) == 2
    assert "bill has no .txt" in texts[0]
    assert 'pip install "flask-outbox[text]"' in texts[0]
    assert 'pip install "flask-outbox[css]"' in texts[1]
