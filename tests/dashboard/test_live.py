"""Streams of news: what they tell, and that they never hold a server up."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from werkzeug.test import TestResponse
from werkzeug.wrappers import Response

from flask_outbox import Message
from flask_outbox.dashboard.views import stream
from tests.dashboard.shop import LOCAL, Shop

THREADS: dict[str, Any] = {
    "environ_overrides": {**LOCAL["environ_overrides"], "wsgi.multithread": True},
    "buffered": False,
}
"""How a server with several threads asks, for an answer that is read bit by bit."""


def hello() -> Message:
    return Message("Hello", ["ada@example.org"], "Hello Ada\n")


def follow(shop: Shop, query: str = "", **headers: str) -> TestResponse:
    headers = {**LOCAL["headers"], **headers}
    return shop.ask(f"/live?{query}", headers=headers, **THREADS)


def told(response: Response) -> Iterator[bytes]:
    """The events, without the comments in between."""
    return (one for one in response.iter_encoded() if b"event: news" in one)


def test_the_stream_reports_changes_since_the_last_one_seen(shop: Shop) -> None:
    id = shop.keep(hello(), delay=3_600)
    seen = shop.outbox.change_marker(id)
    assert seen == 1
    with follow(shop, f"message={id}&seen={seen}") as response:
        assert response.mimetype == "text/event-stream"
        with shop.app.app_context():
            shop.mail.cancel(id)
        assert next(told(response)) == b"id: 2\nevent: news\ndata: 2\n\n"
    shop.keep(hello())
    with follow(shop, f"message={id}&seen=2") as response:
        shop.keep(hello())
        said = response.iter_encoded()
        assert [next(said), next(said)] == [b"retry: 1000\n\n", b":\n\n"]


def test_the_stream_reports_changes_of_any_message(shop: Shop) -> None:
    with follow(shop) as response:
        shop.keep(hello())
        first = next(told(response))
    seen = shop.outbox.change_marker()
    assert b"data: %d\n" % seen in first
    with follow(shop, "seen=0", **{"Last-Event-ID": str(seen)}) as response:
        shop.keep(hello())
        assert b"data: %d\n" % shop.outbox.change_marker() in next(told(response))


def test_a_process_serves_one_stream_at_a_time(shop: Shop) -> None:
    for _ in range(3):
        with follow(shop) as response:
            assert response.status_code == 200
            assert follow(shop).status_code == 204


def test_a_stream_ends_by_itself(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "STREAM_SECONDS", 0.0)
    with follow(shop) as response:
        assert list(response.iter_encoded()) == [b"retry: 1000\n\n"]


def test_a_server_without_threads_serves_no_stream(shop: Shop) -> None:
    without: dict[str, Any] = {"environ_overrides": LOCAL["environ_overrides"]}
    assert shop.ask("/live", **without).status_code == 204


def test_an_invalid_id_has_no_stream(shop: Shop) -> None:
    assert shop.ask("/live?message=nonsense").status_code == 404
