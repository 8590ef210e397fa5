"""`Message`: a mail as a person composes it, with Flask-Mail's arguments."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, ClassVar, Literal, Self

from ..characters import shown
from ..errors import MessageError, TemplateError
from .addresses import AddressLike, listed
from .attachment import Attachment
from .content import Attachable
from .template import Rendered, Template, templates_here


class Message:
    """A mail to be sent, mutable until it is.

    The arguments are Flask-Mail's. An address is ``"ada@example.org"``,
    ``"Ada <ada@example.org>"`` or ``("Ada", "ada@example.org")``; ``sender`` may be
    left to ``MAIL_DEFAULT_SENDER``, and ``reply_to`` may be a list. ``alts`` maps
    subtypes of ``text/`` to alternatives of the body, in the order in which they shall
    stand; ``html`` is one of them. ``subject``, ``body`` and the alternatives may be
    lazy strings. ``date`` is an aware `datetime` or seconds since the epoch.
    ``message_id`` is a Message-ID such as ``<unique@example.org>``, for one that is
    known before the message is sent; without it, each time it is sent it gets one of
    its own.

    Nothing is checked here but what is plainly no list: a message is judged as a whole
    when it is sent.
    """

    in_flask_mails_form: ClassVar[bool] = False
    """Whether HTML alone has an empty text before it, and charsets are in quotes."""

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
        message_id: str | None = None,
    ) -> None:
        self.subject = subject
        self.recipients = listed(recipients, "recipients")
        self.body = body
        self.alts: dict[str, str] = dict(alts or ())
        if html is not None:
            self.html = html
        self.sender = sender
        self.cc = listed(cc, "cc")
        self.bcc = listed(bcc, "bcc")
        self.attachments = list(attachments or ())
        self.reply_to = reply_to
        self.date = date
        self.charset = charset
        self.extra_headers = dict(extra_headers or {})
        self.mail_options = _options(mail_options, "mail_options")
        self.rcpt_options = _options(rcpt_options, "rcpt_options")
        self.message_id = message_id
        self.template: Template | None = None
        """What a courier has still to fill it from (``render="later"``)."""

    @classmethod
    def from_template(
        cls,
        name: str,
        /,
        recipients: Iterable[AddressLike] | None = None,
        subject: str | None = None,
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
        message_id: str | None = None,
        locale: str | None = None,
        render: Literal["now", "later"] = "now",
        context: Mapping[str, Any] | None = None,
        **values: Any,
    ) -> Self:
        """A message that says what the app's templates ``mail/name.*`` say.

        ``name.html`` and ``name.txt`` are its bodies, of which there must be one, and
        ``name.subject.txt`` or the block ``subject`` in one of them its subject, unless
        ``subject`` is given. All other keywords, and what is in ``context``, are for
        the templates; the rest is as in `Message`. See :doc:`/templates`.

        :param locale: the language: ``name.de.html`` is used where it is there, and
            Flask-Babel, where the app has it, speaks it. By default Flask-Babel's.
        :param render: ``"now"``, or ``"later"`` by the courier that delivers it: then
            the context must be JSON, and `template` says what is still to be rendered

        Raises `TemplateError`; with ``render="later"`` for what can be known before.
        """
        return cls(
            subject=subject,
            recipients=recipients,
            alts=alts,
            sender=sender,
            cc=cc,
            bcc=bcc,
            attachments=attachments,
            reply_to=reply_to,
            date=date,
            charset=charset,
            extra_headers=extra_headers,
            mail_options=mail_options,
            rcpt_options=rcpt_options,
            message_id=message_id,
        )._rendered(Template(name, {**(context or {}), **values}, locale), render)

    def _rendered(self, template: Template, when: str) -> Self:
        if when == "later":
            here = templates_here()
            self.template = here.prepared(template)
            if self.subject is None and not here.may_have_subject(template):
                raise _without_subject(template.name)
        elif when == "now":
            self.fill(templates_here().render(template))
        else:
            raise TemplateError(
                f"render={shown(when)} is neither 'now' nor 'later'.", template.name
            )
        return self

    def rendered(self) -> Self:
        """The same message with nothing left to be rendered, for whoever looks at it.

        A copy, rendered now, if it has a `template`. Raises `TemplateError`.
        """
        if self.template is None:
            return self
        return self.filled(templates_here().render(self.template))

    def filled(self, rendered: Rendered | None) -> Self:
        """A copy without `template`, with what that came to."""
        one = copy.copy(self)
        one.alts = dict(self.alts)
        one.attachments = list(self.attachments)
        one.template = None
        if rendered is not None:
            one.fill(rendered)
        return one

    def fill(self, rendered: Rendered) -> None:
        """Say what a template came to. Raises `TemplateError` without any subject."""
        if self.subject is None:
            self.subject = rendered.subject
        if self.subject is None:
            raise _without_subject(rendered.name)
        self.body = rendered.body
        if rendered.html is not None:
            self.html = None
            self.alts = {"html": rendered.html, **self.alts}
        self.attachments += rendered.images

    @property
    def html(self) -> str | None:
        """The HTML alternative, kept as ``alts["html"]``."""
        return self.alts.get("html")

    @html.setter
    def html(self, value: str | None) -> None:
        if value is None:
            self.alts.pop("html", None)
        else:
            self.alts["html"] = value

    @property
    def send_to(self) -> set[AddressLike]:
        """Everyone who gets it: recipients, cc and bcc, each once."""
        return {*self.recipients, *self.cc, *self.bcc}

    def add_recipient(self, recipient: AddressLike) -> None:
        """Add one more recipient."""
        self.recipients.append(recipient)

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

    def own_content(self) -> bytes | None:
        """What leaves in place of what is composed of it; None for that."""
        return None

    def __repr__(self) -> str:
        return f"<Message {shown(self.subject)}>"


def _options(options: Iterable[str] | None, field: str) -> list[str]:
    if isinstance(options, str):
        raise MessageError(field, f"{shown(options)} is a string; pass a list of them")
    return list(options or ())


def _without_subject(template: str) -> TemplateError:
    return TemplateError(
        "it has no subject: write one into name.subject.txt beside it or into its "
        "block 'subject', or pass subject=.",
        template,
    )
