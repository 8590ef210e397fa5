"""What all suppression lists behind an API share."""

from __future__ import annotations

import asyncio
import json
import string
from collections.abc import Iterable, Mapping, Sequence
from email.utils import parsedate_to_datetime
from urllib.parse import quote, urlsplit

from ...errors import AccountTrouble, Throttled, TransportDown
from ...feedback.json_value import JsonValue, parse
from ..http.api import ApiTransport, Question
from ..http.client import ApiReply, TooLong, as_query
from ..suppression_list import ListedAddress, ListedFor, SuppressionList

PAGE = 250
"""How many entries are asked for at a time: with the longest replies of servers, they
still fit into what is read of an answer."""

LONGEST_WAIT_SECONDS = 60.0
"""A provider that wants to be left alone for longer ends the reading."""

UNTOLD_WAIT_SECONDS = 5.0
"""How long to wait for a provider that does not say how long."""

WAITS = 5
"""How often in a row a provider may ask to be left alone."""


class LongAnswer(TransportDown):
    """The answer is longer than what is read of one."""


class ApiSuppressionList(SuppressionList):
    """A list behind the API by which ``transport`` sends."""

    def __init__(self, transport: ApiTransport) -> None:
        self._transport = transport

    async def ask(
        self,
        method: str,
        path: str,
        query: Mapping[str, str | int] | str = "",
        body: object = None,
    ) -> ApiReply:
        """The answer, 2xx or 404, after such waits as the provider asks for.

        Raises `LongAnswer`.
        """
        asked = query if isinstance(query, str) else as_query(query)
        content = b"" if body is None else json.dumps(body).encode()
        question = Question(method, f"{path}?{asked}" if asked else path, content)
        for _ in range(WAITS):
            try:
                return await self._answer(question)
            except Throttled as error:
                wait = error.wait_seconds
                if wait is None:
                    wait = UNTOLD_WAIT_SECONDS
                if wait > LONGEST_WAIT_SECONDS:
                    raise
                await asyncio.sleep(wait)
        return await self._answer(question)

    async def _answer(self, question: Question) -> ApiReply:
        try:
            return await self._transport.ask(question)
        except TooLong as error:
            raise LongAnswer(
                f"{self._transport.base}{question.path}: the answer is too long to be "
                "read."
            ) from error

    async def ask_for(
        self, path: str, query: Mapping[str, str | int] | str = ""
    ) -> JsonValue:
        """The JSON that is found there. Raises `AccountTrouble` if there is nothing."""
        return self.understood(path, await self.ask("GET", path, query))

    def understood(self, path: str, reply: ApiReply) -> JsonValue:
        """The JSON of an answer. Raises `AccountTrouble` if it is none."""
        if reply.status == 404:
            raise AccountTrouble(
                f"{self._transport.base}{path} was answered 404: is the host in "
                "MAIL_URL right, and does the account have such a list?"
            )
        try:
            return parse(reply.body)
        except ValueError as error:
            raise self.strange(path) from error

    def strange(self, path: str) -> AccountTrouble:
        """The error for an answer that is none of this API."""
        return AccountTrouble(
            f"{self._transport.base}{path} was answered, but not as this API does: is "
            "the host in MAIL_URL right?"
        )

    def items(self, path: str, found: JsonValue) -> list[JsonValue]:
        """The entries of a page. Raises `AccountTrouble` if it is no list."""
        if not isinstance(found.raw, list):
            raise self.strange(path)
        return list(found)

    async def delete(self, path: str) -> bool:
        """Delete what is found there; False if nothing is."""
        return (await self.ask("DELETE", path)).status != 404


def query_of(url: object) -> str:
    """The query of a URL, with what no request may have encoded; "" without one."""
    try:
        query = urlsplit(url).query if isinstance(url, str) else ""
    except ValueError:
        return ""
    return quote(query, safe=string.punctuation)


def seconds(value: JsonValue) -> float | None:
    """A time in ISO 8601, of RFC 5322 or since the epoch, in epoch seconds."""
    found = value.time_or_none()
    if found is None:
        try:
            found = parsedate_to_datetime(value.text)
        except (TypeError, ValueError, OverflowError):
            return None
    return found.timestamp()


def listed(
    items: Iterable[JsonValue],
    listed_for: ListedFor,
    address: str,
    at: str,
    words: str = "",
) -> Sequence[ListedAddress]:
    """The entries of a list that has one reason, by the names of their fields."""
    return [
        ListedAddress(
            one[address].text,
            listed_for,
            seconds(one[at]),
            one[words].text if words else "",
        )
        for one in items
    ]
