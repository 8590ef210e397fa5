"""Links that only this app can make, and that hold for as long as its keys do.

An app is told by its name: others may have the same keys.
"""

from __future__ import annotations

from hashlib import sha256
from typing import NamedTuple

from flask import Flask, has_request_context, request
from itsdangerous import BadData, URLSafeSerializer
from werkzeug.routing import MapAdapter

from ..errors import ConfigError
from ..message import Address, AddressLike, check_label, comparable

NAME = "outbox_unsubscribe"
"""The blueprint's name."""

SALT = "flask-outbox unsubscribe"


class Way(NamedTuple):
    """Who leaves which list by a link."""

    address: str
    list: str


def url_of(app: Flask, address: AddressLike, list: str) -> str:
    """The address of the page where ``address`` leaves ``list``.

    It begins with ``https://``, as RFC 8058 section 3.1 asks, unless the app is in
    debug or testing mode. Raises `MessageError` for what is no address or no tag, and
    `ConfigError` where the app has no such page, no secret key, or nothing to tell its
    own name by.
    """
    check_label("list", list)
    mailbox = comparable(Address.parse(address, "address").spec)
    if NAME not in app.blueprints:
        raise ConfigError(
            "This app has no page to unsubscribe on: set OUTBOX_UNSUBSCRIBE_PATH, for "
            "example to '/unsubscribe'."
        )
    token = str(_serializer(app).dumps(Way(mailbox, list)))
    return _place(app).build(
        f"{NAME}.page",
        {"token": token},
        force_external=True,
        url_scheme=None if app.debug or app.testing else "https",
    )


def read(app: Flask, token: str) -> Way | None:
    """Whom a link's token is for; None for one that this app has not made."""
    try:
        return Way(*_serializer(app).loads(token))
    except BadData:
        return None


def _serializer(app: Flask) -> URLSafeSerializer:
    if not app.secret_key:
        raise ConfigError(
            "A link to unsubscribe is signed with the app's SECRET_KEY, and there is "
            "none: set it."
        )
    former = app.config.get("SECRET_KEY_FALLBACKS") or []
    return URLSafeSerializer(
        [*former, app.secret_key],
        f"{SALT} {app.name}",
        signer_kwargs={"digest_method": sha256},
    )


def _place(app: Flask) -> MapAdapter:
    """What the app is called: by its setting, else as this request calls it."""
    adapter = app.create_url_adapter(None)
    if adapter is None and has_request_context():
        adapter = app.create_url_adapter(request)
    if adapter is None:
        raise ConfigError(
            "Outside a request nobody knows what this app is called, so that no link "
            "to unsubscribe can be made: set SERVER_NAME, for example to "
            "'shop.example.com'."
        )
    return adapter
