"""An event for the recipients' calendars (RFC 5545, RFC 5546)."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

from ..errors import ConfigError, MessageError
from .addresses import Address

if TYPE_CHECKING:
    from icalendar import vCalAddress

PRODUCT = "-//Flask-Outbox//EN"


def invitation(
    uid: str,
    start: datetime | date,
    end: datetime | date,
    *,
    organizer: Address,
    attendees: Iterable[Address],
    summary: str,
    description: str | None,
    location: str | None,
    sequence: int,
    cancelled: bool,
) -> str:
    """The event as an iCalendar object, which asks for answers or calls the event off.

    Times are written in UTC, so that no calendar has to know a zone. Raises
    `MessageError` for times that name no moment, and `ConfigError` without icalendar.
    """
    try:
        from icalendar import Calendar, Event
    except ImportError:
        raise ConfigError(
            "Message.invite() needs the package icalendar: install it with pip install "
            '"flask-outbox[calendar]".'
        ) from None
    begins, ends = _moment(start, "start"), _moment(end, "end")
    if isinstance(begins, datetime) != isinstance(ends, datetime):
        raise MessageError("end", "must be a date if start is one, and else a datetime")
    if ends <= begins:
        raise MessageError("end", f"{ends} is not after start, {begins}")

    event = Event()
    event.add("uid", uid)
    event.add("sequence", sequence)
    event.add("dtstamp", datetime.now(UTC))
    event.add("dtstart", begins)
    event.add("dtend", ends)
    event.add("summary", summary)
    if description:
        event.add("description", description)
    if location:
        event.add("location", location)
    event.add("status", "CANCELLED" if cancelled else "CONFIRMED")
    event.add("organizer", _calendar_address(organizer))
    asks = {} if cancelled else {"PARTSTAT": "NEEDS-ACTION", "RSVP": "TRUE"}
    for attendee in attendees:
        event.add("attendee", _calendar_address(attendee, **asks))

    calendar = Calendar()
    calendar.add("prodid", PRODUCT)
    calendar.add("version", "2.0")
    calendar.add("method", "CANCEL" if cancelled else "REQUEST")
    calendar.add_component(event)
    return str(calendar.to_ical(), "utf-8")


def _moment(value: Any, field: str) -> datetime | date:
    """A day, or a time in UTC to the second, as calendars have it."""
    if isinstance(value, datetime):
        if value.utcoffset() is None:
            raise MessageError(
                field, f"{value} has no time zone; pass datetime(..., tzinfo=...)"
            )
        return value.astimezone(UTC).replace(microsecond=0)
    if isinstance(value, date):
        return value
    raise MessageError(field, "must be a datetime with a time zone, or a date")


def _calendar_address(address: Address, **parameters: str) -> vCalAddress:
    from icalendar import vCalAddress

    calendar_address = vCalAddress(f"mailto:{address.spec}")
    if address.display_name:
        parameters["CN"] = address.display_name
    calendar_address.params.update(parameters)
    return calendar_address
