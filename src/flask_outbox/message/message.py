"""A mail as an app composes it, from texts or a template; copies, and differences."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from email.message import Message as StandardMessage
from typing import Any, ClassVar, Protocol, Self

from ..errors import MessageError, TemplateError
from .addresses import Address, AddressLike, listed
from .attachment import Attachable, Attachment
from .text import shown

LOCALE_LENGTH = 35
"""The longest language tag that software must support (RFC 5646 section 4.4.1)."""


@dataclass(frozen=True, slots=True)
class Template:
    """A template's name, and the context that it is rendered with."""

    name: str
    context: Mapping[str, Any]
    locale: str | None = None
    """The language to render it in; None for the app's choice."""


@dataclass(frozen=True, slots=True)
class Rendered:
    """The result of rendering a template."""

    name: str
    subject: str | None
    """None if the template has none."""
    body: str | None
    html: str | None
    images: tuple[Attachment, ...]
    """The inline images of the HTML."""
    version: str
    """A short hash of all sources that it was rendered from."""
    locale: str | None
    """The language that it was rendered in, if one was chosen."""


class Templates(Protocol):
    """An app's mail templates."""

    def render(self, template: Template) -> Rendered:
        """Render the template now.

        Raises `TemplateError`, and any error that the app's own functions raise.
        """


class Message:
    """An email, mutable until it is sent; `templating.Message` adds templates.

    The constructor only refuses values that are not lists where lists are needed.
    Everything else is checked when the message is sent.
    """

    in_flask_mails_form: ClassVar[bool] = False
    """Whether HTML alone gets an empty plain text, charsets are quoted, and the names
    of files are in ``UTF8``.
    """

    def __init__(
        self,
        subject: str | None = "",
        recipients: Iterable[AddressLike] | None = None,
        body: str | None = None,
        html: str | None = None,
        alts: Mapping[str, str] | Iterable[tuple[str, str]] | None = None,
        sender: AddressLike | None = None,
        cc: Iterable[AddressLike] | None = None,
        bcc: Iterable[AddressLike] | None = None,
        attachments: Iterable[Attachment] | None = None,
        reply_to: AddressLike | list[AddressLike] | None = None,
        date: float | datetime | None = None,
        charset: str | None = None,
        extra_headers: Mapping[str, str] | None = None,
        mail_options: Iterable[str] | None = None,
        rcpt_options: Iterable[str] | None = None,
        *,
        rfc_message_id: str | None = None,
    ) -> None:
        self.subject = subject
        self.recipients: list[AddressLike] = listed(recipients, "recipients")
        self.body = body
        self.alts: dict[str, str] = dict(alts or ())
        if html is not None:
            self.html = html
        self.sender = sender
        self.cc: list[AddressLike] = listed(cc, "cc")
        self.bcc: list[AddressLike] = listed(bcc, "bcc")
        self.attachments: list[Attachment] = list(attachments or ())
        self.reply_to = reply_to
        self.date = date
        self.charset = charset
        self.extra_headers: dict[str, str] = dict(extra_headers or {})
        self.mail_options: list[str] = _options(mail_options, "mail_options")
        self.rcpt_options: list[str] = _options(rcpt_options, "rcpt_options")
        self.rfc_message_id = rfc_message_id
        self.template: Template | None = None
        """The template to render later (``render="later"``); None if there is none."""
        self.locale: str | None = None
        """The language that its template was rendered in; None if none was chosen."""

    def filled(self, rendered: Rendered | None) -> Self:
        """A copy with the rendered texts in place of `template`."""
        one = copy.copy(self)
        one.alts = dict(self.alts)
        one.attachments = list(self.attachments)
        one.template = None
        if rendered is not None:
            one.fill(rendered)
        return one

    def fill(self, rendered: Rendered) -> None:
        """Set the rendered texts. Raises `TemplateError` if there is no subject."""
        if self.subject is None:
            self.subject = rendered.subject
        if self.subject is None:
            raise without_subject(rendered.name)
        self.body = rendered.body
        if rendered.html is not None:
            self.alts = _with_html(self.alts, rendered.html)
        self.attachments += rendered.images
        self.locale = rendered.locale

    @property
    def html(self) -> str | None:
        """The HTML alternative, stored as ``alts["html"]``."""
        return self.alts.get("html")

    @html.setter
    def html(self, value: str | None) -> None:
        if value is None:
            self.alts.pop("html", None)
        else:
            self.alts["html"] = value

    @property
    def send_to(self) -> set[AddressLike]:
        """All recipients: To, Cc and Bcc, each once."""
        return {*self.recipients, *self.cc, *self.bcc}

    def add_recipient(self, recipient: AddressLike) -> None:
        """Add a recipient to To."""
        self.recipients.append(recipient)

    def alternative(self, kind: str, text: str) -> None:
        """Add ``text`` as an alternative of the type ``text/kind``, before the HTML.

        Mail clients show the last alternative that they know: those that know ``kind``
        may show it, all others show the HTML. ``kind`` may also be written in full, and
        may have parameters; one that the message has already is replaced. For AMP it is
        ``x-amp-html``.
        """
        self.alts[kind] = text
        if self.html is not None:
            self.alts = _with_html(self.alts, self.html)

    def attach(
        self,
        filename: str | None = None,
        content_type: str | None = None,
        data: Attachable | None = None,
        disposition: str | None = None,
        headers: Mapping[str, str] | None = None,
        *,
        content_id: str | None = None,
    ) -> None:
        """Add an `Attachment` made of these arguments."""
        self.attachments.append(
            Attachment(
                filename,
                content_type,
                data,
                disposition,
                headers,
                content_id=content_id,
            )
        )

    def invite(
        self,
        uid: str,
        start: datetime | date,
        end: datetime | date,
        *,
        organizer: AddressLike | None = None,
        location: str | None = None,
        sequence: int = 0,
        cancelled: bool = False,
    ) -> None:
        """Invite the recipients to an event, which their calendars show and answer.

        ``start`` and ``end`` are datetimes with a time zone, or dates for whole days;
        ``end`` is the first moment that is not part of the event. The event has the
        message's subject and body, and its recipients and cc are invited.
        ``organizer``, by default the sender, gets the answers. To change an event,
        invite to the same ``uid`` with a higher ``sequence``; with ``cancelled`` it is
        called off.

        It is the alternative ``calendar; method=REQUEST`` (RFC 5546, RFC 6047). Call it
        last: the calendar gets the texts that the message has then. Raises
        `MessageError` for an event that no calendar could show, and `ConfigError`
        without ``flask-outbox[calendar]``.
        """
        from .invitation import invitation

        organizer = organizer or self.sender
        if not organizer:
            raise MessageError("organizer", "is missing; pass organizer= or sender=")
        if not self.subject:
            raise MessageError("subject", "is missing; it names the event")
        attendees = [
            *Address.parse_all(self.recipients, "recipients"),
            *Address.parse_all(self.cc, "cc"),
        ]
        event = invitation(
            uid,
            start,
            end,
            organizer=Address.parse(organizer, "organizer"),
            attendees=attendees,
            summary=str(self.subject),
            description=None if self.body is None else str(self.body),
            location=location,
            sequence=sequence,
            cancelled=cancelled,
        )
        self.alts = {
            kind: text
            for kind, text in self.alts.items()
            if not kind.startswith("calendar")
        }
        method = "CANCEL" if cancelled else "REQUEST"
        self.alts[f"calendar; method={method}"] = event

    def own_content(self) -> bytes | None:
        """The bytes to send in place of the composed ones; None to compose them."""
        return None

    def __repr__(self) -> str:
        return f"<Message {shown(self.subject)}>"


