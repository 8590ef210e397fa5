"""The request in a message's history: its route, id and response."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from flask import Response, abort, stream_with_context

from flask_outbox import MessageRecord, Receipt, signals
from flask_outbox.history import describe
from tests.mail.conftest import MakeSite
from tests.mail.site import ADA, Site
from tests.servers import JournalSmtp


@pytest.fixture
def shop(site: Site) -> Site:
    """An app that sends in several ways, and remembers the receipts."""
    receipts: list[Receipt] = []
    site.app.config["receipts"] = receipts

    def send() -> None:
        receipts.append(site.mail.send_message("Hello", [ADA], "Hello\n"))

    @site.app.route("/reset/<token>", methods=["GET", "POST"])
    def reset(token: str):
        send()
        return "Email sending started!", 202

    @site.app.post("/breaks")
    def breaks():
        send()
        abort(409)

    @site.app.get("/streams")
    def streams():
        def parts() -> Iterator[str]:
            yield "one"
            send()
            yield "two"

        return Response(stream_with_context(parts()))

    @site.app.post("/twice")
    def twice():
        send()
        send()
        return "ok"

    @site.app.post("/key")
    def key():
        receipts.append(site.send(key="order-17"))
        return "ok"

    return site


def _call(site: Site, method: str, path: str, **options) -> list[MessageRecord]:
    """Call the app as a server does, to the response's last byte and its end."""
    response = site.app.test_client().open(path, method=method, **options)
    assert response.data
    response.close()
    receipts = site.app.config["receipts"]
    for receipt in receipts:
        site.settled(receipt)
    site.mail.stop()
    return [site.get(one) for one in receipts]


def test_the_history_from_the_request_to_the_last_reply(
    shop: Site, server: JournalSmtp
):
    (record,) = _call(shop, "POST", "/reset/s3cr3t")
    assert sorted(one.kind for one in record.events) == [
        "began",
        "enqueued",
        "responded",
        "sent",
    ]
    first = describe(record)[0]
    assert first.what.startswith("POST /reset/<token> (request ")
    assert first.request == "running"
    assert first.output == f"id {record.id}"
    (sent,) = [one for one in describe(record) if one.event.kind == "sent"]
    assert sent.output == "Email sent! 250 2.0.0 journaled as 1"
    assert sent.background == "finished"
    assert describe(record)[-1].request == "finished: free for other requests"
    assert [one.number for one in describe(record)] == [1, 2, 3, 4]
    times = [one.at for one in record.events]
    assert times == sorted(times)


def test_the_requests_path_and_query_are_not_stored(shop: Site):
    (record,) = _call(shop, "POST", "/reset/s3cr3t?code=wh1sper")
    assert "s3cr3t" not in repr(record)
    assert "wh1sper" not in repr(record)


def test_the_response_row_says_status_and_times(shop: Site):
    (record,) = _call(shop, "GET", "/reset/1")
    (row,) = [one for one in describe(record) if one.event.kind == "responded"]
    assert row.output == "status 202"
    detail = row.event.detail
    assert 0 < detail["handover_seconds"] < detail["response_seconds"] < 60
    assert "ms after the request came in" in row.what
    assert "enqueueing took" in row.what


def test_the_status_is_that_of_the_error_response(shop: Site):
    (record,) = _call(shop, "POST", "/breaks")
    (row,) = [one for one in describe(record) if one.event.kind == "responded"]
    assert row.output == "status 409"


def test_every_message_of_a_request_has_the_row(shop: Site):
    records = _call(shop, "POST", "/twice")
    assert len(records) == 2
    ids = set()
    for record in records:
        assert [one.kind for one in record.events].count("responded") == 1
        ids.add(describe(record)[0].what)
    assert len(ids) == 1


def test_a_duplicate_adds_nothing_to_the_history(shop: Site):
    _call(shop, "POST", "/key")
    first, again = _call(shop, "POST", "/key")
    assert first == again
    assert [one.kind for one in first.events].count("responded") == 1


# ---------------------------------------------------------------------- request id


def test_the_servers_request_id_is_stored(shop: Site):
    (record,) = _call(shop, "POST", "/reset/1", headers={"X-Request-ID": "abc-17"})
    assert "(request abc-17)" in describe(record)[0].what


@pytest.mark.parametrize("bad", ["", "x" * 129, "né", "a\tb"])
def test_a_request_id_that_is_unfit_is_replaced(shop: Site, bad: str):
    (record,) = _call(shop, "POST", "/reset/1", headers={"X-Request-ID": bad})
    assert re.search(r"\(request [0-9a-f]{8}\)", describe(record)[0].what)


def test_requests_without_an_id_get_one_each(shop: Site):
    _call(shop, "POST", "/reset/1")
    first, second = _call(shop, "POST", "/reset/1")
    assert describe(first)[0].what != describe(second)[0].what


# ------------------------------------------------------------- no request, no row


def test_a_script_hands_over_without_a_request(site: Site):
    receipt = site.send()
    record = site.settled(receipt)
    assert describe(record)[0].what == "A script enqueued the message"
    requests = {one.request for one in describe(record)}
    assert requests == {"none: sent by a script"}
    assert "responded" not in {one.kind for one in record.events}


def test_under_testing_the_row_is_written_at_once(make_site: MakeSite):
    site = make_site(TESTING=True)

    @site.app.post("/send-email")
    def send_email():
        return {"id": site.mail.send_message("Hello", [ADA], "Hello\n").id}

    site.app.test_client().post("/send-email").close()
    (message,) = site.outbox.list()
    signals = site.mail.get(message.id).events
    assert [one.kind for one in signals] == ["enqueued", "responded"]


def test_a_streamed_response_can_send(shop: Site):
    """The hand-over comes after the response has begun, and must not break it."""
    (record,) = _call(shop, "GET", "/streams")
    assert describe(record)[0].what.startswith("GET /streams")


def test_the_first_request_starts_the_courier(shop: Site, server: JournalSmtp):
    """So that what the last process left goes out, though nobody sends anything."""
    shop.app.add_url_rule("/ping", view_func=lambda: "pong")
    left_behind = shop.outbox
    assert left_behind.status().couriers == ()
    shop.app.test_client().get("/ping")
    shop.wait_for(signals.courier_started)
    assert len(left_behind.status().couriers) == 1
