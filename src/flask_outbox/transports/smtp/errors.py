"""Explains in plain sentences why a server cannot be used.

`explain` turns whatever aiosmtplib, ssl and the operating system raise while a
connection is made into `TransportDown`.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Iterable, Iterator
from enum import StrEnum

import aiosmtplib

from ...config import SmtpSettings
from ...delivery import Reply
from ...errors import LoginDemanded, LoginRejected, TransportDown
from .replies import compose, presentable


class Step(StrEnum):
    """The step of making a connection, in words."""

    REACH = "while connecting"
    GREETING = "before its greeting"
    EHLO = "after EHLO"
    STARTTLS = "after STARTTLS"
    ASK = "while MAIL_OAUTH_TOKEN was asked for a token"
    AUTH = "while logging in"
    READY = "before the first mail"


LOGIN_DEMANDED = 530
"""RFC 4954 section 6, and RFC 3207 section 4: "Must issue a STARTTLS command first"."""


class ConnectionRejected(TransportDown):
    """The server refused a new connection, perhaps because it limits their number.

    If other connections work, the server itself is not in trouble.
    """


EXPECTED = (aiosmtplib.SMTPException, OSError, ValueError)
"""Base classes of all that making a connection can raise."""


def explain(error: BaseException, step: Step, settings: SmtpSettings) -> TransportDown:
    """The `TransportDown` that says what happened and what to check.

    The innermost known cause decides. Raise the result ``from`` the error.
    """
    for cause in reversed(list(_causes(error))):
        for kind, sentence, anchor in SENTENCES:
            if isinstance(cause, kind):
                said = sentence(cause, step, settings)
                return _kind(cause, step)(said, anchor=anchor)
    return TransportDown(f"{settings.place} cannot be used {step}: {error!r}.")


def _kind(error: BaseException, step: Step) -> type[TransportDown]:
    if isinstance(error, aiosmtplib.SMTPAuthenticationError) and error.code >= 500:
        wants_tls = error.code in (LOGIN_DEMANDED, 538)
        return LoginDemanded if wants_tls else LoginRejected
    return ConnectionRejected if _turns_away(error, step) else TransportDown


def _turns_away(error: BaseException, step: Step) -> bool:
    """Whether the cause may be that the server allows no further connection.

    Servers say so in their greeting or in reply to EHLO (421) or to a login (421, 432,
    454), or close the connection without a reply. Firewalls, and servers whose
    processes are all busy, refuse it or do not answer.
    """
    if isinstance(error, aiosmtplib.SMTPConnectResponseError):
        return True
    if isinstance(error, aiosmtplib.SMTPResponseException):
        return 400 <= error.code < 500
    if isinstance(error, TimeoutError):
        return step in (Step.REACH, Step.GREETING)
    return isinstance(error, ConnectionError) and step is not Step.AUTH


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__


# ------------------------------------------------------------ causes without exception


def bad_ca_file(error: OSError, settings: SmtpSettings) -> TransportDown:
    """The certificates to trust cannot be loaded."""
    return TransportDown(
        f"The certificates in MAIL_TLS_CA_FILE ({settings.ca_file}) cannot be loaded "
        f"({error.strerror or error}). It must be PEM, and readable by this process.",
        anchor="ca-file",
    )


def bad_client_certificate(error: Exception, settings: SmtpSettings) -> TransportDown:
    """The client certificate or its key cannot be loaded."""
    files = f"MAIL_TLS_CLIENT_CERT_FILE ({settings.client_cert_file})"
    if settings.client_key_file:
        files += f" with MAIL_TLS_CLIENT_KEY_FILE ({settings.client_key_file})"
    reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or error
    return TransportDown(
        f"The client certificate in {files} cannot be loaded ({reason}). Both must be "
        "PEM and readable by this process, and the key must be that certificate's and "
        "have no passphrase.",
        anchor="client-certificate",
    )


def no_starttls(settings: SmtpSettings) -> TransportDown:
    """The settings require STARTTLS, and the server does not offer it."""
    return TransportDown(
        f"{settings.place} offers no STARTTLS, which MAIL_USE_TLS (or "
        "smtp+starttls:// in MAIL_URL) demands. No login and no mail was sent. If the "
        "port speaks TLS from the first byte (usually 465), use MAIL_USE_SSL or "
        "smtps://. If it offered STARTTLS before, someone on the path may be removing "
        "the offer.",
        anchor="no-starttls",
    )


def no_auth(settings: SmtpSettings) -> TransportDown:
    """The settings have a login, and the server does not offer AUTH."""
    how = "over TLS" if settings.security != "plain" else "without TLS"
    return TransportDown(
        f"{settings.place} offers no login {how}, so MAIL_USERNAME cannot be used. "
        "Many servers offer it only after STARTTLS (MAIL_USE_TLS, usually port 587); "
        "a server that asks for none wants MAIL_USERNAME and MAIL_PASSWORD removed.",
        anchor="no-login",
    )


def unencrypted_login(settings: SmtpSettings) -> TransportDown:
    """There is no TLS, and the settings do not allow a login without it."""
    return TransportDown(
        f"The connection to {settings.place} is not encrypted, so no login was sent. "
        "Use MAIL_USE_TLS or MAIL_USE_SSL or, if the network is safe, set "
        "MAIL_AUTH_UNENCRYPTED = True.",
        anchor="unencrypted",
    )


def no_mechanism(offered: Iterable[str], settings: SmtpSettings) -> TransportDown:
    """The server offers no password mechanism that we know, or not the chosen one."""
    chosen = settings.auth_mechanism
    return TransportDown(
        f"{settings.place} offers no login by {chosen or 'CRAM-MD5, PLAIN or LOGIN'} "
        f"(it offers {_listed(offered)}). "
        + (
            "Remove MAIL_AUTH_MECHANISM, or set it to what is offered."
            if chosen
            else "Where it takes tokens (XOAUTH2), set MAIL_OAUTH_TOKEN in place of "
            "the password."
        ),
        anchor="no-mechanism",
    )


def _listed(ways: Iterable[str]) -> str:
    return ", ".join(sorted(one.upper() for one in ways)) or "none that has a name"


def no_token_mechanism(offered: Iterable[str], settings: SmtpSettings) -> TransportDown:
    """The server offers no mechanism that a token needs, or not the chosen one."""
    needed = settings.auth_mechanism or "XOAUTH2 or OAUTHBEARER"
    return TransportDown(
        f"{settings.place} offers no login by {needed}, which MAIL_OAUTH_TOKEN needs "
        f"(it offers {_listed(offered)}). Set MAIL_PASSWORD instead, or MAIL_SERVER to "
        "a host that takes tokens.",
        anchor="no-mechanism",
    )


def no_token(what: str, settings: SmtpSettings) -> TransportDown:
    """The function that returns the token failed; ``what`` says how."""
    return TransportDown(
        f"MAIL_OAUTH_TOKEN gave no token for {settings.place}: it {what}. It must "
        "return the access token as a non-empty string. No login and no mail was sent.",
        anchor="no-token",
    )


def login_demanded(reply: object, settings: SmtpSettings) -> LoginDemanded:
    """The server takes no mail without a login or TLS (reply 530)."""
    return LoginDemanded(
        f"{settings.place} takes no mail before a login or TLS ({reply}). Check "
        "MAIL_USERNAME and MAIL_PASSWORD, and MAIL_USE_TLS, or the same in MAIL_URL."
    )


def no_answer(error: Exception, settings: SmtpSettings) -> TransportDown:
    """A new connection broke before the server took mail on it."""
    return TransportDown(
        f"{settings.place} did not go on {Step.READY}: {error}. Look at its log."
    )


def closing(reply: object, settings: SmtpSettings) -> TransportDown:
    """The server replied 421 to a transaction."""
    return TransportDown(
        f"{settings.place} takes no mail at the moment ({reply}). Look at its load, "
        "its connection limits and its log.",
        anchor="closing",
    )


def out_of_sequence(reply: object, settings: SmtpSettings) -> TransportDown:
    """The server replied 503 on a connection that had carried no message."""
    return TransportDown(
        f"{settings.place} says that commands come out of order, on a new connection "
        f"too ({reply}). It may want a login (MAIL_USERNAME) or TLS (MAIL_USE_TLS) "
        "first. Look at its log.",
        anchor="out-of-order",
    )


# ------------------------------------------------------------------------ the sentences


def _unresolved(error: BaseException, step: Step, settings: SmtpSettings) -> str:
    assert isinstance(error, OSError)
    return (
        f"The name {settings.host} cannot be resolved ({error.strerror or error}). "
        "Check MAIL_SERVER or MAIL_URL for a typo, and this machine's DNS."
    )


_CERTIFICATE_FAULTS = {
    9: "it is not valid yet",
    10: "it has expired",
    18: "it is self-signed",
    19: "it is self-signed",
    20: "its issuer is not known here",
    21: "its issuer is not known here",
    62: "it was issued for another name",
    64: "it was issued for another address",
}
"""OpenSSL's verify codes, in words."""


