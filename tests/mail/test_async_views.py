"""Async views: `send` without ``await``, and whether it blocks the view's loop."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from contextlib import closing
from typing import Any

import pytest
from asgiref.testing import ApplicationCommunicator
from asgiref.wsgi import WsgiToAsgi

from flask_outbox import AppUnknown, Mail, Message, Receipt
from flask_outbox.history import describe
from tests.mail.conftest import MakeSite
from tests.mail.site import ADA, Site
from tests.servers import Behaviour, JournalSmtp
from tests.waiting import WAIT_SECONDS

TURN_SECONDS = 0.001

POST = {
    "type": "http",
    "http_version": "1.1",
    "method": "POST",
    "scheme": "http",
    "path": "/send-email",
    "query_string": b"",
    "headers": [],
}
"""A request as an ASGI server hands it over."""


def hello() -> Message:
    return Message("Hello", [ADA], "Hello\n")


def post(site: Site) -> dict[str, Any]:
    """The answer of the app's view."""
    response = site.app.test_client().post("/send-email")
    assert response.status_code == 200
    return response.get_json()  # type: ignore[no-any-return]


class Ticker:
    """A task that has a turn whenever its loop is free, and counts its turns."""

    def __init__(self) -> None:
        self.turns = 0
        self._task = asyncio.create_task(self._tick())

    async def _tick(self) -> None:
        while True:
            self.turns += 1
            await asyncio.sleep(TURN_SECONDS)

    def stop(self) -> int:
        """How many turns it had."""
        self._task.cancel()
        return self.turns


def test_a_hanging_server_blocks_neither_the_view_nor_its_loop(
    site: Site, server: JournalSmtp
):
    server.behaviour = Behaviour(hang=True)

    @site.app.post("/send-email")
    async def send_email():
        ticker = Ticker()
        receipt = site.mail.send(hello())
        before = ticker.turns
        async with asyncio.timeout(WAIT_SECONDS):
            while not server.held or ticker.turns == before:
                await asyncio.sleep(TURN_SECONDS)
        ticker.stop()
        return {"id": receipt.id}

    answer = post(site)
    assert server.held == 1
    assert server.mails == []
    server.behaviour = Behaviour()
    server.wait_for(1)
    site.wait_until(lambda: site.mail.get(answer["id"]).state == "sent", "it is sent")


def test_the_history_names_the_request(site: Site):
    @site.app.post("/send-email")
    async def send_email():
        await asyncio.sleep(0)
        return {"id": site.mail.send(hello()).id}

    answer = post(site)
    (enqueued, *_) = describe(site.mail.get(answer["id"]))
    assert "POST /send-email" in enqueued.what


def test_a_hand_over_in_a_thread_does_not_block_the_loop(
    make_site: MakeSite, server: JournalSmtp
):
    """While another process writes to the outbox's file, a hand-over waits."""
    mail = Mail()
    site, _other = make_site(mail), make_site(mail)
    site.settled(site.send())
    file = site.outbox.database.url.database
    assert file

    @site.app.post("/send-email")
    async def send_email():
        with closing(sqlite3.connect(file, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            ticker = Ticker()
            sending = asyncio.create_task(asyncio.to_thread(mail.send, hello()))
            while ticker.turns < 50:
                await asyncio.sleep(TURN_SECONDS)
            waited = not sending.done()
            other.execute("ROLLBACK")
            receipt = await sending
        ticker.stop()
        return {"id": receipt.id, "waited": waited}

    answer = post(site)
    assert answer["waited"]
    server.wait_for(2)


def test_many_hand_overs_in_threads_at_once_all_arrive(site: Site, server: JournalSmtp):
    @site.app.post("/send-email")
    async def send_email():
        sent = await asyncio.gather(
            *(asyncio.to_thread(site.mail.send, hello()) for _ in range(20))
        )
        return {"ids": [one.rfc_message_id for one in sent]}

    answer = post(site)
    arrived = {one.rfc_message_id for one in server.wait_for(20)}
    assert arrived == set(answer["ids"])


def test_send_now_in_a_thread_does_not_block_the_loop(site: Site, server: JournalSmtp):
    @site.app.post("/send-email")
    async def send_email():
        ticker = Ticker()
        report = await asyncio.to_thread(site.mail.send_now, hello())
        return {"accepted": report.accepted, "turns": ticker.stop()}

    answer = post(site)
    assert answer["accepted"]
    assert answer["turns"] > 0
    assert len(server.mails) == 1


def test_a_thread_without_the_context_does_not_know_the_app(make_site: MakeSite):
    mail = Mail()
    site, _other = make_site(mail), make_site(mail)

    @site.app.post("/send-email")
    async def send_email():
        loop = asyncio.get_running_loop()
        with pytest.raises(AppUnknown, match=r"use it inside 'with app\.app_context"):
            await loop.run_in_executor(None, mail.send, hello())
        return {}

    assert post(site) == {}


def test_send_works_in_the_loop_of_an_asgi_server(site: Site, server: JournalSmtp):
    @site.app.post("/send-email")
    async def send_email():
        here = site.mail.send(hello())
        there = await asyncio.to_thread(site.mail.send, hello())
        loop = id(asyncio.get_running_loop())
        return {"ids": [here.rfc_message_id, there.rfc_message_id], "loop": loop}

    async def serve() -> tuple[dict[str, Any], int]:
        asgi = ApplicationCommunicator(WsgiToAsgi(site.app), POST)
        await asgi.send_input({"type": "http.request", "body": b""})
        start = await asgi.receive_output(WAIT_SECONDS)
        assert start["status"] == 200
        body = await asgi.receive_output(WAIT_SECONDS)
        await asgi.wait(WAIT_SECONDS)
        return json.loads(body["body"]), id(asyncio.get_running_loop())

    answer, loop = asyncio.run(serve())
    assert answer["loop"] == loop
    arrived = {one.rfc_message_id for one in server.wait_for(2)}
    assert arrived == set(answer["ids"])


def test_send_works_inside_asyncio_run(site: Site, server: JournalSmtp):
    async def work() -> Receipt:
        return site.mail.send(hello())

    receipt = asyncio.run(work())
    (arrived,) = server.wait_for(1)
    assert arrived.rfc_message_id == receipt.rfc_message_id


async def _awaited(receipt: Any) -> None:
    await receipt


def test_awaiting_send_is_an_error_that_says_what_to_write(make_site: MakeSite) -> None:
    site = make_site(OUTBOX_ENGINE="external")
    with site.app.app_context():
        receipt = site.mail.send(Message("Hello", ["ada@example.org"], "Hello"))
        with pytest.raises(TypeError, match=r"receipt = mail\.send\(message\)"):
            asyncio.run(_awaited(receipt))
