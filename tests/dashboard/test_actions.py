"""What a person may do to messages, and what is said where it cannot be done."""

from __future__ import annotations

import re

import pytest

from flask_outbox import Message, Search, signals
from tests.dashboard.conftest import OpenShop
from tests.dashboard.shop import Shop
from tests.mail.site import url_of
from tests.servers import Behaviour, JournalSmtp


def hello() -> Message:
    return Message("Hello", ["ada@example.org"], "Hello Ada\n")


@pytest.fixture
def working(open_shop: OpenShop) -> Shop:
    """A shop whose own courier works, and that holds what is unknown."""
    return open_shop(OUTBOX_ENGINE="thread", OUTBOX_ON_UNKNOWN="hold")


@pytest.fixture
def unknown(working: Shop, server: JournalSmtp) -> str:
    """A message of which nobody knows whether it arrived."""
    server.behaviour = Behaviour(drop="journaled")
    id = working.keep(hello())
    working.wait_for(signals.message_unknown)
    server.behaviour = Behaviour()
    return id


def buttons(shop: Shop, id: str) -> list[str]:
    """What is offered on a message's page."""
    page = shop.page(f"/messages/{id}")
    return [one for one in ACTIONS if f'id="do-{one}"' in page]


ACTIONS = ("retry", "cancel", "release", "drop", "send-again")


def test_only_possible_actions_are_offered(working: Shop, unknown: str) -> None:
    assert buttons(working, unknown) == ["release", "drop"]
    later = working.keep(hello(), delay=3_600)
    assert buttons(working, later) == ["retry", "cancel"]
    working.post("/act", action="cancel", id=later)
    assert buttons(working, later) == ["retry", "send-again"]


def test_a_sensitive_message_is_over_for_good_once_it_is_cancelled(
    working: Shop,
) -> None:
    later = working.keep(hello(), delay=3_600, sensitive=True)
    assert buttons(working, later) == ["retry", "cancel"]
    assert "cannot be retried" in working.page(f"/act?action=cancel&id={later}")
    working.post("/act", action="cancel", id=later)
    assert buttons(working, later) == []
    assert "removed when it became cancelled" in working.page(f"/messages/{later}")
    assert "stays as it is" in working.page(f"/act?action=retry&id={later}")


def test_what_has_lost_its_content_is_over_for_good(
    open_shop: OpenShop,
) -> None:
    shop = open_shop(OUTBOX_ENGINE="thread", MAIL_URL="inbox://")
    kept, later = shop.keep(hello()), shop.keep(hello(), delay=3_600)
    shop.wait_for(signals.message_sent)
    assert "Release to a real server" in shop.page(f"/inbox/{kept}")
    assert buttons(shop, kept) == ["send-again"]
    assert "Suppress <" in shop.page(f"/messages/{kept}")
    with shop.app.app_context():
        shop.mail.erase_person("ada@example.org")
    for one in kept, later:
        assert buttons(shop, one) == []
        assert "Suppress <" not in shop.page(f"/messages/{one}")
        assert "Release to a real server" not in shop.page(f"/inbox/{one}")


def test_what_belongs_to_a_cancelled_batch_is_only_sent_again(shop: Shop) -> None:
    with shop.app.app_context():
        batch = shop.mail.send_many([hello()], name="News", delay=3_600).id
        (kept,) = shop.mail.search(Search(batch=batch)).messages
        assert buttons(shop, kept.id) == ["retry", "cancel"]
        shop.mail.cancel_batch(batch)
    assert buttons(shop, kept.id) == ["send-again"]


def test_what_belongs_to_a_paused_batch_is_not_retried(shop: Shop) -> None:
    with shop.app.app_context():
        batch = shop.mail.send_many([hello()], name="News", delay=3_600).id
        (kept,) = shop.mail.search(Search(batch=batch)).messages
        shop.mail.cancel(kept.id)
        shop.mail.pause_batch(batch)
        assert buttons(shop, kept.id) == ["send-again"]
        shop.mail.resume_batch(batch)
    assert buttons(shop, kept.id) == ["retry", "send-again"]


def test_what_nobody_may_get_is_not_retried(shop: Shop) -> None:
    to_both = Message("Hello", ["ada@example.org", "bob@example.org"], "Hello\n")
    with shop.app.app_context():
        shop.mail.suppress("ada@example.org")
    suppressed, later = shop.keep(hello()), shop.keep(to_both, delay=3_600)
    assert buttons(shop, suppressed) == []
    assert "stays as it is" in shop.page(f"/act?action=retry&id={suppressed}")
    assert "Suppress <" not in shop.page(f"/messages/{suppressed}")
    assert buttons(shop, later) == ["retry", "cancel"]
    with shop.app.app_context():
        shop.mail.unsuppress("ada@example.org")
        shop.mail.suppress("bob@example.org", list="news")
    assert buttons(shop, suppressed) == ["retry"]
    assert "Suppress <" in shop.page(f"/messages/{suppressed}")
    with shop.app.app_context():
        shop.mail.suppress("bob@example.org")
    assert buttons(shop, later) == ["retry", "cancel"]


def test_an_unknown_message_is_released(
    working: Shop, unknown: str, server: JournalSmtp
) -> None:
    answer = working.post("/act", action="release", id=unknown)
    assert (answer.status_code, answer.location) == (303, f"/outbox/messages/{unknown}")
    working.wait_for(signals.message_sent)
    first, second = server.wait_for(2)
    assert first.content == second.content


