"""A fake of Postmark that also posts what becomes of the mail that it took."""

from __future__ import annotations

import contextlib
import http.client
import json
import random
import threading
from queue import SimpleQueue
from typing import Any

from tests.provider_events.posting import BASIC, Event
from tests.servers.http_api import Answer, Request
from tests.transports.fakes import FakePostmark
from tests.waiting import WAIT_SECONDS

POSTERS = 4
"""How many events it posts at a time."""

HELD_BACK = 20
"""Among how many events the next one to be posted is chosen."""

AT = "2026-11-29T12:00:{:02}Z"


class ReportingPostmark(FakePostmark):
    """Bounces every 50th address and has a complaint of one in 1,000, by the number in
    ``reader7@example.org``.

    Its events come in any order, each third of them twice, and those of every 5th
    address before it answers the request that sent the mail. Every other event has
    Postmark's id alone. An event is posted until somebody answers 200.
    """

    def __init__(self) -> None:
        super().__init__()
        self.port_of_app: int | None = None
        """Where the events are posted; None while nobody takes them."""
        self.mailed: list[str] = []
        """Whom it took mail to, in order."""
        self.posted = 0
        """How many events were answered 200."""
        self._random = random.Random(16)
        self._events: list[Event] = []
        self._changed = threading.Condition()
        self._early: SimpleQueue[threading.Event] = SimpleQueue()
        self._ended = False
        self._under_way = 0
        self._posters = [threading.Thread(target=self._post) for _ in range(POSTERS)]
        for one in self._posters:
            one.start()

    def __exit__(self, *reason: object) -> None:
        super().__exit__(*reason)
        with self._changed:
            self._ended = True
            self._changed.notify_all()
        for one in self._posters:
            one.join()

    @staticmethod
    def bounces(number: int) -> bool:
        """Whether mail to the reader with this number bounces."""
        return number % 50 == 0

    @staticmethod
    def complains(number: int) -> bool:
        """Whether the reader with this number complains."""
        return number % 1_000 == 7

    @property
    def to_post(self) -> int:
        """How many events nobody has taken yet."""
        with self._changed:
            return len(self._events) + self._under_way

    def success(self, request: Request) -> Answer:
        answer = super().success(request)
        address: str = request.json["To"]
        number = int(address.removeprefix("reader").partition("@")[0])
        self.mailed.append(address)
        events = self._became(number, address, answer.body["MessageID"], request)
        is_early = number % 5 == 0
        if is_early:
            stored = threading.Event()
            events[-1]["_stored"] = stored
            self._early.put(stored)
        with self._changed:
            place = 0 if is_early else len(self._events)
            self._events[place:place] = events
            self._changed.notify_all()
        return answer

    def joined(self, answers: list[Answer]) -> Answer:
        while not self._early.empty():
            assert self._early.get().wait(WAIT_SECONDS)
        return super().joined(answers)

    def _became(
        self, number: int, address: str, id: str, request: Request
    ) -> list[Event]:
        said: dict[str, Any] = {"MessageID": id, "MessageStream": "outbound"}
        if number % 2:
            said["Metadata"] = request.json["Metadata"]
        if self.bounces(number):
            bounced = {
                **said,
                "RecordType": "Bounce",
                "ID": number + 1,
                "Type": "HardBounce",
                "Email": address,
                "BouncedAt": AT.format(30),
                "Details": "smtp;550 5.1.1 No such user.",
            }
            passing = {**bounced, "ID": -number - 1, "Type": "Transient"}
            events = [passing, bounced]
        else:
            delivered = {"Recipient": address, "DeliveredAt": AT.format(10)}
            events = [{**said, "RecordType": "Delivery", **delivered}]
            if self.complains(number):
                complained = {
                    "ID": number,
                    "Email": address,
                    "BouncedAt": AT.format(40),
                }
                events.append({**said, "RecordType": "SpamComplaint", **complained})
        if number % 3 == 0:
            events = [*events, *map(dict, events)]
        return events

    def _post(self) -> None:
        while (event := self._next()) is not None:
            stored = event.pop("_stored", None)
            body = json.dumps(event).encode()
            while not self._is_taken(body):
                with self._changed:
                    if self._ended:
                        return
                    self._changed.wait(0.05)
            with self._changed:
                self.posted += 1
                self._under_way -= 1
            if stored is not None:
                stored.set()

    def _next(self) -> Event | None:
        with self._changed:
            self._changed.wait_for(lambda: self._events or self._ended)
            if self._ended:
                return None
            self._under_way += 1
            some = min(HELD_BACK, len(self._events))
            return self._events.pop(self._random.randrange(some))

    def _is_taken(self, body: bytes) -> bool:
        if self.port_of_app is None:
            return False
        headers = {"Authorization": BASIC, "Content-Type": "application/json"}
        link = http.client.HTTPConnection("127.0.0.1", self.port_of_app, timeout=60)
        with contextlib.closing(link):
            try:
                link.request("POST", "/mail-events/default", body, headers)
                return link.getresponse().status == 200
            except (OSError, http.client.HTTPException):
                return False
