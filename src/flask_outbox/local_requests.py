"""Whether a request certainly comes from this machine."""

from __future__ import annotations

from ipaddress import IPv6Address, ip_address
from urllib.parse import urlsplit

from flask import request

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
"""Headers that proxies add, besides any ``X-Forwarded-…``."""


def why_remote() -> str | None:
    """Why this request may come from another machine, or for another host; None if not.

    The peer's address is not enough: a proxy on this machine forwards the requests of
    strangers, and a stranger's host name may resolve to this machine (DNS rebinding).
    """
    if not _from_here():
        return "the request came from another machine"
    if not _asked_as_local():
        return "the request named a host other than localhost"
    return "the request came through a proxy" if _forwarded() else None


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
