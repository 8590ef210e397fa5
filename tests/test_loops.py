"""Which event loop couriers get."""

from __future__ import annotations

import asyncio

import pytest

from flask_outbox import loops


def test_uvloop_where_it_is_installed() -> None:
    uvloop = pytest.importorskip("uvloop")
    loop = loops.new_loop()
    try:
        assert isinstance(loop, uvloop.Loop)
    finally:
        loop.close()


@pytest.mark.parametrize("why", ["not installed", "gevent"])
def test_asyncios_own_where_uvloop_is_absent_or_would_harm(
    why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if why == "gevent":
        monkeypatch.setattr(loops, "greenlets", lambda: True)
    else:
        monkeypatch.setattr(loops, "uvloop", None)
    loop = loops.new_loop()
    try:
        assert isinstance(loop, asyncio.BaseEventLoop)
    finally:
        loop.close()
