"""All errors that Flask-Outbox raises.

::

    OutboxError
    ├── ConfigError              a setting is missing, unknown or impossible
    │   └── AppUnknown           it is unknown which app is meant
    ├── MessageError             a message that could never be sent; names the field
    │   ├── AddressError         … because of an address
    │   ├── HeaderError          … because of a header's name or value
    │   ├── AttachmentError      … because of an attachment
    │   └── TemplateError        … because of its template; names it and the line
    ├── MessageStopped           an interceptor stopped a message
    ├── InterceptorError         an interceptor raised another error
    ├── StoreError               the outbox could not do what was asked
    │   ├── OutboxUnavailable    its database did not answer, is full or read-only
    │   │   └── KeyRefused       OUTBOX_ENCRYPTION_KEYS does not fit it
    │   ├── SchemaError          its tables are missing or of another version
    │   ├── KeyMissing           a key that it was encrypted with is missing
    │   ├── Damaged              something encrypted in it was changed
    │   ├── LeaseLost            a courier's lease ran out before it sent the message
    │   ├── MessageNotFound      no message has that id
    │   ├── BatchNotFound        no batch has that id
    │   ├── TransitionRefused    the message's state does not allow it
    │   ├── SensitiveContent     the message's content is shown to nobody
    │   └── MoveRefused          messages cannot be moved from or to this outbox now
    ├── BatchInterrupted         send_many() stopped at a row, and can be resumed
    ├── TransportError           mail could not leave
    │   ├── TransportDown        the transport itself is in trouble: pauses its lane
    │   │   ├── AccountTrouble   the account is at fault, and no probe shows it
    │   │   │   ├── LoginDemanded  the server takes no mail without a login or TLS
    │   │   │   └── Throttled    too many messages in too short a time
    │   │   └── LoginRejected    the server rejected the login
    │   └── SigningError         a message could not be signed (DKIM)
    ├── DeliveryError            send_now(): not accepted for every recipient
    ├── EventsRefused            a request is no provider's, or not as a provider's are
    └── ScriptError              a script for a test's mail server is invalid

Errors of other libraries are turned into one of these, with the original as
``__cause__``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any


class OutboxError(Exception):
    """Base of every error that this package raises on purpose.

    ``anchor`` names what exactly happened, such as ``no-tables``, where one error has
    several causes that the documentation tells apart; "" elsewhere.
    """

    anchor: str = ""

    def __init__(self, text: object = "", *, anchor: str = "") -> None:
        super().__init__(text)
        if anchor:
            self.anchor = anchor

    @property
    def section(self) -> str:
        """Where the documentation says what to do, such as
        ``errors.html#schemaerror-no-tables``. A traceback names it below the text.
        """
        ours = (one for one in type(self).__mro__ if one.__module__ == __name__)
        place = f"errors.html#{next(ours).__name__.lower()}"
        return f"{place}-{self.anchor}" if self.anchor else place

    @property
    def __notes__(self) -> list[str]:
        said = f"See {self.section} in the documentation of Flask-Outbox."
        notes: list[str] = self.__dict__.setdefault("__notes__", [said])
        return notes

    @__notes__.setter
    def __notes__(self, notes: list[str]) -> None:
        self.__dict__["__notes__"] = notes


class ConfigError(OutboxError):
    """A setting is missing, unknown or impossible; the text says what to set.

    The text contains no password and no private key, whichever setting had it.
    """

    def __init__(self, text: str, *, anchor: str = "") -> None:
        super().__init__(redacted(text), anchor=anchor)

    @property
    def key(self) -> str | None:
        """The setting that the text names first, outside quotes; None if there is none
        or it does not exist.
        """
        named = None if self.anchor else _in_text.search(str(self))
        return named and named[0]

    @property
    def section(self) -> str:
        """Where its ``key`` is explained, such as
        ``configuration.html#confval-MAIL_PORT``, or else what to do.
        """
        return f"configuration.html#confval-{self.key}" if self.key else super().section


_in_text = re.compile(r"(?<![\w'\"])(?:MAIL|OUTBOX)_[A-Z_]+\b")


class AppUnknown(ConfigError, RuntimeError):
    """It is unknown which app is meant: there is no current app, or one without an
    outbox.

    Also a ``RuntimeError``, like Flask's own error outside an application context.
    """


class MessageError(OutboxError, ValueError):
    """A message that could never be sent; nothing of it was stored.

    ``field`` names the argument or header at fault, ``problem`` says what is wrong with
    it and what to do.
    """

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field}: {problem}")
        self.field = field
        self.problem = problem


class AddressError(MessageError):
    """An address that is missing or malformed, or several where one is expected."""


class HeaderError(MessageError):
    """A header name or value that a message cannot contain."""


class AttachmentError(MessageError):
    """An attachment that cannot be read or described."""


class TemplateError(MessageError):
    """A message that cannot be rendered: its template or the template's values are at
    fault.

    ``template`` is the file at fault and ``line`` the line in it, each None if unknown.
    With ``render="later"`` a courier may find this out; it fails the message with the
    same text.
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
    """Raised by an interceptor (`Mail.before_send`), it keeps a message from being
    sent.

    ``reason`` says why, and is shown in the message's history. ``send()`` stores such a
    message as *cancelled* and returns; ``send_now()`` raises this error.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason: str = str(reason)


class InterceptorError(OutboxError):
    """An interceptor raised another error, or returned no message; nothing was
    accepted.

    The text names the function; the error that it raised is the ``__cause__``.
    """


class StoreError(OutboxError):
    """The outbox could not do what was asked of it."""


class OutboxUnavailable(StoreError):
    """The outbox's database did not answer, is full, locked or read-only.

    If ``send()`` raises this, the message was **not** accepted.
    """


class SchemaError(StoreError):
    """The outbox's tables are missing or belong to another version."""


