"""Fixtures: those of apps that send."""

from tests.mail.conftest import make_site, server

__all__ = ["make_site", "server"]
