"""A set-up that is well, and what makes it ill."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from flask_outbox.config.dkim import as_dkim_keys
from flask_outbox.dkim import public_key
from tests.cli.shop import Shop
from tests.dkim.keyring import pem, rsa_key

DOMAIN = "example.com"

KEY = {"domain": DOMAIN, "selector": "s1", "key": pem(rsa_key())}

RECORD = public_key(as_dkim_keys("KEYS", [KEY])[0]).record

Records = Sequence[tuple[str, str]]

ZONE: dict[str, Records] = {
    DOMAIN: [
        ("TXT", "unrelated=1"),
        ("TXT", "v=spf1 ip4:192.0.2.10 -all"),
        ("MX", "10 mail.example.com."),
    ],
    "mail.example.com": [("A", "192.0.2.10")],
    "10.2.0.192.in-addr.arpa": [("PTR", "mail.example.com.")],
    "s1._domainkey.example.com": [("TXT", RECORD)],
    "_dmarc.example.com": [
        ("TXT", "v=DMARC1; p=reject; rua=mailto:reports@example.com")
    ],
}
"""The DNS of a domain whose mail arrives."""

CONFIG: dict[str, Any] = {
    "SECRET_KEY": "0123456789abcdef0123456789abcdef",
    "MAIL_DEFAULT_SENDER": f"shop@{DOMAIN}",
    "MAIL_DKIM_KEYS": [KEY],
    "MAIL_LOCAL_HOSTNAME": "mail.example.com",
}
"""The configuration that goes with it, but for the server and the outbox."""


def spf(text: str) -> Records:
    """The domain's records, with this SPF record."""
    return [("TXT", text), ("MX", "10 mail.example.com.")]


def ids(document: Mapping[str, Any]) -> set[str]:
    """What was found, by its ids."""
    return {
        finding["id"] for one in document["sections"] for finding in one["findings"]
    }


def finding(document: Mapping[str, Any], id: str) -> dict[str, str]:
    """The only finding of this id."""
    (found,) = (
        one
        for section in document["sections"]
        for one in section["findings"]
        if one["id"] == id
    )
    return dict(found)


def advice(document: Mapping[str, Any], id: str) -> str:
    """What to do about the only finding of this id, and what to write."""
    found = finding(document, id)
    return f"{found['todo']} {found['write']}"


def seen(document: Mapping[str, Any], subject: str) -> dict[str, str]:
    """What was seen of a subject, step by step."""
    (section,) = (one for one in document["sections"] if one["subject"] == subject)
    return {one["step"]: one["words"] for one in section["seen"]}


def examined(shop: Shop, *arguments: str) -> Any:
    """The document of ``flask outbox doctor``, whatever its exit code."""
    result = shop.app.test_cli_runner().invoke(
        args=["outbox", "doctor", *arguments, "--json"]
    )
    assert isinstance(result.exception, SystemExit | None), result.exception
    return json.loads(result.stdout)
