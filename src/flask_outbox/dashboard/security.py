"""Who may see the dashboard and use its actions, and what its pages may do.

Access: ``OUTBOX_DASHBOARD`` decides before any page is made. ``"local"`` requires what
a proxy cannot forward by accident. In debug or testing mode a request from this machine
is enough; elsewhere it must also have the app's token. The token is a file in the
instance folder that only the app's own user can read, so all processes of an app have
the same one, even after a restart. Deleting the file invalidates the token.

Roles: the function in ``OUTBOX_DASHBOARD`` may grant some of the roles only. Each page
names the one that it needs.

Changes: only the dashboard's own pages may make them. A browser has a secret in a
cookie, and each form has a token derived from it. The server stores nothing, so any
process can check another's token.

Headers: they tell the browser what a page, and a mail shown in it, may not do.
"""

from __future__ import annotations

import hmac
import re
import secrets
import tempfile
from collections.abc import Callable
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from urllib.parse import urlencode

from flask import Flask, Response, abort, current_app, g, redirect, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from ..config import LOCAL
from ..local_requests import why_remote
from ..phrases import phrase
from .roles import EVERY_ROLE, Role, names, roles_given

ACCESS_FILE = "outbox-dashboard-token"
"""The name of the token's file in the instance folder."""

ACCESS_ARGUMENT = "token"
"""The name of the URL argument with the token."""

_TOKEN = re.compile(r"[\w-]{43}")


def access_token(app: Flask) -> str:
    """The app's token, created if there is none.

    Raises `OSError` if the file can be neither read nor written.
    """
    file = Path(app.instance_path) / ACCESS_FILE
    try:
        found = file.read_text("ascii").strip()
    except FileNotFoundError:
        return _new_token(file)
    except UnicodeDecodeError:
        found = ""
    if _TOKEN.fullmatch(found):
        return found
    raise OSError(f"{file} has no token in it: delete it, and a new one is created")


def _new_token(file: Path) -> str:
    """A new token, or that of another process that created one first."""
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", encoding="ascii", dir=file.parent) as new:
        new.write(secrets.token_urlsafe(32))
        new.flush()
        with suppress(FileExistsError):
            file.hardlink_to(new.name)
    return file.read_text("ascii")


def has_token_in_url() -> bool:
    """Whether this request has the token in its address."""
    return _is_the_token(request.args.get(ACCESS_ARGUMENT, ""))


def has_token_cookie() -> bool:
    """Whether the browser has the token in a cookie."""
    token = _token()
    return token is not None and _is_the_token(request.cookies.get(_cookie(token), ""))


def move_token_to_cookie() -> AnyResponse:
    """Store the token in a cookie, and redirect to the same page without it."""
    token = _token()
    assert token is not None
    response = redirect(url_without(ACCESS_ARGUMENT), 303)
    set_cookie(response, _cookie(token), token)
    return response


def set_cookie(
    response: AnyResponse, name: str, value: str, seconds: int | None = None
) -> None:
    """Set a cookie for the dashboard only; scripts and other sites cannot read it.

    It lasts as long as the browser runs, or ``seconds``.
    """
    response.set_cookie(
        name,
        value,
        max_age=seconds,
        path=url_for(".overview"),
        httponly=True,
        samesite="Lax",
        secure=request.is_secure,
    )


def url_without(argument: str) -> str:
    """This request's own path and query, from the root of the host, but for one
    argument.
    """
    assert request.endpoint is not None
    asked = [one for one in request.args.items(multi=True) if one[0] != argument]
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
        return access_token(current_app)
    except OSError:
        return None


CSRF_COOKIE = "flask_outbox_forms"
CSRF_FIELD = "csrf_token"

READ_METHODS = {"GET", "HEAD", "OPTIONS"}

SAME_SITE = {"same-origin", "none"}
"""The values of ``Sec-Fetch-Site`` for a request from our own page, or from no page at
all."""

_SECRET = re.compile(r"[\w-]{43}")


def csrf_token() -> str:
    """The token that a form on this page needs.

    It differs each time, so that the size of a compressed page reveals nothing about
    it.
    """
    salt = secrets.token_urlsafe(12)
    return f"{salt}.{_signed(salt, _csrf_secret_or_new())}"


def refuse_forged_changes() -> None:
    """Refuse a request that changes something and does not come from our own page."""
    if request.method in READ_METHODS:
        return
    if not _from_own_page():
        abort(
            403,
            phrase("This request came from another site, so nothing was changed."),
        )
    if not _has_csrf_token():
        abort(403, phrase("The page was out of date: open it again and retry."))


def refuse_foreign_reads(*, expensive: bool) -> None:
    """Refuse requests by pages of other sites, except for links to our pages.

    A link may not lead to what is ``expensive``. Requests without ``Sec-Fetch-Site``,
    by old browsers and other programs, may read.
    """
    if request.headers.get("Sec-Fetch-Site", "none") in SAME_SITE:
        return
    if expensive or request.headers.get("Sec-Fetch-Dest") != "document":
        abort(
            403,
            phrase(
                "This request came from another site: open the page from the dashboard."
            ),
        )


def set_csrf_cookie(response: Response) -> Response:
    """Store the secret of the page's tokens in a cookie.

    ``Lax``, so that a visit through a link from elsewhere does not replace the secret,
    which would invalidate the forms of open pages.
    """
    if "outbox_new_secret" in g:
        set_cookie(response, CSRF_COOKIE, g.outbox_new_secret)
    return response


