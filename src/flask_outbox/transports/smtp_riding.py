"""Riding: whether a message's commands may follow a content before its verdict."""

from __future__ import annotations

import logging

from ..config import SmtpSettings
from .smtp_offer import Offer

_log = logging.getLogger("flask_outbox")


class Riding:
    """What holds for all connections of one transport.

    RFC 2920 section 3.1 allows commands behind the final dot. Some servers answer them
    503, drop them, or crash, so they are sent only to those that are known to cope, or
    where ``MAIL_PIPELINE_AFTER_CONTENT`` says so; and never again once one did not.
    """

    def __init__(self, settings: SmtpSettings) -> None:
        self._settings = settings
        self._ended = False

    def allowed_at(self, offer: Offer) -> bool:
        """Whether a message may ride at the server that offers this."""
        wanted = self._settings.pipeline_after_content
        if wanted is None:
            wanted = offer.copes_with_riders
        return wanted and not self._ended

    def end(self, how: str) -> None:
        """The server did not cope; ``how`` says what it did. Said once."""
        if self._ended:
            return
        self._ended = True
        _log.warning(
            "%s %s commands that came behind a content. No message is lost. From now "
            "on each waits for the verdict on the one before; "
            "MAIL_PIPELINE_AFTER_CONTENT = False has it so from the start.",
            self._settings.place,
            how,
        )
