"""`Message.invite`: an event in the recipients' calendars."""

from __future__ import annotations

import sys
from datetime import UTC, date, datetime, timedelta, timezone
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

import pytest
from icalendar import Calendar

from flask_outbox import ConfigError, Message
from flask_outbox.errors import AddressError, MessageError
from flask_outbox.mime import compose

START = datetime(2026, 12, 24, 18, 0, tzinfo=timezone(timedelta(hours=1)))
END = START + timedelta(hours=2)


def dinner(**changed: Any) -> Message:
    """A mail without its invitation."""
    arguments: dict[str, Any] = {
        "subject": "Dinner; at eight, or nine",
        "recipients": [("Ada, Countess", "ada@example.org"), "bob@example.org"],
        "body": "Bring\nnothing, but hunger." + " And time." * 20,
        "html": "<p>Bring nothing.</p>",
        "sender": ("Zoë", "zoe@example.com"),
    }
    return Message(**{**arguments, **changed})


def calendar_part(message: Message) -> EmailMessage:
    """The part that a mail client hands to the calendar."""
    content = compose(message).content
    parsed = message_from_bytes(content, policy=policy.default)
    assert isinstance(parsed, EmailMessage)
    (part,) = [one for one in parsed.walk() if one.get_content_subtype() == "calendar"]
    assert isinstance(part, EmailMessage)
    return part


def event_of(message: Message) -> tuple[Any, Any]:
    """The calendar and its event, as the standard's own reader has them."""
    calendar = Calendar.from_ical(calendar_part(message).get_content())
    (event,) = calendar.walk("VEVENT")
    return calendar, event


def test_the_calendar_shows_the_event() -> None:
    message = dinner()
    message.invite("dinner-7@example.com", START, END, location="The Crown, room 2")
    calendar, event = event_of(message)
    assert str(calendar["METHOD"]) == "REQUEST"
    assert str(event["UID"]) == "dinner-7@example.com"
    assert event["SEQUENCE"] == 0
    assert event.decoded("DTSTART") == datetime(2026, 12, 24, 17, 0, tzinfo=UTC)
    assert event.decoded("DTEND") == datetime(2026, 12, 24, 19, 0, tzinfo=UTC)
    assert str(event["SUMMARY"]) == message.subject
    assert str(event["DESCRIPTION"]) == message.body
    assert str(event["LOCATION"]) == "The Crown, room 2"
    assert str(event["STATUS"]) == "CONFIRMED"
    assert str(event["ORGANIZER"]) == "mailto:zoe@example.com"
    assert event["ORGANIZER"].params["CN"] == "Zoë"
    ada, bob = event["ATTENDEE"]
    assert (str(ada), ada.params["CN"]) == ("mailto:ada@example.org", "Ada, Countess")
    assert str(bob) == "mailto:bob@example.org"
    assert bob.params["RSVP"] == "TRUE"


def test_it_is_the_last_alternative_with_its_method_and_charset_once() -> None:
    message = dinner()
    message.invite("dinner-7@example.com", START, END)
    kinds = [str(kind) for kind in message.alts]
    assert kinds == ["html", "calendar; method=REQUEST"]
    part = calendar_part(message)
    assert part["Content-Type"].params == {"method": "REQUEST", "charset": "utf-8"}
    assert str(part["Content-Type"]).count("charset") == 1


def test_a_later_invitation_replaces_the_first_one() -> None:
    message = dinner()
    message.invite("dinner-7@example.com", START, END)
    message.invite("dinner-7@example.com", START, END, sequence=3, cancelled=True)
    calendar, event = event_of(message)
    assert str(calendar["METHOD"]) == "CANCEL"
    assert str(event["STATUS"]) == "CANCELLED"
    assert event["SEQUENCE"] == 3
    assert list(message.alts) == ["html", "calendar; method=CANCEL"]


def test_an_event_may_take_whole_days() -> None:
    message = dinner()
    message.invite("fair@example.com", date(2026, 12, 24), date(2026, 12, 26))
    _, event = event_of(message)
    assert event.decoded("DTSTART") == date(2026, 12, 24)
    assert event.decoded("DTEND") == date(2026, 12, 26)


@pytest.mark.parametrize(
    ("start", "end", "problem"),
    [
        (START.replace(tzinfo=None), END, r"^start: .* has no time zone"),
        (START, END.replace(tzinfo=None), r"^end: .* has no time zone"),
        (START, START, r"^end: .* is not after start"),
        (date(2026, 12, 24), END, "^end: must be a date if start is one"),
        ("tomorrow", END, "^start: must be a datetime with a time zone, or a date"),
    ],
)
def test_times_that_no_calendar_could_show_are_refused(
    start: Any, end: Any, problem: str
) -> None:
    with pytest.raises(MessageError, match=problem):
        dinner().invite("dinner-7@example.com", start, end)


def test_an_event_needs_a_name_an_organizer_and_addresses() -> None:
    with pytest.raises(MessageError, match=r"^organizer: is missing"):
        dinner(sender=None).invite("a@b", START, END)
    with pytest.raises(MessageError, match=r"^subject: is missing"):
        dinner(subject=None).invite("a@b", START, END)
    with pytest.raises(AddressError, match=r"^recipients\[0\]: "):
        dinner(recipients=["nobody"]).invite("a@b", START, END)


@pytest.mark.parametrize("text", ["x\r\nATTENDEE:mailto:eve@example.org", 'a";b\nC:d'])
def test_no_text_adds_a_line_of_its_own(text: str) -> None:
    message = dinner(subject=text, body=text, recipients=["ada@example.org"])
    message.invite(text, START, END, location=text)
    message.subject = "Dinner"
    _, event = event_of(message)
    assert str(event["ATTENDEE"]) == "mailto:ada@example.org"
    assert "C" not in event


def test_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "icalendar", None)
    with pytest.raises(ConfigError, match=r'pip install "flask-outbox\[calendar\]"'):
        dinner().invite("a@b", START, END)
