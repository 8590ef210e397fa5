"""Private keys: read once, at boot, and refused there if they cannot sign."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..config import DkimKey
from ..errors import ConfigError

LEAST_RSA_BITS = 1024
"""RFC 8301 section 3.2; it asks for 2048."""


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A key that can sign, and what a signature says of it."""

    domain: bytes
    selector: bytes
    algorithm: bytes
    sign: Callable[[bytes], bytes]
    """The same bytes always give the same signature."""


def load(key: DkimKey) -> SigningKey:
    """Make ``key`` ready, and let it sign once.

    Raises `ConfigError`, which names the entry, for what is no PEM, has a passphrase,
    is of a kind that DKIM does not know, or is weaker than verifiers accept; and where
    the package ``cryptography`` is not installed.
    """
    private = _private_key(key)
    try:
        algorithm, sign = _algorithm(private, key)
        sign(b"")
    except (ValueError, _unsupported()) as error:
        raise ConfigError(
            f"{key.place} cannot sign ({error}): it must be an RSA or Ed25519 key."
        ) from error
    return SigningKey(key.domain.encode(), key.selector.encode(), algorithm, sign)


def _private_key(key: DkimKey) -> Any:
    try:
        from cryptography.hazmat.primitives.serialization import load_pem_private_key
    except ImportError as error:
        raise ConfigError(
            "MAIL_DKIM_KEYS needs the package cryptography: install it with "
            'pip install "flask-outbox[dkim]".'
        ) from error
    try:
        return load_pem_private_key(key.pem, password=None)
    except TypeError as error:
        raise ConfigError(
            f"{key.place} has a passphrase: it must be a key without one."
        ) from error
    except (ValueError, _unsupported()) as error:
        raise ConfigError(
            f"{key.place} cannot be read as a key: it must be a private key in PEM "
            "form, from -----BEGIN to the end of the last line."
        ) from error


def _unsupported() -> type[Exception]:
    from cryptography.exceptions import UnsupportedAlgorithm

    return UnsupportedAlgorithm


def _algorithm(private: Any, key: DkimKey) -> tuple[bytes, Callable[[bytes], bytes]]:
    from cryptography.hazmat.primitives.asymmetric import ed25519, padding, rsa
    from cryptography.hazmat.primitives.hashes import SHA256

    match private:
        case rsa.RSAPrivateKey() if private.key_size < LEAST_RSA_BITS:
            raise ConfigError(
                f"{key.place} has {private.key_size} bits: it must be at least "
                f"{LEAST_RSA_BITS}, or verifiers ignore it, and should be 2048."
            )
        case rsa.RSAPrivateKey():
            scheme, digest = padding.PKCS1v15(), SHA256()
            return b"rsa-sha256", lambda text: private.sign(text, scheme, digest)
        case ed25519.Ed25519PrivateKey():
            return b"ed25519-sha256", lambda text: private.sign(
                hashlib.sha256(text).digest()
            )
    kind = type(private).__name__.removesuffix("PrivateKey")
    raise ConfigError(f"{key.place} is of kind {kind}: it must be RSA or Ed25519.")
