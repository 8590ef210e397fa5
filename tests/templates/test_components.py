"""The layout and the components that templates may use."""

from __future__ import annotations

import sys

import pytest

from flask_outbox import Message, TemplateError
from flask_outbox.checks import check
from flask_outbox.mime.parse import parse_message
from tests.templates.stationery import NEWS, Stationery

FRAME = '{% extends "outbox/mail/layout.html" %}'
CONTENT = "{% block content %}Hello{% endblock %}"


@pytest.fixture
def news(stationery: Stationery) -> Stationery:
    """The mail of the documentation."""
    stationery.write_example()
    return stationery


def html_of(message: Message) -> str:
    assert message.html is not None
    return message.html


def test_the_checks_find_nothing(
    news: Stationery,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setitem(sys.modules, "css_inline", None)
    message = news.compose("news", **NEWS)
    assert caplog.records == []  # nothing waits to be inlined
    assert message.subject == "A new kettle, Ada"
    news.site.app.config["MAIL_URL"] = "inbox://"
    receipt = news.site.mail.send(message, delay=60.0)
    content = news.site.outbox.content(receipt.id)
    assert content is not None
    checked = check(parse_message(content), size_bytes=len(content))
    assert checked.findings == ()
    targets = [NEWS["url"], "mailto:shop@example.com", NEWS["unsubscribe_url"]]
    assert [link.target for link in checked.links] == targets


def test_values_are_escaped(news: Stationery) -> None:
    evil = '"><img src=x onerror="a">'
    given = dict.fromkeys(NEWS, f"https://a.example/{evil}")
    html = html_of(news.compose("news", **given))
    assert "<img" not in html
    assert 'href="https://a.example/&#34;&gt;&lt;img' in html


def test_styles_beside_the_layout_are_still_inlined(stationery: Stationery) -> None:
    stationery.write(
        "bill.html",
        FRAME + "{% block content %}<style>b { color: red }</style><b>Hello</b>"
        "{% endblock %}",
    )
    html = html_of(stationery.compose(subject="x"))
    assert '<b style="color: red;">' in html
    assert ".mail-muted { color: #d1d5db !important; }" in html


def test_a_footer_links_only_where_one_can_unsubscribe(
    stationery: Stationery,
) -> None:
    footer = (
        '{% from "outbox/mail/components.html" import footer %}'
        "{% block footer %}{{ footer('The shop', link, 'Stop') }}{% endblock %}"
    )
    stationery.write("bill.html", FRAME + footer + CONTENT)
    assert "<a " not in html_of(stationery.compose(subject="x", link=None))
    html = html_of(stationery.compose(subject="x", link="https://a.example/"))
    assert 'href="https://a.example/"' in html
    assert ">Stop</a>" in html


def test_what_is_missing_is_an_error(stationery: Stationery) -> None:
    stationery.write("bill.html", FRAME + CONTENT)
    with pytest.raises(TemplateError, match=r"bill: it has no subject"):
        stationery.compose()
    stationery.write("bill.html", FRAME)
    with pytest.raises(TemplateError, match=r"Required block 'content' not found"):
        stationery.compose(subject="x")


def test_an_app_may_have_a_layout_of_its_own(stationery: Stationery) -> None:
    stationery.write("bill.html", FRAME + CONTENT)
    before = stationery.compose(subject="x", render="later")
    stationery.write(
        "../outbox/mail/layout.html", "<b>{% block content %}{% endblock %}</b>"
    )
    with stationery.site.app.app_context():
        assert before.rendered().html == "<b>Hello</b>"
