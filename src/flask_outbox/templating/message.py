"""`Message` with templates: what an app composes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, Self

from flask import current_app, has_app_context

from ..errors import TemplateError
from ..message import AddressLike, Attachment, Template
from ..message import Message as PlainMessage
from ..message.message import without_subject
from ..message.text import shown
from ..sending.batch import Row, split_row

if TYPE_CHECKING:
    from .templates import MailTemplates


class Message(PlainMessage):
    """An email, mutable until it is sent.

    The arguments are Flask-Mail's. An address is ``"ada@example.org"``, ``"Ada
    <ada@example.org>"`` or ``("Ada", "ada@example.org")``. ``sender`` defaults to
    ``MAIL_DEFAULT_SENDER``, and ``reply_to`` may be a list. ``alts`` maps subtypes of
    ``text/`` to alternatives of the body, in order; ``html`` is one of them.
    ``subject``, ``body`` and the alternatives may be lazy strings. ``date`` is an aware
    `datetime` or seconds since the epoch. ``rfc_message_id`` is a Message-ID such as
    ``<unique@example.org>``, for an app that needs to know it before sending; without
    it, each call of ``send`` generates one.

    The constructor only refuses values that are not lists where lists are needed.
    Everything else is checked when the message is sent.
    """

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
        rfc_message_id: str | None = None,
        locale: str | None = None,
        render: Literal["now", "later"] = "now",
        context: Mapping[str, Any] | None = None,
        **values: Any,
    ) -> Self:
        """A message whose texts are the app's templates ``mail/name.*``, rendered.

        ``name.html`` and ``name.txt`` are its bodies; one of them must exist. Its
        subject is ``subject``, or else ``name.subject.txt``, or the block ``subject``
        in a body. All other keywords, and ``context``, are the templates' variables;
        the rest is as in `Message`. See :doc:`/templates`.

        :param locale: the language: ``name.de.html`` is used if it exists, and
            Flask-Babel translates into it, if the app has Flask-Babel. By default the
            language that Flask-Babel has chosen.
        :param render: ``"now"``, or ``"later"`` to have the courier that delivers the
            message render it: then the context must be JSON, and `template` is the
            template that is still to be rendered

        Raises `TemplateError`; with ``render="later"`` only for what can be checked
        without rendering.
        """
        message = cls(
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
            rfc_message_id=rfc_message_id,
        )
        template = Template(name, {**(context or {}), **values}, locale)
        if render == "now":
            message.fill(_app_templates().render(template))
        elif render == "later":
            message._defer_rendering(template)
        else:
            raise TemplateError(
                f"render={shown(render)} is neither 'now' nor 'later'.", name
            )
        return message

    def _defer_rendering(self, template: Template) -> None:
        """Leave rendering to the courier that delivers the message."""
        templates = _app_templates()
        self.template: Template | None = templates.prepared(template)
        if self.subject is None and not templates.may_have_subject(template):
            raise without_subject(template.name)

    def rendered(self) -> Self:
        """The same message, fully rendered, for inspection.

        Returns a copy, rendered now if it has a `template`. Raises `TemplateError`.
        """
        if self.template is None:
            return self
        return self.filled(_app_templates().render(self.template))


def message_of_row(template: str, **message: Any) -> Callable[[Row], Message]:
    """A function that makes a message from ``template`` and a row of a batch.

    A courier renders the message. ``message`` has more arguments for
    `Message.from_template`.
    """

    def make(row: Row) -> Message:
        address, context = split_row(row)
        return Message.from_template(
            template, [address], context=context, render="later", **message
        )

    return make


def _app_templates() -> MailTemplates:
    """The mail templates of the current app."""
    if not has_app_context():
        raise TemplateError(
            "from_template() renders with an app's templates, and there is no app "
            "here: use it in a view, or inside 'with app.app_context():'."
        )
    state = current_app.extensions.get("outbox")
    if state is None:
        raise TemplateError(
            f"the app {current_app.name!r} has no outbox: call mail.init_app(app)."
        )
    templates: MailTemplates = state.templates
    return templates
