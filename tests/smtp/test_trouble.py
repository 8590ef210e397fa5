"""From errors of aiosmtplib, ssl and the system to the texts that people read."""

from __future__ import annotations

import errno
import itertools
import socket
import ssl
from typing import Any

import aiosmtplib
import pytest
from aiosmtplib import errors

from flask_outbox.config import SmtpSettings
from flask_outbox.errors import TransportDown
from flask_outbox.transports.smtp.errors import EXPECTED, Step, explain

SETTINGS = SmtpSettings("mail.test", 587, "starttls", username="ada", password="hush")


def certificate_error(code: int, message: str) -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(1, "certificate verify failed")
    error.verify_code, error.verify_message = code, message
    return error


def handshake_error(reason: str) -> ssl.SSLError:
    error = ssl.SSLError(1, f"[SSL: {reason}] (_ssl.c:1006)")
    error.reason = reason
    return error


def because(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


def unreachable(number: int) -> OSError:
    return OSError(number, "Connect call failed ('192.0.2.1', 587)")


CASES: list[tuple[Exception, Step, list[str]]] = [
    (
        socket.gaierror(socket.EAI_NONAME, "Name or service not known"),
        Step.REACH,
        ["mail.test cannot be resolved", "MAIL_SERVER", "DNS"],
    ),
    (ConnectionRefusedError(), Step.REACH, ["refused the connection", "MAIL_PORT"]),
    (unreachable(errno.ENETUNREACH), Step.REACH, ["cannot be reached", "routes"]),
    (unreachable(errno.EHOSTUNREACH), Step.REACH, ["cannot be reached"]),
    (unreachable(errno.ETIMEDOUT), Step.REACH, ["did not answer", "firewall"]),
    (PermissionError(errno.EACCES, "no"), Step.REACH, ["cannot be reached (no)"]),
    (TimeoutError(), Step.REACH, ["did not answer within 15 s", "port 25"]),
    (TimeoutError(), Step.GREETING, ["sent no greeting", "465", "MAIL_USE_SSL"]),
    (TimeoutError(), Step.EHLO, ["fell silent after EHLO"]),
    (TimeoutError(), Step.STARTTLS, ["fell silent after STARTTLS"]),
    (TimeoutError(), Step.AUTH, ["fell silent while logging in"]),
    (
        certificate_error(10, "certificate has expired"),
        Step.STARTTLS,
        ["has expired", "clock", "MAIL_TLS_CA_FILE", "MAIL_TLS_VERIFY", "No login"],
    ),
    (certificate_error(9, "not yet valid"), Step.REACH, ["not valid yet", "clock"]),
    (certificate_error(18, "self-signed"), Step.REACH, ["it is self-signed"]),
    (certificate_error(19, "in chain"), Step.REACH, ["it is self-signed"]),
    (certificate_error(20, "local issuer"), Step.REACH, ["issuer is not known"]),
    (certificate_error(62, "mismatch"), Step.REACH, ["issued for another name"]),
    (certificate_error(64, "IP mismatch"), Step.REACH, ["for another address"]),
    (certificate_error(23, "revoked"), Step.REACH, ["not verify (revoked)"]),
    (
        handshake_error("WRONG_VERSION_NUMBER"),
        Step.STARTTLS,
        ["handshake", "WRONG_VERSION_NUMBER", "1.2"],
    ),
    (
        errors.SMTPAuthenticationError(535, "5.7.8 bad credentials"),
        Step.AUTH,
        ["login of 'ada' (535 5.7.8 bad credentials)", "MAIL_PASSWORD", "MAIL_URL"],
    ),
    (errors.SMTPAuthenticationError(534, "x"), Step.AUTH, ["rejected", "534"]),
    (errors.SMTPAuthenticationError(530, "x"), Step.AUTH, ["without TLS", "530"]),
    (errors.SMTPAuthenticationError(454, "x"), Step.AUTH, ["at the moment (454 x)"]),
    (
        errors.SMTPConnectResponseError(421, "too many\nconnections"),
        Step.GREETING,
        ["with its greeting (421 too many connections)", "overloaded"],
    ),
    (errors.SMTPConnectResponseError(554, "x"), Step.GREETING, ["block this machine"]),
    (errors.SMTPHeloError(501, "bad name"), Step.EHLO, ["MAIL_LOCAL_HOSTNAME"]),
    (errors.SMTPHeloError(500, "LHLO"), Step.EHLO, ["LMTP", "MAIL_PORT"]),
    (errors.SMTPHeloError(421, "busy"), Step.EHLO, ["at the moment", "421 busy"]),
    (errors.SMTPResponseException(454, "no"), Step.STARTTLS, ["after STARTTLS (454"]),
    (
        errors.SMTPResponseException(-1, "Malformed SMTP response line: HTTP/1.1\r\n"),
        Step.GREETING,
        ["does not speak SMTP before its greeting", "HTTP/1.1"],
    ),
    (errors.SMTPServerDisconnected("x"), Step.EHLO, ["closed the connection after EH"]),
    (ConnectionResetError(), Step.AUTH, ["closed the connection while logging in"]),
    (BrokenPipeError(), Step.GREETING, ["closed the connection before its greeting"]),
    (ConnectionAbortedError(), Step.STARTTLS, ["closed the connection"]),
    (
        errors.SMTPException("No suitable authentication method found."),
        Step.AUTH,
        ["No suitable authentication method", "cannot be used while logging in"],
    ),
    (UnicodeError("label too long"), Step.REACH, ["label too long", "MAIL_SERVER"]),
    (ValueError("The local_hostname"), Step.REACH, ["MAIL_LOCAL_HOSTNAME"]),
]


def test_an_error_is_explained_with_its_server_and_without_secrets(
    subtests: pytest.Subtests,
) -> None:
    for error, step, words in CASES:
        with subtests.test(error=error, step=step):
            assert isinstance(error, EXPECTED)
            text = str(explain(error, step, SETTINGS))
            assert [one for one in words if one not in text] == []
            assert "mail.test" in text
            assert "hush" not in text
            assert text.isprintable()


def test_a_wrapper_says_no_more_than_what_it_wraps(subtests: pytest.Subtests) -> None:
    for error, step, _ in CASES:
        with subtests.test(error=error, step=step):
            wrapped = because(errors.SMTPConnectError("Error connecting"), error)
            text = str(explain(wrapped, step, SETTINGS))
            assert text == str(explain(error, step, SETTINGS))


def test_all_of_aiosmtplibs_errors_are_known(subtests: pytest.Subtests) -> None:
    for name, step in itertools.product(errors.__all__, Step):
        with subtests.test(error=name, step=step):
            kind = getattr(errors, name)
            assert issubclass(kind, EXPECTED)
            down = explain(_example(kind), step, SETTINGS)
            assert isinstance(down, TransportDown)
            assert "mail.test:587" in str(down)


def _example(kind: Any) -> Exception:
    """An error of aiosmtplib's, with what it is made of."""
    if issubclass(kind, errors.SMTPRecipientsRefused):
        arguments: tuple[Any, ...] = ([],)
    elif issubclass(kind, errors.SMTPSenderRefused | errors.SMTPRecipientRefused):
        arguments = (550, "no", "who")
    elif issubclass(kind, aiosmtplib.SMTPResponseException):
        arguments = (550, "no")
    else:
        arguments = ("trouble",)
    error: Exception = kind(*arguments)
    return error


def test_the_hint_for_tls_from_the_first_byte() -> None:
    settings = SmtpSettings("mail.test", 587, "tls")
    down = explain(handshake_error("WRONG_VERSION_NUMBER"), Step.REACH, settings)
    assert "MAIL_USE_TLS" in str(down)


def test_an_unforeseen_error_is_still_explained() -> None:
    down = explain(RuntimeError("oops"), Step.EHLO, SETTINGS)
    assert str(down) == "mail.test:587 cannot be used after EHLO: RuntimeError('oops')."
