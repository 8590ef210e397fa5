"""The dev inbox: what stayed here, looked at in a browser as its reader would."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from email import message_from_bytes
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from flask_outbox import Attachment, Message, signals
from tests.browser import WAIT_MS, chromium, expect, opened, serious_findings
from tests.dashboard.conftest import OpenShop
from tests.dashboard.serving import served
from tests.dashboard.shop import Shop
from tests.mail.site import url_of
from tests.servers import JournalSmtp

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de"
    "0000000c4944415408d763a8b8f800000356020a2d1b9d0a0000000049454e44ae426082"
)
HTML = """
<h1>Your kettles are on their way</h1>
<img id="own" src="cid:logo" alt="Shop"><img id="theirs" src="%s/banner.png">
<p>Your order of seven brass kettles left our warehouse this morning.</p>
<a href="https://shop.example/orders/7">See your order</a> <a href="/returns">Return</a>
"""
NARROW = {"width": 360, "height": 740}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium, as the system has it."""
    with chromium() as browser:
        yield browser


class Pictures(ThreadingHTTPServer):
    """A server of images that counts who asks."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        super().__init__(("127.0.0.1", 0), _Answer)
        self._thread = threading.Thread(target=self.serve_forever, args=(0.05,))
        self._thread.start()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def close(self) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()


class _Answer(BaseHTTPRequestHandler):
    server: Pictures

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        self.send_response(200)
        self.send_header("Content-Type", "image/png")
        self.end_headers()
        self.wfile.write(PNG)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def pictures() -> Iterator[Pictures]:
    """A server of images."""
    server = Pictures()
    yield server
    server.close()


@pytest.fixture
def shop(open_shop: OpenShop, server: JournalSmtp) -> Shop:
    """A shop whose mail stays here, but for what is asked to leave."""
    shop = open_shop(
        MAIL_URL="inbox://",
        MAIL_TRANSPORTS={"real": url_of(server)},
        OUTBOX_ENGINE="thread",
    )
    shop.make_ready()
    return shop


def order(place: str = "https://cdn.example") -> Message:
    message = Message(
        "Your order",
        ["ada@example.org"],
        "Your kettles are on their way. Your order of seven brass kettles left our "
        "warehouse this morning.\n\nhttps://shop.example/orders/7\n",
        html=HTML % place,
    )
    message.attachments += [
        Attachment("logo.png", "image/png", PNG, "inline", content_id="logo"),
        Attachment("invoice.txt", "text/plain", "343 EUR"),
    ]
    return message


def keep(shop: Shop, message: Message, **options: Any) -> str:
    """Hand over a message and wait until it has ended; its id."""
    before = len(shop.told(signals.message_sent))
    id = shop.keep(message, **options)
    shop.wait_for(signals.message_sent, before + 1)
    return id


Visit = Callable[..., "Page"]


@pytest.fixture
def visit(browser: Browser, shop: Shop) -> Iterator[Visit]:
    """Opens pages of the dashboard, each in a browser profile of its own."""
    with ExitStack() as open_pages:
        address = open_pages.enter_context(served(shop.app))

        def visit(path: str, **options: Any) -> Page:
            page = opened(browser, f"{address}{path}", **options)
            return open_pages.enter_context(page)

        yield visit


def shown_mail(page: Page) -> Locator:
    return page.frame_locator("iframe").locator("body")


# ------------------------------------------------------------------------ what is there


def test_it_shows_only_mail_that_was_not_sent(
    shop: Shop, visit: Visit, server: JournalSmtp
) -> None:
    page = visit("/inbox")
    page.get_by_text("No mail has arrived yet.").wait_for()
    keep(shop, Message("Left", ["bob@example.org"], "Hello"), transport="real")
    shop.keep(Message("Later", ["bob@example.org"], "Hello"), delay=3_600)
    hello = Message(
        "Your order", ["ada@example.org"], html="<p>Seven brass kettles</p>"
    )
    keep(shop, hello, tag="orders")
    page.get_by_role("link", name="Your order").wait_for()
    expect(page.locator("tbody tr")).to_have_count(1)
    assert len(server.mails) == 1
    page.get_by_role("link", name="Your order").click()
    page.get_by_role("heading", name="Your order").wait_for()
    expect(shown_mail(page)).to_contain_text("Seven brass kettles")
    page.get_by_role("link", name="Show its history").click()
    page.get_by_text("It was stored in the dev inbox").wait_for()
    expect(page.locator("#stage-end")).to_contain_text("in the dev inbox")


def test_there_is_no_inbox_if_all_transports_send(open_shop: OpenShop) -> None:
    shop = open_shop()
    assert ">Inbox</a></li>" not in shop.page("/")
    assert "Every transport of this app sends" in shop.page("/inbox")
    suppressed = open_shop(MAIL_SUPPRESS_SEND=True)
    assert ">Inbox</a></li>" in suppressed.page("/")
    assert "MAIL_SUPPRESS_SEND" in suppressed.page("/inbox")


# -------------------------------------------------------------------------- one message


def test_the_frame_has_the_chosen_width(shop: Shop, visit: Visit) -> None:
    message = Message("Plain", ["ada@example.org"], "Hello", html="<p>Hello</p>")
    page = visit(
        f"/inbox/{keep(shop, message)}", viewport={"width": 1280, "height": 900}
    )

    def width() -> float:
        page.wait_for_load_state()
        box = page.locator("iframe").bounding_box()
        assert box
        return box["width"]

    desktop = width()
    page.get_by_role("link", name="Phone").click()
    page.locator('iframe[data-width="phone"]').wait_for()
    assert 360 <= width() <= 420
    page.get_by_role("link", name="Tablet").click()
    page.locator('iframe[data-width="tablet"]').wait_for()
    assert 740 <= width() <= 800 < desktop


def test_remote_images_are_fetched_only_on_request(
    shop: Shop, browser: Browser, pictures: Pictures
) -> None:
    id = keep(shop, order(pictures.address))

    def loaded(page: Page, name: str) -> bool:
        image = page.frame_locator("iframe").locator(f"#{name}")
        return bool(image.evaluate("one => one.complete && one.naturalWidth > 0"))

    with served(shop.app) as address:
        page = browser.new_page()
        page.set_default_timeout(WAIT_MS)
        page.goto(f"{address}/inbox/{id}", wait_until="networkidle")
        assert loaded(page, "own")
        assert not loaded(page, "theirs")
        assert pictures.asked == []
        expect(page.get_by_text("when the mail was opened")).to_be_visible()
        page.get_by_role("link", name="Load images").click(no_wait_after=False)
        page.get_by_role("link", name="Block images").wait_for()
        page.wait_for_load_state("networkidle")
        assert loaded(page, "own")
        assert loaded(page, "theirs")
        assert pictures.asked == ["/banner.png"]
        page.get_by_role("link", name="Phone").click()
        page.locator('iframe[data-width="phone"]').wait_for()
        expect(page.get_by_role("link", name="Block images")).to_be_visible()
        page.get_by_role("link", name="Block images").click()
        page.get_by_role("link", name="Load images").wait_for()
        page.goto(f"{address}/inbox/{id}", wait_until="networkidle")
        assert not loaded(page, "theirs")
        page.close()


def test_with_images_nothing_else_is_fetched_and_nothing_runs(
    shop: Shop, browser: Browser, pictures: Pictures
) -> None:
    place = pictures.address
    hostile = f"""
        <script src="{place}/script.js"></script><script>fetch("{place}/ran")</script>
        <img src="{place}/image.png" onload="fetch('{place}/onload')">
        <link rel="stylesheet" href="{place}/style.css"><base href="{place}/base/">
        <style>@import "{place}/import.css"; @font-face {{font-family: x;
          src: url({place}/font)}} p {{font-family: x; background: url({place}/back)}}
        </style><p>text</p><iframe src="{place}/frame"></iframe>
        <object data="{place}/object"></object><embed src="{place}/embed">
        <video src="{place}/video" autoplay></video><audio src="{place}/audio"></audio>
        <svg onload="fetch('{place}/svg')"><use href="{place}/use#x"></use></svg>
        <form action="{place}/form"><input autofocus onfocus="submit()"></form>
        <meta http-equiv="refresh" content="0; url={place}/refresh">
    """
    id = keep(shop, Message("Hostile", ["ada@example.org"], "Hello", html=hostile))
    with served(shop.app) as address:
        page = browser.new_page()
        page.goto(f"{address}/inbox/{id}", wait_until="networkidle")
        assert pictures.asked == []
        page.goto(f"{address}/inbox/{id}?images=1", wait_until="networkidle")
        expect(page.get_by_role("heading", name="Hostile")).to_be_visible()
        assert sorted(pictures.asked) == ["/back", "/image.png"]
        page.close()


def test_links_and_checks_are_listed_with_clear_words(shop: Shop, visit: Visit) -> None:
    page = visit(f"/inbox/{keep(shop, order())}?view=links")
    rows = [row.inner_text().split("\t") for row in page.locator("tbody tr").all()]
    assert [[cell.strip() for cell in row[:2]] for row in rows] == [
        ["See your order", "https://shop.example/orders/7"],
        ["Return", "/returns"],
    ]
    link = page.get_by_role("link", name="https://shop.example/orders/7")
    assert link.get_attribute("rel") == "noopener noreferrer"
    assert page.locator("tbody tr").nth(1).locator("a").count() == 0
    page.get_by_role("link", name="Checks 3").click()
    page.get_by_role("heading", name="Content").wait_for()
    expect(page.locator(".findings .severity")).to_have_text(
        ["broken", "warning", "advice"]
    )
    expect(
        page.get_by_text("Build it with url_for(..., _external=True).")
    ).to_be_visible()


def test_text_headers_and_the_source_file_are_shown(
    shop: Shop, visit: Visit, tmp_path: Path
) -> None:
    id = keep(shop, order())
    page = visit(f"/inbox/{id}?view=text")
    expect(page.locator("pre")).to_contain_text("on their way")
    page.get_by_role("link", name="Headers").click()
    page.get_by_text("multipart/mixed").wait_for()
    with page.expect_download() as download:
        page.get_by_role("link", name="Download").click()
    path = tmp_path / "kept.eml"
    download.value.save_as(path)
    assert path.read_bytes() == shop.outbox.content(id)
    assert message_from_bytes(path.read_bytes())["Subject"] == "Your order"
    with page.expect_download() as attachment:
        page.get_by_role("link", name="invoice.txt").click()
    assert Path(attachment.value.path()).read_text() == "343 EUR"


# ------------------------------------------------------------------------------ release


def test_a_mail_can_be_sent_to_a_typed_address(
    shop: Shop, visit: Visit, server: JournalSmtp
) -> None:
    hello = Message("Your order", ["ada@example.org"], "Hello", bcc=["bob@example.org"])
    id = keep(shop, hello)
    page = visit(f"/inbox/{id}")
    page.get_by_role("link", name="Release to a real server").click()
    page.get_by_label("Address", exact=True).fill("me@example.net")
    page.get_by_role("button", name="Continue").click()
    page.get_by_text("for 1 person").wait_for()
    expect(page.locator(".chosen li")).to_have_text(["me@example.net"])
    assert server.mails == []
    page.get_by_role("button", name="Yes: send it").click()
    page.get_by_text("Email sent!").first.wait_for()
    server.wait_for(1)
    (mail,) = server.mails
    assert mail.recipients == ("me@example.net",)
    sent = message_from_bytes(mail.content)
    assert sent["Subject"] == "Your order"
    assert sent["To"] == "ada@example.org"
    assert sent["Message-ID"] != shop.outbox.get(id).rfc_message_id
    expect(page.get_by_text(f"message {id} again")).to_be_visible()
    page.get_by_role("link", name="The other message").click()
    page.get_by_text("A person sent it by real, as a new message").wait_for()


def test_a_mail_can_be_sent_to_its_recipients(shop: Shop, server: JournalSmtp) -> None:
    id = keep(shop, Message("Hi", ["ada@example.org"], "Hi", bcc=["bob@example.org"]))
    page = shop.page(f"/inbox/{id}/release?by=real&to=all")
    assert "for 2 people" in page
    assert "ada@example.org" in page
    assert "bob@example.org" in page
    answer = shop.post(f"/inbox/{id}/release", by="real", to="all")
    assert answer.status_code == 303
    server.wait_for(1)
    assert server.mails[0].recipients == ("ada@example.org", "bob@example.org")
    assert shop.page("/inbox").count('id="row-') == 1


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"by": "default", "to": "all"}, "is not a transport that sends"),
        ({"by": "elsewhere", "to": "all"}, "is not a transport that sends"),
        ({"by": "real", "to": "other", "address": "nonsense"}, "nonsense"),
        ({"by": "real", "to": "other"}, "address"),
        ({"by": "real", "to": "other", "address": "a@b.example\nRCPT"}, "address"),
    ],
    ids=str,
)
def test_a_mail_that_cannot_be_sent_stays_and_says_why(
    shop: Shop, server: JournalSmtp, asked: dict[str, str], words: str
) -> None:
    id = keep(shop, order())
    answer = shop.ask(f"/inbox/{id}/release", query_string=asked)
    assert answer.status_code == 200
    assert "Continue" in answer.text
    assert words in answer.text
    assert "Yes: send it" not in answer.text
    refused = shop.post(f"/inbox/{id}/release", **asked)
    assert refused.status_code == 400
    assert words in refused.text
    assert server.mails == []
    assert shop.page("/messages").count('id="row-') == 1


@pytest.mark.parametrize("suppress", [True, False])
def test_without_a_server_it_names_the_setting(
    open_shop: OpenShop, server: JournalSmtp, suppress: bool
) -> None:
    url = url_of(server) if suppress else "inbox://"
    shop = open_shop(MAIL_URL=url, MAIL_SUPPRESS_SEND=suppress)
    id = shop.keep(order())
    page = shop.page(f"/inbox/{id}/release")
    assert "MAIL_TRANSPORTS" in page
    assert ("MAIL_SUPPRESS_SEND" in page) == suppress
    refused = shop.post(f"/inbox/{id}/release", by="default", to="all")
    assert refused.status_code == 400


def test_an_unfinished_mail_is_not_released(shop: Shop) -> None:
    id = shop.keep(Message("Later", ["ada@example.org"], "Hello"), delay=3_600)
    answer = shop.post(f"/inbox/{id}/release", by="real", to="all")
    assert answer.status_code == 409
    assert "only a finished message can be sent again" in answer.text


# ---------------------------------------------------------------------- for all to use


def test_it_works_by_keyboard_alone(shop: Shop, visit: Visit) -> None:
    hello = Message("Your order", ["ada@example.org"], "Hello", html="<p>Hello</p>")
    keep(shop, hello)
    page = visit("/inbox")

    def go_to(name: str) -> None:
        for _ in range(40):
            page.keyboard.press("Tab")
            if page.evaluate("document.activeElement.textContent.trim()") == name:
                return
        raise AssertionError(f"Tab does not come to {name}")

    for name in ("Your order", "Tablet", "Checks 0"):
        go_to(name)
        with page.expect_navigation():
            page.keyboard.press("Enter")
    page.get_by_text("No problems found.").wait_for()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_is_accessible_and_fits_the_screen(
    shop: Shop, browser: Browser, scheme: Any
) -> None:
    id = keep(shop, order(), tag="orders")
    with served(shop.app) as address:
        page = browser.new_page(viewport=NARROW, color_scheme=scheme)  # type: ignore[arg-type]
        for path in (
            "",
            *(f"/{id}?view={view}" for view in ("html", "links", "checks")),
        ):
            page.goto(f"{address}/inbox{path}")
            assert page.evaluate("document.documentElement.scrollWidth") <= 360
            assert serious_findings(page) == []
        page.close()