def _untrusted(error: BaseException, step: Step, settings: SmtpSettings) -> str:
    assert isinstance(error, ssl.SSLCertVerificationError)
    fault = _CERTIFICATE_FAULTS.get(error.verify_code, "it does not verify")
    return (
        f"The certificate of {settings.place} cannot be trusted: {fault} "
        f"({error.verify_message}). No login and no mail was sent. Check that "
        "MAIL_SERVER is the name in the certificate and this machine's clock is right; "
        "for an authority of your own set MAIL_TLS_CA_FILE. MAIL_TLS_VERIFY = False "
        "would end the check, and the protection with it."
    )


_HANDSHAKE_HINTS = (
    (
        "PROTOCOL",
        "The server may know no TLS version from 1.2 on: nothing older is used.",
    ),
    (
        "CERTIFICATE",
        "The server wants a certificate of ours that it trusts: set "
        "MAIL_TLS_CLIENT_CERT_FILE.",
    ),
    (
        "UNKNOWN_CA",
        "The server does not trust the certificate in MAIL_TLS_CLIENT_CERT_FILE.",
    ),
    (
        "HANDSHAKE_FAILURE",
        "The server may want a certificate of ours (MAIL_TLS_CLIENT_CERT_FILE), or "
        "share no cipher with us.",
    ),
)
"""Text in the reason of a failed TLS handshake → what to check."""


