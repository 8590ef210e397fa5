"""The list and one mail's page, as they are without a browser."""

from __future__ import annotations

import html
import re
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from email.message import EmailMessage

import pytest
from sqlalchemy import update

from flask_outbox import Attachment, Message, signals
from flask_outbox.history import describe
from flask_outbox.outbox.schema import message
from tests.dashboard.conftest import OpenShop
from tests.dashboard.shop import Shop
from tests.mail.site import PUT_OFF_FOR_LONG
from tests.servers import Behaviour, JournalSmtp

PNG = bytes.fromhex("89504e470d0a1a0a")


def text_of(page: str) -> str:
    """What a person reads on it, on one line."""
    return " ".join(html.unescape(re.sub("<[^>]+>", " ", page)).split())


def subjects(page: str) -> list[str]:
    found = re.findall(r'<th scope="row"><a [^>]+>([^<]+)</a>', page)
    return [html.unescape(one) for one in found]


def hello(subject: str = "Hello", to: str = "ada@example.org") -> Message:
    return Message(subject, [to], "Hello Ada\n")


# ----------------------------------------------------------------------------- the list


def test_the_list_shows_the_newest_first_a_page_at_a_time(shop: Shop) -> None:
    for number in range(120):
        shop.keep(hello(f"Number {number}"))
    expected = [f"Number {number}" for number in range(119, -1, -1)]
    page, shown = shop.page("/messages"), []
    while True:
        shown += subjects(page)
        older = re.search(r'href="/outbox(/messages\?before=[^"]+)" rel="next"', page)
        if older is None:
            break
        page = shop.page(html.unescape(older[1]))
    assert sorted(shown) == sorted(expected)
    newer = re.search(r'href="/outbox(/messages\?after=[^"]+)" rel="prev"', page)
    assert newer
    assert len(subjects(shop.page(html.unescape(newer[1])))) == 50


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("q=invoice", ["Your Invoice"]),
        ("q=bob@example.org", ["Your Invoice"]),
        ("q=bob*", ["Your Invoice"]),
        ("q=nobody@example.org", []),
        ("tag=bills", ["Your Invoice"]),
        ("is=scheduled", ["Later"]),
        ("is=waiting", ["Hello", "Your Invoice"]),
        ("is=waiting&q=hello", ["Hello"]),
        ("is=nonsense", ["Later", "Hello", "Your Invoice"]),
        ("since=2999-01-01T00:00", []),
        ("until=2999-01-01T00:00", ["Later", "Hello", "Your Invoice"]),
        ("until=nonsense", ["Later", "Hello", "Your Invoice"]),
        ("lane=elsewhere", []),
        ("q=%00", ["Later", "Hello", "Your Invoice"]),
        ("before=%00", ["Later", "Hello", "Your Invoice"]),
        ("before=nonsense", ["Later", "Hello", "Your Invoice"]),
    ],
)
def test_the_list_can_be_searched(shop: Shop, query: str, found: list[str]) -> None:
    shop.keep(hello("Your Invoice", "bob@example.org"), tag="bills")
    shop.keep(hello())
    shop.keep(hello("Later"), delay=3_600)
    page = shop.page(f"/messages?{query}")
    assert sorted(subjects(page)) == sorted(found)
    assert ("<details open>" in page) == query.startswith(("tag", "s", "u", "lane"))


def test_a_mail_is_found_by_its_id_and_its_message_id(shop: Shop) -> None:
    shop.keep(hello("Another"))
    receipt = shop.send("ada@example.org")
    for words in (receipt.id, receipt.id.lower(), receipt.rfc_message_id):
        assert subjects(shop.page(f"/messages?q={words}")) == ["Hello"]


def test_every_page_calls_a_later_message_scheduled(shop: Shop) -> None:
    id = shop.keep(hello("Later"), delay=3_600)
    badge = '<span class="state" data-state="pending">scheduled</span>'

    for path in (
        "/messages?is=scheduled",
        f"/messages/{id}",
        f"/act?action=retry&id={id}",
    ):
        assert badge in shop.page(path), path


