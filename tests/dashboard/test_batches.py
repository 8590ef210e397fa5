"""The pages of batches: how they stand, and what a person may do to them."""

from __future__ import annotations

import re

import pytest

from flask_outbox import BatchState, Message
from flask_outbox.outbox import new_id
from flask_outbox.outbox.records import BatchRecord
from tests.dashboard.shop import Shop


def hand_over(shop: Shop, rows: int = 3) -> str:
    """A batch of so many; its id."""
    with shop.app.app_context():
        messages = (
            Message(f"News {row}", [f"user{row}@example.org"], "Hello")
            for row in range(rows)
        )
        return shop.mail.send_many(messages, name="November", tag="news").id


def record(shop: Shop, id: str) -> BatchRecord:
    return shop.runtime.batches.get(id)


def offered(shop: Shop, id: str) -> list[str]:
    """The buttons on a batch's page."""
    page = shop.page(f"/batches/{id}")
    return re.findall(r'name="action" value="(\w+)"', page)


def test_batches_are_listed(shop: Shop) -> None:
    assert "There are no batches yet." in shop.page("/batches")
    id = hand_over(shop)
    page = shop.page("/batches")
    assert f'<a href="/outbox/batches/{id}">November</a>' in page
    assert "No batch has the id" in shop.ask(f"/batches/{new_id()}").text
    assert shop.ask(f"/batches/{new_id()}").status_code == 404


def test_older_batches_are_on_the_next_page(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flask_outbox.dashboard.views.batches.ROWS", 1)
    first, second = hand_over(shop), hand_over(shop)
    page = shop.page("/batches")
    assert second in page
    assert f'href="/outbox/batches?before={second}"' in page
    assert first in shop.page(f"/batches?before={second}")


def test_a_batch_and_its_messages_link_to_each_other(shop: Shop) -> None:
    id = hand_over(shop)
    assert f'href="/outbox/messages?batch={id}"' in shop.page(f"/batches/{id}")
    shop.keep(Message("Alone", ["ada@example.org"]))
    found = shop.page(f"/messages?batch={id.lower()}")
    assert found.count("News ") >= 3
    assert "Alone" not in found
    (message, *_) = shop.outbox.list(limit=10)[1:]
    assert f'href="/outbox/batches/{id}"' in shop.page(f"/messages/{message.id}")


def test_a_batch_is_stopped_after_a_confirmation(shop: Shop) -> None:
    id = hand_over(shop)
    assert offered(shop, id) == ["pause", "cancel"]
    question = shop.page(f"/batches/{id}/act?action=pause")
    assert "Pause November?" in question
    assert record(shop, id).state is BatchState.SENDING
    answer = shop.post(f"/batches/{id}/act", action="pause")
    assert (answer.status_code, answer.location) == (303, f"/outbox/batches/{id}")
    assert record(shop, id).state is BatchState.PAUSED
    assert offered(shop, id) == ["resume", "cancel"]
    shop.post(f"/batches/{id}/act", action="resume")
    assert record(shop, id).state is BatchState.SENDING
    shop.post(f"/batches/{id}/act", action="cancel")
    assert record(shop, id).state is BatchState.CANCELLED
    assert offered(shop, id) == []
    assert shop.post(f"/batches/{id}/act", action="pause").status_code == 409
    assert shop.post(f"/batches/{id}/act", action="burn").status_code == 400


def test_the_report_is_a_csv_download(shop: Shop) -> None:
    id = hand_over(shop, 25)
    assert "None so far." in shop.page(f"/batches/{id}")
    shop.post(f"/batches/{id}/act", action="cancel")
    assert "There are more." in shop.page(f"/batches/{id}")
    answer = shop.ask(f"/batches/{id}/report.csv")
    assert answer.headers["Content-Disposition"] == f"attachment; filename={id}.csv"
    assert "sandbox" in answer.headers["Content-Security-Policy"]
    lines = answer.text.splitlines()
    assert lines[0] == "row,message_id,address,state,reply,fate"
    assert len(lines) == 26
    assert any(line.endswith("user7@example.org,cancelled,,") for line in lines)


def test_an_interrupted_batch_shows_why(shop: Shop) -> None:
    id = hand_over(shop)
    shop.runtime.batches.interrupt(id, "Row 4: <b>no</b> address.")
    page = shop.page(f"/batches/{id}")
    assert "Row 4: &lt;b&gt;no&lt;/b&gt; address." in page
    assert "interrupted" in page