def test_an_unknown_message_is_dropped(working: Shop, unknown: str) -> None:
    working.post("/act", action="drop", id=unknown)
    assert working.outbox.get(unknown).state == "cancelled"
    page = working.page(f"/messages/{unknown}")
    assert "A person dropped it" in page


def test_a_sent_message_is_sent_again_as_a_new_message(working: Shop) -> None:
    id = working.keep(hello())
    working.wait_for(signals.message_sent)
    answer = working.post("/act", action="send-again", id=id)
    working.wait_for(signals.message_sent, 2)
    path = str(answer.location).removeprefix("/outbox")
    assert path != f"/messages/{id}"
    assert "POST /outbox/act" in working.page(path)
    with working.app.app_context():
        working.mail.stop()
    assert "The response went out" in working.page(path)


def test_the_history_names_the_request_that_released_from_the_inbox(
    open_shop: OpenShop, server: JournalSmtp
) -> None:
    shop = open_shop(
        OUTBOX_ENGINE="thread",
        MAIL_URL="inbox://",
        MAIL_TRANSPORTS={"live": url_of(server)},
    )
    id = shop.keep(hello())
    shop.wait_for(signals.message_sent)
    answer = shop.post(f"/inbox/{id}/release", by="live", to="all")
    path = str(answer.location).removeprefix("/outbox")
    shop.wait_for(signals.message_sent, 2)
    assert "POST /outbox/inbox/&lt;id&gt;/release" in shop.page(path)


def test_a_bulk_action_reports_each_message_that_it_could_not_change(
    shop: Shop,
) -> None:
    ids = [shop.keep(hello(), delay=3_600) for _ in range(3)]
    with shop.app.app_context():
        shop.mail.cancel(ids[0])
    gone = "01M00000000000000000000000"
    answer = shop.post("/act", action="cancel", id=[*ids, gone, "nonsense"])
    assert answer.status_code == 200
    assert "2 messages cancelled" in answer.text
    assert "there is nothing to cancel" in answer.text
    assert "No message has the id" in answer.text
    assert {shop.outbox.get(id).state for id in ids} == {"cancelled"}


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("action=cancel", "No message was selected"),
        ("action=cancel&id=nonsense", "No message was selected"),
        ("action=explode&id=01M00000000000000000000000", "no action"),
        (
            "action=cancel&" + "&".join(f"id=01M{n:023}" for n in range(201)),
            "More than 200 messages",
        ),
    ],
    ids=["nobody", "nonsense", "unheard of", "too many"],
)
def test_an_invalid_action_is_explained(shop: Shop, query: str, words: str) -> None:
    answer = shop.ask(f"/act?{query}")
    assert answer.status_code == 400
    assert words in answer.text


def test_opening_the_confirmation_changes_nothing(shop: Shop) -> None:
    id = shop.keep(hello(), delay=3_600)
    for action in ACTIONS:
        assert shop.ask(f"/act?action={action}&id={id}").status_code == 200
    assert shop.outbox.get(id).state == "pending"
    assert len(shop.outbox.get(id).events) == 1


def test_the_filter_is_preserved_through_an_action(shop: Shop) -> None:
    ids = [shop.keep(hello(), delay=3_600, tag="news") for _ in range(2)]
    filtered = "q=hello&amp;is=scheduled&amp;tag=news"
    listed = shop.page("/messages?tag=news&is=scheduled&q=hello")
    assert '<input type="hidden" name="tag" value="news">' in listed
    asked = shop.page(
        f"/act?action=cancel&tag=news&is=scheduled&q=hello&id={ids[0]}&id={ids[1]}"
    )
    assert f'href="/outbox/messages?{filtered}">No, go back' in asked
    done = shop.post(
        "/act", action="cancel", tag="news", **{"is": "scheduled"}, q="hello", id=ids
    )
    assert f'href="/outbox/messages?{filtered}">Back to the mail' in done.text


def test_an_empty_list_offers_no_actions(shop: Shop) -> None:
    assert re.search(r'<form id="bulk"[^>]* hidden>', shop.page("/messages"))
    shop.keep(hello(), delay=3_600)
    assert not re.search(r'<form id="bulk"[^>]* hidden>', shop.page("/messages"))


def test_every_page_calls_pending_messages_waiting(shop: Shop) -> None:
    id = shop.keep(hello())
    for path in ("/", "/messages", f"/messages/{id}", f"/act?action=cancel&id={id}"):
        page = shop.page(path)
        assert "waiting" in page, path
        assert not re.search(r">\s*pending\s*<", page), path


def test_an_error_page_links_back(shop: Shop) -> None:
    missing = "01M00000000000000000000000"
    for path, status, words in (
        (f"/messages/{missing}", "404 Not Found", "may have been pruned"),
        ("/act?action=cancel", "400 Bad Request", "No message was selected"),
    ):
        page = shop.ask(path).text
        assert f"<h1>{status}</h1>" in page
        assert words in page
        assert "flask outbox" not in page
        assert '<nav aria-label="Dashboard">' in page
        assert '<a class="button" href="/outbox/messages">' in page


def test_without_access_the_error_page_has_no_navigation(shop: Shop) -> None:
    elsewhere = {"REMOTE_ADDR": "192.0.2.1"}
    answer = shop.ask("/messages", environ_overrides=elsewhere)
    assert answer.status_code == 403
    assert "<nav" not in answer.text


def test_below_a_url_prefix_a_page_polls_its_own_url(shop: Shop) -> None:
    below = {"REMOTE_ADDR": "127.0.0.1", "SCRIPT_NAME": "/shop"}
    page = shop.ask("/messages", environ_overrides=below).text
    assert 'hx-get="/shop/outbox/messages?"' in page
