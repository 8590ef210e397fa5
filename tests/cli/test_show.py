"""``flask outbox show``: one message and its history."""

from __future__ import annotations

import base64
import re
import threading
import time
from datetime import datetime

import pytest

from flask_outbox import Fate, State
from flask_outbox.cli.output import columns
from flask_outbox.delivery import Reply
from flask_outbox.history import describe
from flask_outbox.humanize import clock
from tests.cli.conftest import MakeShop
from tests.cli.shop import Shop
from tests.reports import ADA, BOB, GONE, HOSTILE, report
from tests.servers import Behaviour, JournalSmtp


def words(text: str) -> str:
    """``text`` without the layout of a table's cells, for what is on one line."""
    return " ".join(text.split())


def test_a_message_its_recipients_and_its_history(
    shop: Shop, server: JournalSmtp
) -> None:
    server.behaviour = Behaviour(recipients={"bob@example.org": "550 5.1.1 no Bob"})
    id = shop.send(
        "ada@example.org", "bob@example.org", tag="greeting", metadata={"order": 12}
    )
    shop.deliver()
    header, recipients, history = shop.run("show", id, columns=120).stdout.split(
        "\n\n", maxsplit=2
    )
    for line in (f"Message {id}", "State failed", "Return path shop@example.com",
                 "Tag greeting", 'Metadata {"order": 12}'):  # fmt: skip
        assert line in words(header)
    assert "Due" not in header
    assert "ada@example.org sent 250 2.0.0 journaled as 1" in words(recipients)
    assert "bob@example.org failed 550 5.1.1 no Bob" in words(recipients)
    headings, _, first, *_ = history.splitlines()
    assert words(headings) == (
        "Step At What happened Background work Web request Output"
    )
    assert words(first).startswith("1 +0.0 ms A script enqueued")


def test_every_step_of_the_history_is_shown(shop: Shop) -> None:
    id = shop.post()
    shop.deliver()
    record = shop.get(id)
    assert [one.kind for one in record.events] == [
        "enqueued", "responded", "began", "sent",
    ]  # fmt: skip
    said = shop.run("show", id, columns=120).stdout
    for step in describe(record):
        for text in (step.what, step.background, step.request, step.output):
            assert all(word in said for word in text.split())


def test_a_waiting_message_shows_its_due_time(shop: Shop) -> None:
    id = shop.send(delay=3_600)
    due = f"{shop.get(id).due_at:%Y-%m-%d %H:%M:%S} UTC"
    assert f"Due {due}" in words(shop.run("show", id).stdout)


@pytest.mark.parametrize("width", [80, 100, 120])
def test_the_output_fits_the_terminal(shop: Shop, width: int) -> None:
    id = shop.post()
    shop.deliver()
    said = shop.run("show", id, columns=width).stdout
    assert max(map(columns, said.splitlines())) <= width


def test_control_characters_in_replies_are_escaped(
    shop: Shop, server: JournalSmtp
) -> None:
    server.behaviour = Behaviour(at_data="550 5.7.1 \x1b[2Jgone")
    id = shop.send()
    shop.deliver()
    for option in ([], ["--dialogue"]):
        said = shop.run("show", id, *option).stdout
        assert "\x1b" not in said
        assert r"\x1b[2Jgone" in words(said)


def test_an_id_may_be_a_prefix_in_any_case(shop: Shop) -> None:
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


def test_content_prints_the_source(shop: Shop, server: JournalSmtp) -> None:
    id = shop.send(subject="Grüße")
    shop.deliver()
    (mail,) = server.mails
    content = shop.run("show", id, "--content").stdout_bytes
    assert content == mail.content
    document = shop.document("show", id, "--content")
    assert base64.b64decode(document["content_base64"]) == content


def test_pruned_content_is_an_error(shop: Shop) -> None:
    id = shop.send()
    shop.deliver()
    shop.outbox.clock = lambda: time.time() + 8 * 86_400
    shop.run("prune")
    error = shop.run("show", id, "--content", code=1).stderr
    assert (
        f"The content of message {id} was pruned (OUTBOX_KEEP_BODIES) or erased."
        in error
    )
    assert re.search(r"^State +sent$", shop.run("show", id).stdout, re.M)


def test_dialogue_prints_each_attempt(shop: Shop, server: JournalSmtp) -> None:
    id = shop.send()
    assert shop.run("show", id, "--dialogue").stdout == (
        "No attempt has talked to a server yet.\n"
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


def test_the_message_is_printed_as_json(shop: Shop) -> None:
    id = shop.post()
    shop.deliver()
    document = shop.document("show", id)
    assert document["state"] == State.SENT
    assert document["recipients"] == [
        {
            "address": "ada@example.org",
            "state": "sent",
            "reply": {"code": 250, "enhanced": "2.0.0", "text": "journaled as 1"},
            "fate": None,
            "fate_at": None,
            "fate_text": None,
        }
    ]
    for told, event in zip(document["events"], shop.get(id).events, strict=True):
        assert datetime.fromisoformat(told["at"]) == event.at
        assert datetime.fromisoformat(told["at"]).utcoffset() is not None
        assert (told["kind"], told["detail"]) == (event.kind, event.detail)


def test_show_starts_no_courier(make_shop: MakeShop) -> None:
    id = make_shop().send()
    shop = make_shop(OUTBOX_ENGINE="thread")
    for command in (["show", id], ["list"], ["retry", id], ["prune"], ["init"]):
        shop.run(*command)
    shop.run("status", code=1)
    assert "outbox-courier" not in [one.name for one in threading.enumerate()]
    assert shop.outbox.status().couriers == ()
    assert shop.get(id).state is State.PENDING


# ------------------------------------------------------------------- after the next hop


def test_what_is_reported_of_each_recipient_is_shown(shop: Shop) -> None:
    id = shop.send(ADA, BOB)
    shop.deliver()
    at = shop.get(id).enqueued_at
    shop.runtime.take_feedback(
        [
            report(Fate.DELIVERED, id, at=at),
            report(Fate.BOUNCED, id, at=at, address=BOB, reply=GONE, operator=True),
        ]
    )
    _, recipients, fates, history = shop.run("show", id, columns=120).stdout.split(
        "\n\n", maxsplit=3
    )
    assert f"{BOB} sent 250 2.0.0 journaled as 1" in words(recipients)
    assert words(fates) == (
        "Recipient Fate Since Words --------------- --------- ----------------------- "
        f"---------------------- {ADA} delivered {clock(at)} "
        f"{BOB} bounced {clock(at)} 550 5.1.1 no such user"
    )
    assert "because of the sender's own" in words(history)
    _, bounced = shop.document("show", id)["recipients"]
    assert (bounced["fate"], bounced["fate_text"]) == ("bounced", str(GONE))
    assert datetime.fromisoformat(bounced["fate_at"]) == at


def test_hostile_words_in_a_report_do_not_control_the_terminal(shop: Shop) -> None:
    id = shop.send()
    shop.deliver()
    reply = Reply(550, None, HOSTILE)
    shop.runtime.take_feedback([report(Fate.BOUNCED, id, reply=reply)])
    for command in (["show", id], ["list"]):
        said = shop.run(*command, columns=120).stdout
        assert "bounced" in said
        assert said.replace("\n", "").isprintable()
    assert "\\u001b[2J" in shop.run("show", id, columns=120).stdout