def test_an_empty_list_says_so(shop: Shop) -> None:
    assert "No mail was sent yet." in shop.page("/messages")
    assert "No mail matches." in shop.page("/messages?q=x")


# ----------------------------------------------------------------------------- one mail


def test_a_mails_page_says_why_it_was_sent_and_its_history(
    open_shop: OpenShop, server: JournalSmtp
) -> None:
    shop = open_shop(OUTBOX_ENGINE="thread")

    @shop.app.post("/orders/<int:number>")
    def order(number: int) -> str:
        return shop.mail.send(
            hello("Your order"),
            tag="orders",
            key="order-7",
            metadata={"order": number},
        ).id

    shop.make_ready()
    id = shop.client.post("/orders/7", headers={"X-Request-ID": "rq-1"}).text
    with shop.app.app_context():
        shop.mail.drain()
        record = shop.mail.get(id)
    page = text_of(shop.page(f"/messages/{id}"))
    for words in ("POST /orders/<int:number>", "rq-1", "orders", "order-7"):
        assert words in page
    assert '{ "order": 7 }' in page
    assert record.rfc_message_id in page
    for step in describe(record):
        assert step.what in page
        assert step.output in page
    assert "ada@example.org sent 250 2.0.0" in page
    assert "us MAIL FROM:<shop@example.com>" in page
    assert "Email sent!" in page


def test_each_step_shows_the_state_at_that_time(
    open_shop: OpenShop, server: JournalSmtp
) -> None:
    shop = open_shop(OUTBOX_ENGINE="thread", **PUT_OFF_FOR_LONG)
    server.behaviour = Behaviour(at_data="451 4.3.0 try again later")
    id = shop.keep(hello())
    shop.wait_for(signals.message_deferred)
    page = shop.page(f"/messages/{id}")
    states = re.findall(r'data-heading="Mail"><span class="state"[^>]*>(\w+)', page)
    assert states[-2:] == ["leased", "waiting"]
    with shop.app.app_context():
        shop.mail.cancel(id)
    page = shop.page(f"/messages/{id}")
    states = re.findall(r'data-heading="Mail"><span class="state"[^>]*>(\w+)', page)
    assert states[-1] == "cancelled"


def test_the_content_has_each_view(shop: Shop) -> None:
    message = Message(
        "Größe", ["ada@example.org"], "Plain wörds\n", html="<p>Rich wörds</p>"
    )
    message.attach("bill 7.pdf", "application/pdf", b"%PDF-1.4\n")
    id = shop.keep(message)
    page = shop.page(f"/messages/{id}")
    assert f'src="/outbox/messages/{id}/html" sandbox=""' in page
    assert "Rich wörds" not in page
    assert "Plain wörds" in shop.page(f"/messages/{id}?view=text")
    headers = text_of(shop.page(f"/messages/{id}?view=headers"))
    assert "Subject Größe" in headers
    source = shop.ask(f"/messages/{id}/source")
    assert source.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert source.data.replace(b"\n", b"") == content_of(shop, id).replace(b"\n", b"")
    kept = shop.ask(f"/messages/{id}/message.eml")
    assert kept.headers["Content-Disposition"] == f"attachment; filename={id}.eml"
    assert kept.data == content_of(shop, id)
    assert message_from_bytes(kept.data)["To"] == "ada@example.org"
    (path,) = re.findall(rf'"/outbox(/messages/{id}/parts/\d+)"', page)
    attached = shop.ask(path)
    assert attached.data == b"%PDF-1.4\n"
    assert (
        'attachment; filename="bill 7.pdf"' in attached.headers["Content-Disposition"]
    )
    for answer in (source, kept, attached):
        assert answer.headers["Content-Security-Policy"].startswith("sandbox;")
        assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_an_unavailable_view_falls_back_to_another(shop: Shop) -> None:
    id = shop.keep(hello())
    for view in ("html", "nonsense", "text"):
        assert "Hello Ada" in shop.page(f"/messages/{id}?view={view}")


def content_of(shop: Shop, id: str) -> bytes:
    content = shop.outbox.content(id)
    assert content is not None
    return content


