"""What proves that events are a provider's: a signature, a password or a header."""

from __future__ import annotations

import hmac
import importlib.util
from base64 import b64decode
from datetime import datetime, timedelta

from ..errors import ConfigError, EventsRefused
from .json_value import JsonValue
from .provider import EventRequest, ProviderEvents


def need_cryptography(scheme: str) -> None:
    """Raise `ConfigError` without the package that verifies signatures."""
    if importlib.util.find_spec("cryptography") is None:
        raise ConfigError(
            f"Events of {scheme} are signed, and verifying that needs the package "
            'cryptography: install it with pip install "flask-outbox[events]".'
        )


def refuse_if_old(
    time: str, now: datetime, tolerance: timedelta, status: int = 401
) -> None:
    """Raise `EventsRefused` unless ``time`` is near enough to ``now``, or for none.

    Only for a time that is signed.
    """
    at = JsonValue(time).time_or_none()
    if at is None or abs(now - at) > tolerance:
        text = "the request is too old, or a clock is wrong"
        raise EventsRefused(
            status, text, f"it is from {at}" if at else "it has no time"
        )


def same(given: str | bytes, wanted: str | bytes) -> bool:
    """Whether they are the same; how long that takes says nothing about ``wanted``."""
    return hmac.compare_digest(_bytes(given), _bytes(wanted))


def _bytes(text: str | bytes) -> bytes:
    return text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text


class CredentialEvents(ProviderEvents):
    """Events that nothing signs: a password or a header proves them.

    ``MAIL_EVENTS_SECRET`` is ``user:password``, which the provider sends as HTTP
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
