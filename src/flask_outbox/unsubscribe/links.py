"""Links by which a recipient unsubscribes from a list, and what they do.

Only this app can create its links; they are valid for as long as its keys. The app's
name is signed too, since other apps may have the same keys.
"""

from __future__ import annotations

from enum import StrEnum
from functools import lru_cache
from hashlib import sha256
from typing import TYPE_CHECKING, Any, NamedTuple

from flask import Flask, has_request_context, request
from itsdangerous import BadData, URLSafeSerializer
from werkzeug.routing import MapAdapter

from .. import outbox, signals
from ..errors import ConfigError
from ..message import Address, AddressLike, check_label, comparable
from ..signals import emit

if TYPE_CHECKING:
    from ..runtime import Runtime

NAME = "outbox_unsubscribe"
"""The blueprint's name."""

SALT = "flask-outbox unsubscribe"


class Subscriber(NamedTuple):
    """A recipient of a list, for whom a link is made."""

    address: str
    list: str


LANGUAGE = "lang"
"""The argument of a link that names the language of its mail."""


def url_of(
    app: Flask, address: AddressLike, list: str, locale: str | None = None, /
) -> str:
    """The URL of the page where ``address`` unsubscribes from ``list``, which is in the
    language ``locale`` if it can be.

    It begins with ``https://``, as RFC 8058 section 3.1 requires, unless the app is in
    debug or testing mode. Raises `MessageError` if an argument is not an address or a
    tag, and `ConfigError` if the app has no unsubscribe page, no secret key, or no
    known host name.
    """
    check_label("list", list)
    mailbox = comparable(Address.parse(address, "address").spec)
    if NAME not in app.blueprints:
        raise ConfigError(
            "This app has no unsubscribe page: set OUTBOX_UNSUBSCRIBE_PATH, for "
            "example to '/unsubscribe'."
        )
    token = str(_serializer(app).dumps(Subscriber(mailbox, list)))
    language = locale and locale.replace("_", "-")
    return _url_adapter(app).build(
        f"{NAME}.page",
        {"token": token, LANGUAGE: language},
        force_external=True,
        url_scheme=None if app.debug or app.testing else "https",
    )


def read(app: Flask, token: str) -> Subscriber | None:
    """The subscriber in a link's token; None if this app did not sign it."""
    try:
        return Subscriber(*_serializer(app).loads(token))
    except BadData:
        return None


def _serializer(app: Flask) -> URLSafeSerializer:
    if not app.secret_key:
        raise ConfigError(
            "An unsubscribe link is signed with the app's SECRET_KEY, which is not "
            "set: set it."
        )
    former = app.config.get("SECRET_KEY_FALLBACKS") or ()
    return _serializer_with((*former, app.secret_key), app.name)


@lru_cache(maxsize=16)
def _serializer_with(keys: tuple[Any, ...], app_name: str) -> URLSafeSerializer:
    """Cached, so that it is created once for an app's keys, not for each mail."""
    return URLSafeSerializer(
        list(keys), f"{SALT} {app_name}", signer_kwargs={"digest_method": sha256}
    )


def _url_adapter(app: Flask) -> MapAdapter:
    """Builds the app's URLs: with SERVER_NAME, else with the request's host."""
    adapter = app.create_url_adapter(None)
    if adapter is None and has_request_context():
        adapter = app.create_url_adapter(request)
    if adapter is None:
        raise ConfigError(
            "A link to unsubscribe cannot be made outside a request, as the app's host "
            "name is not known there: set SERVER_NAME, for example to "
            "'shop.example.com'."
        )
    return adapter


SOURCE = "unsubscribe"


class Subscription(StrEnum):
    """Whether an address is subscribed to a list."""

    SUBSCRIBED = "subscribed"
    LEFT = "left"
    """Unsubscribed by such a link; the same link can subscribe again."""
    SUPPRESSED = "suppressed"
    """Suppressed by someone else; the link cannot change that."""


def subscription_of(runtime: Runtime, subscriber: Subscriber) -> Subscription:
    """Whether the address is subscribed to the list now."""
    found = runtime.outbox.suppressed_by(subscriber.address, subscriber.list)
    if found is None:
        return Subscription.SUBSCRIBED
    own = found.source == SOURCE and found.list == subscriber.list
    return Subscription.LEFT if own else Subscription.SUPPRESSED


def leave(runtime: Runtime, subscriber: Subscriber) -> None:
    """Suppress the list's mail to the address; calling it again changes nothing."""
    now = runtime.outbox.clock()
    entry = outbox.new_suppression(
        subscriber.address, subscriber.list, "unsubscribed", SOURCE, now
    )
    if runtime.outbox.suppress_all([entry]):
        emit(
            signals.unsubscribed,
            runtime.sender,
            address=subscriber.address,
            list=subscriber.list,
        )


def come_back(runtime: Runtime, subscriber: Subscriber) -> None:
    """Remove the suppression that `leave` added, and no other."""
    if runtime.outbox.unsuppress(
        subscriber.address, list=subscriber.list, source=SOURCE
    ):
        emit(
            signals.resubscribed,
            runtime.sender,
            address=subscriber.address,
            list=subscriber.list,
        )