def _no_handshake(error: BaseException, step: Step, settings: SmtpSettings) -> str:
    assert isinstance(error, ssl.SSLError)
    reason = error.reason or str(error)
    hint = "The server may know no TLS version from 1.2 on."
    if settings.security == "tls":
        hint = (
            "If the port wants STARTTLS (usually 587), use MAIL_USE_TLS or "
            "smtp+starttls:// in MAIL_URL."
        )
    hint = next((words for part, words in _HANDSHAKE_HINTS if part in reason), hint)
    return f"The TLS handshake with {settings.place} failed ({reason}). {hint}"


def _too_slow(error: BaseException, step: Step, settings: SmtpSettings) -> str:
    seconds = f"{settings.connect_timeout_seconds:g} s"
    if step is Step.ASK:
        return (
            f"MAIL_OAUTH_TOKEN gave no token for {settings.place} within {seconds}, "
            "connecting included. Look at where it gets the token from; "
            "MAIL_CONNECT_TIMEOUT_SECONDS is the limit."
        )
    if step is Step.REACH:
        return (
            f"{settings.place} did not answer within {seconds}. Check MAIL_SERVER and "
            "MAIL_PORT, and whether a firewall swallows the connection: many networks "
            "block port 25."
        )
    if step is Step.GREETING:
        return (
            f"{settings.place} took the connection but sent no greeting within "
            f"{seconds}. It may be overloaded, or speak TLS from the first byte "
            "(usually port 465: MAIL_USE_SSL or smtps://)."
        )
    return (
        f"{settings.place} was not ready within {seconds}: it fell silent {step}. "
        "Look at its load; MAIL_CONNECT_TIMEOUT_SECONDS is the limit."
    )


def _refused(error: BaseException, step: Step, settings: SmtpSettings) -> str:
    return (
        f"{settings.place} refused the connection: nothing listens there, or a "
        "firewall turns us away. Check that the mail server runs, and MAIL_SERVER and "
        "MAIL_PORT or MAIL_URL."
    )


def _login_rejected(error: BaseException, step: Step, settings: SmtpSettings) -> str:
    assert isinstance(error, aiosmtplib.SMTPAuthenticationError)
    if 400 <= error.code < 500:
        return (
            f"{settings.place} cannot check the login of {settings.username!r} at the "
            f"moment ({_said(error)}). Look at the server's log."
        )
    if _kind(error, step) is LoginDemanded:
        return (
            f"{settings.place} takes no login without TLS ({_said(error)}). Use "
            "MAIL_USE_TLS or MAIL_USE_SSL, or the same in MAIL_URL."
        )
    if settings.oauth_token is not None:
        return (
            f"{settings.place} rejected the login of {settings.username!r} by token "
            f"({_said(error)}). Check MAIL_USERNAME, and that the token of "
            "MAIL_OAUTH_TOKEN is fresh, for this user, and allowed to send by SMTP."
        )
    return (
        f"{settings.place} rejected the login of {settings.username!r} "
        f"({_said(error)}). Check MAIL_USERNAME and MAIL_PASSWORD, or the same in "
        "MAIL_URL (percent-encoded there)."
    )


