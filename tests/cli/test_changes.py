"""``flask outbox retry`` and ``cancel``."""

from __future__ import annotations

from flask_outbox import State
from flask_outbox.outbox.ids import new_id
from tests.cli.shop import Shop
from tests.servers import Behaviour, JournalSmtp


def test_a_failed_message_is_tried_again(shop: Shop, server: JournalSmtp) -> None:
    server.behaviour = Behaviour(at_data="550 5.7.1 not today")
    id = shop.send()
    shop.deliver()
    assert shop.get(id).state is State.FAILED
    server.behaviour = Behaviour()
    assert shop.run("retry", id).stdout == f"{id}  due now\n"
    shop.deliver()
    assert shop.get(id).state is State.SENT
    assert len(server.mails) == 1


def test_a_cancelled_message_is_not_delivered(shop: Shop, server: JournalSmtp) -> None:
    id, other = shop.send(), shop.send()
    assert shop.run("cancel", id.lower()).stdout == f"{id}  cancelled\n"
    shop.deliver()
    assert shop.get(id).state is State.CANCELLED
    assert shop.get(other).state is State.SENT
    assert len(server.mails) == 1


def test_each_of_several_is_done_and_told(shop: Shop) -> None:
    first, sent, last = shop.send(), shop.send(delay=0), shop.send()
    shop.outbox.register(courier := new_id(), "external", lease_seconds=60)
    shop.run("cancel", first, last)
    shop.outbox.claim(courier, "default", 1)
    result = shop.run("retry", first, sent, "nowhere", last, code=1)
    assert result.stdout == f"{first}  due now\n{last}  due now\n"
    assert f"Error: Message {sent} is being delivered right now." in result.stderr
    assert "begins with 'nowhere'" in result.stderr


def test_results_for_machines(shop: Shop) -> None:
    id = shop.send()
    assert shop.document("cancel", id) == {
        "results": [{"id": id, "done": True, "state": "cancelled", "error": None}]
    }
    unknown = new_id()
    refused, lost = shop.document("cancel", id, unknown, code=1)["results"]
    assert (refused["id"], refused["done"], refused["state"]) == (
        id, False, "cancelled",
    )  # fmt: skip
    assert "there is nothing to cancel" in refused["error"]
    assert (lost["id"], lost["done"], lost["state"]) == (unknown, False, None)
    assert unknown in lost["error"]


def an_unknown_one(shop: Shop, server: JournalSmtp) -> str:
    server.behaviour = Behaviour(drop="unjournaled")
    id = shop.send()
    shop.deliver()
    assert shop.get(id).state is State.UNKNOWN
    server.behaviour = Behaviour()
    return id


def test_what_is_unknown_is_released(shop: Shop, server: JournalSmtp) -> None:
    id = an_unknown_one(shop, server)
    assert shop.run("release", id).stdout == f"{id}  due now\n"
    shop.deliver()
    assert shop.get(id).state is State.SENT
    refused = shop.run("release", id, code=1)
    assert "only what is on hold as unknown" in refused.stderr


def test_what_is_unknown_is_dropped(shop: Shop, server: JournalSmtp) -> None:
    id = an_unknown_one(shop, server)
    assert shop.run("drop", id).stdout == f"{id}  dropped\n"
    shop.deliver()
    assert shop.get(id).state is State.CANCELLED
    assert server.mails == []


def test_what_was_sent_is_sent_again(shop: Shop, server: JournalSmtp) -> None:
    id = shop.send()
    shop.deliver()
    assert shop.run("send-again", id).stdout == f"{id}  sent again\n"
    shop.deliver()
    first, second = server.mails
    assert first.recipients == second.recipients
    assert first.message_id != second.message_id
