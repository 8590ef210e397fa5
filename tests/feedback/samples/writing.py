"""What all samples share: the message that they are about, and how mails are put
together.
"""

from __future__ import annotations

from dataclasses import dataclass

from flask_outbox.bounce_address import BounceAddress
from flask_outbox.feedback import Fate
from flask_outbox.feedback.reading import MailKind

ID = "01JX3M5V8Q2W4E6R8T0Y1A3B5D"
RCPT = "ada@example.org"
BOUNCES = BounceAddress.read("bounces@example.com", "shop", ("a secret",))
RETURN_PATH = BOUNCES.of(ID)
DATE = "Mon, 03 Nov 2025 09:30:00 +0000"

HARD, SOFT, LATE = Fate.BOUNCED, Fate.SOFT_BOUNCED, Fate.DELAYED

RETURNED = f"""\
Return-Path: <{RETURN_PATH}>
Received: from shop.example.com (shop.example.com [192.0.2.10])
\tby mx.example.net with ESMTPS id 4D1F72; {DATE}
From: The Shop <shop@example.com>
To: {RCPT}
Subject: Your order
Date: {DATE}
Message-ID: <{ID}@example.com>
CFBL-Feedback-ID: {BOUNCES.token(ID)}
MIME-Version: 1.0
Content-Type: text/plain; charset=utf-8

Hello Ada, your order has been delayed and will be retried. Thank you.
"""


@dataclass(frozen=True)
class Sample:
    """A mail, and what is right to make of it."""

    name: str
    content: bytes
    fate: Fate | None
    operator: bool = False
    kind: MailKind = MailKind.BOUNCE
    address: str | None = RCPT

    def __str__(self) -> str:
        return self.name


def mail(head: dict[str, str], body: str) -> bytes:
    """A mail to our return path. Its ``head`` overrides the usual headers."""
    usual = {"From": "MAILER-DAEMON@mx.example.net", "To": RETURN_PATH, "Date": DATE}
    lines = [f"{name}: {value}" for name, value in {**usual, **head}.items() if value]
    return ("\n".join(lines) + "\n\n" + body).replace("\n", "\r\n").encode()


def multipart(kind: str, *parts: tuple[str, str], **head: str) -> bytes:
    """A multipart mail of these parts: each a type and a text."""
    written = "".join(f"--=_b1\nContent-Type: {one}\n\n{text}\n" for one, text in parts)
    headers = {name.replace("_", "-"): value for name, value in head.items()}
    headers |= {"MIME-Version": "1.0", "Content-Type": f'{kind}; boundary="=_b1"'}
    return mail(headers, f"This is a MIME message.\n\n{written}--=_b1--\n")
