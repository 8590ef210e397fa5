"""Tokens: the app's secret, which shows that whoever asks can read the app's files.

It is kept in the instance folder, for the app's own user alone. So all processes of an
app agree on it, also after a restart, and whoever removes the file ends what it opened.
"""

from __future__ import annotations

import hmac
import re
import secrets
import tempfile
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from urllib.parse import urlencode

from flask import Flask, current_app, redirect, request, url_for
from werkzeug.wrappers import Response

FILE = "outbox-dashboard-token"
"""Its name in the instance folder."""

ARGUMENT = "token"
"""What brings it in an address, once."""

_TOKEN = re.compile(r"[\w-]{43}")


def token_of(app: Flask) -> str:
    """The app's token; it is made where there is none.

    Raises `OSError` where the file can be neither read nor written.
    """
    file = Path(app.instance_path) / FILE
    try:
        found = file.read_text("ascii").strip()
    except FileNotFoundError:
        return _made(file)
    except UnicodeDecodeError:
        found = ""
    if _TOKEN.fullmatch(found):
        return found
    raise OSError(f"{file} holds no token: remove it, and another is made")


def _made(file: Path) -> str:
    """A new token, or that of the process that was quicker to make one."""
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", encoding="ascii", dir=file.parent) as new:
        new.write(secrets.token_urlsafe(32))
        new.flush()
        with suppress(FileExistsError):
            file.hardlink_to(new.name)
    return file.read_text("ascii")


def brought_by_request() -> bool:
    """Whether this request has the token in its address."""
    return _is_the_token(request.args.get(ARGUMENT, ""))


def kept_by_browser() -> bool:
    """Whether the browser that asks has brought the token before."""
    token = _token()
    return token is not None and _is_the_token(request.cookies.get(_cookie(token), ""))


def let_browser_keep() -> Response:
    """Have the browser keep the token, and ask for the same page without it."""
    token = _token()
    assert token is not None
    response = redirect(_without_token(), 303)
    response.set_cookie(
        _cookie(token),
        token,
        path=url_for(".overview"),
        httponly=True,
        samesite="Lax",
        secure=request.is_secure,
    )
    return response


def _without_token() -> str:
    """This request's own path and query, from the root of its host on."""
    assert request.endpoint is not None
    asked = [one for one in request.args.items(multi=True) if one[0] != ARGUMENT]
    path = url_for(request.endpoint, **(request.view_args or {}))
    return f"{path}?{urlencode(asked)}" if asked else path


def _cookie(token: str) -> str:
    """The cookie's name: apps at other ports of this host have cookies of their own."""
    return f"flask_outbox_token_{sha256(token.encode()).hexdigest()[:8]}"


def _is_the_token(given: str) -> bool:
    token = _token()
    return token is not None and hmac.compare_digest(
        given.encode("utf-8", "replace"), token.encode()
    )


def _token() -> str | None:
    try:
        return token_of(current_app)
    except OSError:
        return None