def test_the_frame_shows_its_html_under_the_strictest_policy(shop: Shop) -> None:
    id = shop.keep(Message("Hi", ["ada@example.org"], html="<p>Rich wörds</p>"))
    frame = shop.ask(f"/messages/{id}/html")
    assert frame.text.startswith("<p>Rich wörds</p>")
    assert frame.headers["Content-Security-Policy"] == (
        "sandbox; default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
        "form-action 'none'; base-uri 'none'; frame-ancestors 'self'"
    )
    page = shop.ask(f"/messages/{id}")
    assert (
        f"frame-src *:*/outbox/messages/{id}/html;"
        in page.headers["Content-Security-Policy"]
    )
    alone = {"Host": "localhost", "Sec-Fetch-Dest": "document"}
    answer = shop.ask(f"/messages/{id}/html", headers=alone)
    assert answer.status_code == 302
    assert answer.location == f"/outbox/messages/{id}#mail"


def test_inline_images_are_shown_and_active_elements_removed(
    shop: Shop,
) -> None:
    message = Message(
        "Hi",
        ["ada@example.org"],
        html='<LINK rel=preconnect href="//evil.example"><base\thref="//evil.example">'
        '<meta/http-equiv=refresh content=0><linker><img src="cid:logo">'
        '<img src="cid:drawing">',
    )
    message.attachments += [
        Attachment("logo.png", "image/png", PNG, content_id="logo"),
        Attachment("d.svg", "image/svg+xml", b"<svg/>", content_id="drawing"),
    ]
    frame = shop.ask(f"/messages/{shop.keep(message)}/html").text
    assert frame.partition("\r\n")[0].partition("<style>")[0].strip() == (
        '<no-LINK rel=preconnect data-href="//evil.example">'
        '<no-base\tdata-href="//evil.example"><no-meta/http-equiv=refresh content=0>'
        '<linker><img src="data:image/png;base64,iVBORw0KGgo=">'
        '<img src="cid:drawing">'
    )


def test_a_malformed_mail_is_shown_anyway(shop: Shop) -> None:
    message = EmailMessage()
    message["From"], message["To"] = "shop@example.com", "ada@example.org"
    message["X-Odd"] = "=?utf-8?q?=FF?="
    message.set_content("words\n", charset="utf-8")
    message.replace_header("Content-Type", 'text/plain; charset="no-such-charset"')
    message.add_attachment(b"x", maintype="a", subtype="b", filename="../../etc/passwd")
    with shop.app.app_context():
        id = shop.mail.send(message).id
    page = shop.page(f"/messages/{id}?view=text")
    assert "words" in text_of(page)
    assert "etcpasswd" in page
    (path,) = re.findall(rf'"/outbox(/messages/{id}/parts/\d+)"', page)
    disposition = shop.ask(path).headers["Content-Disposition"]
    assert disposition == "attachment; filename=etcpasswd"


def test_a_missing_page_has_an_error_page(shop: Shop) -> None:
    id = shop.keep(hello())
    for path, words in {
        "/messages/01M00000000000000000000000": "No message has the id",
        "/messages/nonsense": "is not the id of a message",
        f"/messages/{id}/html": "has no HTML",
        f"/messages/{id}/parts/9": "has no part 9",
        "/lanes/elsewhere/pause": "",
    }.items():
        answer = shop.ask(path)
        assert answer.status_code in (404, 405)
        assert words in text_of(answer.text)


def test_a_mail_with_pruned_content_still_has_its_history(shop: Shop) -> None:
    id = shop.keep(hello())
    with shop.app.app_context():
        shop.mail.cancel(id)
    later = datetime.now(UTC) + timedelta(days=30)
    shop.outbox.clock = later.timestamp
    assert shop.outbox.prune(60, 1e9)
    page = text_of(shop.page(f"/messages/{id}"))
    assert "A person cancelled it" in page
    assert "Its content was pruned" in page
    for path in ("html", "source", "message.eml", "parts/0"):
        answer = shop.ask(f"/messages/{id}/{path}")
        assert answer.status_code == 404
        assert "was pruned (OUTBOX_KEEP_BODIES)" in text_of(answer.text)


# --------------------------------------------------------------- the overview and lanes


