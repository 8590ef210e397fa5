"""Forms: only the dashboard's own pages may change anything.

A browser keeps a secret of its own in a cookie, and each form brings a token made from
it. Nothing is remembered here and nothing of the app's is needed, so any process can
check what any other has given out.
"""

from __future__ import annotations

import hmac
import re
import secrets

from flask import Response, abort, g, request, url_for

COOKIE = "flask_outbox_forms"
FIELD = "csrf_token"

READING = {"GET", "HEAD", "OPTIONS"}

OUR_OWN = {"same-origin", "none"}
"""``Sec-Fetch-Site`` where a page of ours asks, or a person without any page."""

_SECRET = re.compile(r"[\w-]{43}")


def token() -> str:
    """What a form on this page has to bring. Another one each time, so that nothing
    can be learnt from how well a page compresses.
    """
    salt = secrets.token_urlsafe(12)
    return f"{salt}.{_signed(salt, _secret())}"


def refuse_forged_changes() -> None:
    """Return if this request changes nothing or a page of ours asks it, else end it."""
    if request.method in READING:
        return
    if not _from_our_own_page():
        abort(403, "Another site's page asked for this change: it was not made.")
    if not _brings_token():
        abort(403, "The page was out of date: open it again, and try once more.")


def refuse_foreign_reads(*, costly: bool) -> None:
    """Return unless a page elsewhere asks for what is none of its business.

    It may lead a person here, though not to what is ``costly``. What does not come from
    a browser, or from one that does not say who asks, may read.
    """
    if request.headers.get("Sec-Fetch-Site", "none") in OUR_OWN:
        return
    if costly or request.headers.get("Sec-Fetch-Dest") != "document":
        abort(
            403,
            "Another site's page asked for this: open it from the dashboard's pages.",
        )


def keep_secret(response: Response) -> Response:
    """Have the browser keep the secret that the page's tokens were made from.

    ``Lax``, so that coming here by a link from elsewhere does not make another, which
    the pages that are open already would not know.
    """
    if "outbox_new_secret" in g:
        response.set_cookie(
            COOKIE,
            g.outbox_new_secret,
            path=url_for(".overview"),
            httponly=True,
            samesite="Lax",
            secure=request.is_secure,
        )
    return response


def _from_our_own_page() -> bool:
    """What the browser itself says of who asks; each of the two, where it says it."""
    site = request.headers.get("Sec-Fetch-Site")
    origin = request.headers.get("Origin")
    if site is None and origin is None:
        return False
    return site in (None, "same-origin") and (
        origin is None or origin.partition("://")[2] == request.host
    )


def _brings_token() -> bool:
    salt, _, signature = request.form.get(FIELD, "").partition(".")
    secret = _kept_secret()
    return secret is not None and hmac.compare_digest(
        _signed(salt, secret).encode(), signature.encode()
    )


def _secret() -> str:
    kept = _kept_secret()
    if kept is not None:
        return kept
    if "outbox_new_secret" not in g:
        g.outbox_new_secret = secrets.token_urlsafe(32)
    return str(g.outbox_new_secret)


def _kept_secret() -> str | None:
    kept = request.cookies.get(COOKIE, "")
    return kept if _SECRET.fullmatch(kept) else None


def _signed(salt: str, secret: str) -> str:
    return hmac.digest(secret.encode(), salt.encode(), "sha256").hex()
