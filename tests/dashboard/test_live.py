"""Streams of news: what they tell, and that they never hold a server up."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from werkzeug.test import TestResponse
from werkzeug.wrappers import Response

from flask_outbox import Message
from flask_outbox.dashboard import streams
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


def test_it_tells_what_comes_after_what_was_seen(shop: Shop) -> None:
    id = shop.keep(hello(), delay=3_600)
    seen = shop.outbox.news(id)
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


def test_it_tells_of_any_message(shop: Shop) -> None:
    with follow(shop) as response:
        shop.keep(hello())
        first = next(told(response))
    seen = shop.outbox.news()
    assert b"data: %d\n" % seen in first
    with follow(shop, "seen=0", **{"Last-Event-ID": str(seen)}) as response:
        shop.keep(hello())
        assert b"data: %d\n" % shop.outbox.news() in next(told(response))


def test_a_process_has_one_and_gives_its_place_on(shop: Shop) -> None:
    for _ in range(3):
        with follow(shop) as response:
            assert response.status_code == 200
            assert follow(shop).status_code == 204


def test_it_ends_by_itself(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "STREAM_SECONDS", 0.0)
    with follow(shop) as response:
        assert list(response.iter_encoded()) == [b"retry: 1000\n\n"]


def test_a_server_without_threads_has_none(shop: Shop) -> None:
    without: dict[str, Any] = {"environ_overrides": LOCAL["environ_overrides"]}
    assert shop.ask("/live", **without).status_code == 204


def test_what_is_no_id_has_no_news(shop: Shop) -> None:
    assert shop.ask("/live?message=nonsense").status_code == 404