def test_the_overview_counts_and_shows_lanes_and_couriers(open_shop: OpenShop) -> None:
    shop = open_shop(MAIL_TRANSPORTS={"bulk": "smtp://127.0.0.1:9"}, MAIL_RATE="9/s")
    assert "Start one: flask outbox worker" in shop.page("/")
    shop.keep(hello())
    shop.keep(hello(), delay=3_600)
    with shop.app.app_context():
        shop.mail.cancel(shop.keep(hello()))
    shop.outbox.register("01M00000000000000000000000", "external", 60.0)
    page = text_of(shop.page("/"))
    for words in ("1 waiting", "1 scheduled", "1 cancelled", "0 failed"):
        assert words in page
    assert "bulk 127.0.0.1:9 9/s 0 0 open" in page
    assert "external" in page
    assert "alive" in page


def test_the_overview_works_with_a_damaged_state(shop: Shop) -> None:
    id = shop.keep(hello("Damaged"), delay=3_600)
    shop.keep(hello("Whole"), delay=3_600)
    with shop.outbox.database.engine.begin() as connection:
        damage = update(message).where(message.c.id == id).values(state="pendin")
        connection.execute(damage)

    assert "1 scheduled" in text_of(shop.page("/"))
    assert subjects(shop.page("/messages")) == ["Whole"]
    page = shop.client.get(f"/outbox/messages/{id}").text
    assert f"Message {id} cannot be read: its state is" in text_of(page)


def test_a_lane_is_paused_and_resumed_by_a_person(shop: Shop) -> None:
    answer = shop.post("/lanes/default/pause", reason="holidays")
    assert (answer.status_code, answer.location) == (303, "/outbox/lanes")
    assert shop.outbox.lanes_paused_by_operator() == {"default": "holidays"}
    assert "paused by a person: holidays" in text_of(shop.page("/lanes"))
    assert shop.post("/lanes/default/resume").status_code == 303
    assert shop.outbox.lanes_paused_by_operator() == {}
    assert shop.post("/lanes/elsewhere/pause").status_code == 404


def test_the_plots_are_on_the_overview(
    open_shop: OpenShop, server: JournalSmtp
) -> None:
    shop = open_shop(OUTBOX_ENGINE="thread", **PUT_OFF_FOR_LONG)
    shop.keep(hello())
    shop.wait_for(signals.message_sent)
    server.behaviour = Behaviour(at_rcpt="550 5.1.1 no such person")
    id = shop.keep(hello())
    shop.wait_for(signals.message_failed)
    with shop.app.app_context():
        shop.mail.stop()
    for span in ("hour", "day", "week", "nonsense"):
        page = shop.page(f"/?span={span}")
        words = text_of(page)
        assert "1 message sent, at most 1 per" in words
        assert "1 failed, 0 deferred, 0 unknown" in words
        assert f'1×</strong> <a href="/outbox/messages/{id}">550 5.1.1 no such' in page


# ---------------------------------------------------------------------- suppressions


def test_an_address_is_suppressed_and_unsuppressed_on_the_mails_page(
    shop: Shop,
) -> None:
    id = shop.keep(hello())
    path = "/suppressions?address=ada@example.org"
    assert f'href="/outbox{path}"' in shop.page(f"/messages/{id}")
    assert 'value="ada@example.org"' in shop.page(path)
    fields = {"address": "ada@example.org", "reason": "she asked", "list": "news"}
    assert shop.post("/suppressions/add", **fields).status_code == 303
    (found,) = shop.outbox.suppressions()
    assert (found.address, found.list, found.reason, found.source) == (
        "ada@example.org",
        "news",
        "she asked",
        "person",
    )
    assert "ada@example.org news she asked" in text_of(shop.page("/suppressions"))
    assert shop.post("/suppressions/remove", **fields).status_code == 303
    assert list(shop.outbox.suppressions()) == []
    assert "No address is suppressed." in shop.page("/suppressions")


def test_an_invalid_address_cannot_be_suppressed(shop: Shop) -> None:
    for path in ("add", "remove"):
        answer = shop.post(f"/suppressions/{path}", address="nobody")
        assert answer.status_code == 400
        assert "nobody" in text_of(answer.text)
