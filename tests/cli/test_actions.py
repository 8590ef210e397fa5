"""``flask outbox retry`` and ``cancel``."""

from __future__ import annotations

from flask_outbox import State
from flask_outbox.outbox import new_id
from tests.cli.shop import Shop
from tests.servers import Behaviour, JournalSmtp


def test_retry_delivers_a_failed_message(shop: Shop, server: JournalSmtp) -> None:
    server.behaviour = Behaviour(at_data="550 5.7.1 not today")
    id = shop.send()
    shop.deliver()
    assert shop.get(id).state is State.FAILED
    server.behaviour = Behaviour()
    assert shop.run("retry", id).stdout == f"{id}  due now\n"
    shop.deliver()
    assert shop.get(id).state is State.SENT
    assert len(server.mails) == 1


def test_cancel_prevents_the_delivery(shop: Shop, server: JournalSmtp) -> None:
    id, other = shop.send(), shop.send()
    assert shop.run("cancel", id.lower()).stdout == f"{id}  cancelled\n"
    shop.deliver()
    assert shop.get(id).state is State.CANCELLED
    assert shop.get(other).state is State.SENT
    assert len(server.mails) == 1


def test_several_messages_each_get_a_result(shop: Shop) -> None:
    first, sent, last = shop.send(), shop.send(delay=0), shop.send()
    shop.outbox.register(courier := new_id(), "external", lease_seconds=60)
    shop.run("cancel", first, last)
    shop.outbox.claim(courier, "default", 1)
    result = shop.run("retry", first, sent, "nowhere", last, code=1)
    assert result.stdout == f"{first}  due now\n{last}  due now\n"
    assert f"Error: Message {sent} is being delivered right now." in result.stderr
    assert "begins with 'nowhere'" in result.stderr


def test_results_are_printed_as_json(shop: Shop) -> None:
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


def test_release_sends_an_unknown_message_again(
    shop: Shop, server: JournalSmtp
) -> None:
    id = an_unknown_one(shop, server)
    assert shop.run("release", id).stdout == f"{id}  due now\n"
    shop.deliver()
    assert shop.get(id).state is State.SENT
    refused = shop.run("release", id, code=1)
    assert "only an unknown message can be" in refused.stderr


def test_drop_cancels_an_unknown_message(shop: Shop, server: JournalSmtp) -> None:
    id = an_unknown_one(shop, server)
    assert shop.run("drop", id).stdout == f"{id}  dropped\n"
    shop.deliver()
    assert shop.get(id).state is State.CANCELLED
    assert server.mails == []


def test_send_again_sends_a_finished_message_as_a_new_one(
    shop: Shop, server: JournalSmtp
) -> None:
    id = shop.send()
    shop.deliver()
    assert shop.run("send-again", id).stdout == f"{id}  sent again\n"
    shop.deliver()
    first, second = server.mails
    assert first.recipients == second.recipients
    assert first.rfc_message_id != second.rfc_message_id
