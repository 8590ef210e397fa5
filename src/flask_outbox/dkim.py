"""DKIM (RFC 6376, RFC 8463): a domain's signature on each outgoing message.

Private keys are loaded at start-up, and refused if they cannot sign. Headers and body
are canonicalised as *relaxed* (section 3.4), which survives the changes that relays
make. Signatures have no time (``t=``), so that each retry of a message is the same,
byte for byte.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from .config import DkimKey
from .errors import ConfigError, SigningError

_field_end = re.compile(rb"\r\n(?![ \t])")
_spaces = re.compile(rb"  +")


def split_content(content: bytes) -> tuple[list[bytes], bytes]:
    """The header fields, folded as they are, without their last CRLF; and the body."""
    head, _, body = content.partition(b"\r\n\r\n")
    return _field_end.split(head.removesuffix(b"\r\n")), body


def name_of(field: bytes) -> bytes:
    """A header field's name, in lower case."""
    return field.partition(b":")[0].rstrip(b" \t").lower()


def relaxed_field(field: bytes) -> bytes:
    """One header field (section 3.4.2), without the CRLF that ends it."""
    value = field.partition(b":")[2].replace(b"\r\n", b"")
    return name_of(field) + b":" + _single_spaced(value).strip(b" ")


def relaxed_body(body: bytes) -> bytes:
    """The body (section 3.4.4). Its lines end with CRLF, except perhaps the last
    one.
    """
    if not body.endswith(b"\r\n"):
        body += b"\r\n"
    lines = _single_spaced(body).replace(b" \r\n", b"\r\n")
    if lines == b"\r\n" or lines.endswith(b"\r\n\r\n"):
        lines = lines.rstrip(b"\r\n")
        return lines + b"\r\n" if lines else b""
    return lines


def _single_spaced(text: bytes) -> bytes:
    if b"\t" in text:
        text = text.replace(b"\t", b" ")
    return _spaces.sub(b" ", text) if b"  " in text else text


LEAST_RSA_BITS = 1024
"""RFC 8301 section 3.2; it asks for 2048."""


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A key that can sign, and its fields in a signature."""

    domain: bytes
    selector: bytes
    algorithm: bytes
    sign: Callable[[bytes], bytes]
    """The same bytes always give the same signature."""


def load(key: DkimKey) -> SigningKey:
    """Load ``key``, and test that it can sign.

    Raises `ConfigError`, which names the entry, for a key that is not PEM, has a
    passphrase, is of a kind that DKIM does not support, or is weaker than verifiers
    accept; also if the package ``cryptography`` is not installed.
    """
    return _signing_key(_private_key(key), key)


def _signing_key(private: Any, key: DkimKey) -> SigningKey:
    try:
        algorithm, sign = _algorithm(private, key)
        sign(b"")
    except (ValueError, _unsupported()) as error:
        raise ConfigError(
            f"{key.place} cannot sign ({error}): it must be an RSA or Ed25519 key."
        ) from error
    return SigningKey(key.domain.encode(), key.selector.encode(), algorithm, sign)


@dataclass(frozen=True, slots=True)
class PublicKey:
    """The public half of a key, as its DNS record has it."""

    kind: str
    """``rsa`` or ``ed25519``."""
    text: str
    """In base64."""
    bits: int | None
    """The length of an RSA key."""

    @property
    def record(self) -> str:
        """The text of the DNS record."""
        return f"v=DKIM1; k={self.kind}; p={self.text}"


def public_key(key: DkimKey) -> PublicKey:
    """The public half of ``key``. Raises `ConfigError` as `load` does."""
    from cryptography.hazmat.primitives.asymmetric import ed25519
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    private = _private_key(key)
    _signing_key(private, key)  # which a weak key or one of another kind cannot become
    public = private.public_key()
    if isinstance(public, ed25519.Ed25519PublicKey):
        raw = public.public_bytes_raw()
        return PublicKey("ed25519", base64.b64encode(raw).decode(), None)
    der = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return PublicKey("rsa", base64.b64encode(der).decode(), public.key_size)


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


SEALED = (b"from", b"to", b"cc", b"reply-to", b"subject", b"date", b"message-id",
          b"mime-version", b"content-type", b"content-transfer-encoding")  # fmt: skip
"""Signed, and listed once more than they occur, so that none can be added in
transit.
"""

COVERED = (b"sender", b"in-reply-to", b"references", b"auto-submitted", b"feedback-id",
           b"cfbl-address", b"cfbl-feedback-id",
           b"list-id", b"list-help", b"list-unsubscribe", b"list-unsubscribe-post",
           b"list-subscribe", b"list-post", b"list-owner", b"list-archive")  # fmt: skip
"""Signed if they occur; RFC 8058 section 4 and RFC 9477 section 3.2 require it."""

LINE = 76


def covered_names(fields: Sequence[bytes]) -> list[bytes]:
    """The names for ``h=``, each as often as it is listed."""
    names = [name_of(field) for field in fields]
    sealed = [one for one in SEALED for _ in range(names.count(one) + 1)]
    return sealed + [one for one in COVERED for _ in range(names.count(one))]


def covered_text(fields: Sequence[bytes], names: Sequence[bytes]) -> bytes:
    """The signed header text; of fields with one name, the last comes first."""
    left = list(fields)
    chosen = []
    for name in names:
        for index in range(len(left) - 1, -1, -1):
            if name_of(left[index]) == name:
                chosen.append(relaxed_field(left.pop(index)) + b"\r\n")
                break
    return b"".join(chosen)


def write_signature(
    key: SigningKey, names: Sequence[bytes], covered: bytes, body_hash: bytes
) -> bytes:
    """The header field, with its CRLF, of ``key``'s signature."""
    unsigned = b"\r\n".join(
        [
            b"DKIM-Signature: v=1; a=%b; c=relaxed/relaxed;" % key.algorithm,
            b" d=%b; s=%b;" % (key.domain, key.selector),
            _wrapped_names(names) + b";",
            b" bh=%b;" % base64.b64encode(body_hash),
            b" b=",
        ]
    )
    signature = base64.b64encode(key.sign(covered + relaxed_field(unsigned)))
    return unsigned + _wrapped(signature) + b"\r\n"


