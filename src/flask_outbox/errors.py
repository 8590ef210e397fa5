"""Every error that Flask-Outbox raises, as one tree.

::

    OutboxError
    ├── ConfigError              a setting is missing, unknown or impossible
    │   └── AppUnknown           nobody can tell whose mail it is
    ├── MessageError             a message that could never be sent; names the field
    │   ├── AddressError         … because of an address
    │   ├── HeaderError          … because of a header's name or value
    │   ├── AttachmentError      … because of an attachment
    │   └── TemplateError        … because of its template; names it and the line
    ├── MessageStopped           an interceptor keeps a message from being sent
    ├── InterceptorError         an interceptor raised something else
    ├── StoreError               the outbox could not do what was asked
    │   ├── OutboxUnavailable    its database did not answer, is full or read-only
    │   ├── SchemaError          its tables are missing or of another version
    │   ├── LeaseLost            a courier came back after its lease had passed on
    │   ├── MessageNotFound      no message has that id
    │   ├── BatchNotFound        no batch has that id
    │   ├── TransitionRefused    the message's state does not allow it
    │   └── MoveRefused          messages cannot be moved from or to this outbox now
    ├── BatchInterrupted         send_many(): it broke off at a row, and can go on
    ├── TransportError           mail could not leave
    │   ├── TransportDown        the transport itself is in trouble: pauses its lane
    │   │   ├── LoginDemanded    the server takes no mail without a login or TLS
    │   │   └── LoginRejected    the server knows no such login
    │   └── SigningError         a message could not be signed (DKIM)
    ├── DeliveryError            send_now(): not every recipient was accepted
    └── ScriptError              a script for a test's mail server cannot be read

Whatever another library raises is turned into one of these at the border, with the
original as ``__cause__``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any


class OutboxError(Exception):
    """Base of everything that this package raises on purpose."""


class ConfigError(OutboxError):
    """A setting is missing, unknown or impossible; the text says what to set.

    No password and no private key is in the text, in whatever setting it was.
    """

    def __init__(self, text: str) -> None:
        super().__init__(redacted(text))


class AppUnknown(ConfigError, RuntimeError):
    """Nobody can tell whose mail it is: no app is at work, or one without an outbox.

    Also a ``RuntimeError``, as Flask's own error outside an application context is.
    """


class MessageError(OutboxError, ValueError):
    """A message that could never be sent, refused before anything was stored.

    ``field`` names the argument or header at fault, ``problem`` what is wrong with it
    and what to do.
    """

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field}: {problem}")
        self.field = field
        self.problem = problem


class AddressError(MessageError):
    """An address that is missing, broken, or several where one is wanted."""


class HeaderError(MessageError):
    """A header name or value that cannot stand in a message."""


class AttachmentError(MessageError):
    """An attachment that cannot be read or described."""


class TemplateError(MessageError):
    """A message that its template, or what that is rendered with, makes impossible.

    ``template`` is the file at fault and ``line`` the place in it, each None where
    there is none. With ``render="later"`` it may be found out by a courier, which fails
    the message with the same text.
    """

    def __init__(
        self, problem: str, template: str | None = None, line: int | None = None
    ) -> None:
        place = "" if template is None else f"{template}, "
        place += "" if line is None else f"line {line}, "
        super().__init__("template", f"{place[:-2]}: {problem}" if place else problem)
        self.template = template
        self.line = line


class MessageStopped(OutboxError):
    """Raised by an interceptor (`Mail.before_send`), it keeps a message from leaving.

    ``reason`` says why; the message's story shows it. ``send()`` keeps such a message
    as *cancelled* and returns; ``send_now()`` raises this.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = str(reason)


class InterceptorError(OutboxError):
    """An interceptor raised, or answered what is no message; nothing was accepted.

    The text names the function, and what it raised is the ``__cause__``.
    """


class StoreError(OutboxError):
    """The outbox could not do what was asked of it."""


class OutboxUnavailable(StoreError):
    """The outbox's database did not answer, is full, locked or read-only.

    Raised by ``send()`` this means that the message was **not** accepted.
    """


class SchemaError(StoreError):
    """The outbox's tables are missing or belong to another version."""


class LeaseLost(StoreError):
    """The lease ran out, and may have passed to another courier: nothing was sent."""


