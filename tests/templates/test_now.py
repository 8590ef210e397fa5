"""Rendered at once: files, subject, language and errors."""

from __future__ import annotations

import pytest
from flask import Blueprint, request
from flask_babel import Babel

from flask_outbox import Message, TemplateError, flask_mail
from tests.mail.site import ADA
from tests.servers import JournalSmtp
from tests.templates.stationery import Stationery, said


def test_html_text_and_subject_are_rendered(stationery: Stationery) -> None:
    stationery.write("orders/sent.html", "<p>{{ name }}</p>")
    stationery.write("orders/sent.txt", "{{ name }}")
    stationery.write("orders/sent.subject.txt", "Sent:\n  {{ name }}\n")
    message = stationery.compose("orders/sent", name="<Ada>")
    assert (message.html, message.body) == ("<p>&lt;Ada&gt;</p>", "<Ada>")
    assert (message.subject, message.recipients) == ("Sent: <Ada>", [ADA])
    assert message.template is None


def test_subjects_have_an_order_of_precedence(stationery: Stationery) -> None:
    stationery.write(
        "bill.html", "<title>{% block subject %}A & {{ b }}{% endblock %}</title>"
    )
    message = stationery.compose(b="<B>")
    assert message.subject == "A & <B>"
    assert message.html == "<title>A & &lt;B&gt;</title>"

    stationery.write("bill.txt", "{% block subject %}T{{ b }}{% endblock %}\n\nHello")
    message = stationery.compose(b="<B>")
    assert (message.subject, message.body) == ("T<B>", "Hello")

    stationery.write("bill.subject.txt", "S{{ b }}")
    assert stationery.compose(b="<B>").subject == "S<B>"
    assert stationery.compose(b="<B>", subject="Given").subject == "Given"


def test_a_subject_may_come_from_a_layout(stationery: Stationery) -> None:
    stationery.write(
        "layout.txt",
        "{% block subject %}Shop{% endblock %}{% block main %}{% endblock %}",
    )
    child = "{% extends 'mail/layout.txt' %}{% block main %}Hello{% endblock %}"
    stationery.write("bill.txt", child)
    message = stationery.compose()
    assert (message.subject, message.body) == ("Shop", "Hello")
    stationery.write(
        "bill.txt", child + "{% block subject %}{{ super() }}: a bill{% endblock %}"
    )
    message = stationery.compose()
    assert (message.subject, message.body) == ("Shop: a bill", "Hello")


def test_the_html_of_a_template_follows_amp(stationery: Stationery) -> None:
    stationery.write("bill.html", "<p>Hello</p>")
    stationery.write("bill.txt", "Hello")
    amp = {"x-amp-html": "a", "calendar": "c"}
    message = stationery.compose(subject="Bill", alts=amp)
    assert list(message.alts) == ["x-amp-html", "html", "calendar"]
    later = stationery.compose(subject="Bill", alts=amp, render="later")
    with stationery.site.app.app_context():
        assert later.rendered().alts == message.alts


def test_a_template_without_a_subject_is_an_error(stationery: Stationery) -> None:
    stationery.write("bill.txt", "Hello")
    with pytest.raises(TemplateError, match=r"bill: it has no subject"):
        stationery.compose()


def test_the_apps_filters_globals_and_blueprints_are_available(
    stationery: Stationery,
) -> None:
    app = stationery.site.app
    folder = stationery.write("unused.txt", "").parents[1] / "of-blueprint"
    (folder / "mail").mkdir(parents=True)
    (folder / "mail" / "bill.txt").write_text(
        "{{ name | loud }} {{ shop }} {{ year() }}"
    )
    app.register_blueprint(Blueprint("bills", __name__, template_folder=str(folder)))
    app.add_template_filter(str.upper, "loud")
    app.add_template_global(lambda: 2026, "year")
    app.context_processor(lambda: {"shop": "our shop", "name": "nobody"})
    assert stationery.compose(subject="x", name="Ada").body == "ADA our shop 2026"


def test_names_of_arguments_can_be_passed_in_context(stationery: Stationery) -> None:
    stationery.write("bill.txt", "{{ subject }} {{ name }} {{ sender }}")
    given = {"subject": "s", "sender": "me", "name": "overridden"}
    message = stationery.compose(subject="x", context=given, name="Ada")
    assert (message.body, message.subject, message.sender) == ("s Ada me", "x", None)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("Hello\n{{ nobody.name }}", r"mail/bill\.txt, line 2: 'nobody' is undefined"),
        ("{{ nobody }}", r"line 1: 'nobody' is undefined\. Pass it to from_template"),
        (
            "{{ name | nonsense }}",
            r"mail/bill\.txt, line 1: No filter named 'nonsense'",
        ),
        ("\n\n{{ 1 / 0 }}", r"line 3: ZeroDivisionError: division by zero"),
        ("{% import 'mail/m.txt' as m %}\n{{ m.f() }}", r"mail/m\.txt, line 2: 'x' is"),
    ],
)
def test_an_error_names_the_template_and_the_line(
    stationery: Stationery, text: str, told: str
) -> None:
    stationery.write("m.txt", "{% macro f() %}\n{{ x }}{% endmacro %}")
    stationery.write("bill.txt", text)
    with pytest.raises(TemplateError, match=told) as raised:
        stationery.compose(subject="x", name="Ada")
    assert raised.value.field == "template"