class KeyRefused(OutboxUnavailable):
    """``OUTBOX_ENCRYPTION_KEYS`` does not fit the outbox: a key is another one than the
    one with the same id there, or an encrypted outbox is opened without keys.
    """


class KeyMissing(StoreError):
    """Something in the outbox is encrypted with a key that ``OUTBOX_ENCRYPTION_KEYS``
    does not have.

    ``key_id`` names the key. With it, everything can be read again.
    """

    def __init__(self, key_id: str, what: str) -> None:
        super().__init__(
            f"{what} is encrypted with the key {key_id!r}, which is not in "
            "OUTBOX_ENCRYPTION_KEYS: put it back there, after the first key."
        )
        self.key_id = key_id


class Damaged(StoreError):
    """Something encrypted in the outbox was changed, or moved to another row."""


class LeaseLost(StoreError):
    """The courier's lease ran out, and another may have the message: nothing
    was sent.
    """


OVERDUE = "its courier's lease ran out before the message was transmitted"
"""The reason for returning a message whose lease has run out."""


class MessageNotFound(StoreError, LookupError):
    """No message in the outbox has this id."""


class BatchNotFound(StoreError, LookupError):
    """No batch in the outbox has this id."""


class TransitionRefused(StoreError):
    """The message's present state does not allow what was asked for."""


class SensitiveContent(StoreError):
    """The message was sent with ``sensitive=True``: its content is shown to nobody."""


class MoveRefused(StoreError):
    """Messages cannot be moved to or from this outbox; the text says why and what to
    do.
    """


class BatchInterrupted(OutboxError):
    """``send_many()`` stopped at a row; the error is the ``__cause__``.

    ``problem`` says what is wrong with the row, and how many rows were stored. The
    first ``rows_stored`` rows are in the outbox. ``batch`` is the batch's id, and
    ``row`` the number of the row at fault, counted from 1. Calling it again with the
    same rows and ``resume=batch`` stores the rest, and nothing twice.
    """

    def __init__(self, problem: str, batch: str, row: int, rows_stored: int) -> None:
        super().__init__(
            f"{problem} Fix that, then pass the same rows again with "
            f"resume={batch!r}: stored rows are skipped."
        )
        self.problem = problem
        self.batch = batch
        self.row = row
        self.rows_stored = rows_stored


class TransportError(OutboxError):
    """Mail could not leave by a transport."""


class TransportDown(TransportError):
    """The transport itself is in trouble, whatever the message.

    This covers refused connections, failures of DNS or TLS, rejected credentials and
    reply 421. They pause the lane, and do not count as attempts of a message.
    """


