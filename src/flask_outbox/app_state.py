"""What `Mail.init_app` adds to an app: its settings, its runtime, request hooks."""

from __future__ import annotations

import re
import secrets
import shutil
import tempfile
import threading
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flask import (
    Flask,
    Response,
    after_this_request,
    current_app,
    g,
    has_request_context,
    request,
)

from . import log
from .bounce_address import BounceAddress
from .concurrency import refuse_uwsgi_without_threads
from .config import Settings, SmtpSettings, UrlSettings
from .erased_address import ErasedAddresses
from .errors import AddressError, AppUnknown, ConfigError, TemplateError
from .events import EventKind
from .log_context import about
from .message import (
    Address,
    AddressLike,
    Rendered,
    Template,
)
from .outbox import check_url, open_to_others
from .previews import Previews
from .recipient_guard import Guard
from .sending import Interceptors
from .transports.resolver import Resolvers
from .unsubscribe.links import url_of

if TYPE_CHECKING:
    from .courier.notifier import WakeupNotifier
    from .outbox.records import Actor, Receipt, Stop
    from .runtime import Runtime
    from .sending.prepare import StopAll
    from .templating.templates import MailTemplates


def note_request() -> None:
    """Note the time at which this request began."""
    g.outbox_request_began = time.perf_counter()


def request_origin() -> Mapping[str, Any] | None:
    """The request that sends the message: its route, since a URL may contain
    secrets.
    """
    if not has_request_context():
        return None
    route = request.url_rule.rule if request.url_rule else request.path
    return {
        "method": request.method,
        "route": route,
        "endpoint": request.endpoint,
        "request_id": _request_id(),
    }


def _request_id() -> str:
    """The request's id from the server, or a generated one."""
    given = request.headers.get("X-Request-ID", "")
    if given.isascii() and given.isprintable() and 0 < len(given) <= 128:
        return given
    if "outbox_request_id" not in g:
        g.outbox_request_id = secrets.token_hex(4)
    return str(g.outbox_request_id)


def note_response(runtime: Runtime, receipt: Receipt, began: float) -> None:
    """Add to the message's history when the response to this request was sent.

    ``began`` is the start of the call of ``send``, by ``time.perf_counter()``. Does
    nothing outside a request, and for a duplicate.
    """
    if receipt.duplicate or not has_request_context():
        return
    handover_seconds = time.perf_counter() - began
    request_began = g.get("outbox_request_began", began)

    def went_out(status: int) -> None:
        runtime.note(
            receipt.id,
            EventKind.RESPONDED,
            status=status,
            handover_seconds=handover_seconds,
            response_seconds=time.perf_counter() - request_began,
        )

    @after_this_request
    def watch(response: Response) -> Response:
        response.call_on_close(lambda: went_out(response.status_code))
        return response


def send_again(
    runtime: Runtime,
    id: str,
    *,
    by: str | None = None,
    to: Sequence[str] | None = None,
    actor: Actor | None = None,
) -> Receipt:
    """Send a finished message once more; its history names the request that did it."""
    from .actions import ACTIONS

    began = time.perf_counter()
    receipt = ACTIONS["send-again"].do(
        runtime, id, actor, origin=request_origin(), by=by, to=to
    )
    assert receipt is not None  # of the new message
    note_response(runtime, receipt, began)
    return receipt


EXTENSION = "outbox"
"""The name of an `AppState` in ``app.extensions``."""


def itself(app: Flask) -> Flask:
    """The app, also if it is given as the proxy ``current_app``."""
    here: Flask = getattr(app, "_get_current_object", lambda: app)()
    return here


def this_app() -> Flask:
    """The current app itself, not the proxy that stands for it in a request."""
    return itself(current_app)


def state_of(app: Flask) -> AppState:
    """The state of an app, or of ``current_app``. Raises `AppUnknown` if it has
    none.
    """
    state: AppState | None = app.extensions.get(EXTENSION)
    if state is None:
        raise AppUnknown(
            f"The app {app.name!r} has no outbox: call mail.init_app(app)."
        )
    return state


