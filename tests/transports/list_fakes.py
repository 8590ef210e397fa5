"""Fakes of the providers' suppression lists, written from their documentation."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any, ClassVar
from urllib.parse import parse_qs, quote, unquote, urlsplit

from flask_outbox.transports.suppression_list import ListedFor
from tests.servers.http_api import KEY, Answer, FakeApi, Request
from tests.transports.fakes import (
    FakeBrevo,
    FakeMailgun,
    FakePostmark,
    FakeResend,
    FakeSendGrid,
    FakeSes,
    FakeSparkPost,
)

BOUNCE, COMPLAINT = ListedFor.BOUNCE, ListedFor.COMPLAINT
UNSUBSCRIBE, PERSON = ListedFor.UNSUBSCRIBE, ListedFor.PERSON
LONG_AGO = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


@dataclass(frozen=True)
class Entry:
    """One address on a provider's list."""

    address: str
    why: ListedFor = BOUNCE
    at: datetime = LONG_AGO
    words: str = ""
    tag: str = "*"


class Listing(FakeApi):
    """A provider with a suppression list."""

    kinds: tuple[ListedFor, ...] = (BOUNCE, COMPLAINT, UNSUBSCRIBE)
    """What it can list."""
    says_words = True

    def __init__(self, *entries: Entry) -> None:
        super().__init__()
        self.entries = list(entries)
        self.throttles: list[dict[str, str]] = []
        """What its next replies of 429 have for headers."""

    def listing(self, request: Request) -> Answer | None:
        found = self.listed(request)
        if found is None or not self.throttles:
            return found
        return Answer(429, {"message": "slow down"}, self.throttles.pop(0))

    def listed(self, request: Request) -> Answer | None:
        """The answer about the list."""
        raise NotImplementedError

    def of(self, *kinds: ListedFor) -> list[Entry]:
        return [one for one in self.entries if one.why in kinds]

    def drop(self, address: str, *kinds: ListedFor) -> bool:
        left = [
            one
            for one in self.entries
            if one.address != address or (kinds and one.why not in kinds)
        ]
        found = len(left) < len(self.entries)
        self.entries = left
        return found


def query_of(request: Request) -> dict[str, str]:
    return {
        name: one[0] for name, one in parse_qs(urlsplit(request.path).query).items()
    }


def path_of(request: Request) -> str:
    return urlsplit(request.path).path


class ListingPostmark(Listing, FakePostmark):
    """postmarkapp.com/developer/api/suppressions-api."""

    kinds = (BOUNCE, COMPLAINT, UNSUBSCRIBE, PERSON)
    says_words = False
    reasons: ClassVar = {
        BOUNCE: ("HardBounce", "Recipient"),
        COMPLAINT: ("SpamComplaint", "Recipient"),
        UNSUBSCRIBE: ("ManualSuppression", "Recipient"),
        PERSON: ("ManualSuppression", "Customer"),
    }

    def listed(self, request: Request) -> Answer | None:
        place = path_of(request)
        if not place.startswith("/message-streams/"):
            return None
        assert request.headers["x-postmark-server-token"] == KEY
        assert request.headers["accept"] == "application/json"
        if (request.method, place) == (
            "GET",
            "/message-streams/outbound/suppressions/dump",
        ):
            return Answer(200, {"Suppressions": self.dump(query_of(request))})
        assert (request.method, place) == (
            "POST",
            "/message-streams/outbound/suppressions/delete",
        )
        assert request.headers["content-type"] == "application/json"
        told = [
            self.deleted(one["EmailAddress"]) for one in request.json["Suppressions"]
        ]
        return Answer(200, {"Suppressions": told})

    def dump(self, query: dict[str, str]) -> list[Any]:
        first, last = query.get("fromdate", "0001-01-01"), query.get("todate", "9999")
        return [
            {
                "EmailAddress": one.address,
                "SuppressionReason": self.reasons[one.why][0],
                "Origin": self.reasons[one.why][1],
                "CreatedAt": one.at.isoformat(),
            }
            for one in self.entries
            if first <= str(one.at.date()) <= last
        ]

    def deleted(self, address: str) -> dict[str, Any]:
        status = {"EmailAddress": address, "Status": "Deleted", "Message": None}
        if any(one.address == address for one in self.of(COMPLAINT)):
            why = "You do not have the required authority to change this suppression."
            return {**status, "Status": "Failed", "Message": why}
        self.drop(address)
        return status


