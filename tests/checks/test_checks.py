"""What the checks find in a message, and that they are silent about a good one."""

from __future__ import annotations

from typing import Any

import pytest

from flask_outbox import Message
from flask_outbox.checks import Checked, Severity, check
from flask_outbox.mime import compose
from flask_outbox.mime.parse import parse_message

WORDS = "Your order of seven brass kettles leaves our harbour warehouse on Thursday."
PAGE = f"<html><head><title>Shop</title></head><body><p>{WORDS}</p>%s</body></html>"
PIXEL = b"\x89PNG\r\n\x1a\n"


def checked(*, tag: str | None = None, **fields: Any) -> Checked:
    """The checks of a good message in which these fields are others."""
    message = Message(
        **{
            "subject": "Your kettles",
            "sender": "shop@example.com",
            "recipients": ["ada@example.org"],
            "body": WORDS,
            **fields,
        }
    )
    content = compose(message).content
    return check(parse_message(content), size_bytes=len(content), tag=tag)


def with_html(rest: str, **fields: Any) -> Checked:
    return checked(html=PAGE % rest, **fields)


def said(checked: Checked) -> list[tuple[str, str]]:
    return [(str(one.severity), one.what) for one in checked.findings]


GOOD = [
    checked(),
    checked(html=PAGE % ""),
    with_html('<a href="https://shop.example/orders/7">Your order</a>'),
    with_html('<a href="https://shop.example/7">shop.example</a>'),
    with_html('<a href="https://click.shop.example/7">https://shop.example/7</a>'),
    with_html('<a href="http://localhost:5000/7">Your order</a>'),
    with_html('<a href="mailto:shop@example.com">Write to us</a>'),
    with_html('<a href="tel:+4912345">Call us</a><a href="shopapp://7">App</a>'),
    with_html('<a name="top">Top</a><a href="#top">Back to the top</a>'),
    with_html("<style>p {color: red}</style><style>.a{b}</style>"),
    checked(body=f"{WORDS} None of them is broken. A set {{1, 2}} and 100 % off."),
    checked(recipients=[f"u{n}@example.org" for n in range(9)]),
    checked(tag="order-confirmation"),
    checked(sender="no-reply@example.com", reply_to="help@example.com"),
]


def test_a_good_message_has_no_findings(subtests: pytest.Subtests) -> None:
    for number, good in enumerate(GOOD):
        with subtests.test(number=number):
            assert said(good) == []


BROKEN, WARNING, ADVICE = "broken", "warning", "advice"


BAD = [
    (checked(subject=""), BROKEN, "no subject"),
    (checked(subject="x" * 71), ADVICE, "subject is 71 characters"),
    (checked(subject="Hello {{ name }}"), BROKEN, "subject has an unfilled"),
    (checked(body=" "), BROKEN, "mail is empty"),
    (checked(body=None, html=PAGE % ""), WARNING, "no text part"),
    (checked(body="See the HTML.", html=PAGE % ""), WARNING, "lacks much of"),
    (
        checked(body=WORDS, html="<p>Your order</p>"),
        WARNING,
        "HTML lacks much of the text",
    ),
    (checked(body=f"<p>{WORDS}</p>"), BROKEN, "text part contains HTML"),
    (checked(body=WORDS + " {{ total }}"), BROKEN, "placeholder"),
    (checked(body=WORDS + " {% if x %}"), BROKEN, "placeholder"),
    (checked(body="Dear {name},\n" + WORDS), BROKEN, "placeholder"),
    (checked(body="Dear %(name)s,\n" + WORDS), BROKEN, "placeholder"),
    (checked(body="Dear ${name},\n" + WORDS), BROKEN, "placeholder"),
    (checked(body="Dear None,\n" + WORDS), BROKEN, "Dear None"),
    (checked(body="Hello, None!\n" + WORDS), BROKEN, "Hello, None"),
    (checked(body=f"{WORDS} <app.Order object at 0x7f>"), BROKEN, "<app.Order"),
    (checked(body=f"{WORDS} It&#39;s here"), BROKEN, "escaped twice: &#39;"),
    (with_html("<p>It&amp;#39;s here</p>"), BROKEN, "escaped twice: &#39;"),
    (with_html("<p>{{ total }}</p>"), BROKEN, "The HTML has an unfilled"),
    (with_html("x" * 110_000), WARNING, "Gmail clips a mail at 102"),
    (with_html("<script>let x</script>"), WARNING, "<script> has no effect"),
    (with_html("<form><input></form>"), WARNING, "<form> has no effect"),
    (with_html('<link rel="StyleSheet" href="x">'), WARNING, "style sheet is ext"),
    (checked(html="<p></p>"), BROKEN, "HTML shows nothing"),
    (
        checked(html='<img src="https://cdn.example/a.png" alt="">'),
        WARNING,
        "only images",
    ),
    (with_html('<a href="">Your order</a>'), BROKEN, "'Your order' has no address"),
    (with_html('<a href="#">Your order</a>'), BROKEN, "has no address"),
    (with_html('<a href="/orders/7">Order</a>'), BROKEN, "does not begin with"),
    (with_html('<a href="//shop.example">Order</a>'), BROKEN, "does not begin"),
    (with_html('<a href="shop.example/7">Order</a>'), BROKEN, "does not begin"),
    (with_html('<a href="shop.example:80/">Order</a>'), BROKEN, "does not begin"),
    (with_html('<a href="localhost:5000/7">Order</a>'), BROKEN, "does not begin"),
    (with_html('<a href="https://[::1/">Order</a>'), BROKEN, "not a valid"),
    (with_html('<a href="https://x:y/">Order</a>'), BROKEN, "not a valid"),
    (with_html('<a href="https:///7">Order</a>'), BROKEN, "not a valid"),
    (with_html('<a href="https://x.example/a b">O</a>'), BROKEN, "not a valid"),
    (with_html('<a href="https://x.example/{{ id }}">O</a>'), BROKEN, "{{ id }}"),
    (with_html('<a href="https://x.example/%7Bid%7D">O</a>'), BROKEN, "{id}"),
    (with_html('<a href="https://x.example/o/None">O</a>'), BROKEN, "/None"),
    (with_html('<a href="https://x.example/?id=None">O</a>'), BROKEN, "=None"),
    (with_html('<a href="javascript:x()">Order</a>'), BROKEN, "javascript: link"),
    (with_html('<a href="mailto:">Write</a>'), BROKEN, "has no recipient"),
    (with_html('<a href="http://x.example">Order</a>'), ADVICE, "http://"),
    (
        with_html('<a href="https://evil.example/">https://bank.example/</a>'),
        WARNING,
        "shows one address and leads to another: evil.example",
    ),
    (checked(body=f"{WORDS} http://x.example/7."), ADVICE, "http://"),
    (with_html('<img alt="Logo">'), BROKEN, "image has no source"),
    (with_html('<img src="/static/a.png" alt="">'), BROKEN, "cannot be found"),
    (with_html('<img src="cid:logo" alt="">'), BROKEN, "not attached"),
    (with_html('<img src="{{ logo }}" alt="">'), BROKEN, "{{ logo }}"),
    (with_html('<img src="data:image/png;base64," alt="">'), WARNING, "(data:)"),
    (
        with_html('<img src="cid:logo"><img src="cid:logo">'),
        WARNING,
        "2 images without alt",
    ),
    (
        with_html('<img src="https://cdn.example/a.png" alt="A">'),
        ADVICE,
        "1 image from cdn.example",
    ),
    (
        checked(recipients=[f"u{n}@example.org" for n in range(10)]),
        WARNING,
        "10 people see each other's addresses",
    ),
    (checked(tag="newsletter-may"), BROKEN, "without List-Unsubscribe"),
    (checked(extra_headers={"Precedence": "bulk"}), BROKEN, "List-Unsubscribe"),
    (checked(extra_headers={"List-Id": "<a.example>"}), BROKEN, "List-Unsubscribe"),
    (
        checked(extra_headers={"List-Unsubscribe": "<mailto:a@example.com>"}),
        WARNING,
        "has no https:// address",
    ),
    (
        checked(extra_headers={"List-Unsubscribe": "<https://shop.example/u>"}),
        WARNING,
        "does not allow one click",
    ),
    (checked(sender="noreply@example.com"), ADVICE, "nobody reads them"),
]


