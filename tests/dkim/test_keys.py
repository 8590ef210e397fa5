"""``MAIL_DKIM_KEYS``: what is refused at boot, and how."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from flask import Flask

from flask_outbox import ConfigError, Mail

from .keyring import ED25519, RSA, ed25519_key, entry, pem, rsa_key


def start(*entries: Any, **config: Any) -> None:
    app = Flask("shop")
    app.config.update(MAIL_URL="smtp://127.0.0.1", MAIL_DKIM_KEYS=list(entries))
    app.config.update(config)
    Mail(app)


def test_keys_are_read_from_text_and_files_in_both_usual_forms(tmp_path: Path) -> None:
    file = tmp_path / "key.pem"
    file.write_bytes(
        rsa_key().private_bytes(
            Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()
        )
    )
    by_file = {"domain": "example.com", "selector": "s1.eu", "key_file": file}
    start(RSA, ED25519, by_file, {**by_file, "selector": "s2", "key_file": str(file)})
    start()


def locked() -> str:
    return (
        rsa_key()
        .private_bytes(
            Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret")
        )
        .decode()
    )


def elliptic() -> str:
    return (
        ec.generate_private_key(ec.SECP256R1())
        .private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        .decode()
    )


def public() -> str:
    form = PublicFormat.SubjectPublicKeyInfo
    return ed25519_key().public_key().public_bytes(Encoding.PEM, form).decode()


GOOD = entry("example.com", "s1", ed25519_key())
CASES: dict[str, tuple[Any, str]] = {
    "no dict": ("s1", "MAIL_DKIM_KEYS[1] is of type str: it must be a dictionary"),
    "unknown": ({**GOOD, "selektor": "x"}, "MAIL_DKIM_KEYS[1] has 'selektor'"),
    "no domain": ({**GOOD, "domain": None}, "MAIL_DKIM_KEYS[1]['domain'] is None"),
    "bad domain": ({**GOOD, "domain": "a_b.com"}, "[1]['domain'] is 'a_b.com'"),
    "address": ({**GOOD, "domain": "ada@example.com"}, "['domain'] is 'ada@"),
    "no dot": ({**GOOD, "domain": "example"}, "['domain'] is 'example'"),
    "no selector": ({**GOOD, "selector": ""}, "[1]['selector'] is ''"),
    "record name": (
        {**GOOD, "selector": "s1._domainkey"},
        "[1]['selector'] is 's1._domainkey': it must be what comes before",
    ),
    "header": ({**GOOD, "selector": "s1;\r\n x"}, "[1]['selector'] is 's1;"),
    "no key": ({**GOOD, "key": None}, 'MAIL_DKIM_KEYS[1] has neither of "key_file"'),
    "two keys": ({**GOOD, "key_file": "k"}, 'MAIL_DKIM_KEYS[1] has both of "key_file"'),
    "no text": ({**GOOD, "key": 5}, "MAIL_DKIM_KEYS[1]['key'] is of type int"),
    "no file": (
        {**GOOD, "key": None, "key_file": "/no/such.pem"},
        "['key_file'] is '/no/such.pem', which cannot be read (No such file",
    ),
    "no path": ({**GOOD, "key": None, "key_file": 5}, "['key_file'] is 5, which"),
    "twice": (RSA, "MAIL_DKIM_KEYS[1] (rsa._domainkey.example.com) repeats MAIL_DKIM"),
    "no pem": (
        {**GOOD, "key": "c2VjcmV0"},
        "MAIL_DKIM_KEYS[1] (s1._domainkey.example.com) cannot be read as a key",
    ),
    "public": ({**GOOD, "key": public()}, "cannot be read as a key"),
    "locked": (
        {**GOOD, "key": locked()},
        "MAIL_DKIM_KEYS[1] (s1._domainkey.example.com) has a passphrase",
    ),
    "elliptic": ({**GOOD, "key": elliptic()}, "it must be RSA or Ed25519"),
}


@pytest.mark.parametrize("case", CASES)
def test_an_entry_that_cannot_sign_is_refused_at_init_app(case: str) -> None:
    broken, words = CASES[case]
    with pytest.raises(ConfigError) as refused:
        start(RSA, broken)
    assert words in str(refused.value)
    assert "must be" in str(refused.value)
    for secret in (pem(ed25519_key()), locked(), "c2VjcmV0"):
        assert secret not in str(refused.value)


def test_a_key_that_verifiers_would_ignore_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The limit is moved instead: making weak keys is not everywhere possible."""
    monkeypatch.setattr("flask_outbox.dkim.LEAST_RSA_BITS", 4096)
    with pytest.raises(ConfigError, match="has 2048 bits: it must be at least 4096"):
        start(RSA)


def test_without_cryptography_the_error_names_the_extra(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in [one for one in sys.modules if one.startswith("cryptography")]:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ConfigError, match=r'pip install "flask-outbox\[dkim\]"'):
        start(RSA)
    start()


def test_keys_are_checked_even_if_mail_stays_in_the_inbox() -> None:
    with pytest.raises(ConfigError, match="MAIL_DKIM_KEYS"):
        start({**GOOD, "key": "none"}, MAIL_URL="inbox://")