def _with_html(alts: Mapping[str, str], html: str) -> dict[str, str]:
    """``alts`` with the HTML after all but calendars, which mail clients show beside
    it.
    """
    others = {kind: text for kind, text in alts.items() if kind != "html"}
    calendars = {kind: others.pop(kind) for kind in alts if kind.startswith("calendar")}
    return {**others, "html": html, **calendars}


def _options(options: Iterable[str] | None, field: str) -> list[str]:
    if isinstance(options, str):
        raise MessageError(field, f"{shown(options)} is a string; pass a list of them")
    return list(options or ())


def without_subject(template: str) -> TemplateError:
    """The error for a template without a subject and a message without one."""
    return TemplateError(
        "it has no subject: write one into name.subject.txt beside it or into its "
        "block 'subject', or pass subject=.",
        template,
    )


def unrendered(
    message: Message | StandardMessage,
) -> tuple[Message, Template] | None:
    """The message and its template if it is still to be rendered; else None."""
    if isinstance(message, Message) and message.template is not None:
        return message, message.template
    return None


_NOTHING = object()


def copied(message: Message | StandardMessage) -> Message | StandardMessage:
    """An independent copy: changing it does not change ``message``.

    Texts and files are shared, so copying is cheap even if they are large.
    """
    if isinstance(message, StandardMessage):
        return copy.deepcopy(message)
    new = copy.copy(message)
    vars(new).update({name: _own(value) for name, value in vars(message).items()})
    return new


def fields_of(message: Message | StandardMessage) -> dict[str, Any]:
    """The current value of each field of ``message``, by its public name."""
    if isinstance(message, StandardMessage):
        return _standard_fields(message)
    return dict(_fields(message))


def changed_fields(
    before: Mapping[str, Any], after: Mapping[str, Any]
) -> tuple[str, ...]:
    """The names of the fields whose values have changed."""
    names = dict.fromkeys([*before, *after])
    return tuple(
        name
        for name in names
        if before.get(name, _NOTHING) != after.get(name, _NOTHING)
    )


def _own(value: Any) -> Any:
    if isinstance(value, list):
        return [copy.copy(one) if isinstance(one, Attachment) else one for one in value]
    return dict(value) if isinstance(value, dict) else value


def _fields(message: Message) -> Iterator[tuple[str, Any]]:
    for name, value in vars(message).items():
        if name in ("alts", "extra_headers"):
            yield from value.items()
        elif name == "attachments":
            yield name, [dict(vars(one)) for one in value]
        elif not name.startswith("_"):
            yield name, _own(value)


def _standard_fields(message: StandardMessage) -> dict[str, Any]:
    headers: dict[str, Any] = {}
    for name, value in message.items():
        headers.setdefault(name, []).append(str(value))
    parts = [
        (number, part.items() if number else None, _payload(part))
        for number, part in enumerate(message.walk())
    ]
    return {**headers, "content": parts}


def _payload(part: StandardMessage) -> object:
    return None if part.is_multipart() else part.get_payload()
