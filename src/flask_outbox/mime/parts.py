"""The tree of parts below the headers (RFC 2046).

From the outside in; a multipart exists only if it has more than one part::

    multipart/mixed
    ├── multipart/alternative
    │   ├── text/plain
    │   └── multipart/related
    │       ├── text/html
    │       └── image/png           inline, shown by the HTML as cid:…
    └── application/pdf             attached
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from hashlib import blake2b

from ..errors import MessageError
from ..message import Message
from ..message.text import shown
from .attachments import ContentType, attachment_part
from .encoding import Charset, charset, encode_text
from .header_syntax import as_text

Part = list[bytes]
"""The pieces of a part, joined only once, so that large content is not copied."""


def parts_of(message: Message, unique: str, ascii_attachments: bool) -> Part:
    """The body of ``message``; equal arguments give equal bytes."""
    texts = _texts(message)
    if len(texts) == 1 and not message.attachments:
        return next(iter(texts.values()))
    inline: list[Part] = []
    attached: list[Part] = []
    for index, attachment in enumerate(message.attachments or ()):
        part, inlined = attachment_part(
            attachment,
            f"attachments[{index}]",
            ascii_filename=ascii_attachments,
            in_flask_mails_form=message.in_flask_mails_form,
        )
        (inline if inlined and "html" in texts else attached).append(part)
    token = boundary_token(unique, [*texts.values(), *inline, *attached])
    if inline:
        html = [texts["html"], *inline]
        texts["html"] = _multipart('related;\r\n type="text/html"', html, f"=_r{token}")
    whole, *others = texts.values()
    if others:
        whole = _multipart("alternative", [whole, *others], f"=_a{token}")
    if not attached:
        return whole
    return _multipart("mixed", [whole, *attached], f"=_m{token}")


def _texts(message: Message) -> dict[str, Part]:
    """The alternatives: plain text first, the others in the order of ``alts``.

    There is always at least one: a message without text has an empty plain one.
    """
    into = charset(message.charset or "utf-8", "charset")
    alts = message.alts or {}
    quoted = message.in_flask_mails_form
    texts: dict[str, Part] = {}
    if message.body or not alts or message.in_flask_mails_form:
        body = "" if message.body is None else message.body
        texts["plain"] = _text_part("plain", body, into, "body", quoted)
    for kind, text in alts.items():
        field = "html" if kind == "html" else f"alts[{shown(kind)}]"
        texts[kind] = _text_part(kind, text, into, field, quoted)
    return texts


def _text_part(
    kind: str, text: object, into: Charset, field: str, quoted: bool
) -> Part:
    if type(kind) is not str:
        kind = as_text(kind, field, MessageError)
    content_type, named = _text_type(kind, field)
    if named:
        into = charset(named, field)
    exact = text if type(text) is str else as_text(text, field, MessageError)
    encoding, octets = encode_text(exact, into, field)
    return [_text_headers(content_type, into.name, encoding, quoted), octets]


@lru_cache(maxsize=64)
def _text_headers(
    content_type: ContentType, into: str, encoding: str, quoted: bool
) -> bytes:
    value = f'"{into}"' if quoted else into
    line = f"Content-Type: {content_type.essence}; charset={value}\r\n"
    if content_type.parameters:
        line = content_type.having("charset", into).write()
    return f"{line}Content-Transfer-Encoding: {encoding}\r\n\r\n".encode("ascii")


@lru_cache(maxsize=64)
def _text_type(kind: str, field: str) -> tuple[ContentType, str | None]:
    """The Content-Type of ``html``, ``calendar; method=REQUEST`` or ``text/html``, and
    the charset that it names.
    """
    if "/" not in kind:
        kind = f"text/{kind}"
    content_type = ContentType.parse(kind, field, MessageError)
    if not content_type.essence.startswith("text/"):
        raise MessageError(field, "is not text; pass it as an attachment")
    return content_type, content_type.get("charset")


def _multipart(subtype: str, parts: Iterable[Part], boundary: str) -> Part:
    header = f'Content-Type: multipart/{subtype};\r\n boundary="{boundary}"\r\n'
    pieces = [header.encode()]
    delimiter = f"\r\n--{boundary}\r\n".encode()
    for part in parts:
        pieces.append(delimiter)
        pieces += part
    pieces.append(f"\r\n--{boundary}--\r\n".encode())
    return pieces


def boundary_token(unique: str, leaves: list[Part]) -> str:
    """The token in every boundary: derived from ``unique``, and absent from all parts.

    The content of a part can therefore never end it: if a part contains the token,
    another token is chosen.
    """
    token = blake2b(unique.encode(), digest_size=16).hexdigest()
    while any(token.encode() in piece for leaf in leaves for piece in leaf):
        token = blake2b(token.encode(), digest_size=16).hexdigest()
    return token
