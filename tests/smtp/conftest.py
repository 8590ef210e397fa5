"""For every SMTP test: asyncio must report no error."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def _asyncio_is_content(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Fail where asyncio logs a lost exception, or a write to a dead connection."""
    yield
    complaints = [
        record.getMessage()
        for record in caplog.get_records("call")
        if record.name == "asyncio"
        and (record.levelno >= logging.ERROR or "socket.send" in record.getMessage())
    ]
    assert complaints == []
