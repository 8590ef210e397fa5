"""The dev inbox and a preview, of a shop that sells kettles."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from flask import Flask, render_template_string
from playwright.sync_api import Browser
from werkzeug.serving import make_server

from flask_outbox import Mail, Message

HERE = Path(__file__).parent
WIDTH, TALL, LOW = 1000, 820, 550

TEXT = """
Your kettles are on their way, {{ name }}

Your order of {{ count }} brass kettles left our warehouse this morning. It arrives on
Thursday.

https://shop.example.com/orders/7
"""
HTML = """
<body style="padding: 16px; background: #f3efe6; font-family: Georgia, serif">
<div style="max-width: 520px; margin: 0 auto; padding: 28px; background: #fff">
  <h1 style="margin: 0 0 12px">Your kettles are on their way, {{ name }}</h1>
  <p>Your order of {{ count }} brass kettles left our warehouse this morning.
     It arrives on Thursday.</p>
  <p><a style="padding: 10px 18px; background: #1f4e9e; color: #fff"
        href="https://shop.example.com/orders/7">See your order</a></p>
  <p><a href="/returns">Send it back</a></p>
  <img src="https://cdn.example.com/kettle.png" width="160" height="60">
</div>
"""


def take_inbox(browser: Browser) -> None:
    """One mail in the inbox and what is the matter with it; a preview."""
    with TemporaryDirectory() as folder:
        app = Flask("shop", instance_path=folder)
        app.config.update(
            DEBUG=True,
            MAIL_URL="inbox://",
            MAIL_DEFAULT_SENDER="shop@example.com",
            OUTBOX_DASHBOARD="local",
        )
        mail = Mail(app)
        mail.preview(order_sent)
        with app.test_request_context():
            id = mail.send(order_sent(), tag="orders").id
            mail.drain()
            with served(app) as address:
                picture(browser, f"{address}/inbox/{id}?width=phone", "inbox", TALL)
                picture(browser, f"{address}/inbox/{id}?view=checks", "checks", LOW)
                picture(browser, f"{address}/previews/order_sent", "preview", TALL)
            mail.stop()


def order_sent(name: str = "Ada", count: int = 7) -> Message:
    """What a customer gets when the parcel leaves."""
    return Message(
        "Your kettles are on their way",
        ["ada@example.org"],
        render_template_string(TEXT, name=name, count=count),
        html=render_template_string(HTML, name=name, count=count),
    )


def picture(browser: Browser, address: str, name: str, height: int) -> None:
    """Take that page."""
    page = browser.new_page(viewport={"width": WIDTH, "height": height})
    page.goto(address, wait_until="load")
    page.screenshot(path=HERE / f"{name}.png")
    page.close()


@contextmanager
def served(app: Flask) -> Iterator[str]:
    """The address of the app's dashboard."""
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/outbox"
    server.shutdown()
    thread.join()
