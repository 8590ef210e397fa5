"""Fixtures: one SMTP server for all tests of an example."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.servers import JournalSmtp


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[JournalSmtp]:
    with JournalSmtp(tmp_path_factory.mktemp("smtp") / "journal") as server:
        yield server
