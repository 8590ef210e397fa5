"""Headers: what a browser is told that a page, and a mail shown in it, may not do."""

from __future__ import annotations

import re

from flask import Response, request

PAGE = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; frame-src {frame}; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'"
)

MAIL = (
    "sandbox; default-src 'none'; img-src {images}; style-src 'unsafe-inline'; "
    "form-action 'none'; base-uri 'none'; frame-ancestors 'self'"
)
"""A mail's own HTML: it looks like what it is, and does nothing."""

OWN_IMAGES, ALL_IMAGES = "data:", "data: https: http:"

FILE = "sandbox; default-src 'none'; frame-ancestors 'none'"

ALWAYS = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-DNS-Prefetch-Control": "off",
    "X-Frame-Options": "DENY",
}

_HOST = re.compile(r"[\w.:\[\]-]+")


def protect(response: Response) -> Response:
    """Add what holds for every answer, unless a page has said otherwise."""
    for name, value in ALWAYS.items():
        response.headers.setdefault(name, value)
    response.headers.setdefault("Content-Security-Policy", PAGE.format(frame="'none'"))
    if request.endpoint and not request.endpoint.endswith(".static"):
        response.headers.setdefault("Cache-Control", "no-store")
    return response


def let_frame(response: Response, path: str) -> Response:
    """Let a page have one frame, in which only ``path`` can ever be.

    So a link in a mail leads nowhere, not even to another page of the app.
    """
    frame = "'none'"
    if _HOST.fullmatch(request.host):
        frame = request.host + path.replace(";", "%3B").replace(",", "%2C")
    response.headers["Content-Security-Policy"] = PAGE.format(frame=frame)
    return response


def as_mail(response: Response, *, images: bool) -> Response:
    """Answer with a mail's own HTML, for a frame of ours.

    With ``images`` those from elsewhere are fetched too.
    """
    allowed = ALL_IMAGES if images else OWN_IMAGES
    response.headers["Content-Security-Policy"] = MAIL.format(images=allowed)
    response.headers["X-Frame-Options"] = "SAMEORIGIN"
    response.headers["Referrer-Policy"] = "no-referrer"
    return response


def as_file(response: Response) -> Response:
    """Answer with what is to be kept or read, and never run."""
    response.headers["Content-Security-Policy"] = FILE
    return response
