"""Previews: messages built to be looked at, each time anew, and never sent."""

from __future__ import annotations

import html
import os
import re
import secrets
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from flask import g, has_request_context, render_template, request, url_for
from flask_babel import Babel, format_decimal, get_locale

from flask_outbox import ConfigError, Mail, Message
from tests.browser import WAIT_MS, chromium, serious_findings
from tests.dashboard.conftest import OpenShop
from tests.dashboard.shop import Shop
from tests.process_models.kinds import PLAIN_FLASK
from tests.processes.running import ROOT
from tests.servers.ports import free_port
from tests.waiting import eventually

if TYPE_CHECKING:
    from playwright.sync_api import Browser


def hello(text: str = "Hello Ada") -> Message:
    return Message("Hello", ["ada@example.org"], text)


def text_of(page: str) -> str:
    return " ".join(html.unescape(re.sub("<[^>]+>", " ", page)).split())


def said(shop: Shop, path: str) -> str:
    """The text of the preview there."""
    found = re.search(r"<pre[^>]*>(.*)</pre>", shop.page(path), re.DOTALL)
    assert found
    return html.unescape(found[1]).strip()


def test_previews_are_listed_with_their_descriptions(shop: Shop) -> None:
    assert "Put @mail.preview over a function" in text_of(shop.page("/previews"))
    assert ">Previews</a></li>" not in shop.page("/")

    @shop.mail.preview
    def welcome() -> Message:
        """What a new customer gets first.

        And more.
        """
        return hello()

    shop.mail.preview("Order, sent")(hello)
    page = text_of(shop.page("/previews"))
    assert page.index("Order, sent") < page.index("welcome")
    assert "What a new customer gets first." in page
    assert "And more." not in page
    assert f"test_previews.py:{welcome.__code__.co_firstlineno}" in page
    assert ">Previews</a></li>" in shop.page("/")
    assert text_of(shop.page("/previews/Order%2C%20sent")).count("Order, sent")
    assert shop.ask("/previews/nothing").status_code == 404


def test_a_preview_is_built_at_each_request_and_never_sent(shop: Shop) -> None:
    built = []

    @shop.mail.preview
    def welcome() -> Message:
        built.append(1)
        message = hello(f"Hello number {len(built)}")
        message.alts["html"] = "<p>Hello</p>"
        message.attach("a.txt", "text/plain", "attached")
        return message

    assert said(shop, "/previews/welcome?view=text") == "Hello number 1"
    assert said(shop, "/previews/welcome?view=text") == "Hello number 2"
    assert shop.ask("/previews/welcome/html").text.startswith("<p>Hello</p>")
    assert "Hello number 4" in shop.ask("/previews/welcome/source").text
    file = shop.ask("/previews/welcome/message.eml")
    assert "welcome.eml" in file.headers["Content-Disposition"]
    (part,) = re.findall(
        r'"/outbox(/previews/[^"]+/parts/\d+)"', shop.page("/previews/welcome")
    )
    assert shop.ask(part).text == "attached"
    assert shop.ask("/previews/welcome/parts/99").status_code == 404
    assert shop.status().counts == dict.fromkeys(shop.status().counts, 0)


def test_a_preview_has_its_own_app_and_request_context(
    shop: Shop,
) -> None:
    shop.app.add_url_rule("/orders/<int:number>", "order", str)
    ended = []
    shop.app.teardown_appcontext(lambda _: ended.append(g.pop("mine", None)))

    @shop.mail.preview
    def order() -> Message:
        assert has_request_context()
        assert request.path == "/"
        assert "mine" not in g
        g.mine = "left over"
        return hello(
            f"{url_for('order', number=7)} {url_for('order', number=7, _external=True)}"
        )

    for _ in range(2):
        words = said(shop, "/previews/order?view=text")
        assert words == "/orders/7 http://localhost/orders/7"
    assert ended == ["left over", None, "left over", None]


