"""Private keys of the tests, the DNS that knows their public halves, and a verifier.

The verifier is dkimpy: nothing of ours has a say in whether a signature is good.
"""

from __future__ import annotations

import base64
import functools
from collections.abc import Mapping
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

import dkim

Private = rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey


@functools.cache
def rsa_key(bits: int = 2048) -> rsa.RSAPrivateKey:
    """An RSA key, made once."""
    return rsa.generate_private_key(65537, bits)


@functools.cache
def ed25519_key() -> ed25519.Ed25519PrivateKey:
    """An Ed25519 key, made once."""
    return ed25519.Ed25519PrivateKey.generate()


def pem(private: Private) -> str:
    """What stands in a key file."""
    return private.private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
    ).decode()


def entry(domain: str, selector: str, private: Private) -> dict[str, Any]:
    """One entry of ``MAIL_DKIM_KEYS``."""
    return {"domain": domain, "selector": selector, "key": pem(private)}


RSA = entry("example.com", "rsa", rsa_key())
ED25519 = entry("example.com", "ed", ed25519_key())


def dns_record(private: Private) -> bytes:
    """What the owner of the domain publishes."""
    if isinstance(private, rsa.RSAPrivateKey):
        form, kind = PublicFormat.SubjectPublicKeyInfo, b"rsa"
        public = private.public_key().public_bytes(Encoding.DER, form)
    else:
        kind = b"ed25519"
        public = private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    return b"v=DKIM1; k=" + kind + b"; p=" + base64.b64encode(public)


DNS: Mapping[bytes, bytes] = {
    b"rsa._domainkey.example.com.": dns_record(rsa_key()),
    b"ed._domainkey.example.com.": dns_record(ed25519_key()),
}


def ask_dns(name: Any, timeout: int = 5) -> bytes | None:
    """What dkimpy asks instead of the real DNS."""
    return DNS.get(name if isinstance(name, bytes) else name.encode())


def signatures(content: bytes) -> list[bytes]:
    """The signatures above a message, unfolded."""
    head = content.partition(b"\r\n\r\n")[0].replace(b"\r\n ", b" ").split(b"\r\n")
    return [line for line in head if line.lower().startswith(b"dkim-signature:")]


def verified(content: bytes) -> list[bool]:
    """For each signature above a message, whether it is good."""
    verifier = dkim.DKIM(content)
    return [_good(verifier, index) for index in range(len(signatures(content)))]


def _good(verifier: Any, index: int) -> bool:
    try:
        return bool(verifier.verify(index, dnsfunc=ask_dns))
    except dkim.ValidationError:
        return False