def _turned_away(error: BaseException, step: Step, settings: SmtpSettings) -> str:
    assert isinstance(error, aiosmtplib.SMTPResponseException)
    return (
        f"{settings.place} turned us away with its greeting ({_said(error)}). It may "
        "be overloaded or shut for maintenance, limit connections, or block this "
        "machine's address."
    )


def _ehlo_refused(error: BaseException, step: Step, settings: SmtpSettings) -> str:
    assert isinstance(error, aiosmtplib.SMTPResponseException)
    if 400 <= error.code < 500:
        return (
            f"{settings.place} takes no mail at the moment: it answered EHLO with "
            f"{_said(error)}. Look at its load, its connection limits and its log."
        )
    if error.code in (500, 502):
        return (
            f"{settings.place} knows neither EHLO nor HELO ({_said(error)}). It may "
            "speak LMTP (usually port 24), which is not SMTP: check MAIL_PORT."
        )
    return (
        f"{settings.place} refused our EHLO ({_said(error)}). Check "
        "MAIL_LOCAL_HOSTNAME: some servers want a name there that resolves."
    )


def _bad_reply(error: BaseException, step: Step, settings: SmtpSettings) -> str:
    assert isinstance(error, aiosmtplib.SMTPResponseException)
    if error.code < 0:
        return (
            f"{settings.place} does not speak SMTP {step} ({_text(error)}). Check "
            "that MAIL_SERVER and MAIL_PORT are those of a mail server."
        )
    return f"{settings.place} did not go on {step} ({_said(error)})."


def _hung_up(error: BaseException, step: Step, settings: SmtpSettings) -> str:
    certificate = ""
    if settings.security != "plain" and step in (Step.GREETING, Step.EHLO):
        certificate = "want a certificate of ours (MAIL_TLS_CLIENT_CERT_FILE), "
    return (
        f"{settings.place} closed the connection {step}. It may be restarting, limit "
        f"connections, {certificate}or not be a mail server of this kind: check "
        "MAIL_PORT and the server's log."
    )


def _unusable(error: BaseException, step: Step, settings: SmtpSettings) -> str:
    return f"{settings.place} cannot be used {step}: {error}"


def _unreachable(error: BaseException, step: Step, settings: SmtpSettings) -> str:
    """The sentence for any other error of the operating system."""
    assert isinstance(error, OSError)
    return (
        f"{settings.place} cannot be reached ({error.strerror or error}). Check this "
        "machine's network and routes, and MAIL_SERVER or MAIL_URL."
    )


def _impossible(error: BaseException, step: Step, settings: SmtpSettings) -> str:
    return (
        f"{settings.place} cannot be used with these settings ({error}). Check "
        "MAIL_SERVER, MAIL_LOCAL_HOSTNAME, MAIL_USERNAME and MAIL_PASSWORD for "
        "characters that cannot stand there."
    )


Sentence = Callable[[BaseException, Step, SmtpSettings], str]

SENTENCES: tuple[tuple[type[BaseException], Sentence, str], ...] = (
    (socket.gaierror, _unresolved, "name"),
    (ssl.SSLCertVerificationError, _untrusted, "certificate"),
    (ssl.SSLError, _no_handshake, "handshake"),
    (TimeoutError, _too_slow, "silent"),
    (ConnectionRefusedError, _refused, "refused"),
    (aiosmtplib.SMTPAuthenticationError, _login_rejected, ""),
    (aiosmtplib.SMTPConnectResponseError, _turned_away, "greeting"),
    (aiosmtplib.SMTPHeloError, _ehlo_refused, "ehlo"),
    (aiosmtplib.SMTPResponseException, _bad_reply, "reply"),
    (ConnectionError, _hung_up, "hung-up"),
    (aiosmtplib.SMTPException, _unusable, ""),
    (OSError, _unreachable, "unreachable"),
    (ValueError, _impossible, "settings"),
)
"""Exception, the function for its sentence, and the anchor that the error names; the
first match counts."""


def _said(error: aiosmtplib.SMTPResponseException) -> str:
    return str(as_reply(error.code, error.message))


def as_reply(code: int, message: str) -> Reply:
    """Convert a reply that aiosmtplib has read."""
    lines = message.encode("utf-8", "surrogateescape").split(b"\n")
    return compose(code, [presentable(line) for line in lines])


def _text(error: aiosmtplib.SMTPResponseException) -> str:
    return presentable(error.message.encode("utf-8", "surrogateescape"))
