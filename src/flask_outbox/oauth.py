"""Access tokens of Microsoft 365 and Google, fetched and renewed when needed.

What `microsoft` and `google` return goes into ``MAIL_OAUTH_TOKEN`` for SMTP and into
``MAIL_API_KEY`` for ``graph://`` and ``gmail://``::

    from flask_outbox import oauth

    app.config["MAIL_URL"] = "gmail://"
    app.config["MAIL_API_KEY"] = oauth.google(
        service_account="service-account.json", mailbox="shop@example.com"
    )

Source: RFC 6749 (OAuth 2.0), RFC 7521 and RFC 7523 (assertions).
"""

from __future__ import annotations

import copy
import hashlib
import importlib.util
import json
import os
import threading
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urlsplit
from urllib.request import (
    HTTPHandler,
    HTTPSHandler,
    OpenerDirector,
    ProxyHandler,
    Request,
)
from uuid import uuid4

from .concurrency import call_at_forks
from .config import is_loopback
from .delivery import retry_after_seconds
from .errors import (
    AccountTrouble,
    ConfigError,
    Throttled,
    TransportDown,
    redacted,
    text_from,
)
from .message.text import shown

OUTLOOK_SMTP = "https://outlook.office365.com/.default"
"""The scope of an app that sends by SMTP through Exchange Online."""

GMAIL_SMTP = "https://mail.google.com/"
"""The scope of an app that sends by SMTP through Gmail."""

_GRAPH = "https://graph.microsoft.com/.default"
_GMAIL = "https://www.googleapis.com/auth/gmail.send"

Secret = str | Callable[[], Any]
"""A secret, or a function that fetches it: called for each token."""

EARLY_SECONDS = 60.0
"""How long before its end a token is renewed, or half of its lifetime if that is
shorter."""

ASSERTION_SECONDS = 300
"""How long a signed assertion is valid."""

_TIMEOUT_SECONDS = 10.0
_MAX_REPLY_BYTES = 1024 * 1024
_BY_JWT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_PROVED_BY_JWT = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


def microsoft(
    *,
    tenant: str,
    client_id: str,
    client_secret: Secret | None = None,
    certificate_file: str | os.PathLike[str] | None = None,
    refresh_token: Secret | None = None,
    scope: str | None = None,
    authority: str = "https://login.microsoftonline.com",
) -> AccessTokens:
    """Tokens of an app that is registered in Microsoft Entra ID.

    The app proves its identity by ``client_secret``, or by ``certificate_file``: a PEM
    file with the certificate and its private key (RSA). It gets its own tokens (client
    credentials), or with ``refresh_token`` the tokens of the person who gave consent.
    ``scope`` is by default that of Microsoft Graph, or with a refresh token what the
    person consented to; pass `OUTLOOK_SMTP` for SMTP. National clouds need another
    ``authority``.

    Raises `ConfigError` for arguments that do not fit together, and if a package is
    missing.
    """
    if client_secret is not None and certificate_file is not None:
        raise ConfigError(
            "oauth.microsoft() has a client_secret and a certificate_file: keep one."
        )
    if client_secret is None and certificate_file is None and refresh_token is None:
        raise ConfigError(
            "oauth.microsoft() has no proof of the app's identity: pass a "
            "client_secret, a certificate_file or a refresh_token."
        )
    url = f"{authority.rstrip('/')}/{quote(tenant, safe='')}/oauth2/v2.0/token"
    client = _Client(client_id, client_secret, url)
    if certificate_file is not None:
        client.certificate = _Certificate.read(certificate_file)
    if refresh_token is not None:
        return AccessTokens(url, RefreshToken(client, refresh_token, scope))
    return AccessTokens(url, ClientCredentials(client, scope or _GRAPH))


