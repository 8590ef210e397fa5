"""Fixtures: an SMTP server, and apps with template folders of their own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.mail.conftest import MakeSite, make_site
from tests.servers import JournalSmtp
from tests.templates.stationery import Stationery

__all__ = ["MakeSite", "make_site"]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[JournalSmtp]:
    """A server that takes all mail until a test tells it otherwise."""
    with JournalSmtp(tmp_path / "journal") as server:
        yield server


@pytest.fixture
def stationery(make_site: MakeSite, tmp_path: Path) -> Stationery:
    """An app like any other, with an empty template folder and an empty static one."""
    return Stationery(make_site(SERVER_NAME="shop.example.com"), tmp_path)
