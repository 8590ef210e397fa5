"""A finished message, whose To, Cc and Bcc are made to name its envelope."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import ClassVar

from ...config import UrlSettings
from ...delivery import Envelope
from ...dkim import name_of, split_content
from ...errors import ConfigError
from ...message import Address, comparable
from ...mime.header_syntax import address_list
from .api import ApiTransport, split
from .fields import Headers, Mailbox


class HeadersTransport(ApiTransport):
    """Sends by an API that takes the message as it is, to whom its headers name.

    There To, Cc and Bcc *are* the envelope, so they are made from it: whoever is in a
    header but not in the envelope is left out, and whoever is in no header becomes Bcc.
    Its key is an access token.
    """

    oauth_function: ClassVar[str]
    """The function of `flask_outbox.oauth` that makes the token's source."""

    @classmethod
    def check_key(cls, settings: UrlSettings) -> None:
        """Refuse settings without a token."""
        if settings.username is None and settings.api_key is None:
            raise ConfigError(
                f"{settings.scheme}:// has no token: set MAIL_API_KEY to what "
                f"flask_outbox.oauth.{cls.oauth_function}(…) returns."
            )

    def requests(
        self, envelope: Envelope, content: bytes
    ) -> Iterator[tuple[Envelope, bytes]]:
        """One request; several for too many recipients."""
        self.check_message(envelope, content)
        for part in split(envelope, self.max_recipients):
            yield part, addressed(content, part.recipients)


def addressed(content: bytes, recipients: Iterable[str]) -> bytes:
    """The message to these recipients and to nobody else; Bcc has those in no header.

    To and Cc stay byte for byte if all of them are recipients. Where they do not, a
    DKIM signature would not hold, and is left out.
    """
    fields, body = split_content(content)
    headers = Headers.read(fields)
    hidden = {comparable(one): one for one in recipients}
    lines: list[str] = []
    changed: set[bytes] = {b"bcc"}
    for name in ("To", "Cc"):
        shown = headers.mailboxes(name)
        kept = [one for one in shown if hidden.pop(comparable(one[1]), None)]
        if len(kept) < len(shown):
            changed |= {name.lower().encode(), b"dkim-signature"}
            lines.append(_header(name, kept))
    lines.append(_header("Bcc", [("", one) for one in hidden.values()]))
    stay = [one for one in fields if name_of(one) not in changed]
    written = "".join(lines).encode()
    return b"".join(one + b"\r\n" for one in stay) + written + b"\r\n" + body


def _header(name: str, some: list[Mailbox]) -> str:
    if not some:
        return ""
    return address_list(name, [Address.parse(one, name) for one in some])