def google(
    *,
    service_account: str | os.PathLike[str] | Mapping[str, Any] | None = None,
    mailbox: str | None = None,
    client_id: str | None = None,
    client_secret: Secret | None = None,
    refresh_token: Secret | None = None,
    scope: str = _GMAIL,
    token_url: str = "https://oauth2.googleapis.com/token",  # noqa: S107
) -> AccessTokens:
    """Tokens of a Google mailbox.

    Either ``service_account`` is the JSON file of a service account's key, or its
    content. It acts for ``mailbox`` by domain-wide delegation with ``scope``
    (`GMAIL_SMTP` for SMTP). Or ``refresh_token`` is that of the person who gave
    ``client_id`` consent.

    Raises `ConfigError` for arguments that do not fit together, and if a package is
    missing.
    """
    if service_account is not None:
        if mailbox is None or refresh_token is not None:
            raise ConfigError(
                "oauth.google() with service_account needs the mailbox that it acts "
                "for, and no refresh_token."
            )
        account = ServiceAccount.read(service_account, mailbox, scope)
        return AccessTokens(account.url, account)
    if client_id is None or refresh_token is None:
        raise ConfigError(
            "oauth.google() needs a service_account and a mailbox, or a client_id, its "
            "client_secret and a refresh_token."
        )
    client = _Client(client_id, client_secret, token_url)
    return AccessTokens(token_url, RefreshToken(client, refresh_token, None))


class AccessTokens:
    """The access tokens of one account. Calling it returns the current one.

    That is valid for at least another minute, if the provider's tokens last that long.
    One renewal serves all threads and lanes of a process, and so does its failure.
    """

    def __init__(self, url: str, grant: Grant) -> None:
        _check_url(url)
        self._url = url
        self._grant = grant
        self._token = _Token()
        self._failures = 0
        self._failure: TransportDown | None = None
        self.after_fork_in_child()
        call_at_forks(self)

    def __repr__(self) -> str:
        return f"<AccessTokens of {self._url}>"

    @property
    def known(self) -> str | None:
        """The current token, if it needs no renewal."""
        token = self._token
        return token.text if time.monotonic() < token.until else None

    def __call__(self) -> str:
        """Return a token, renewed if that is due.

        Raises `AccountTrouble` if the provider gives none, `Throttled` if it asks to
        wait, and `TransportDown` if it cannot be reached.
        """
        return self.known or self._renewed(None)

    def renew(self, rejected: str) -> str:
        """Return another token than the one that a server rejected.

        Raises what calling it does.
        """
        known = self.known
        return known if known and known != rejected else self._renewed(rejected)

    def _renewed(self, rejected: str | None) -> str:
        failures = self._failures
        with self._lock:
            known = self.known
            if known and known != rejected:
                return known
            if self._failure is not None and self._failures > failures:
                raise copy.copy(self._failure)
            try:
                self._token = self._fetched()
            except TransportDown as error:
                self._failures += 1
                self._failure = error
                raise
            return self._token.text

    def _fetched(self) -> _Token:
        form = self._grant.form()
        status, headers, body = _post(self._url, form)
        if status == 200 and isinstance(token := body.get("access_token"), str):
            self._grant.store_reply(body)
            return _Token(token, time.monotonic() + _lifetime_seconds(body))
        secrets = [form[one] for one in _SECRET_FIELDS if form.get(one)]
        raise _failure(self._url, status, headers, body, secrets)

    def before_fork(self) -> None:
        """Nothing to release: a child may use the inherited token."""

    def after_fork_in_parent(self) -> None:
        """Nothing to do in the parent."""

    def after_fork_in_child(self) -> None:
        """Forget a renewal that was under way in the parent."""
        self._lock = threading.Lock()


@dataclass(frozen=True, slots=True)
class _Token:
    text: str = field(default="", repr=False)
    until: float = 0.0


# ------------------------------------------------------------------ what is asked with


class Grant:
    """A grant: what entitles the app to a token (RFC 6749 section 4)."""

    def form(self) -> dict[str, str]:
        """The fields of a request for a token."""
        raise NotImplementedError

    def store_reply(self, body: Mapping[str, Any]) -> None:
        """Store what the next request needs of a reply."""


@dataclass(slots=True)
class _Client:
    """The app, and the proof of its identity."""

    id: str
    secret: Secret | None = field(repr=False)
    url: str
    certificate: _Certificate | None = None

    def form(self) -> dict[str, str]:
        form = {"client_id": self.id}
        if self.secret is not None:
            form["client_secret"] = _value(self.secret, "client_secret")
        if self.certificate is not None:
            form["client_assertion_type"] = _PROVED_BY_JWT
            form["client_assertion"] = self.certificate.assertion(self.id, self.url)
        return form


