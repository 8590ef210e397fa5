"""The dev inbox of the tutorial's app, whose code is taken from its page."""

from __future__ import annotations

import re
import sys
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from textwrap import dedent

from inbox import LOW, picture, served
from playwright.sync_api import Browser

HERE = Path(__file__).parent
PAGE = HERE.parent / "tutorial" / "confirm.rst"


def take_tutorial(browser: Browser) -> None:
    """The mail that asks a reader to confirm."""
    with TemporaryDirectory() as folder:
        _write_files(Path(folder))
        sys.path.insert(0, folder)
        weekly = import_module("weekly")
        app = weekly.create_app(DEBUG=True)
        with app.test_request_context():
            app.test_client().post("/", data={"email": "ada@example.org"})
            weekly.mail.drain()
            (mail,) = weekly.mail.search().messages
            with served(app) as address:
                picture(browser, f"{address}/inbox/{mail.id}", "tutorial", LOW)
            weekly.mail.stop()


def _write_files(folder: Path) -> None:
    shown = re.findall(
        r"    :caption: (.+)\n\n((?:    .+\n|\n)+)", PAGE.read_text(encoding="utf-8")
    )
    for name, code in shown:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(code), encoding="utf-8")