class AccountTrouble(TransportDown):
    """The server takes no mail from this account: its key, plan or domain is at fault.

    It is never caused by one message, and no probe shows it. The lane pauses for longer
    each time, and no message spends an attempt.
    """


class LoginDemanded(AccountTrouble):
    """The server takes no mail without a login or TLS (reply 530).

    A server may reply so only after RCPT or after the content.
    """


class Throttled(AccountTrouble):
    """The server takes no more mail for now: a rate or a quota is used up.

    ``wait_seconds`` is how long it asks to wait; None if it does not say. The lane
    pauses for that time, but for no more than an hour.
    """

    def __init__(self, text: str, wait_seconds: float | None = None) -> None:
        super().__init__(text)
        self.wait_seconds = wait_seconds


class LoginRejected(TransportDown):
    """The server rejected the login (reply 535).

    The lane pauses for longer, as servers lock out clients that keep trying.
    """


class SigningError(TransportError):
    """A message could not be signed with the keys in ``MAIL_DKIM_KEYS``.

    The courier defers such a message; ``send_now()`` raises this.
    """


class DeliveryError(TransportError):
    """``send_now()`` could not deliver the message to the next hop of every recipient.

    ``report``, a `Report`, has the server's reply for each recipient.
    """

    def __init__(self, message: str, report: Any) -> None:
        super().__init__(message)
        self.report = report


class EventsRefused(OutboxError):
    """A request to the page of a provider's events is not taken.

    It is answered with ``status`` and ``reason``, which is the same whenever the same
    is wrong. ``detail`` is for the log alone.
    """

    def __init__(self, status: int, reason: str, detail: str = "") -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason
        self.detail = detail


class ScriptError(OutboxError, ValueError):
    """A script for a test's mail server is invalid; the text shows the grammar."""


# Redaction: a secret in the wrong place has no name, so it is recognized by its
# form: a password in a URL, before its host or in its query, and a key in PEM form.

HIDDEN = "***"

_in_userinfo = re.compile(r"(://[^\s:/?#@]{0,200}:)\S{0,500}@")
_in_query = re.compile(
    r"([?&;](?:\w{0,30}(?:pass|pwd|secret|token)\w{0,30})=)[^&;\s'\"]+", re.IGNORECASE
)
_pem_begins = re.compile(r"-----BEGIN [A-Z0-9 ]{1,40}-----")
_pem_ends = re.compile(r"-----END [A-Z0-9 ]{1,40}-----")


def redacted(text: str, secrets: Iterable[str] = ()) -> str:
    """Return ``text`` with ``***`` in place of ``secrets`` and of what looks
    like one.
    """
    for secret in secrets:
        text = text.replace(secret, HIDDEN)
    return _in_query.sub(
        rf"\1{HIDDEN}", _in_userinfo.sub(rf"\1{HIDDEN}@", _keyless(text))
    )


def _keyless(text: str) -> str:
    """Return ``text`` without private keys; one without an end marker takes all the
    rest.
    """
    begins = _pem_begins.search(text)
    if begins is None:
        return text
    rest = text[begins.end() :]
    ends = [one.end() for one in _pem_ends.finditer(rest)]
    after = rest[ends[-1] :] if ends else ""
    return f"{text[: begins.start()]}{HIDDEN}{after}"


def raised(error: BaseException) -> str:
    """The type and place of an error in an app's own function, without its text.

    The text may contain a secret.
    """
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    where = ""
    if trace is not None:
        file = trace.tb_frame.f_code.co_filename.replace("\\", "/").rpartition("/")[2]
        where = f" ({file}, line {trace.tb_lineno})"
    return f"{type(error).__name__}{where}"


def text_from(function: Callable[[], Any], nothing: str) -> str:
    """The text, such as a key, that an app's own function returns.

    Raises `TransportDown` beginning with ``nothing`` if it raises or returns no text.
    """
    try:
        text = function()
    except Exception as error:
        raise TransportDown(f"{nothing}, it raised {raised(error)}.") from None
    if not isinstance(text, str) or not text:
        raise TransportDown(f"{nothing}, but something of type {type(text).__name__}.")
    return text
