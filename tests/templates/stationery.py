"""An app's templates, as its author writes them, and the mail that comes of them."""

from __future__ import annotations

from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

from flask_outbox import Message, Receipt
from flask_outbox.sending.options import SendOptions
from tests.mail.site import ADA, Site

PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de"
    "0000000c4944415408d763a8b8f800000356020a2d1b9d0a0000000049454e44ae426082"
)
"""One pixel."""

EXAMPLE = Path(__file__).parents[2] / "docs" / "mail"
"""The mail of the documentation."""

NEWS = {
    "name": "Ada",
    "url": "https://shop.example.com/kettle?a=1&b=2",
    "unsubscribe_url": "https://shop.example.com/unsubscribe/WyJhZGFA",
}
"""What its template wants."""


class Stationery:
    """One site, and the folders of its templates and of its static files."""

    def __init__(self, site: Site, folder: Path) -> None:
        self.site = site
        self._folder = folder / "templates"
        self._static = folder / "static"
        site.app.template_folder = str(self._folder)
        site.app.static_folder = str(self._static)

    def write(self, name: str, text: str) -> Path:
        """Write ``mail/name``, its folders as needed."""
        path = self._folder / "mail" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    def write_example(self) -> None:
        """Write the templates of the documentation's mail, ``news``."""
        for path in EXAMPLE.iterdir():
            self.write(path.name, path.read_text(encoding="utf-8"))

    def keep(self, name: str, content: bytes) -> Path:
        """Write the static file ``name``."""
        path = self._static / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return path

    def remove(self, name: str) -> None:
        """Delete ``mail/name``."""
        (self._folder / "mail" / name).unlink()

    def compose(self, name: str = "bill", /, **given: Any) -> Message:
        """A message from a template, by default to Ada, inside the app's context."""
        given.setdefault("recipients", [ADA])
        with self.site.app.app_context():
            return Message.from_template(name, **given)

    def keep_later(self, name: str = "bill", /, **given: Any) -> Receipt:
        """Enqueue a message for couriers that will render it, without waking one."""
        message = self.compose(name, render="later", **given)
        runtime = self.site.runtime
        _, new = runtime._pipeline.prepare(message, SendOptions(), None)
        return runtime.outbox.enqueue([new])[0]


def opened(content: bytes) -> EmailMessage:
    """A mail as the standard library understands it."""
    message = message_from_bytes(content, policy=policy.default)
    assert isinstance(message, EmailMessage)
    assert not message.defects
    return message


def said(content: bytes, kind: str) -> str:
    """What the part for ``plain`` or ``html`` says."""
    part = opened(content).get_body((kind,))
    assert isinstance(part, EmailMessage)
    return str(part.get_content())
