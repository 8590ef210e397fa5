"""``flask outbox show``: one message and its story."""

from __future__ import annotations

import base64
import threading
import time
from datetime import datetime

import pytest

from flask_outbox import State
from flask_outbox.cli.table import columns
from tests.cli.conftest import MakeShop
from tests.cli.shop import Shop
from tests.servers import Behaviour, JournalSmtp


def words(text: str) -> str:
    """``text`` without the layout of a table's cells, for what is on one line."""
    return " ".join(text.split())


def test_a_message_its_recipients_and_its_story(
    shop: Shop, server: JournalSmtp
) -> None:
    server.behaviour = Behaviour(recipients={"bob@example.org": "550 5.1.1 no Bob"})
    id = shop.send(
        "ada@example.org", "bob@example.org", tag="greeting", metadata={"order": 12}
    )
    shop.deliver()
    header, recipients, story = shop.run("show", id, columns=120).stdout.split(
        "\n\n", maxsplit=2
    )
    for line in (f"Message {id}", "State failed", "From shop@example.com",
                 "Tag greeting", 'Metadata {"order": 12}'):  # fmt: skip
        assert line in words(header)
    assert "Due" not in header
    assert "ada@example.org sent 250 2.0.0 journaled as 1" in words(recipients)
    assert "bob@example.org failed 550 5.1.1 no Bob" in words(recipients)
    headings, _, first, *_ = story.splitlines()
    assert words(headings) == (
        "Step At What happened Background work Web request Output"
    )
    assert words(first).startswith("1 +0.0 ms A script handed")


def test_every_step_of_the_story_is_told(shop: Shop) -> None:
    id = shop.post()
    shop.deliver()
    record = shop.get(id)
    assert [one.kind for one in record.events] == [
        "enqueued", "responded", "began", "sent",
    ]  # fmt: skip
    said = shop.run("show", id, columns=120).stdout
    for event in record.events:
        for text in (event.what, event.background, event.request, event.output):
            assert all(word in said for word in text.split())


def test_what_waits_shows_until_when(shop: Shop) -> None:
    id = shop.send(delay=3_600)
    due = f"{shop.get(id).due_at:%Y-%m-%d %H:%M:%S} UTC"
    assert f"Due {due}" in words(shop.run("show", id).stdout)


@pytest.mark.parametrize("width", [80, 100, 120])
def test_it_keeps_within_the_terminal(shop: Shop, width: int) -> None:
    id = shop.post()
    shop.deliver()
    said = shop.run("show", id, columns=width).stdout
    assert max(map(columns, said.splitlines())) <= width


def test_a_server_cannot_steer_the_terminal(shop: Shop, server: JournalSmtp) -> None:
    server.behaviour = Behaviour(at_data="550 5.7.1 \x1b[2Jgone")
    id = shop.send()
    shop.deliver()
    for option in ([], ["--dialogue"]):
        said = shop.run("show", id, *option).stdout
        assert "\x1b" not in said
        assert r"\x1b[2Jgone" in words(said)


def test_an_id_may_be_short_and_in_any_case(shop: Shop) -> None:
    first, second = shop.send(), shop.send()
    shared = next(
        length for length in range(26, 0, -1) if first[:length] == second[:length]
    )
    for id in (first, second):
        unique = id[: shared + 1].lower()
        assert shop.document("show", unique)["id"] == id
    assert shop.document("show", first.lower())["id"] == first
    said = shop.run("show", first[:shared], code=1).stderr
    assert first in said
    assert second in said


@pytest.mark.parametrize("id", ["01ZZ", "0" * 26])
def test_an_unknown_id_is_an_error(shop: Shop, id: str) -> None:
    shop.send()
    result = shop.run("show", id, code=1)
    assert result.stdout == ""
    assert result.stderr.startswith("Error: No message has ")
    assert id in result.stderr


def test_the_mail_itself(shop: Shop, server: JournalSmtp) -> None:
    id = shop.send(subject="Grüße")
    shop.deliver()
    (mail,) = server.mails
    content = shop.run("show", id, "--content").stdout_bytes
    assert content == mail.content
    document = shop.document("show", id, "--content")
    assert base64.b64decode(document["content_base64"]) == content


def test_content_that_was_pruned(shop: Shop) -> None:
    id = shop.send()
    shop.deliver()
    shop.outbox.clock = lambda: time.time() + 8 * 86_400
    shop.run("prune")
    error = shop.run("show", id, "--content", code=1).stderr
    assert f"The content of message {id} was pruned (OUTBOX_KEEP_BODIES)." in error
    assert "State        sent" in shop.run("show", id).stdout


def test_the_dialogue_of_each_attempt(shop: Shop, server: JournalSmtp) -> None:
    id = shop.send()
    assert shop.run("show", id, "--dialogue").stdout == (
        "Nothing was said to a server yet.\n"
    )
    server.behaviour = Behaviour(at_data="451 4.3.0 later")
    shop.deliver()
    server.behaviour = Behaviour()
    shop.run("retry", id)
    shop.deliver()
    first, second = shop.run("show", id, "--dialogue").stdout.split("\n\n")
    assert first.startswith("Attempt 1: deferred, ")
    assert "  us: RCPT TO:<ada@example.org>\n" in first
    assert first.endswith("  them: 451 4.3.0 later")
    assert second.startswith("Attempt 2: sent, ")
    assert second.endswith("  them: 250 2.0.0 journaled as 1\n")


def test_for_machines(shop: Shop) -> None:
    id = shop.post()
    shop.deliver()
    document = shop.document("show", id)
    assert document["state"] == State.SENT
    assert document["recipients"] == [
        {
            "address": "ada@example.org",
            "state": "sent",
            "reply": {"code": 250, "enhanced": "2.0.0", "text": "journaled as 1"},
        }
    ]
    assert [one["step"] for one in document["events"]] == [1, 2, 3, 4]
    for told, event in zip(document["events"], shop.get(id).events, strict=True):
        assert datetime.fromisoformat(told["at"]) == event.at
        assert datetime.fromisoformat(told["at"]).utcoffset() is not None
        assert (told["kind"], told["what"]) == (event.kind, event.what)


def test_no_courier_is_started_to_look(make_shop: MakeShop) -> None:
    id = make_shop().send()
    shop = make_shop(OUTBOX_ENGINE="thread")
    for command in (["show", id], ["list"], ["retry", id], ["prune"], ["init"]):
        shop.run(*command)
    shop.run("status", code=1)
    assert "outbox-courier" not in [one.name for one in threading.enumerate()]
    assert shop.outbox.status().couriers == ()
    assert shop.get(id).state is State.PENDING