def test_each_problem_is_found_and_says_what_to_do(subtests: pytest.Subtests) -> None:
    for found, severity, words in BAD:
        with subtests.test(words=words):
            matching = [one for one in found.findings if words in one.what]
            assert [str(one.severity) for one in matching] == [severity], said(found)
            assert all(one.todo.endswith(".") for one in matching)


def test_each_problem_is_found_once_the_worst_first() -> None:
    found = with_html(
        '<a href="http://x.example">A</a><a href="http://x.example">A</a>'
        '<img src="https://cdn.example/a.png"><a href="">B</a>'
    )
    assert [one.severity for one in found.findings] == [
        Severity.BROKEN,
        Severity.WARNING,
        Severity.ADVICE,
        Severity.ADVICE,
    ]
    assert found.count(Severity.ADVICE) == 2


def test_bulk_mail_with_one_click_unsubscribe_has_no_findings() -> None:
    headers = {
        "Precedence": "bulk",
        "List-Unsubscribe": "<mailto:leave@example.com>, <https://shop.example/u/7>",
        "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
    }
    assert said(checked(extra_headers=headers)) == []


def test_an_inline_image_that_is_attached_is_found() -> None:
    message = Message(
        "Your kettles",
        recipients=["ada@example.org"],
        sender="shop@example.com",
        body=WORDS,
        html=PAGE % '<img src="cid:logo" alt="Shop">',
    )
    message.attach("logo.png", "image/png", PIXEL, content_id="logo")
    content = compose(message).content
    assert said(check(parse_message(content), size_bytes=len(content))) == []


def test_a_message_too_large_for_most_servers_is_found() -> None:
    content = b"Subject: Kettles\r\n\r\n" + WORDS.encode()
    found = check(parse_message(content), size_bytes=30 * 1024 * 1024)
    assert said(found) == [
        (BROKEN, "It is 30 MB: Gmail accepts 25 MB, many others less.")
    ]


def test_links_are_listed_with_their_texts() -> None:
    found = with_html(
        '<a href="https://shop.example/7">Your <b>order</b></a>'
        '<a href="https://shop.example/"><img src="cid:x" alt="Shop"></a>'
        '<a href="/left">Left <p>open',
        body=f"{WORDS} https://shop.example/7, (https://other.example/a?b=c).",
    )
    assert [(link.text, link.target) for link in found.links] == [
        ("Your order", "https://shop.example/7"),
        ("Shop", "https://shop.example/"),
        ("Left open", "/left"),
        ("", "https://other.example/a?b=c"),
    ]
    assert [link.finding is not None for link in found.links] == [
        False,
        False,
        True,
        False,
    ]
