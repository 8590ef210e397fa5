"""Access: who may look, decided before any page is made."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv6Address, ip_address
from urllib.parse import urlsplit

from flask import abort, request

from ..config import LOCAL

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


def refuse_strangers(onlookers: str | Callable[[], bool] | None) -> None:
    """Return if whoever sent this request may look, else end it with 403.

    ``onlookers`` is the setting ``OUTBOX_DASHBOARD``.
    """
    if onlookers == LOCAL:
        _refuse_remote()
    elif not callable(onlookers) or onlookers() is not True:
        abort(403, f"{CLOSED}: OUTBOX_DASHBOARD did not answer True.")


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
