"""Stage: where previews are built as in a view, and nothing is sent."""

from __future__ import annotations

import contextlib
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from flask import Flask

from .. import previews
from ..config import Settings
from ..errors import MessageError
from ..message import LOCALE_LENGTH, Message
from ..mime import compose
from ..previews import Preview

LOCALE = "locale"
"""The parameter that chooses the language, of the function or of Flask-Babel."""

VARIES = "varies"
"""The digest of a preview that is another one each time it is built."""


@dataclass(frozen=True, slots=True)
class Built:
    """What came of building a preview: a message's bytes, or the traceback."""

    content: bytes | None
    trouble: str = ""


@dataclass(frozen=True, slots=True)
class Stage:
    """Builds previews for one app."""

    app: Flask
    settings: Settings
    base_url: str
    """The app's address, from which ``url_for(..., _external=True)`` starts."""

    def build(self, preview: Preview, chosen: Mapping[str, str]) -> Built:
        """Build it, with what was chosen for its parameters."""
        return self._build(preview, chosen, now=None)

    def digest(self, preview: Preview, chosen: Mapping[str, str]) -> str:
        """What changes when the message does, whenever it is built; or `VARIES`."""
        one, other = (self._build(preview, chosen, now=0.0) for _ in range(2))
        if one != other:
            return VARIES
        return sha256(one.content or one.trouble.encode("utf-8", "replace")).hexdigest()

    def locales(self) -> list[str]:
        """The languages that the app's Flask-Babel has; none where it has none."""
        if "babel" not in self.app.extensions:
            return []
        from flask_babel import get_babel

        with self.app.app_context():
            return sorted(map(str, get_babel().instance.list_translations()))

    def _build(
        self, preview: Preview, chosen: Mapping[str, str], now: float | None
    ) -> Built:
        try:
            with self._set(chosen.get(LOCALE, "")):
                built = preview.build(chosen)
                composed = compose(
                    built.rendered() if isinstance(built, Message) else built,
                    default_sender=self.settings.default_sender,
                    ascii_attachments=self.settings.ascii_attachments,
                    now=now,
                    unique="preview",
                )
            return Built(composed.content)
        except Exception as error:
            return Built(None, _told(error))

    @contextlib.contextmanager
    def _set(self, locale: str) -> Iterator[None]:
        """The contexts that a view has, and a language where one is asked for.

        They are new ones: what a preview leaves in ``g`` touches nothing.
        """
        with (
            self.app.app_context(),
            self.app.test_request_context("/", base_url=self.base_url),
            self._speaking(locale),
        ):
            yield

    def _speaking(self, locale: str) -> contextlib.AbstractContextManager[Any]:
        if not locale or "babel" not in self.app.extensions:
            return contextlib.nullcontext()
        if len(locale) > LOCALE_LENGTH:
            raise ValueError(f"{locale[:LOCALE_LENGTH]!r}… is no language.")
        from flask_babel import force_locale

        speaking: contextlib.AbstractContextManager[Any] = force_locale(locale)
        return speaking


def _told(error: Exception) -> str:
    """The traceback from the preview's own function on; of ours, what it says."""
    frames = None if isinstance(error, MessageError) else error.__traceback__
    while frames is not None and frames.tb_frame.f_code.co_filename in _OUTER:
        frames = frames.tb_next
    return "".join(traceback.format_exception(type(error), error, frames))


_OUTER = {__file__, previews.__file__, contextlib.__file__}
