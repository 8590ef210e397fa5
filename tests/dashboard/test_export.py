"""All that match a search, as a file."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import pytest

from flask_outbox import Message, signals
from flask_outbox.dashboard.views import export
from flask_outbox.outbox.records import AuditSearch
from tests.dashboard.conftest import OpenShop
from tests.dashboard.shop import LOCAL, Shop
from tests.dashboard.test_audit import refuse_lines
from tests.servers import Behaviour, JournalSmtp

FORMULA = "=HYPERLINK(1)"


def keep(shop: Shop, *subjects: str, **options: Any) -> None:
    for subject in subjects:
        people = ["ada@example.org", "bob@example.org"]
        shop.keep(Message(subject, people, "Hello\n"), **options)


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_a_file_has_all_that_match_whatever_fits_in_memory(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "AT_ONCE", 2)
    keep(shop, FORMULA, *(f"Hello, {row}" for row in range(4)), tag="orders")
    keep(shop, "Another", delay=60)
    answer = shop.ask("/messages.csv?tag=orders")
    assert answer.mimetype == "text/csv"
    assert "filename=mail-" in answer.headers["Content-Disposition"]
    found = rows(answer.text)
    assert tuple(found[0]) == export.COLUMNS
    assert [one["subject"] for one in found] == [
        "Hello, 3",
        "Hello, 2",
        "Hello, 1",
        "Hello, 0",
        f"'{FORMULA}",
    ]
    assert {one["recipients"] for one in found} == {"ada@example.org bob@example.org"}
    document = json.loads(shop.page("/messages.json?tag=orders"))
    assert [one["subject"] for one in document][-1] == FORMULA
    assert document[0]["recipients"] == ["ada@example.org", "bob@example.org"]
    assert tuple(document[0]) == export.COLUMNS
    (line, _) = shop.outbox.trail.find(AuditSearch()).lines
    assert (line.act, line.many) == ("export messages", 5)
    assert line.note == "json, all that match: Tag orders"


def test_nothing_that_matches_is_a_whole_file_too(shop: Shop) -> None:
    assert json.loads(shop.page("/messages.json?q=nothing")) == []
    assert rows(shop.page("/messages.csv?q=nothing")) == []
    assert {one.many for one in shop.outbox.trail.find(AuditSearch()).lines} == {0}


def test_it_says_who_got_a_mail_and_why_another_did_not(
    open_shop: OpenShop, server: JournalSmtp
) -> None:
    shop = open_shop(OUTBOX_ENGINE="thread")
    server.behaviour = Behaviour(recipients={"bob@example.org": "550 5.1.1 nobody"})
    keep(shop, "Hello")
    shop.wait_for(signals.message_failed)
    (found,) = json.loads(shop.page("/messages.json"))
    assert (found["state"], found["sent"]) == ("failed", 1)
    assert found["reply"] == "550 5.1.1 nobody"
    page = shop.page("/messages")
    assert '<span class="state" data-state="partly">1 of 2 sent</span>' in page
    assert '<span class="why quiet">550 5.1.1 nobody</span>' in page


def test_what_must_not_leave_does_not(shop: Shop) -> None:
    keep(shop, "Hello")
    answer = shop.ask("/messages.csv?since=soon")
    assert (answer.status_code, "is not a time" in answer.text) == (400, True)
    link = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Dest": "document"}
    answer = shop.ask("/messages.csv", headers={**LOCAL["headers"], **link})
    assert answer.status_code == 403
    assert shop.outbox.trail.find(AuditSearch()).lines == ()
    refuse_lines(shop)
    answer = shop.ask("/messages.csv")
    assert answer.status_code == 503
    assert "Hello" not in answer.text
