"""Fixtures: apps, and an outbox on each database with a clock that the tests move."""

from __future__ import annotations

from tests.mail.conftest import make_site, server, site
from tests.outbox.conftest import clock, outbox

__all__ = ["clock", "make_site", "outbox", "server", "site"]
