"""Flask-Mail's `Mail`, handing over to the outbox."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask import Flask

from ..config import says_where
from ..delivery import Report
from ..errors import MessageError, OutboxUnavailable
from ..extension import Mail as OutboxMail
from ..outbox.records import Receipt
from .connection import checked
from .errors import told_as_theirs
from .state import EXTENSION, KEYS, SETTINGS, State, _MailMixin


class Mail(_MailMixin, OutboxMail):
    """`flask_outbox.Mail` as a drop-in for Flask-Mail's.

    Everything that `flask_outbox.Mail` can do is there too. Where it was made with an
    app it works for that app; otherwise for the one in whose context it is used.
    """

    def __init__(self, app: Flask | None = None) -> None:
        self.app = app
        self.state: State | None = None
        super().__init__()
        if app is not None:
            self.state = self.init_app(app)

    def init_app(self, app: Flask) -> State:  # type: ignore[override]
        """What `flask_outbox.Mail.init_app` does, and ``app.extensions["mail"]``.

        As with Flask-Mail, a production app that does not say how its mail leaves
        sends it to ``127.0.0.1``. Returns the app's state. Raises `ConfigError`.
        """
        if not (app.debug or app.testing or _says_how(app.config)):
            app.config["MAIL_SERVER"] = "127.0.0.1"
        super().init_app(app)
        state = self.init_mail(app.config, app.debug, app.testing)
        app.extensions["outbox"].heed(KEYS, lambda: state._stop)
        app.extensions[EXTENSION] = state
        return state

    def init_mail(
        self,
        config: Mapping[str, Any],
        debug: bool | int = False,
        testing: bool = False,
    ) -> State:
        """What Flask-Mail's keys in ``config`` say, with its defaults."""
        return State(self, config, debug, testing)

    def send_now(self, message: Any, **wishes: Any) -> Report:
        """`flask_outbox.Mail.send_now`, with the checks of `send`."""
        state = self._app.extensions[EXTENSION]
        try:
            return super().send_now(checked(message, state.default_sender), **wishes)
        except (MessageError, OutboxUnavailable) as error:
            raise told_as_theirs(error) from error

    def _keep(self, message: Any, wishes: Mapping[str, Any]) -> Receipt:
        """Hand over, past what a subclass makes of `send`."""
        return OutboxMail.send(self, message, **wishes)

    def __getattr__(self, name: str) -> Any:
        """Flask-Mail's settings, as in ``mail.server``."""
        if name in SETTINGS:
            return getattr(self.state, name, None)
        raise AttributeError(f"{type(self).__name__!r} has no attribute {name!r}")

    @property
    def _app(self) -> Flask:
        return self.app or super()._app


def _says_how(config: Mapping[str, Any]) -> bool:
    return says_where(config) or config.get("MAIL_TRANSPORTS") is not None