def _wrapped_names(names: Sequence[bytes]) -> bytes:
    lines = [b" h=" + names[0]]
    for name in names[1:]:
        lines[-1] += b":"
        if len(lines[-1]) + len(name) < LINE:
            lines[-1] += name
        else:
            lines.append(b"  " + name)
    return b"\r\n".join(lines)


def _wrapped(text: bytes) -> bytes:
    width = LINE - len(" b=")
    return b"\r\n  ".join(
        text[start : start + width] for start in range(0, len(text), width)
    )


_from_domain = re.compile(rb"@([A-Za-z0-9.-]+)>?[ \t]*\Z")


@dataclass(frozen=True, slots=True)
class Signed:
    """A signed message, and a short text on who signed it."""

    content: bytes
    words: str


class Signer:
    """Signs with the keys of the From's domain, or of the nearest parent domain.

    May be used from several threads at a time.
    """

    def __init__(self, keys: Sequence[DkimKey]) -> None:
        """Load the keys; raises `ConfigError` for an entry that cannot sign."""
        self._keys: dict[str, list[SigningKey]] = {}
        for key in keys:
            self._keys.setdefault(key.domain, []).append(load(key))

    def sign(self, content: bytes) -> Signed:
        """Add a signature by each matching key at the top of the message.

        ``content`` has CRLF lines and one From, as `compose` guarantees; it follows the
        signatures unchanged. Raises only `SigningError`.
        """
        try:
            return self._sign(content)
        except Exception as error:
            raise SigningError(
                f"The message could not be signed with the keys in MAIL_DKIM_KEYS: "
                f"{error!r}."
            ) from error

    def _sign(self, content: bytes) -> Signed:
        fields, body = split_content(content)
        author = _domain_of_from(fields)
        keys = self._keys_for(author)
        if not keys:
            words = f"not signed (DKIM): MAIL_DKIM_KEYS has no key for {author}"
            return Signed(content, words)
        names = covered_names(fields)
        covered = covered_text(fields, names)
        body_hash = hashlib.sha256(relaxed_body(body)).digest()
        signatures = [write_signature(key, names, covered, body_hash) for key in keys]
        who = ", ".join(key.selector.decode() for key in keys)
        words = f"signed (DKIM) for {keys[0].domain.decode()} by {who}"
        return Signed(b"".join([*signatures, content]), words)

    def _keys_for(self, domain: str) -> list[SigningKey]:
        """The keys of the domain, else of its parent, and so on.

        For DMARC, a parent domain's signature counts as the author's own (RFC 7489
        section 3.1.1), unless the domain requires strict alignment.
        """
        while domain:
            if domain in self._keys:
                return self._keys[domain]
            domain = domain.partition(".")[2]
        return []


def _domain_of_from(fields: Sequence[bytes]) -> str:
    value = next(one for one in fields if name_of(one) == b"from")
    found = _from_domain.search(value)
    return found[1].decode().lower() if found else value.decode(errors="replace")