def _from_own_page() -> bool:
    """Whether one of our own pages made the request, by ``Sec-Fetch-Site``.

    A browser that sends no ``Sec-Fetch-Site``, because it is old or uses plain HTTP,
    sends ``Origin``. That is compared with the host, which a proxy may have changed.
    """
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        return site == "same-origin"
    origin = request.headers.get("Origin", "")
    return origin.partition("://")[2] == request.host


def _has_csrf_token() -> bool:
    salt, _, signature = request.form.get(CSRF_FIELD, "").partition(".")
    secret = _csrf_secret()
    return secret is not None and hmac.compare_digest(
        _signed(salt, secret).encode(), signature.encode()
    )


def _csrf_secret_or_new() -> str:
    kept = _csrf_secret()
    if kept is not None:
        return kept
    if "outbox_new_secret" not in g:
        g.outbox_new_secret = secrets.token_urlsafe(32)
    return str(g.outbox_new_secret)


def _csrf_secret() -> str | None:
    kept = request.cookies.get(CSRF_COOKIE, "")
    return kept if _SECRET.fullmatch(kept) else None


def _signed(salt: str, secret: str) -> str:
    return hmac.digest(secret.encode(), salt.encode(), "sha256").hex()


PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; frame-src {frame}; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'"
)

MAIL_POLICY = (
    "sandbox; default-src 'none'; img-src {images}; style-src 'unsafe-inline'; "
    "form-action 'none'; base-uri 'none'; frame-ancestors 'self'"
)
"""The policy of a mail's own HTML: it may be styled, and do nothing else."""

OWN_IMAGES, ALL_IMAGES = "data:", "data: https: http:"

FILE_POLICY = "sandbox; default-src 'none'; frame-ancestors 'none'"

ALWAYS = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-DNS-Prefetch-Control": "off",
    "X-Frame-Options": "DENY",
}


def protect(response: Response) -> Response:
    """Add the headers of every response, unless a page has set them."""
    for name, value in ALWAYS.items():
        response.headers.setdefault(name, value)
    response.headers.setdefault(
        "Content-Security-Policy", PAGE_POLICY.format(frame="'none'")
    )
    if request.endpoint and not request.endpoint.endswith(".static"):
        response.headers.setdefault("Cache-Control", "no-store")
    return response


def allow_frame(response: Response, path: str) -> Response:
    """Allow a page one frame, which can only show ``path``.

    So a link in a mail leads nowhere, not even to another page of the app. The policy
    names no host, because a proxy may have changed it.
    """
    frame = "*:*" + path.replace(";", "%3B").replace(",", "%2C")
    response.headers["Content-Security-Policy"] = PAGE_POLICY.format(frame=frame)
    return response


def protect_mail(response: Response, *, images: bool) -> Response:
    """Answer with a mail's own HTML, for a frame of ours.

    With ``images`` those from elsewhere are fetched too.
    """
    allowed = ALL_IMAGES if images else OWN_IMAGES
    response.headers["Content-Security-Policy"] = MAIL_POLICY.format(images=allowed)
    response.headers["X-Frame-Options"] = "SAMEORIGIN"
    response.headers["Referrer-Policy"] = "no-referrer"
    return response


def protect_file(response: Response) -> Response:
    """Respond with content that is downloaded or read, never run."""
    response.headers["Content-Security-Policy"] = FILE_POLICY
    return response


CLOSED = "You may not see this dashboard"

NO_TOKEN = (
    'OUTBOX_DASHBOARD is "local", and outside debug mode the browser must first open '
    "the address with the app's token. Each process logs that address at its first "
    f"request; the token is also in the file {ACCESS_FILE} in the app's instance "
    "folder. For a server that others can reach, set OUTBOX_DASHBOARD to a function "
    "that decides who may see it."
)


def require_access(
    rule: str | Callable[[], object] | None,
) -> AnyResponse | frozenset[Role]:
    """The roles of the person who makes this request; refuses one without access.

    ``rule`` is the setting ``OUTBOX_DASHBOARD``. A returned response is the answer: it
    stores the token from the URL in a cookie, and redirects to the URL without it.
    """
    if rule == LOCAL:
        _refuse_remote()
        answer = None if wants_no_token() else _ask_for_token()
        return EVERY_ROLE if answer is None else answer
    roles = roles_given(rule()) if callable(rule) else None
    if not roles:
        abort(
            403,
            f"{CLOSED}: the function in OUTBOX_DASHBOARD returned neither True nor "
            "roles.",
        )
    return roles


def require_role(needed: Role | None, roles: frozenset[Role]) -> None:
    """Refuse a request for what needs a role that the person does not have."""
    if needed not in roles:
        abort(
            403,
            phrase(
                "This needs the role %(role)s, which %(key)s does not grant you. It "
                "grants you: %(granted)s.",
                role=needed,
                key="OUTBOX_DASHBOARD",
                granted=names(roles),
            ),
        )


def wants_no_token() -> bool:
    """Whether the app is in debug or testing mode, and so not public."""
    return current_app.debug or current_app.testing


def _ask_for_token() -> AnyResponse | None:
    if has_token_cookie():
        return None
    if not has_token_in_url():
        abort(403, f"{CLOSED}: {NO_TOKEN}")
    return move_token_to_cookie()


def _refuse_remote() -> None:
    if why := why_remote():
        abort(
            403,
            f'{CLOSED}: OUTBOX_DASHBOARD is "local", and {why}. For a server that '
            "others can reach, set it to a function that decides who may see it.",
        )
