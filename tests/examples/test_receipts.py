"""``examples/receipts``: its command, and the mail that comes of it."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterator
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default

import pytest

from tests.browser import chromium
from tests.examples.apps import EXAMPLES, ExampleApp
from tests.mail.site import ADA
from tests.servers import JournalSmtp
from tests.waiting import eventually

LOGO = (EXAMPLES / "receipts/till/static/logo.png").read_bytes()
PEN, TOTAL = "1 × Fountain pen", "52.60 EUR"


@pytest.fixture(scope="module")
def example(
    tmp_path_factory: pytest.TempPathFactory, server: JournalSmtp
) -> Iterator[ExampleApp]:
    folder = tmp_path_factory.mktemp("till")
    settings = {"FLASK_OUTBOX_URL": f"sqlite:///{folder / 'outbox.db'}"}
    with ExampleApp("receipts", folder, server, **settings) as example:
        example.serve("flask --app till run")
        yield example


def buy(example: ExampleApp, number: str, **changes: str) -> tuple[int, str]:
    form = {
        "number": number,
        "email": ADA,
        "name": "Ada <3 Żołądź",
        "Fountain pen": "1",
        "Pencil": "2",
        "Notebook": "",
    }
    return example.page("/orders", **{**form, **changes})


def test_a_receipt_has_a_pdf_and_a_logo(
    example: ExampleApp,
    server: JournalSmtp,
) -> None:
    (number,) = re.findall(r'name="number" value="(\w+)"', example.page("/")[1])
    assert {buy(example, number)[0] for _ in range(2)} == {200}
    eventually(lambda: "was sent to" in buy(example, number)[1])
    (mail,) = server.wait_for(1)
    assert mail.recipients == (ADA,)

    message = message_from_bytes(mail.content, policy=default)
    assert isinstance(message, EmailMessage)
    assert message["Subject"] == f"Your receipt: {TOTAL}"
    text, html = (message.get_body((kind,)) for kind in ("plain", "html"))
    assert text is not None
    assert html is not None
    lines = ["2 × Pencil: 3.60 EUR", f"{PEN}: 49.00 EUR", f"Total: {TOTAL}"]
    assert text.get_content().splitlines()[2:5] == lines
    (logo,) = [one for one in message.walk() if one.get_content_type() == "image/png"]
    assert logo.get_content() == LOGO
    (pdf,) = message.iter_attachments()
    assert pdf.get_filename() == f"receipt-{number}.pdf"
    assert pdf.get_content().startswith(b"%PDF-")
    _look_at(html.get_content(), logo["Content-ID"].strip("<>"))


def _look_at(html: str, logo: str) -> None:
    """As its reader does, whose mail program finds the logo in the mail."""
    shown = html.replace(
        f"cid:{logo}", f"data:image/png;base64,{b64encode(LOGO).decode()}"
    )
    with chromium() as browser:
        page = browser.new_page()
        page.set_content(shown)
        assert page.evaluate("document.images[0].naturalWidth") > 100
        seen = page.inner_text("body")
        assert "Thank you, Ada <3 Żołądź." in seen
        assert re.search(rf"{PEN}\s+49.00 EUR\s+Total\s+{TOTAL}", seen)
        total = page.get_by_text("Total")
        weight = total.evaluate("one => getComputedStyle(one).fontWeight")
        assert weight == "700"


def test_an_unsendable_receipt_is_reported_at_once(
    example: ExampleApp,
    server: JournalSmtp,
) -> None:
    before = len(server.mails)
    status, page = buy(example, "1", email="ada@")
    assert status == 400
    assert "ada@" in page
    nothing = {"Pencil": "0", "Fountain pen": "x"}
    assert "Nothing was ordered" in buy(example, "1", **nothing)[1]
    assert len(server.mails) == before