class AppState:
    """One app's settings, checked at once, and its runtime, created when first used.

    The config is read again when the runtime is created, so that ``TESTING`` counts
    even if it is set after `init_app`. The runtime does not keep the app alive; it ends
    with the app.
    """

    def __init__(
        self,
        app: Flask,
        previews: Previews,
        interceptors: Interceptors,
        resolvers: Resolvers,
    ) -> None:
        self._app = app
        self.previews = previews
        self.interceptors = interceptors
        self.resolvers = resolvers
        self._making = threading.Lock()
        self._runtime: Runtime | None = None
        self._watched: tuple[str, ...] = ()
        self._watched_values: list[Any] = []
        self._stop_all: StopAll | None = None
        self._folder: str | None = None
        self.settings: Settings = self._checked()
        """The settings at `init_app`; the runtime's are read when it is created."""

    def watch(self, keys: tuple[str, ...], stop_all: StopAll) -> None:
        """Read the config again whenever one of these keys has changed.

        ``stop_all`` returns why no message may be sent at present, if so.
        """
        self._watched = keys
        self._watched_values = self._values()
        self._stop_all = stop_all

    def _why_all_stop(self) -> Stop | None:
        return self._stop_all() if self._stop_all is not None else None

    def _values(self) -> list[Any]:
        return [self._app.config.get(key) for key in self._watched]

    def reload(self) -> None:
        """Read the config again; a runtime with other settings ends, and if a courier
        was at work, another goes on. Raises `ConfigError`.
        """
        self.settings = self._checked()
        with self._making:
            old, new = self._runtime, self._settings(self._default_folder())
            if old is None or old.settings == new:
                return
            self._runtime = None
        if old.settings.suppress and not new.suppress:
            old.drain(KEEPING_SECONDS)  # dev inbox mail must not be sent now
        at_work = old.at_work
        old.close()
        if at_work:
            self.runtime.start_if_wanted()

    def _checked(self) -> Settings:
        settings = self._settings(self._app.instance_path)
        check_url(settings.url)
        if settings.listen_url:
            check_url(settings.listen_url, "OUTBOX_LISTEN_URL")
        _check_sender(settings.default_sender)
        Guard.read(settings.only_to, settings.redirect_to)
        if settings.dkim_keys:
            from .dkim import Signer

            Signer(settings.dkim_keys)
        transports = settings.transports
        if any(
            isinstance(one.adapter, UrlSettings) or one.events
            for one in transports.values()
        ):
            from .transports.registry import check_transports

            check_transports(transports)
        if settings.webhooks:
            from .transports.http.webhook_client import check_installed

            check_installed()
        if settings.traces:
            _check_tracing_installed()
        if settings.engine == "thread":
            refuse_uwsgi_without_threads()
        elif settings.engine == "celery":
            _celery_engine().join(self)
        return settings

    @cached_property
    def templates(self) -> MailTemplates:
        """The app's mail templates."""
        from .templating.templates import MailTemplates

        return MailTemplates(self._app, log.warn_of_missing_extra)

    @property
    def celery(self) -> Any:
        """The app's own Celery app; None if it has none."""
        return self._app.extensions.get("celery")

    @property
    def runtime(self) -> Runtime:
        """The app's runtime: created at its first use, and again if a watched key
        changed.
        """
        if self._watched and self._watched_values != self._values():
            self._watched_values = self._values()
            if self._runtime is not None:
                self.reload()
        if self._runtime is None:
            with self._making:
                if self._runtime is None:
                    self._runtime = self._make()
        return self._runtime

    def _make(self) -> Runtime:
        with about(self._app):
            return self._make_it()

    def _make_it(self) -> Runtime:
        from .runtime import Runtime

        settings = self._settings(self._default_folder())
        if all(one.keeps_mail for one in settings.transports.values()):
            shown = settings.dashboard is not None
            log.log_inbox_in_use(
                settings.url,
                settings.dashboard_path if shown else None,
                testing=self._app.testing,
            )
        for name, one in settings.transports.items():
            if isinstance(one.adapter, SmtpSettings) and one.adapter.half_login:
                log.warn_of_missing_login(name, one.place, one.adapter.half_login)
        if settings.debug:
            log.log_dialogues()
        if wide := open_to_others(settings.url):
            log.warn_of_open_files(wide)
        runtime = Runtime(
            settings,
            weakref.ref(self._app),
            _AppTemplates(self),
            idle=self._app.testing,
            interceptors=self.interceptors,
            find_transport=_AppResolver(weakref.ref(self._app), self.resolvers),
            link=partial(url_of, self._app),
            stop_all=self._why_all_stop,
            make_notifier=self._notifier_maker(settings.engine),
            write_json=partial(_write_json, weakref.ref(self._app)),
            bounces=self._bounces(settings),
            erased=ErasedAddresses.read(self._secrets),
        )
        if guard := runtime.outbox.guard:
            log.log_guard(str(guard), testing=self._app.testing)
        return runtime

    def _bounces(self, settings: Settings) -> BounceAddress | None:
        if settings.bounce_address is None:
            return None
        return BounceAddress.read(
            settings.bounce_address, self._app.name, self._secrets
        )

    @property
    def _secrets(self) -> tuple[str | bytes, ...]:
        """The app's secret keys, the current one first; none where none is set."""
        former = self._app.config.get("SECRET_KEY_FALLBACKS") or ()
        return (self._app.secret_key, *former) if self._app.secret_key else ()

    def _notifier_maker(
        self, engine: str
    ) -> Callable[[Runtime], WakeupNotifier] | None:
        if engine == "celery":
            return partial(_celery_engine().make_notifier, self)
        return None

    def _settings(self, folder: str) -> Settings:
        return Settings.read(
            self._app.config,
            default_url=f"sqlite:///{default_file(folder, self._app.name)}",
            folder=self._app.instance_path,
            debug=self._app.debug,
            testing=self._app.testing,
        )

    def _default_folder(self) -> str:
        """The instance folder; under TESTING a temporary one that is deleted with
        the app.
        """
        if not self._app.testing:
            return self._app.instance_path
        if self._folder is None:
            self._folder = tempfile.mkdtemp(prefix="flask-outbox-")
            weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
        return self._folder


