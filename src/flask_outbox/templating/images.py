"""Images: ``mail_image`` in HTML, which has a file travel with the mail."""

from __future__ import annotations

import mimetypes
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from hashlib import blake2b
from pathlib import Path
from typing import Any

from flask import Flask, current_app
from werkzeug.security import safe_join

from ..errors import TemplateError
from ..message import Attachment
from .files import FOLDER

_embedded: ContextVar[dict[str, Attachment] | None] = ContextVar(
    "embedded", default=None
)
"""The images of the HTML that is being rendered, by their Content-IDs."""


@contextmanager
def embedding() -> Iterator[dict[str, Attachment]]:
    """Collect what `mail_image` embeds inside the ``with`` block."""
    images: dict[str, Attachment] = {}
    token = _embedded.set(images)
    try:
        yield images
    finally:
        _embedded.reset(token)


def mail_image(name: str) -> str:
    """Have an image travel with the mail; the ``cid:`` address that shows it.

    It is the file ``mail/name`` in the template folders of the app and its blueprints,
    else ``name`` in the app's static folder. The same file is embedded once, however
    often it is shown. Raises `TemplateError`.
    """
    images = _embedded.get()
    if images is None:
        raise TemplateError(
            f"mail_image({name!r}) is for HTML: a text or a subject can show no image."
        )
    content_type, _ = mimetypes.guess_type(name)
    if content_type is None or not content_type.startswith("image/"):
        raise TemplateError(f"mail_image({name!r}): by its name that is no image.")
    content = _find(current_app, name).read_bytes()
    content_id = f"{blake2b(content, digest_size=12).hexdigest()}@mail-image"
    if content_id not in images:
        images[content_id] = Attachment(
            Path(name).name, content_type, content, content_id=content_id
        )
    return f"cid:{content_id}"


def _find(app: Flask, name: str) -> Path:
    for folder, inside in _folders(app):
        found = safe_join(folder, *inside, name)
        if found is not None and Path(found).is_file():
            return Path(found)
    raise TemplateError(
        f"mail_image({name!r}): there is no such file below {FOLDER}/ in the template "
        "folders of the app and its blueprints, nor in the app's static folder."
    )


def _folders(app: Flask) -> Iterator[tuple[str, tuple[str, ...]]]:
    loaders: list[Any] = [one.jinja_loader for one in (app, *app.iter_blueprints())]
    for loader in loaders:
        for folder in getattr(loader, "searchpath", ()):
            yield folder, (FOLDER,)
    if app.static_folder:
        yield app.static_folder, ()