class ListingSendGrid(Listing, FakeSendGrid):
    """twilio.com/docs/sendgrid/api-reference/bounces-api and its neighbours."""

    lists: ClassVar = {
        "bounces": BOUNCE,
        "spam_reports": COMPLAINT,
        "unsubscribes": UNSUBSCRIBE,
    }

    def listed(self, request: Request) -> Answer | None:
        place = path_of(request)
        found = re.fullmatch(r"/v3/suppression/(\w+)(?:/(.+))?", place)
        every = re.fullmatch(r"/v3/asm/suppressions/global/(.+)", place)
        if not (found or every):
            return None
        assert request.headers["authorization"] == f"Bearer {KEY}"
        if every:
            assert request.method == "DELETE"
            return self.deleted(every[1], UNSUBSCRIBE)
        assert found
        if found[2]:
            assert request.method == "DELETE"
            assert found[1] != "unsubscribes"
            return self.deleted(found[2], self.lists.get(found[1]))
        assert request.method == "GET"
        query = query_of(request)
        limit, offset = int(query["limit"]), int(query["offset"])
        assert 1 <= limit <= 500
        kind = self.lists.get(found[1])
        entries = self.of(kind) if kind else []
        page = [self.shown(one) for one in entries[offset : offset + limit]]
        return Answer(200, page)

    @staticmethod
    def shown(one: Entry) -> dict[str, Any]:
        shown = {"email": one.address, "created": int(one.at.timestamp())}
        return shown | ({"reason": one.words, "status": ""} if one.words else {})

    def deleted(self, address: str, kind: ListedFor | None) -> Answer:
        if kind and self.drop(unquote(address), kind):
            return Answer(204)
        return Answer(404, {"errors": [{"field": None, "message": "not found"}]})


class ListingMailgun(Listing, FakeMailgun):
    """documentation.mailgun.com/docs/mailgun/api-reference/send/mailgun/bounces."""

    lists: ClassVar = {
        "bounces": BOUNCE,
        "complaints": COMPLAINT,
        "unsubscribes": UNSUBSCRIBE,
    }
    next_host = "api.mailgun.net"

    def listed(self, request: Request) -> Answer | None:
        found = re.fullmatch(
            r"/v3/mg\.example\.com/(bounces|complaints|unsubscribes)(?:/(.+))?",
            path_of(request),
        )
        if not found:
            return None
        assert request.headers["authorization"].startswith("Basic ")
        kind = self.lists[found[1]]
        if found[2]:
            assert request.method == "DELETE"
            gone = self.drop(unquote(found[2]), kind)
            told = {"message": "It has been removed" if gone else "Address not found"}
            return Answer(200 if gone else 404, told)
        assert request.method == "GET"
        query = query_of(request)
        limit = int(query.get("limit", 100))
        assert limit <= 1000
        after = query.get("address", "")
        entries = sorted(self.of(kind), key=lambda one: one.address)
        page = [one for one in entries if one.address > after][:limit]
        last = page[-1].address if page else after
        url = f"https://{self.next_host}{path_of(request)}?limit={limit}&page=next"
        paging = {"first": url, "last": url, "previous": url}
        following = f"{url}&address={quote(last)}"
        return Answer(
            200,
            {
                "items": [self.shown(one) for one in page],
                "paging": {**paging, "next": following},
            },
        )

    @staticmethod
    def shown(one: Entry) -> dict[str, Any]:
        at = format_datetime(one.at, usegmt=True)
        shown: dict[str, Any] = {"address": one.address, "created_at": at}
        if one.why is BOUNCE:
            return {**shown, "code": "550", "error": one.words}
        return {**shown, "tags": [one.tag]} if one.why is UNSUBSCRIBE else shown


class ListingSes(Listing, FakeSes):
    """docs.aws.amazon.com/ses: ListSuppressedDestinations and its Delete."""

    kinds = (BOUNCE, COMPLAINT)
    says_words = False

    def listed(self, request: Request) -> Answer | None:
        found = re.fullmatch(
            r"/v2/email/suppression/addresses(?:/(.+))?", path_of(request)
        )
        if not found:
            return None
        assert "SignedHeaders=" in request.headers["authorization"]
        if found[1]:
            assert request.method == "DELETE"
            if self.drop(unquote(found[1])):
                return Answer(200, {})
            return self.typed(404, "NotFoundException", "It is not on the list.")
        assert request.method == "GET"
        query = query_of(request)
        size, start = int(query["PageSize"]), int(query.get("NextToken", "0/+=")[:-3])
        page = self.entries[start : start + size]
        body: dict[str, Any] = {
            "SuppressedDestinationSummaries": [
                {
                    "EmailAddress": one.address,
                    "Reason": one.why.upper(),
                    "LastUpdateTime": one.at.timestamp(),
                }
                for one in page
            ]
        }
        if start + size < len(self.entries):
            body["NextToken"] = f"{start + size}/+="
        return Answer(200, body)


