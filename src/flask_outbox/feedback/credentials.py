"""Events of providers that sign nothing: a password or a header proves them."""

from __future__ import annotations

from base64 import b64decode

from ..errors import ConfigError, EventsRefused
from .provider import EventRequest, ProviderEvents
from .signatures import same


class CredentialEvents(ProviderEvents):
    """``MAIL_EVENTS_SECRET`` is ``user:password``, which the provider sends as HTTP
    Basic (RFC 7617), or a header such as ``X-Events-Key: secret``.
    """

    @classmethod
    def check_secret(cls, secret: str) -> None:
        """Refuse what is neither of them."""
        if not all(secret.partition(":")[::2]):
            raise ConfigError(
                "MAIL_EVENTS_SECRET is of another form than this provider's: it must "
                'be "user:password", or a header as in "X-Events-Key: secret".'
            )

    def check(self, request: EventRequest) -> None:
        """The request must have the password or the header."""
        if not self.fits_a_secret(lambda secret: _has(request, secret)):
            raise EventsRefused(401, "the password or the header is missing or wrong")


def _has(request: EventRequest, secret: str) -> bool:
    """Whether a request has a secret; how long that takes says nothing about it."""
    header, is_header, value = secret.partition(": ")
    if is_header:
        given = request.headers.get(header.strip().lower(), "")
        return same(given, value.strip())
    return same(_basic(request), secret)


def _basic(request: EventRequest) -> bytes:
    kind, _, encoded = request.headers.get("authorization", "").partition(" ")
    if kind.lower() != "basic":
        return b""
    try:
        return b64decode(encoded.strip(), validate=True)
    except ValueError:
        return b""
