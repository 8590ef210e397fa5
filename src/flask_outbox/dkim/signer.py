"""Signer: all keys of one app, and which of them sign a message."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass

from ..config import DkimKey
from ..errors import SigningError
from .canonical import name_of, relaxed_body, split_content
from .keys import SigningKey, load
from .signature import covered_names, covered_text, write_signature

_from_domain = re.compile(rb"@([A-Za-z0-9.-]+)>?[ \t]*\Z")


@dataclass(frozen=True, slots=True)
class Signed:
    """A message as it leaves, and a few words on who signed it."""

    content: bytes
    words: str


class Signer:
    """Signs with the keys of the From's domain, or of the nearest domain above it.

    May be used from several threads at a time.
    """

    def __init__(self, keys: Sequence[DkimKey]) -> None:
        """Load the keys; `ConfigError` names the entry of one that cannot sign."""
        self._keys: dict[str, list[SigningKey]] = {}
        for key in keys:
            self._keys.setdefault(key.domain, []).append(load(key))

    def sign(self, content: bytes) -> Signed:
        """The message with a signature by each key that fits, above all else.

        ``content`` has CRLF lines and one From, as composing leaves it; what follows
        the signatures is these very bytes. Raises `SigningError`, and nothing else.
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
        """The keys of the domain, else of the one above it, and so on.

        A signature of a domain above counts as the author's own for DMARC (RFC 7489
        section 3.1.1), unless the domain asks for strict alignment.
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
