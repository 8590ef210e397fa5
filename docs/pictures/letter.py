"""A mail made of the components, as a phone shows it by day and by night."""

from __future__ import annotations

from pathlib import Path
from shutil import copytree
from tempfile import TemporaryDirectory
from typing import Literal

from flask import Flask
from playwright.sync_api import Browser

from flask_outbox import Mail, Message

HERE = Path(__file__).parent
PHONE = {"width": 390, "height": 450}
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")


def take_letter(browser: Browser) -> None:
    """The mail of ``docs/mail``."""
    html = letter().html
    assert html is not None
    for scheme in SCHEMES:
        page = browser.new_page(
            viewport=PHONE, color_scheme=scheme, device_scale_factor=2
        )
        page.set_content(html)
        page.screenshot(path=HERE / f"letter-{scheme}.png")
        page.close()


def letter() -> Message:
    """The mail, rendered."""
    with TemporaryDirectory() as folder:
        copytree(HERE.parent / "mail", Path(folder) / "templates" / "mail")
        app = Flask("shop", root_path=folder, instance_path=folder)
        app.config["MAIL_URL"] = "inbox://"
        Mail(app)
        with app.app_context():
            return Message.from_template(
                "news",
                name="Ada",
                url="https://shop.example.com/kettle",
                unsubscribe_url="https://shop.example.com/unsubscribe/WyJhZGFA",
            )