def test_outside_an_app_it_is_an_error(stationery: Stationery) -> None:
    with pytest.raises(TemplateError, match=r"with app\.app_context\(\)"):
        Message.from_template("bill")


@pytest.mark.filterwarnings("ignore:Current server name")
def test_with_server_name_links_are_absolute_without_a_request(
    stationery: Stationery,
) -> None:
    app = stationery.site.app
    app.config.update(PREFERRED_URL_SCHEME="https", APPLICATION_ROOT="/shop")
    app.add_url_rule("/bills/<int:number>", "bill", lambda number: "")
    stationery.write(
        "bill.txt",
        "{{ url_for('bill', number=7, _anchor='a b') }} "
        "{{ url_for('bill', number=8, q='ä', _external=False) }}",
    )
    expected = "https://shop.example.com/shop/bills/7#a%20b /shop/bills/8?q=%C3%A4"
    assert stationery.compose(subject="x").body == expected
    with app.test_request_context("/", base_url="http://evil.example.net"):
        assert Message.from_template("bill", subject="x").body == expected


def test_without_server_name_links_need_a_request(stationery: Stationery) -> None:
    app = stationery.site.app
    app.config["SERVER_NAME"] = None
    app.add_url_rule("/bills", "bills", lambda: "")
    stationery.write("bill.txt", "{{ url_for('bills') }}")
    with pytest.raises(TemplateError, match=r"bill\.txt, line 1: .*set SERVER_NAME"):
        stationery.compose(subject="x")
    with app.test_request_context("/", base_url="http://localhost:5000"):
        message = Message.from_template("bill", subject="x")
    assert message.body == "http://localhost:5000/bills"


def test_files_of_the_locale_are_preferred(stationery: Stationery) -> None:
    stationery.write("bill.txt", "Hello")
    stationery.write("bill.de.txt", "Hallo")
    stationery.write("bill.de_AT.subject.txt", "Servus")
    stationery.write("bill.subject.txt", "Hi")
    bodies = {
        locale: (message.subject, message.body)
        for locale in (None, "de", "de-AT")
        for message in [stationery.compose(locale=locale)]
    }
    assert bodies == {
        None: ("Hi", "Hello"),
        "de": ("Hi", "Hallo"),
        "de-AT": ("Servus", "Hallo"),
    }
    with pytest.raises(TemplateError, match=r"no mail/bill\.fr\.html .* Flask-Babel"):
        stationery.compose(locale="fr")
    with pytest.raises(TemplateError, match="is not a language"):
        stationery.compose(locale="../de")


def test_flask_babel_uses_the_locale(stationery: Stationery) -> None:
    Babel(stationery.site.app, default_locale="en")
    stationery.write("bill.txt", "{{ sum | numberformat }}")
    assert stationery.compose(subject="x", sum=1234.5).body == "1,234.5"
    message = stationery.compose(subject="x", sum=1234.5, locale="de")
    assert message.body == "1.234,5"
    with pytest.raises(TemplateError, match="unknown to Babel"):
        stationery.compose(subject="x", locale="xx")


def test_a_message_rendered_later_keeps_its_requests_language(
    stationery: Stationery, server: JournalSmtp
) -> None:
    Babel(stationery.site.app, locale_selector=lambda: request.args["language"])
    stationery.write("bill.txt", "{{ sum | numberformat }}")
    stationery.write("bill.de.subject.txt", "Rechnung")
    with stationery.site.app.test_request_context("/?language=de"):
        message = stationery.compose(render="later", sum=1234.5)
        receipt = stationery.site.mail.send(message)
    assert message.template is not None
    assert message.template.locale == "de"
    assert stationery.site.settled(receipt).subject == "Rechnung"
    assert said(server.mails[0].content, "plain").strip() == "1.234,5"


def test_a_context_processor_that_needs_a_request_is_an_error_outside_one(
    stationery: Stationery,
) -> None:
    stationery.site.app.context_processor(lambda: {"path": request.path})
    stationery.write("bill.txt", "{{ path }}")
    with pytest.raises(TemplateError, match="RuntimeError: Working outside of request"):
        stationery.compose(subject="x")
    with stationery.site.app.test_request_context("/orders"):
        assert stationery.compose(subject="x").body == "/orders"


def test_flask_mails_message_has_from_template(stationery: Stationery) -> None:
    stationery.write("bill.txt", "{% block subject %}Bill{% endblock %}Hello")
    with stationery.site.app.app_context():
        message = flask_mail.Message.from_template("bill", [ADA])
    assert isinstance(message, flask_mail.Message)
    assert (message.subject, message.body) == ("Bill", "Hello")
