"""What a test sees of the mail that its app handed over."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from flask_outbox import (
    AddressError,
    DeliveryError,
    Mail,
    Message,
    MessageStopped,
    SendOptions,
    State,
    TemplateError,
)
from flask_outbox.testing import RecordedOutbox, SentMessage
from tests.mail.shop import begins_properly, engine_on
from tests.mail.site import ADA, BOB, SENDER, make_app

LINK = "https://shop.example/reset?token=8fa1"
HTML = f'<p>Dear <b>Ada</b>,</p><p>to  go on, <a href="{LINK}">press here</a>.</p>'


@pytest.fixture
def mail(tmp_path: Path) -> Mail:
    return Mail(make_app(tmp_path, TESTING=True))


def _hello(*recipients: str) -> Message:
    return Message("Hello", list(recipients) or [ADA], "Hello\n")


# --------------------------------------------------------------------- what is there


def test_an_address_may_be_a_pair(mail: Mail, outbox: RecordedOutbox):
    mail.send(Message("Hello", [("Bob", BOB), ADA], "Hello\n"))
    outbox.assert_sent(to=("Bob", BOB), sender=("The shop", SENDER))
    outbox.assert_sent(to=[("Bob", BOB), ADA])
    outbox.assert_sent(to=(BOB, ADA))
    outbox.assert_nothing_sent(to=("Bob", "other@example.org"))
    with pytest.raises(AssertionError):
        outbox.assert_sent(to=("Bob", "other@example.org"))
    with pytest.raises(TypeError, match="subject="):
        outbox.assert_sent(subject=[("a", "b")])  # type: ignore[arg-type]


def test_messages_are_in_the_order_of_the_calls(mail: Mail, outbox: RecordedOutbox):
    assert not outbox
    ids = [mail.send(_hello(who), tag=f"to {who}").id for who in (ADA, BOB)]
    assert [one.id for one in outbox] == ids
    assert len(outbox) == 2
    assert outbox[0].tag == f"to {ADA}"
    assert outbox.last.recipients == (BOB,)
    outbox.clear()
    assert outbox.messages == []
    assert mail.get(ids[0]).state is State.PENDING


def test_a_message_shows_its_state_when_it_was_read(mail: Mail, outbox: RecordedOutbox):
    mail.send(_hello())
    before = outbox.last
    outbox.drain()
    assert (before.state, outbox.last.state) == (State.PENDING, State.SENT)
    assert outbox.last.record is not None
    assert outbox.last.record.events[-1].kind == "sent"


def test_a_duplicate_is_not_listed(mail: Mail, outbox: RecordedOutbox):
    for _ in range(2):
        mail.send(_hello(), key="order-17")
    outbox.assert_sent(to=ADA, count=1)


def test_a_rolled_back_message_is_not_listed(tmp_path: Path, outbox: RecordedOutbox):
    url = f"sqlite:///{tmp_path / 'shop.db'}"
    mail = Mail(make_app(tmp_path, TESTING=True, OUTBOX_URL=url))
    mail.send(_hello(BOB))
    outbox.clear()
    with engine_on(url) as engine:
        begins_properly(engine)
        with engine.connect() as connection:
            mail.send(_hello(), session=connection)
            connection.rollback()
            mail.send(_hello(), session=connection)
            outbox.assert_nothing_sent()
            with pytest.raises(
                AssertionError, match="and 2 messages handed over in a tran"
            ):
                outbox.assert_sent()
            connection.commit()
            outbox.assert_sent(count=1)


def test_a_suppressed_recipient_was_not_sent_it(mail: Mail, outbox: RecordedOutbox):
    mail.suppress(ADA, reason="she said so")
    mail.send(_hello(ADA))
    outbox.assert_nothing_sent()
    assert outbox.last.state is State.SUPPRESSED
    assert outbox.last.kept_from[ADA].endswith("she said so")
    mail.send(_hello(ADA, BOB))
    outbox.assert_sent(to=BOB)
    with pytest.raises(AssertionError, match=f"not to {ADA}: .*she said so"):
        outbox.assert_sent(to=ADA)


def test_a_cancelled_message_does_not_count_as_sent(mail: Mail, outbox: RecordedOutbox):
    mail.cancel(mail.send(_hello()).id)
    outbox.assert_nothing_sent()
    assert outbox.last.state is State.CANCELLED


def test_a_stopped_message_does_not_count_as_sent(mail: Mail, outbox: RecordedOutbox):
    @mail.before_send
    def stop(_message: Message, _options: SendOptions) -> None:
        raise MessageStopped("not on Sundays")

    mail.send(_hello())
    outbox.assert_nothing_sent()
    assert "not on Sundays" in outbox.last.kept_from[ADA]


def test_a_message_sent_by_send_now_is_listed(mail: Mail, outbox: RecordedOutbox):
    mail.suppress(BOB)
    with pytest.raises(DeliveryError):
        mail.send_now(_hello(ADA, BOB))
    message = outbox.assert_sent(to=ADA, subject="Hello", sender=SENDER)
    assert message.recipients == (ADA,)
    assert list(message.kept_from) == [BOB]
    assert (message.id, message.tag, message.record) == (None, None, None)
    assert message.state is State.FAILED
    with pytest.raises(AssertionError, match=r"'Hello' to .*, failed, by send_now"):
        outbox.assert_nothing_sent()


def test_each_message_knows_its_app(mail: Mail, tmp_path: Path, outbox: RecordedOutbox):
    other = Mail(make_app(tmp_path / "other", TESTING=True))
    mail.send(_hello(ADA))
    other.send(_hello(BOB))
    assert [one.app.name for one in outbox] == [tmp_path.name, "other"]
    outbox.drain()
    assert {one.state for one in outbox} == {State.SENT}


def test_each_row_of_a_batch_is_a_message(mail: Mail, outbox: RecordedOutbox):
    mail.send_many((_hello(who) for who in (ADA, BOB)), tag="news")
    outbox.assert_sent(tag="news", count=2)
    outbox.assert_sent(to=BOB, tag="news", count=1)


def test_a_message_rendered_later_can_be_read(tmp_path: Path, outbox: RecordedOutbox):
    app = make_app(tmp_path, TESTING=True)
    app.template_folder = str(tmp_path)
    (tmp_path / "mail").mkdir()
    template = tmp_path / "mail" / "bill.txt"
    template.write_text("You owe us {{ debt }} coins.\n")
    mail = Mail(app)
    with app.app_context():
        message = Message.from_template(
            "bill", [ADA], "Your bill", debt=17, render="later"
        )
        mail.send(message)
    before = outbox.assert_sent(subject="Your bill", contains="You owe us 17 coins.")
    outbox.drain()
    assert outbox.last.content == before.content
    assert outbox.last.state is State.SENT

    template.write_text("You owe us {{ debt.of() }} coins.\n")
    with app.app_context():
        mail.send(message)
    assert outbox.last.recipients == (ADA,)
    with pytest.raises(TemplateError, match=r"mail/bill\.txt, line 1"):
        outbox.assert_sent(contains="coins")
    with pytest.raises(AssertionError, match=r"  2  \(.*mail/bill\.txt, line 1.*\) to"):
        outbox.assert_sent(to=BOB)


def test_drain_ends_if_the_server_is_down(tmp_path: Path, outbox: RecordedOutbox):
    nowhere = {"MAIL_URL": "smtp://127.0.0.1:1", "MAIL_SUPPRESS_SEND": False}
    mail = Mail(make_app(tmp_path, TESTING=True, **nowhere))
    mail.send(_hello())
    with pytest.raises(AssertionError, match=r"within 0\.2 s: is the mail server"):
        outbox.drain(timeout_seconds=0.2)


# ------------------------------------------------------------------ what can be asked


@pytest.fixture(scope="module")
def one_sent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RecordedOutbox]:
    """An outbox with one message that has something of everything."""
    mail = Mail(make_app(tmp_path_factory.mktemp("app"), TESTING=True))
    message = Message(
        "Your new päßword",
        recipients=[("Ada", ADA)],
        bcc=[BOB],
        sender=("The shop", SENDER),
        body=f"Dear Ada,\nto go\non, open {LINK}\n",
        html=HTML,
    )
    message.attach("terms.pdf", "application/pdf", b"%PDF")
    with RecordedOutbox() as outbox:
        mail.send(message, tag="reset")
        yield outbox


FITTING: list[dict[str, Any]] = [
    {},
    {"to": ADA},
    {"to": "ADA@Example.ORG"},
    {"to": f"Ada <{ADA}>"},
    {"to": [ADA, BOB]},
    {"to": re.compile("@example.org$")},
    {"subject": "Your new päßword"},
    {"subject": re.compile("new")},
    {"sender": SENDER},
    {"sender": f"Another name <{SENDER}>"},
    {"tag": "reset"},
    {"attachment": "terms.pdf"},
    {"attachment": re.compile(r"\.pdf$")},
    {"contains": "Dear Ada, to go on"},
    {"contains": "press here"},
    {"contains": "reset?token="},
    {"contains": ["press here", re.compile("token=[0-9a-f]{4}$")]},
    {"count": 1},
]

NOT_FITTING: list[dict[str, Any]] = [
    {"to": "eve@example.org"},
    {"to": [ADA, "eve@example.org"]},
    {"to": re.compile("^example")},
    {"subject": "Your new"},
    {"sender": ADA},
    {"tag": "Reset"},
    {"attachment": "terms"},
    {"contains": "<b>"},
    {"contains": ["press here", "press there"]},
    {"to": ADA, "tag": "welcome"},
    {"count": 2},
]


@pytest.mark.parametrize("wanted", FITTING, ids=repr)
def test_assert_sent_returns_a_matching_message(
    one_sent: RecordedOutbox, wanted: dict[str, Any]
):
    assert one_sent.assert_sent(**wanted).id == one_sent.last.id


@pytest.mark.parametrize("wanted", NOT_FITTING, ids=repr)
def test_assert_sent_fails_without_a_matching_message(
    one_sent: RecordedOutbox, wanted: dict[str, Any]
):
    with pytest.raises(AssertionError):
        one_sent.assert_sent(**wanted)


def test_assert_nothing_sent_takes_criteria(one_sent: RecordedOutbox):
    one_sent.assert_nothing_sent(to="eve@example.org")
    one_sent.assert_nothing_sent(tag="welcome")
    with pytest.raises(AssertionError, match=f"none with to '{ADA}' was wanted"):
        one_sent.assert_nothing_sent(to=ADA)


def test_invalid_criteria_are_refused(one_sent: RecordedOutbox):
    with pytest.raises(AddressError, match="to: 'ada' has no '@'"):
        one_sent.assert_sent(to="ada")
    with pytest.raises(TypeError, match="subject=17: pass a string"):
        one_sent.assert_sent(subject=17)  # type: ignore[arg-type]


def test_a_message_has_its_content_as_properties(one_sent: RecordedOutbox):
    message: SentMessage = one_sent.last
    assert message.subject == "Your new päßword"
    assert message.sender == f"The shop <{SENDER}>"
    assert message.header("to") == f"Ada <{ADA}>"
    assert message.header("Bcc") is None
    assert message.text.splitlines()[0] == "Dear Ada,"
    assert message.html.strip() == HTML
    assert message.visible == "Dear Ada, to go on, press here."
    (terms,) = message.attachments
    assert (terms.filename, terms.content) == ("terms.pdf", b"%PDF")
    assert message.record is not None
    assert message.rfc_message_id == message.record.rfc_message_id
    assert message.content.startswith(b"From: ")


def test_link_returns_the_one_matching_link(one_sent: RecordedOutbox):
    message = one_sent.last
    assert message.links == (LINK,)
    assert message.link() == LINK
    assert message.link("reset") == LINK
    assert message.link(re.compile(r"token=\w+$")) == LINK
    with pytest.raises(
        AssertionError, match=f"0 links with 'order' in .*\n  {LINK[:9]}"
    ):
        message.link("order")