class ListingBrevo(Listing, FakeBrevo):
    """developers.brevo.com/reference/get-transac-blocked-contacts."""

    kinds = (BOUNCE, COMPLAINT, UNSUBSCRIBE, PERSON)
    codes: ClassVar = {
        BOUNCE: "hardBounce",
        COMPLAINT: "contactFlaggedAsSpam",
        UNSUBSCRIBE: "unsubscribedViaEmail",
        PERSON: "adminBlocked",
    }

    def listed(self, request: Request) -> Answer | None:
        found = re.fullmatch(r"/v3/smtp/blockedContacts(?:/(.+))?", path_of(request))
        if not found:
            return None
        assert request.headers["api-key"] == KEY
        if found[1]:
            assert request.method == "DELETE"
            if self.drop(unquote(found[1])):
                return Answer(204)
            return self.coded(404, "document_not_found", "Contact does not exist")
        assert request.method == "GET"
        query = query_of(request)
        limit, offset = int(query["limit"]), int(query["offset"])
        assert limit <= 100
        assert query["sort"] == "asc"
        contacts = [
            {
                "email": one.address,
                "senderEmail": "",
                "reason": {"code": self.codes[one.why], "message": one.words},
                "blockedAt": one.at.isoformat(),
            }
            for one in self.entries[offset : offset + limit]
        ]
        return Answer(200, {"count": len(self.entries), "contacts": contacts})


class ListingResend(Listing, FakeResend):
    """resend.com/docs/api-reference/suppressions."""

    kinds = (BOUNCE, COMPLAINT, PERSON)
    says_words = False

    def listed(self, request: Request) -> Answer | None:
        found = re.fullmatch(r"/suppressions(?:/(.+))?", path_of(request))
        if not found:
            return None
        assert request.headers["authorization"] == f"Bearer {KEY}"
        if found[1]:
            assert request.method == "DELETE"
            if self.drop(unquote(found[1])):
                return Answer(200, {"object": "suppression", "deleted": True})
            return self.named(404, "not_found", "Suppression not found")
        assert request.method == "GET"
        query = query_of(request)
        limit, after = int(query["limit"]), query.get("after", "id-0")
        assert limit <= 100
        start = int(after.removeprefix("id-"))
        page = self.entries[start : start + limit]
        data = [
            {
                "object": "suppression",
                "id": f"id-{start + number}",
                "email": one.address,
                "origin": "manual" if one.why is PERSON else str(one.why),
                "source_id": None,
                "created_at": one.at.isoformat(),
            }
            for number, one in enumerate(page, 1)
        ]
        more = start + limit < len(self.entries)
        return Answer(200, {"object": "list", "has_more": more, "data": data})


class ListingSparkPost(Listing, FakeSparkPost):
    """developers.sparkpost.com/api/suppression-list."""

    kinds = (BOUNCE, COMPLAINT, UNSUBSCRIBE, PERSON)
    sources: ClassVar = {
        BOUNCE: "Bounce Rule",
        COMPLAINT: "Spam Complaint",
        UNSUBSCRIBE: "List Unsubscribe",
        PERSON: "Manually Added",
    }

    def listed(self, request: Request) -> Answer | None:
        path = r"/api/v1/suppression-list(?:/(.+))?"
        found = re.fullmatch(path, path_of(request))
        if not found:
            return None
        assert request.headers["authorization"] == KEY
        if found[1]:
            assert request.method == "DELETE"
            if self.drop(unquote(found[1])):
                return Answer(204)
            return self.coded(404, "", "Recipient could not be found")
        assert request.method == "GET"
        query = query_of(request)
        cursor, size = query["cursor"], int(query["per_page"])
        start = 0 if cursor == "initial" else int(cursor.removesuffix("/+="))
        results = [
            {
                "recipient": one.address,
                "type": "transactional" if one.tag == "other" else "non_transactional",
                "source": self.sources[one.why],
                "description": one.words,
                "created": one.at.isoformat(),
            }
            for one in self.entries[start : start + size]
        ]
        following = quote(f"{start + size}/+=", safe="")
        href = f"/api/v1/suppression-list?cursor={following}&per_page={size}"
        more = start + size < len(self.entries)
        links = [{"href": href, "rel": "next"}] if more else []
        body = {"results": results, "links": links, "total_count": len(self.entries)}
        return Answer(200, body)


LISTING: list[type[Listing]] = [
    ListingBrevo,
    ListingMailgun,
    ListingPostmark,
    ListingResend,
    ListingSendGrid,
    ListingSes,
    ListingSparkPost,
]
