"""``flask outbox batch``: the progress of batches, and stopping them."""

from __future__ import annotations

import csv
import io

from flask_outbox import Fate, Message, State
from flask_outbox.outbox.records import BatchRecord, Search
from tests.cli.app import mail
from tests.cli.shop import Shop
from tests.reports import GONE, report
from tests.servers import Behaviour, JournalSmtp
from tests.waiting import eventually


def hand_over(shop: Shop, rows: int = 3) -> str:
    """A batch of so many; its id."""
    with shop.app.app_context():
        messages = (
            Message("News", [f"user{row}@example.org"], "Hello") for row in range(rows)
        )
        return mail.send_many(messages, name="November", tag="news").id


def found(shop: Shop, id: str) -> BatchRecord:
    return shop.runtime.batches.get(id)


def test_show_prints_the_progress(shop: Shop, server: JournalSmtp) -> None:
    assert shop.run("batch", "list").stdout == "There are no batches.\n"
    id = hand_over(shop)
    line = shop.run("batch", "list").stdout.splitlines()[-1].split()
    assert (line[:3], line[-2:]) == ([id, "November", "sending"], ["3", "0"])
    server.behaviour = Behaviour(
        recipients={"user1@example.org": "550 5.1.1 no such user"}
    )
    shop.deliver()
    said = shop.run("batch", "show", id[:20].lower(), "--follow").stdout
    lines = [line.split(maxsplit=1) for line in said.splitlines()]
    for line in (["Batch", id], ["State", "done"], ["Finished", "3 (100%)"]):
        assert line in lines
    assert "2 user1@example.org failed 550 5.1.1 no such user" in " ".join(said.split())
    document = shop.document("batch", "show", id)
    assert document["counts"] == {"sent": 2, "failed": 1}
    assert (document["rows_stored"], document["progress"]) == (3, 1.0)
    assert [one["id"] for one in shop.document("batch", "list")["batches"]] == [id]
    (failure,) = shop.runtime.batches.failures(id)
    assert f"{id}, row 2\n" in shop.run("show", failure.message_id).stdout


def test_the_report_names_recipients_who_did_not_get_it(shop: Shop) -> None:
    id = hand_over(shop, 15)
    shop.run("batch", "cancel", id)
    said = shop.run("batch", "show", id).stdout
    assert f"There are more: 'flask outbox batch report {id}' prints all." in said
    rows = list(csv.DictReader(io.StringIO(shop.run("batch", "report", id).stdout)))
    assert sorted(int(row["row"]) for row in rows) == [*range(1, 16)]
    assert {row["state"] for row in rows} == {"cancelled"}


def test_what_came_back_is_counted_and_reported(shop: Shop) -> None:
    id = hand_over(shop, rows=4)
    shop.deliver()
    ids = [one.id for one in shop.outbox.search(Search(batch=id)).messages]
    shop.runtime.take_feedback(
        [
            report(Fate.COMPLAINED, ids[0], address=None),
            report(Fate.BOUNCED, ids[1], address=None, reply=GONE),
            *(report(Fate.DELIVERED, one, address=None) for one in ids[2:]),
        ]
    )
    said = [line.split() for line in shop.run("batch", "show", id).stdout.splitlines()]
    counts = [["delivered", "2"], ["bounced", "1"], ["complained", "1"]]
    assert [line for line in said if line in counts] == counts
    bounced = ["user2@example.org", "bounced", *str(GONE).split()]
    assert any(line[1:] == bounced for line in said)
    document = shop.document("batch", "show", id)
    assert document["fates"] == {"delivered": 2, "bounced": 1, "complained": 1}
    rows = csv.DictReader(io.StringIO(shop.run("batch", "report", id).stdout))
    assert [
        (one["address"], one["state"], one["reply"], one["fate"]) for one in rows
    ] == [
        ("user2@example.org", "sent", str(GONE), "bounced"),
        ("user3@example.org", "sent", "", "complained"),
    ]


def test_pause_stops_the_batch_in_every_process(
    shop: Shop, server: JournalSmtp
) -> None:
    """The worker is a process of its own; the commands run in this one."""
    first, second = hand_over(shop, 40), hand_over(shop, 40)
    said = shop.run("batch", "pause", first).stdout
    assert said == f"Batch {first} is paused: 40 paused.\n"
    with shop.process("worker"):
        eventually(lambda: found(shop, second).state == "done")
        assert found(shop, first).counts == {State.PAUSED: 40}
        assert len(server.mails) == 40
        shop.run("batch", "resume", first)
        eventually(lambda: found(shop, first).state == "done")
    assert len(server.mails) == 80


def test_a_cancelled_batch_cannot_be_resumed(shop: Shop, server: JournalSmtp) -> None:
    id = hand_over(shop)
    assert shop.document("batch", "cancel", id)["counts"] == {"cancelled": 3}
    shop.deliver()
    assert server.mails == []
    said = shop.run("batch", "resume", id, code=1).stderr
    assert said == f"Error: Batch {id} was cancelled, which cannot be undone.\n"


def test_an_unknown_batch_id_is_an_error(shop: Shop) -> None:
    said = shop.run("batch", "show", "01nobody", code=1).stderr
    assert said == (
        "Error: No batch has an id that begins with '01nobody'. 'flask outbox batch "
        "list' shows them.\n"
    )
