"""Access: who may look, decided before any page is made.

``"local"`` asks for what a proxy cannot pass on by accident: in debug or testing mode a
request from this machine is enough, elsewhere it must bring the app's token too. A
proxy on this machine need not say that it is one.
"""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv6Address, ip_address
from urllib.parse import urlsplit

from flask import abort, current_app, request
from werkzeug.wrappers import Response

from ..config import LOCAL
from . import tokens

LOCAL_NAMES = {"localhost", "127.0.0.1", "::1"}

FORWARDING = {
    "FORWARDED",
    "VIA",
    "X_REAL_IP",
    "X_CLIENT_IP",
    "X_CLUSTER_CLIENT_IP",
    "TRUE_CLIENT_IP",
    "CF_CONNECTING_IP",
    "X_ORIGINAL_FORWARDED_FOR",
}
"""Headers by which a proxy gives itself away, beside any ``X-Forwarded-…``."""

CLOSED = "The dashboard is not open to you"

NO_TOKEN = (
    'OUTBOX_DASHBOARD is "local", and outside debug mode the browser must bring the '
    "app's token once. The app's log has the address with it, written at the first "
    f"request of each process; the file {tokens.FILE} in the app's instance folder "
    "holds it too. For a server that others can reach, set OUTBOX_DASHBOARD to a "
    "function that says who may look."
)


def refuse_strangers(
    onlookers: str | Callable[[], bool] | None,
) -> Response | None:
    """Return if whoever sent this request may look, else end it with 403.

    ``onlookers`` is the setting ``OUTBOX_DASHBOARD``. What it returns is the answer, if
    anything: the browser that brought the token keeps it, and asks again without it.
    """
    if onlookers == LOCAL:
        _refuse_remote()
        return None if wants_no_token() else _ask_for_token()
    if not callable(onlookers) or onlookers() is not True:
        abort(403, f"{CLOSED}: OUTBOX_DASHBOARD did not answer True.")
    return None


def wants_no_token() -> bool:
    """Whether this app is one that nobody serves to others."""
    return current_app.debug or current_app.testing


def _ask_for_token() -> Response | None:
    if tokens.kept_by_browser():
        return None
    if not tokens.brought_by_request():
        abort(403, f"{CLOSED}: {NO_TOKEN}")
    return tokens.let_browser_keep()


def _refuse_remote() -> None:
    """End what does not certainly come from this machine, asked for by its own name.

    The peer alone does not tell: a proxy on this machine passes on what strangers ask,
    and a page of a stranger's may have a name that leads here (DNS rebinding).
    """
    for true, why in (
        (_from_here(), "the request came from another machine"),
        (_asked_as_local(), "it was asked for under a name other than localhost"),
        (not _forwarded(), "the request came through a proxy"),
    ):
        if not true:
            abort(
                403,
                f'{CLOSED}: OUTBOX_DASHBOARD is "local", and {why}. For a server that '
                "others can reach, set it to a function that says who may look.",
            )


def _from_here() -> bool:
    try:
        peer = ip_address(request.remote_addr or "")
    except ValueError:
        return False
    mapped = peer.ipv4_mapped if isinstance(peer, IPv6Address) else None
    return (mapped or peer).is_loopback


def _asked_as_local() -> bool:
    try:
        return urlsplit(f"//{request.environ['HTTP_HOST']}").hostname in LOCAL_NAMES
    except (KeyError, ValueError):
        return False


def _forwarded() -> bool:
    headers = {
        name.removeprefix("HTTP_")
        for name in request.environ
        if name.startswith("HTTP_")
    }
    return bool(headers & FORWARDING) or any(
        name.startswith("X_FORWARDED") for name in headers
    )