class ClientCredentials(Grant):
    """A grant of the app itself (RFC 6749 section 4.4)."""

    def __init__(self, client: _Client, scope: str) -> None:
        self._client = client
        self._scope = scope

    def form(self) -> dict[str, str]:
        """The app and the scope."""
        fields = {"grant_type": "client_credentials", "scope": self._scope}
        return {**fields, **self._client.form()}


class RefreshToken(Grant):
    """A grant by a person (RFC 6749 section 6).

    A newer refresh token in a reply replaces the given one, in this process.
    """

    def __init__(self, client: _Client, token: Secret, scope: str | None) -> None:
        self._client = client
        self._token = token
        self._scope = scope

    def form(self) -> dict[str, str]:
        """The app, the refresh token, and the scope if one was given."""
        fields = {
            "grant_type": "refresh_token",
            "refresh_token": _value(self._token, "refresh_token"),
        }
        if self._scope is not None:
            fields["scope"] = self._scope
        return {**fields, **self._client.form()}

    def store_reply(self, body: Mapping[str, Any]) -> None:
        """The provider may give a new one each time."""
        newer = body.get("refresh_token")
        if isinstance(newer, str) and newer and not callable(self._token):
            self._token = newer


@dataclass(frozen=True, slots=True)
class _Certificate:
    """https://learn.microsoft.com/entra/identity-platform/certificate-credentials."""

    key: Any = field(repr=False)
    thumbprint: str

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> _Certificate:
        _check_jwt()
        from cryptography import x509
        from cryptography.hazmat.primitives.serialization import Encoding

        try:
            pem = Path(path).read_bytes()
            der = x509.load_pem_x509_certificate(pem).public_bytes(Encoding.DER)
            key = _rsa_key(pem)
        except (OSError, TypeError, ValueError) as error:
            raise ConfigError(
                f"certificate_file names {shown(path)}, which cannot be read "
                f"({type(error).__name__}): it must be PEM with a certificate and its "
                "private key (RSA), without a passphrase."
            ) from None
        digest = urlsafe_b64encode(hashlib.sha256(der).digest())
        return cls(key, digest.rstrip(b"=").decode())

    def assertion(self, client_id: str, url: str) -> str:
        claims = {"aud": url, "iss": client_id, "sub": client_id, "jti": str(uuid4())}
        return _signed(claims, self.key, "PS256", {"x5t#S256": self.thumbprint})


@dataclass(frozen=True, slots=True)
class ServiceAccount(Grant):
    """https://developers.google.com/identity/protocols/oauth2/service-account."""

    email: str
    key: Any = field(repr=False)
    key_id: str
    url: str
    mailbox: str
    scope: str

    @classmethod
    def read(
        cls,
        given: str | os.PathLike[str] | Mapping[str, Any],
        mailbox: str,
        scope: str,
    ) -> ServiceAccount:
        """Read the key that Google made. Raises `ConfigError`."""
        _check_jwt()
        try:
            told = given
            if not isinstance(told, Mapping):
                told = json.loads(Path(told).read_bytes())
            key = _rsa_key(told["private_key"].encode())
            key_id, url = told["private_key_id"], told["token_uri"]
            return cls(told["client_email"], key, key_id, url, mailbox, scope)
        except (OSError, TypeError, ValueError, KeyError, AttributeError) as error:
            raise ConfigError(
                f"service_account cannot be read ({type(error).__name__}): it must be "
                "the JSON file of a service account's key, as Google made it."
            ) from None

    def form(self) -> dict[str, str]:
        """The account's signed assertion that it acts for the mailbox."""
        claims = {
            "iss": self.email,
            "scope": self.scope,
            "aud": self.url,
            "sub": self.mailbox,
        }
        assertion = _signed(claims, self.key, "RS256", {"kid": self.key_id})
        return {"grant_type": _BY_JWT, "assertion": assertion}


