"""Fixtures: apps that send to many, on SQLite unless a test says otherwise."""

from __future__ import annotations

from tests.mail.conftest import make_site, server, site

__all__ = ["make_site", "server", "site"]