def _write_json(app: weakref.ref[Flask], value: Any) -> str:
    """Encode the value with the app's current JSON provider."""
    alive = app()
    if alive is None:
        raise TypeError("the app that encodes it has ended.")
    return alive.json.dumps(value)


class _AppResolver:
    """An app's transport resolver, for couriers: it does not keep the app alive."""

    def __init__(self, app: weakref.ref[Flask], resolvers: Resolvers) -> None:
        self._app = app
        self._resolvers = resolvers

    @property
    def none(self) -> bool:
        return self._resolvers.none

    def __call__(self, name: str) -> Any:
        """The resolver's result, in the app's context."""
        app = self._app()
        if app is None:
            raise ConfigError("the app that finds this transport has ended")
        with app.app_context():
            return self._resolvers(name)


class _AppTemplates:
    """An app's mail templates, for couriers; does not keep the app alive."""

    def __init__(self, state: AppState) -> None:
        self._state = weakref.ref(state)

    def render(self, template: Template) -> Rendered:
        """Render the template. Raises `TemplateError` also once the app has ended."""
        state = self._state()
        if state is None:
            raise TemplateError("the app that this template belongs to has ended.")
        return state.templates.render(template)


KEEPING_SECONDS = 10.0
"""How long moving due messages into the dev inbox may take when a runtime ends."""


def default_file(folder: str, name: str) -> Path:
    """The default outbox file of the app ``name`` in its instance folder.

    Apps that share the folder have separate files, because their settings differ.
    """
    return Path(folder) / f"outbox-{_not_in_names.sub('_', name)}.db"


_not_in_names = re.compile(r"[^\w.-]")


def _check_sender(sender: AddressLike | None) -> None:
    """Raise `ConfigError` for a default sender that no message could have."""
    if sender is None:
        return
    try:
        Address.parse(sender, "MAIL_DEFAULT_SENDER")
    except AddressError as error:
        raise ConfigError(
            f"{error}. Write it as in MAIL_DEFAULT_SENDER = "
            '("The Shop", "shop@example.com"), or "shop@example.com" alone.'
        ) from error


def _check_tracing_installed() -> None:
    try:
        import opentelemetry.trace  # noqa: F401
    except ImportError as error:
        raise ConfigError(
            "OUTBOX_TRACES needs the package opentelemetry-api: install it with "
            'pip install "flask-outbox[otel]".'
        ) from error


def _celery_engine() -> Any:
    """Import the Celery engine; nothing else imports Celery."""
    try:
        from .engines import celery
    except ImportError as error:
        raise ConfigError(
            "OUTBOX_ENGINE = 'celery' needs the package celery: install it with "
            'pip install "flask-outbox[celery]".'
        ) from error
    return celery