def test_values_of_parameters_can_be_chosen(shop: Shop) -> None:
    @shop.mail.preview
    def order(name: str, count: int = 7, price=4.5, gift: bool = False) -> Message:
        assert isinstance(gift, bool)
        message = hello(f"{name}: {count + 1} × {price * 2} {gift}")
        message.html = f"<p>{name}</p>"
        return message

    page = text_of(shop.page("/previews/order"))
    assert "missing 1 required positional argument: 'name'" in page
    for path, words in {
        "?arg.name=Ada&view=text": "Ada: 8 × 9.0 False",
        "?arg.name=Bo&arg.count=1&arg.price=2&arg.gift=1&view=text": "Bo: 2 × 4.0 True",
        "?arg.name=Ada&arg.count=&arg.gift=no&view=text": "Ada: 8 × 9.0 False",
    }.items():
        assert said(shop, f"/previews/order{path}") == words
    assert "invalid literal for int()" in shop.page(
        "/previews/order?arg.name=A&arg.count=x"
    )
    asked = shop.page("/previews/order?arg.name=Ada")
    assert 'name="arg.name" value="Ada"' in asked
    assert 'placeholder="7"' in asked
    (frame,) = re.findall(r'<iframe src="/outbox([^"]+)"', asked)
    assert "Ada" in shop.ask(html.unescape(frame)).text


def test_any_locale_can_be_chosen(shop: Shop, tmp_path: Path) -> None:
    for language in ("de", "fr"):
        folder = tmp_path / "translations" / language / "LC_MESSAGES"
        folder.mkdir(parents=True)
        (folder / "messages.mo").touch()
    shop.app.config["BABEL_TRANSLATION_DIRECTORIES"] = str(tmp_path / "translations")
    Babel(shop.app, locale_selector=lambda: "en")

    @shop.mail.preview
    def order() -> Message:
        return hello(f"{get_locale()} {format_decimal(1234.5)}")

    @shop.mail.preview
    def taken(locale: str = "xx") -> Message:
        return hello(f"{locale} {get_locale()}")

    assert said(shop, "/previews/order?view=text") == "en 1,234.5"
    assert said(shop, "/previews/order?view=text&locale=de") == "de 1.234,5"
    assert said(shop, "/previews/taken?view=text&locale=fr") == "fr fr"
    page = shop.page("/previews/order?locale=pt_BR")
    assert re.findall(r"<option[^>]*>([^<]+)</option>", page) == [
        "as in a request",
        "de",
        "en",
        "fr",
        "pt_BR",
    ]
    assert "nonsense" in text_of(shop.page("/previews/order?locale=nonsense"))


def test_a_failing_preview_shows_its_error_and_affects_no_other(shop: Shop) -> None:
    @shop.mail.preview
    def broken() -> Message:
        return hello(str(1 / 0))

    @shop.mail.preview
    def nobody() -> Message:
        return Message("Hello", [], "<script>alert(1)</script>")

    @shop.mail.preview
    def nothing() -> Message:
        return render_template("missing.html")  # type: ignore[return-value]

    shop.mail.preview("good")(hello)
    page = shop.page("/previews/broken")
    assert "ZeroDivisionError: division by zero" in page
    assert "return hello(str(1 / 0))" in page
    assert "previews.py&#34;" not in page.replace("test_previews.py", "")
    assert "It could not be built" in page
    assert "recipients" in text_of(shop.page("/previews/nobody"))
    assert "Traceback" not in shop.page("/previews/nobody")
    assert "TemplateNotFound" in shop.page("/previews/nothing")
    for path in ("html", "source", "message.eml", "parts/0"):
        answer = shop.ask(f"/previews/broken/{path}")
        assert answer.status_code == 404
        assert "its page shows the error" in answer.text
    assert said(shop, "/previews/good?view=text") == "Hello Ada"


def digest(shop: Shop, name: str) -> str:
    answer = shop.ask(f"/previews/{name}/digest")
    return str(answer.get_json()["digest"])


