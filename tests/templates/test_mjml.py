"""Templates in MJML: Jinja first, then MJML, at every place where mail is rendered."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from flask_outbox import ConfigError, Message, State, TemplateError
from flask_outbox.checks import check
from flask_outbox.mime.parse import parse_message
from tests.mail.conftest import MakeSite
from tests.mail.site import ADA
from tests.servers import JournalSmtp
from tests.templates.stationery import PNG, Stationery, opened, said

HEAD = """<mjml lang="en">
  <mj-head>
    <mj-title>{% block subject %}Bill, {{ name }}{% endblock %}</mj-title>
  </mj-head>
  <mj-body>
    <mj-section>
      <mj-column>
"""
END = """
      </mj-column>
    </mj-section>
  </mj-body>
</mjml>
"""
BILL = f"""{HEAD}
        {{% include "mail/greeting.mjml" %}}
        <mj-text>You have {{{{ sum | round(1) }}}} coins to pay</mj-text>
        <mj-button href="{{{{ link }}}}">Pay now</mj-button>{END}"""
GREETING = "<mj-text>Hello {{ name }}</mj-text>"
IMAGE = '<mj-image src="{{ mail_image(\'a.png\') }}" alt="" />'
GIVEN: dict[str, Any] = {
    "name": "Ada",
    "sum": 7.77,
    "link": "https://shop.example.com/pay?a=1&b=2",
}


@pytest.fixture
def desk(stationery: Stationery) -> Stationery:
    """A desk with a bill in MJML."""
    stationery.write("bill.mjml", BILL)
    stationery.write("greeting.mjml", GREETING)
    return stationery


def html_of(message: Message) -> str:
    assert message.html is not None
    return message.html


def test_jinja_is_rendered_and_mjml_compiled(
    desk: Stationery, caplog: pytest.LogCaptureFixture
) -> None:
    message = desk.compose("bill", **GIVEN)
    html = html_of(message)
    assert message.subject == "Bill, Ada"
    assert html.lower().startswith("<!doctype html>")
    assert "<mj" not in html
    assert "Hello Ada" in html
    assert "You have 7.8 coins" in html
    assert 'href="https://shop.example.com/pay?a=1&amp;b=2"' in html
    assert "fonts.googleapis.com" not in html
    assert message.body is not None
    assert "[Pay now](https://shop.example.com/pay?a=1&b=2)" in message.body
    assert caplog.records == []  # MJML leaves no style to inline


def test_values_are_escaped(desk: Stationery) -> None:
    evil = "</mj-text><mj-raw><img src=x onerror='1'>\x00\x0b&\" -->"
    message = desk.compose("bill", **{**GIVEN, "name": evil, "link": evil})
    html = html_of(message)
    assert "<img" not in html
    assert 'onerror="' not in html
    assert "Hello &lt;/mj-text&gt;&lt;mj-raw&gt;&lt;img src=x onerror=" in html
    assert message.subject == " ".join(f"Bill, {evil}".split())


def test_images_are_attached(desk: Stationery, server: JournalSmtp) -> None:
    desk.write("bill.mjml", f"{HEAD}{IMAGE}{END}")
    desk.keep("a.png", PNG)
    desk.site.mail.send_now(desk.compose("bill", name="Ada"))
    (mail,) = server.mails
    ids = [one["Content-ID"] for one in opened(mail.content).walk()]
    (content_id,) = filter(None, ids)
    assert f'src="cid:{content_id.strip("<>")}"' in said(mail.content, "html")


def test_html_comes_before_mjml_of_the_same_language(desk: Stationery) -> None:
    desk.write("bill.de.mjml", BILL.replace("Pay now", "Jetzt zahlen"))
    desk.write("bill.html", "<title>{% block subject %}Bill{% endblock %}</title>")
    assert html_of(desk.compose("bill", **GIVEN)).startswith("<title>")
    assert "Jetzt zahlen" in html_of(desk.compose("bill", locale="de_AT", **GIVEN))


def test_a_courier_renders_it_and_the_checks_find_nothing(
    desk: Stationery, server: JournalSmtp
) -> None:
    message = desk.compose("bill", render="later", **GIVEN)
    receipt = desk.site.mail.send(message)
    assert desk.site.settled(receipt).state is State.SENT
    (mail,) = server.mails
    now = html_of(desk.compose("bill", **GIVEN))
    assert said(mail.content, "html").splitlines() == now.splitlines()
    parsed = parse_message(mail.content)
    assert check(parsed, size_bytes=len(mail.content)).findings == ()


def test_a_preview_shows_it(make_site: MakeSite, tmp_path: Path) -> None:
    site = make_site(MAIL_URL="inbox://", OUTBOX_DASHBOARD="local", DEBUG=True)
    desk = Stationery(site, tmp_path)
    desk.write("bill.mjml", BILL)
    desk.write("greeting.mjml", GREETING)
    site.mail.preview("bill")(lambda: Message.from_template("bill", [ADA], **GIVEN))
    page = site.app.test_client().get("/outbox/previews/bill/html")
    assert "Hello Ada</div>" in page.get_data(as_text=True)


MISTAKES = {
    "<mj-text>Hello": (r"</mj-column> cannot close <mj-text>, which is", 9),
    "<mj-text><b>Hello</mj-text>": (
        r"</mj-text> cannot close <b>, which is still open",
        8,
    ),
    "<mj-txt>Hello</mj-txt>": (r"<mj-txt> is unknown, or may not stand where", 8),
    "<mj-class>Hello</mj-class>": (r"<mj-class> is unknown, or may not stand", 8),
    "<mj-text>1 < 2</mj-text>": (r"a '<' begins no tag: write &lt;", 8),
    "<mj-text><a href=x>Hello</a></mj-text>": (r"<a> has an attribute whose value", 8),
    "</mj-column></mj-section></mj-body></mjml>": (r"</mj-column> closes nothing", 9),
    "<mj-include path='/etc/hostname' />": (r"<mj-include> reads no files here", 8),
    "\n<mj-raw>" + "<b>" * 101: (r"nested more than 100 deep", 9),
    "\n<mj-raw><style>" + "<b>" * 20_000: (r"nested more than 100 deep", 9),
}
"""What stands on the eighth line of a template: the problem and its line."""


def test_a_mistake_is_an_error_with_its_place(
    stationery: Stationery, subtests: pytest.Subtests
) -> None:
    for text, (problem, line) in MISTAKES.items():
        with subtests.test(text[:40]):
            stationery.write("bill.mjml", f"{HEAD}{text}{END}")
            with pytest.raises(TemplateError, match=problem) as raised:
                stationery.compose("bill", name="Ada")
            place = (raised.value.template, raised.value.line)
            assert place == ("mail/bill.mjml", line), str(raised.value)


def test_a_mistake_of_another_kind_names_the_template(stationery: Stationery) -> None:
    for text, problem in {
        "<p>Hello</p>": "unexpected token",
        "": "unable to find mjml element",
        "Hello": "there is text outside of <mjml>",
        "<mjml><mj-head><mj-text></mj-text></mj-head></mjml>": "unexpected element",
    }.items():
        stationery.write("bill.mjml", text)
        with pytest.raises(TemplateError, match=problem) as raised:
            stationery.compose("bill", subject="Bill")
        assert raised.value.template == "mail/bill.mjml"


def test_a_mistake_may_be_in_an_included_file(desk: Stationery) -> None:
    desk.write("greeting.mjml", "\n<mj-text>Hello\n</mj-txt>")
    with pytest.raises(TemplateError) as raised:
        desk.compose("bill", **GIVEN)
    assert (raised.value.template, raised.value.line) == ("mail/greeting.mjml", 3)


def test_a_mistake_on_a_line_with_a_value_shows_what_became_of_it(
    desk: Stationery,
) -> None:
    desk.write("greeting.mjml", "<mj-text><b>Hello {{ name }}</mj-text>")
    with pytest.raises(TemplateError) as raised:
        desk.compose("bill", **GIVEN)
    assert (raised.value.template, raised.value.line) == ("mail/bill.mjml", None)
    told = "It is line 9 of what Jinja made: '<mj-text><b>Hello Ada</mj-text>'."
    assert told in str(raised.value)


def test_a_mistake_fails_the_message_with_its_place(desk: Stationery) -> None:
    desk.write("greeting.mjml", "<mj-text>Hello\n</mj-txt>")
    receipt = desk.site.mail.send(desk.compose("bill", render="later", **GIVEN))
    record = desk.site.settled(receipt)
    assert record.state is State.FAILED
    assert "mail/greeting.mjml, line 2: </mj-txt> cannot" in str(record.recipients)


def test_equal_sources_are_compiled_once(
    desk: Stationery, monkeypatch: pytest.MonkeyPatch
) -> None:
    html = html_of(desk.compose("bill", **GIVEN))
    monkeypatch.setattr(sys.modules["mrml"], "to_html", None)
    assert html_of(desk.compose("bill", **GIVEN)) == html


def test_without_mrml_the_extra_is_named(
    desk: Stationery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "mrml", None)
    for render in ("now", "later"):
        with pytest.raises(ConfigError, match=r'pip install "flask-outbox\[mjml\]"'):
            desk.compose("bill", render=render, **GIVEN)
