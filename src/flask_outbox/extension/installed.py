"""What `Mail.init_app` leaves in an app: its settings and its runtime."""

from __future__ import annotations

import re
import shutil
import tempfile
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, cast

from flask import Flask, current_app, has_app_context, has_request_context

from .. import logs
from ..config import Settings
from ..dkim import Signer
from ..errors import AddressError, ConfigError, TemplateError
from ..guard import Guard
from ..message import (
    Address,
    AddressLike,
    Rendered,
    Template,
    Templates,
    find_templates_by,
)
from ..origin import origin, tell_of_the_response
from ..outbox.dialects import check_url, open_to_others
from ..outbox.records import Receipt, Stop
from ..previews import Previews
from ..readying import (
    HeldBack,
    Interceptors,
    nothing_held_back,
)
from ..relay import Relay
from ..runtime import Runtime
from ..templating import MailTemplates
from ..unsubscribing import url_of
from ..uwsgi_threads import refuse_without_threads

EXTENSION = "outbox"
"""The name under which an app keeps its part in ``app.extensions``."""


def _templates_here() -> Templates:
    """The mail templates of the app in whose context we are."""
    if not has_app_context():
        raise TemplateError(
            "from_template() renders with an app's templates, and there is no app "
            "here: use it in a view, or inside 'with app.app_context():'."
        )
    installed = current_app.extensions.get(EXTENSION)
    if installed is None:
        raise TemplateError(
            f"the app {current_app.name!r} has no outbox: call mail.init_app(app)."
        )
    return cast(Templates, installed.templates)


find_templates_by(_templates_here)


class Installed:
    """One app's part: its settings, checked at once, and its runtime, made when used.

    The config is read again when the runtime is made, so that ``TESTING`` counts even
    when it is set after `init_app`. The runtime does not keep the app alive: it ends
    with it.
    """

    def __init__(
        self, app: Flask, previews: Previews, interceptors: Interceptors
    ) -> None:
        self._app = app
        self.previews = previews
        self.interceptors = interceptors
        self.templates = MailTemplates(app, logs.say_that_an_extra_is_missing)
        self._making = threading.Lock()
        self._runtime: Runtime | None = None
        self._heeded: tuple[str, ...] = ()
        self._heeded_values: list[Any] = []
        self._held_back: HeldBack = nothing_held_back
        self._folder: str | None = None
        self.settings = self._checked()
        """As they are at `init_app`; those of the runtime are read when it is made."""

    def heed(self, keys: tuple[str, ...], held_back: HeldBack) -> None:
        """Heed these keys also when they are set after the first mail.

        ``held_back`` says why nothing may leave that is handed over at present.
        """
        self._heeded = keys
        self._heeded_values = self._values()
        self._held_back = held_back

    def _why_held_back(self) -> Stop | None:
        return self._held_back()

    def _values(self) -> list[Any]:
        return [self._app.config.get(key) for key in self._heeded]

    def read_again(self) -> None:
        """Read the config anew; a runtime with other settings ends. `ConfigError`."""
        self.settings = self._checked()
        with self._making:
            old, new = self._runtime, self._settings(self._default_folder())
            if old is None or old.settings == new:
                return
            self._runtime = None
        if old.settings.suppress and not new.suppress:
            old.drain(KEEPING_SECONDS)  # what was to stay here does not leave now
        old.close()

    def _checked(self) -> Settings:
        settings = self._settings(self._app.instance_path)
        check_url(settings.url)
        if settings.listen_url:
            check_url(settings.listen_url, "OUTBOX_LISTEN_URL")
        _check_sender(settings.default_sender)
        Guard.read(settings.only_to, settings.redirect_to)
        Signer(settings.dkim_keys)
        if settings.engine == "thread":
            refuse_without_threads()
        elif settings.engine == "celery":
            _celery_engine().join(self._app)
        return settings

    @property
    def runtime(self) -> Runtime:
        """The app's runtime, made at the first call, and anew where `heed` asks."""
        if self._runtime is not None and self._heeded_values != self._values():
            self._heeded_values = self._values()
            self.read_again()
        if self._runtime is None:
            with self._making:
                if self._runtime is None:
                    self._runtime = self._make()
        return self._runtime

    def send_again(
        self, id: str, *, by: str | None = None, to: Sequence[str] | None = None
    ) -> Receipt:
        """`Runtime.send_again`, as the doing of this request."""
        began = time.perf_counter()
        receipt = self.runtime.send_again(id, origin(), by=by, to=to)
        if has_request_context():
            tell_of_the_response(self.runtime, receipt, time.perf_counter() - began)
        return receipt

    def _make(self) -> Runtime:
        settings = self._settings(self._default_folder())
        if not any(one.smtp for one in settings.transports.values()):
            shown = settings.dashboard is not None
            logs.say_where_mail_stays(
                settings.url,
                settings.dashboard_path if shown else None,
                testing=self._app.testing,
            )
        for name, one in settings.transports.items():
            if one.smtp is not None and one.smtp.half_login is not None:
                logs.say_that_no_login_is_made(name, one.place, one.smtp.half_login)
        if settings.debug:
            logs.show_dialogues()
        if wide := open_to_others(settings.url):
            logs.say_that_others_may_read(wide)
        runtime = Runtime(
            settings,
            weakref.ref(self._app),
            _OfAnApp(self.templates),
            idle=self._app.testing,
            interceptors=self.interceptors,
            link=partial(url_of, self._app),
            held_back=self._why_held_back,
            make_relay=self._relay_maker(settings.engine),
            write=partial(_write, weakref.ref(self._app)),
        )
        if guard := runtime.outbox.guard:
            logs.say_that_the_guard_is_on(str(guard), testing=self._app.testing)
        return runtime

    def _relay_maker(self, engine: str) -> Callable[[Runtime], Relay] | None:
        if engine == "celery":
            return partial(_celery_engine().make_relay, self._app)
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
        """The instance folder; under TESTING one that goes when the app does."""
        if not self._app.testing:
            return self._app.instance_path
        if self._folder is None:
            self._folder = tempfile.mkdtemp(prefix="flask-outbox-")
            weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
        return self._folder