OVERDUE = "its courier's lease ran out before the mail was through"
"""Why a message is given back that another courier may have taken over."""


class MessageNotFound(StoreError, LookupError):
    """No message in the outbox has this id."""


class BatchNotFound(StoreError, LookupError):
    """No batch in the outbox has this id."""


class TransitionRefused(StoreError):
    """The message's present state does not allow the step that was asked for."""


class MoveRefused(StoreError):
    """Messages cannot be moved to that outbox; the text says why and what to do."""


class BatchInterrupted(OutboxError):
    """``send_many()`` broke off at a row; the cause is in ``__cause__``.

    ``problem`` says what is wrong with the row, and how many are in the outbox:
    ``kept`` of them, from the first on. ``batch`` is the batch's id and ``row`` the
    number of the row at fault, from 1. To hand over the same rows with
    ``resume=batch`` keeps the rest, and nothing twice.
    """

    def __init__(self, problem: str, batch: str, row: int, kept: int) -> None:
        super().__init__(
            f"{problem} Put that right, then hand over the same rows with "
            f"resume={batch!r}: those that are kept are passed over."
        )
        self.problem = problem
        self.batch = batch
        self.row = row
        self.kept = kept


class TransportError(OutboxError):
    """Mail could not leave through a transport."""


class TransportDown(TransportError):
    """The transport itself is in trouble, whatever the message.

    Refused connections, DNS, TLS, rejected credentials and reply 421 are such: they
    pause the lane, and no message spends an attempt on them.
    """


class LoginDemanded(TransportDown):
    """The server takes no mail before a login or TLS (reply 530).

    It is never one message's doing, though a server may say so after RCPT or after the
    content only, where no probe finds it.
    """


class LoginRejected(TransportDown):
    """The server rejected the login (reply 535).

    The lane pauses for longer: servers lock out whoever goes on trying.
    """


class SigningError(TransportError):
    """A message could not be signed with the keys in ``MAIL_DKIM_KEYS``.

    The courier defers such a message; ``send_now()`` raises this.
    """


class DeliveryError(TransportError):
    """``send_now()`` could not hand the message to every recipient's next hop.

    ``report``, a `Report`, says for each recipient what the server replied.
    """

    def __init__(self, message: str, report: Any) -> None:
        super().__init__(message)
        self.report = report


class ScriptError(OutboxError, ValueError):
    """A script for a test's mail server cannot be read; the text shows the grammar."""


# Redaction: a secret that stands in the wrong place has no name, so it is sought by its
# form: a password in a URL, before its host or in its query, and a key in PEM form.

HIDDEN = "***"

_in_userinfo = re.compile(r"(://[^\s:/?#@]{0,200}:)\S{0,500}@")
_in_query = re.compile(
    r"([?&;](?:\w{0,30}(?:pass|pwd|secret|token)\w{0,30})=)[^&;\s'\"]+", re.IGNORECASE
)
_pem_begins = re.compile(r"-----BEGIN [A-Z0-9 ]{1,40}-----")
_pem_ends = re.compile(r"-----END [A-Z0-9 ]{1,40}-----")


def redacted(text: str, secrets: Iterable[str] = ()) -> str:
    """``text`` with ``***`` in place of ``secrets``, and of what looks like one."""
    for secret in secrets:
        text = text.replace(secret, HIDDEN)
    return _in_query.sub(
        rf"\1{HIDDEN}", _in_userinfo.sub(rf"\1{HIDDEN}@", _keyless(text))
    )


def _keyless(text: str) -> str:
    """``text`` without private keys; one that does not end goes on to the end."""
    begins = _pem_begins.search(text)
    if begins is None:
        return text
    rest = text[begins.end() :]
    ends = [one.end() for one in _pem_ends.finditer(rest)]
    after = rest[ends[-1] :] if ends else ""
    return f"{text[: begins.start()]}{HIDDEN}{after}"


def raised(error: BaseException) -> str:
    """What an app's own function raised, and where: what it says may be a secret."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    where = ""
    if trace is not None:
        file = trace.tb_frame.f_code.co_filename.replace("\\", "/").rpartition("/")[2]
        where = f" ({file}, line {trace.tb_lineno})"
    return f"{type(error).__name__}{where}"
