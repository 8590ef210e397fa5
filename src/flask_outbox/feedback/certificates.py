"""Certificates that sign events: fetched from their service once, and kept."""

from __future__ import annotations

import ssl
import threading
import time
from collections import deque
from collections.abc import Callable
from datetime import datetime
from http.client import HTTPException
from typing import TYPE_CHECKING
from urllib.request import HTTPSHandler, OpenerDirector, ProxyHandler, Request

from ..errors import EventsRefused

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
    from cryptography.x509 import Certificate

Fetch = Callable[[str], bytes]
"""Fetches an https URL. Raises `OSError`."""

TIMEOUT_SECONDS = 5.0

MAX_REPLY_BYTES = 256 * 1024

KEPT, KEPT_SECONDS = 20, 86_400.0
"""How many URLs are remembered, and for how long."""

FETCHES, PER_SECONDS = 10, 60.0
"""No more is fetched than this: whoever knows a topic's name can ask for any."""

LEAST_RSA_BITS = 2048


class HttpsFetch:
    """Fetches by way of the environment's proxy, and follows no redirect."""

    def __init__(self, ca_file: str | None) -> None:
        self._ca_file = ca_file

    def __call__(self, url: str) -> bytes:
        """What is there. Raises `OSError` for anything but a 200 with an answer that is
        short enough.
        """
        opener = OpenerDirector()
        opener.add_handler(ProxyHandler())
        context = ssl.create_default_context(cafile=self._ca_file)
        opener.add_handler(HTTPSHandler(context=context))
        try:
            with opener.open(Request(url), timeout=TIMEOUT_SECONDS) as reply:  # noqa: S310
                content: bytes = reply.read(MAX_REPLY_BYTES + 1)
                status: int = reply.status
        except (HTTPException, UnicodeError) as error:
            raise OSError(f"{url} cannot be fetched: {error!r}") from error
        if status != 200 or len(content) > MAX_REPLY_BYTES:
            raise OSError(f"{url} was answered {status}, with {len(content)} bytes")
        return content


class Certificates:
    """The certificates at some URLs, each fetched once."""

    def __init__(
        self, fetch: Fetch, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._fetch = fetch
        self._clock = clock
        self._fetching = threading.Lock()
        self._known: dict[str, tuple[float, tuple[Certificate, ...]]] = {}
        self._fetched_at: deque[float] = deque(maxlen=FETCHES)

    def key(self, url: str, issuers_url: str | None, at: datetime) -> RSAPublicKey:
        """The public key of the certificate at ``url``, which is valid at that time and
        issued by one of those at ``issuers_url``.

        Raises `EventsRefused`: with 503 if they cannot be fetched at present.
        """
        from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

        certificate = self._at(url)[0]
        key = certificate.public_key()
        is_good = (
            _is_valid(certificate, at)
            and isinstance(key, RSAPublicKey)
            and key.key_size >= LEAST_RSA_BITS
        )
        if is_good and issuers_url is not None:
            is_good = any(
                _is_valid(one, at) and _is_issued_by(certificate, one)
                for one in self._at(issuers_url)
            )
        if not (is_good and isinstance(key, RSAPublicKey)):
            text = "the certificate is expired, or not the service's"
            raise EventsRefused(401, text, url)
        return key

    def _at(self, url: str) -> tuple[Certificate, ...]:
        known = self._remembered(url)
        if known is not None:
            return known
        if not self._fetching.acquire(timeout=TIMEOUT_SECONDS):
            raise _later("others are being fetched")
        try:
            known = self._remembered(url)
            if known is None:
                known = self._fetched(url)
                if len(self._known) >= KEPT:
                    self._known.clear()
                self._known[url] = (self._clock() + KEPT_SECONDS, known)
            return known
        finally:
            self._fetching.release()

    def _remembered(self, url: str) -> tuple[Certificate, ...] | None:
        until, known = self._known.get(url, (0.0, None))
        return known if self._clock() < until else None

    def _fetched(self, url: str) -> tuple[Certificate, ...]:
        from cryptography.x509 import load_pem_x509_certificates

        now = self._clock()
        if len(self._fetched_at) == FETCHES and now - self._fetched_at[0] < PER_SECONDS:
            raise _later(f"{FETCHES} were fetched within {PER_SECONDS:.0f} s")
        self._fetched_at.append(now)
        try:
            return tuple(load_pem_x509_certificates(self._fetch(url)))
        except OSError as error:
            raise _later(str(error)) from error
        except ValueError as error:
            text = "the certificate cannot be read"
            raise EventsRefused(401, text, f"{url}: {error}") from error


def _later(detail: str) -> EventsRefused:
    return EventsRefused(503, "the certificate cannot be fetched at present", detail)


def _is_valid(certificate: Certificate, at: datetime) -> bool:
    return certificate.not_valid_before_utc <= at <= certificate.not_valid_after_utc


def _is_issued_by(certificate: Certificate, issuer: Certificate) -> bool:
    from cryptography.exceptions import InvalidSignature

    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True