def _write(app: weakref.ref[Flask], value: Any) -> str:
    """Write it with the app's JSON provider, whichever that is by now."""
    alive = app()
    if alive is None:
        raise TypeError("the app whose JSON it is has ended.")
    return alive.json.dumps(value)


class _OfAnApp:
    """An app's mail templates, for couriers: they do not keep the app alive."""

    def __init__(self, templates: MailTemplates) -> None:
        self._templates = weakref.ref(templates)

    def render(self, template: Template) -> Rendered:
        """`MailTemplates.render`."""
        return self._here().render(template)

    def prepared(self, template: Template) -> Template:
        """`MailTemplates.prepared`."""
        return self._here().prepared(template)

    def may_have_subject(self, template: Template) -> bool:
        """`MailTemplates.may_have_subject`."""
        return self._here().may_have_subject(template)

    def _here(self) -> MailTemplates:
        templates = self._templates()
        if templates is None:
            raise TemplateError("the app whose template it is has ended.")
        return templates


KEEPING_SECONDS = 10.0
"""How long it may take to put into the dev inbox what is due, when it ends."""

OLD_FILE = "outbox.db"
"""What the file of every app was called once: it is gone on with where it is there."""


def default_file(folder: str, name: str) -> Path:
    """Where an app of that name keeps its outbox in its instance folder.

    Apps that share the folder have a file each, for each has settings of its own.
    """
    own = Path(folder) / f"outbox-{_not_in_names.sub('_', name)}.db"
    old = Path(folder) / OLD_FILE
    return old if old.is_file() and not own.exists() else own


_not_in_names = re.compile(r"[^\w.-]")


def _check_sender(sender: AddressLike | None) -> None:
    """Raise `ConfigError` for a default sender by whom no mail could ever be."""
    if sender is None:
        return
    try:
        Address.parse(sender, "MAIL_DEFAULT_SENDER")
    except AddressError as error:
        raise ConfigError(
            f"{error}. Write it as in MAIL_DEFAULT_SENDER = "
            '("The Shop", "shop@example.com"), or "shop@example.com" alone.'
        ) from error


def _celery_engine() -> Any:
    """The only part that knows Celery, imported where it is wanted."""
    try:
        from ..engines import celery
    except ImportError as error:
        raise ConfigError(
            "OUTBOX_ENGINE = 'celery' needs the package celery: install it with "
            'pip install "flask-outbox[celery]".'
        ) from error
    return celery
