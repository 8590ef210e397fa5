"""One DKIM-Signature (RFC 6376 section 3.5): which fields it covers, how it is written.

It has no time (``t=``): so each retry of a message is the same, byte for byte.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence

from .canonical import name_of, relaxed_field
from .keys import SigningKey

SEALED = (b"from", b"to", b"cc", b"reply-to", b"subject", b"date", b"message-id",
          b"mime-version", b"content-type", b"content-transfer-encoding")  # fmt: skip
"""Covered, and named once more than they occur: so none can be added on the way."""

COVERED = (b"sender", b"in-reply-to", b"references", b"auto-submitted", b"feedback-id",
           b"list-id", b"list-help", b"list-unsubscribe", b"list-unsubscribe-post",
           b"list-subscribe", b"list-post", b"list-owner", b"list-archive")  # fmt: skip
"""Covered where they occur; RFC 8058 section 4 asks for it."""

LINE = 76


def covered_names(fields: Sequence[bytes]) -> list[bytes]:
    """The names for ``h=``, each as often as it is covered."""
    names = [name_of(field) for field in fields]
    sealed = [one for one in SEALED for _ in range(names.count(one) + 1)]
    return sealed + [one for one in COVERED for _ in range(names.count(one))]


def covered_text(fields: Sequence[bytes], names: Sequence[bytes]) -> bytes:
    """What is signed of the header: of fields of one name the last comes first."""
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