def test_the_digest_changes_when_the_message_does(shop: Shop) -> None:
    words = ["Hello"]
    shop.mail.preview("hello")(lambda: hello(words[0]))
    shop.mail.preview("token")(lambda: hello(secrets.token_hex()))
    shop.mail.preview("broken")(lambda: hello(words[9]))
    first = digest(shop, "hello")
    assert digest(shop, "hello") == first
    words[0] = "Good morning"
    assert digest(shop, "hello") != first
    assert digest(shop, "token") == "varies"
    assert digest(shop, "broken") == digest(shop, "broken") != "varies"


@pytest.mark.parametrize("name", ["a/b", " a", "a\n", ""])
def test_a_name_that_cannot_be_in_a_url_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="leave out slashes"):
        Mail().preview(name)(hello)


def test_two_functions_cannot_have_one_name() -> None:
    mail = Mail()

    def make() -> None:
        @mail.preview
        def welcome() -> Message:
            return hello()

    make()
    make()  # as an app's factory does that is called again
    with pytest.raises(ConfigError, match="There is a preview 'welcome' already"):
        mail.preview("welcome")(hello)


def test_a_preview_must_be_a_function() -> None:
    with pytest.raises(ConfigError, match="is not a function"):
        Mail().preview(partial(hello, "Hello"))


def test_without_a_dashboard_previews_have_no_url(open_shop: OpenShop) -> None:
    shop = open_shop(OUTBOX_DASHBOARD=None)
    shop.mail.preview("hello")(hello)
    assert shop.ask("/previews/hello").status_code == 404


# ------------------------------------------------------------------------- live reload


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium, as the system has it."""
    with chromium() as browser:
        yield browser


APP = """
from flask import Flask, render_template
from flask_outbox import Mail, Message

app = Flask(__name__)
app.config["OUTBOX_DASHBOARD"] = "local"
mail = Mail(app)


@mail.preview
def welcome():
    return Message(
        "SUBJECT",
        ["ada@example.org"],
        render_template("welcome.txt"),
        sender="shop@example.com",
    )
"""


@pytest.fixture
def served_shop(tmp_path: Path) -> Iterator[str]:
    """The address of a shop in that folder, as a developer has it served."""
    (tmp_path / "templates").mkdir()
    (tmp_path / "templates" / "welcome.txt").write_text("Hello Ada")
    (tmp_path / "shop.py").write_text(APP)
    port = free_port()
    command = [*PLAIN_FLASK, "--app", "shop", "--debug", "run"]
    path = os.pathsep.join([str(ROOT), *sys.path])
    with (tmp_path / "log").open("w") as log:
        running = subprocess.Popen(
            [*command, "--port", str(port)], cwd=tmp_path, stdout=log, stderr=log,
            env={**os.environ, "PYTHONPATH": path}, start_new_session=True,
        )  # fmt: skip
    yield f"http://127.0.0.1:{port}/outbox"
    os.killpg(running.pid, signal.SIGKILL)
    running.wait()


def test_a_preview_reloads_when_its_template_or_code_changes(
    served_shop: str, browser: Browser, tmp_path: Path
) -> None:
    page = browser.new_page()
    page.set_default_timeout(WAIT_MS)
    eventually(lambda: answers(served_shop))
    page.goto(f"{served_shop}/previews/welcome?view=text")
    page.get_by_text("shows here at once").wait_for()
    assert serious_findings(page) == []
    (tmp_path / "templates" / "welcome.txt").write_text("Good morning Ada")
    page.get_by_text("Good morning Ada").wait_for()
    page.get_by_text("shows here at once").wait_for()
    (tmp_path / "shop.py").write_text(APP.replace("welcome.txt", "welcome.md"))
    page.get_by_text("TemplateNotFound: welcome.md").wait_for()
    page.get_by_text("shows here at once").wait_for()
    (tmp_path / "templates" / "welcome.md").write_text("Good evening Ada")
    page.get_by_text("Good evening Ada").wait_for()
    page.close()


def answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(address):
            return True
    except OSError:
        return False