_SECRET_FIELDS = ("client_secret", "refresh_token", "client_assertion", "assertion")


def _rsa_key(pem: bytes) -> Any:
    """The private key in a PEM text. Raises ValueError or TypeError."""
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    key = load_pem_private_key(pem, None)
    if not isinstance(key, RSAPrivateKey):
        raise TypeError("it is not an RSA key")
    return key


def _signed(
    claims: Mapping[str, str], key: Any, algorithm: str, headers: dict[str, str]
) -> str:
    import jwt

    now = int(time.time())
    times = {"iat": now, "nbf": now, "exp": now + ASSERTION_SECONDS}
    return jwt.encode({**claims, **times}, key, algorithm, headers)


def _value(secret: Secret, name: str) -> str:
    if not callable(secret):
        return secret
    return text_from(secret, f"{name} of the OAuth settings gave none")


# --------------------------------------------------------------- what the provider says


def _post(
    url: str, form: Mapping[str, str]
) -> tuple[int, Mapping[str, str], dict[str, Any]]:
    """The status, the headers and the JSON of a reply."""
    request = Request(url, urlencode(form).encode())  # noqa: S310 (see _check_url)
    try:
        with _opener().open(request, timeout=_TIMEOUT_SECONDS) as reply:
            status, headers = reply.status, reply.headers
            content = reply.read(_MAX_REPLY_BYTES)
    except (OSError, HTTPException, UnicodeError) as error:
        raise TransportDown(
            f"{_host(url)} gave no access token: it cannot be reached "
            f"({type(error).__name__} {error})."
        ) from error
    try:
        body = json.loads(content)
    except ValueError:
        body = {}
    return status, headers, body if isinstance(body, dict) else {}


def _opener() -> OpenerDirector:
    """Opens URLs by way of the environment's proxy; follows no redirect."""
    opener = OpenerDirector()
    for handler in (ProxyHandler(), HTTPHandler(), HTTPSHandler()):
        opener.add_handler(handler)
    return opener


def _lifetime_seconds(body: Mapping[str, Any]) -> float:
    try:
        seconds = float(body.get("expires_in") or 0)
    except (TypeError, ValueError):
        seconds = 0.0
    return max(seconds - EARLY_SECONDS, seconds / 2)


_ADVICE = {
    "invalid_client": "Check the client's id, and that its secret or certificate is "
    "the right one and has not expired.",
    "unauthorized_client": "Check that the app, or the service account's delegation, "
    "is allowed this scope.",
    "invalid_grant": "The refresh token has expired or was revoked, or the service "
    "account may not act for this mailbox: give consent again, or check the "
    "delegation.",
    "invalid_scope": "Check the scope.",
}


def _failure(
    url: str,
    status: int,
    headers: Mapping[str, str],
    body: Mapping[str, Any],
    secrets: list[str],
) -> TransportDown:
    """What a reply without a token means (RFC 6749 section 5.2)."""
    code, text = str(body.get("error", "")), str(body.get("error_description", ""))
    told = redacted(f"{status} {code} {text[:300]}".strip(), secrets)
    said = f"{_host(url)} gave no access token: {told}"
    wait = retry_after_seconds(headers.get("retry-after", ""))
    if status == 429 or (status == 503 and wait is not None):
        return Throttled(said, wait)
    if status >= 500:
        return TransportDown(said)
    return AccountTrouble(f"{said} {_ADVICE.get(code, '')}".rstrip())


def _host(url: str) -> str:
    return urlsplit(url).netloc


def _check_url(url: str) -> None:
    place = urlsplit(url)
    if place.scheme != "https" and not is_loopback(place.hostname or ""):
        raise ConfigError(
            f"The token URL {url} would get the secret unencrypted: it must begin with "
            "https://."
        )


def _check_jwt() -> None:
    for name in ("jwt", "cryptography"):
        if importlib.util.find_spec(name) is None:
            raise _missing_package({"jwt": "PyJWT"}.get(name, name))


def _missing_package(package: str) -> ConfigError:
    return ConfigError(
        f"flask_outbox.oauth needs the package {package}: install it with "
        'pip install "flask-outbox[oauth]".'
    )
