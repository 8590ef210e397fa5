"""`ApiTransport`: what all providers' APIs share."""

from __future__ import annotations

import asyncio
import hashlib
import importlib.util
import json
import time
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any, ClassVar, Protocol

from ...config import Key, UrlSettings, is_loopback
from ...config.convert import as_flag
from ...delivery import (
    Envelope,
    Outcome,
    Progress,
    RecipientReport,
    Reply,
    Report,
    retry_after_seconds,
)
from ...errors import (
    AccountTrouble,
    ConfigError,
    LeaseLost,
    MessageError,
    Throttled,
    TransportDown,
    redacted,
    text_from,
)
from ...feedback.provider import OUTBOX_ID
from ...oauth import AccessTokens
from ..base import Transport
from .client import ApiClient, ApiReply, ApiRequest, NoReply, NotSent
from .fields import Fields

KEY_SECONDS = 300.0
"""How long a key from a function is used before the function is asked again."""

REPEATS = 2
"""How often a request with an idempotency key is repeated if no reply comes."""

TLS = Key(
    "tls",
    "bool",
    True,
    "False speaks plain HTTP, to a server on this machine only.",
    as_flag,
)


class Means(Enum):
    """What an error of an API means."""

    REFUSED = "this message can never be sent"
    DEFERRED = "it was not taken, and may be later"
    UNKNOWN = "it may have been taken"
    ACCOUNT = "the account is in trouble, whatever the message"
    WAIT = "too much was sent in too short a time"


BY_STATUS: Mapping[int, Means] = {
    400: Means.REFUSED,
    408: Means.UNKNOWN,
    409: Means.REFUSED,
    413: Means.REFUSED,
    415: Means.REFUSED,
    422: Means.REFUSED,
    429: Means.WAIT,
}
"""What a status means without a better word; 5xx defers, and all else is the account's.
A 408 may be a server's last word on an idle connection, and no reply to a request that
had just left (RFC 9110 section 15.5.9)."""


@dataclass(frozen=True, slots=True)
class Part:
    """A message, or that part of it which one request sends."""

    envelope: Envelope
    what: Any
    progress: Progress


@dataclass(frozen=True, slots=True)
class Question:
    """A request to an API that sends no mail, without the key."""

    method: str
    path: str
    """Encoded, with its query."""
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Answer:
    """The reply to a part, and the key of its request."""

    reply: ApiReply
    key: Any = field(repr=False)


class ApiTransport(Transport):
    """Sends by a provider's HTTP API, as ``scheme://key@host``.

    Without a host it is the provider's own. A message that the API has no words for is
    refused.
    """

    host: ClassVar[str]
    """Where the API is."""
    max_recipients: ClassVar[int] = 50
    """To how many recipients one request may send."""
    idempotent: ClassVar[bool] = False
    """Whether a request may be repeated, as its key keeps it from being sent twice."""
    errors: ClassVar[Mapping[str, Means]] = {}
    """What the provider's own codes mean; its others mean what their status does."""
    options: ClassVar[tuple[Key, ...]] = (TLS,)

    def __init__(self, settings: UrlSettings) -> None:
        self._client = ApiClient(settings)
        self._key = key_source(settings)
        self.settings = settings
        http = "https" if settings.options["tls"] else "http"
        port = f":{settings.port}" if settings.port else ""
        host = settings.host or self.host
        self.base: str = f"{http}://{host}{port}"
        default_port = 443 if settings.options["tls"] else 80
        self.server_address: tuple[str, int] = host, settings.port or default_port

    @classmethod
    def check_settings(cls, settings: UrlSettings) -> None:
        """Refuse an absent package or key, and a key that would go unencrypted."""
        if importlib.util.find_spec("aiohttp") is None:
            raise ConfigError(
                f"{settings.scheme}:// needs the package aiohttp: install it with "
                'pip install "flask-outbox[http]".'
            )
        if not settings.options["tls"] and not is_loopback(settings.host):
            raise ConfigError(
                f"{settings.scheme}:// with tls=no would send its key unencrypted: "
                "that is for a server on this machine, such as 127.0.0.1."
            )
        cls.check_key(settings)

    @classmethod
    def check_key(cls, settings: UrlSettings) -> None:
        """Refuse settings without the key of the API."""
        if settings.username is None and settings.api_key is None:
            raise ConfigError(
                f"{settings.scheme}:// has no key: write it before an @, as in "
                f'"{settings.scheme}://KEY@{cls.host}", or set MAIL_API_KEY.'
            )

    @abstractmethod
    def requests(
        self, envelope: Envelope, content: bytes
    ) -> Iterator[tuple[Envelope, Any]]:
        """The requests that send the message: to whom, and what.

        Raises `MessageError` for what the API has no words for.
        """

    @abstractmethod
    def request(self, what: Any, key: Any, unique: str) -> ApiRequest:
        """The request with the account's ``key``. Where requests are safe to repeat,
        ``unique`` is its `unique_key`.
        """

    @abstractmethod
    def accepted(self, envelope: Envelope, reply: ApiReply) -> Mapping[str, str] | None:
        """The provider's id for each recipient of a request that was answered 2xx.

        None if that is no reply of the API, whatever its status.
        """

    def login(self, key: Any) -> dict[str, str]:
        """The headers that show the account's ``key``."""
        return {"Authorization": f"Bearer {key}"}

    def inquiry(self, question: Question, key: Any) -> ApiRequest:
        """The request that asks ``question`` with the account's ``key``."""
        headers = {**self.login(key), "Accept": "application/json"}
        if question.body:
            headers["Content-Type"] = "application/json"
        url = f"{self.base}{question.path}"
        return ApiRequest(url, headers, question.body, question.method)

    def error(self, reply: ApiReply) -> tuple[str, str]:
        """The provider's code for an error, "" without one, and its text."""
        return reply.get("name") or reply.get("code"), reply.get("message")

    def unique_key(self, envelope: Envelope, what: Any) -> str:
        """The same for the same request and no other: 32 hexadecimal digits."""
        return hashed(what)

    def is_duplicate(self, reply: ApiReply) -> bool:
        """Whether an error says that it has accepted this very request before."""
        return False

    def rejected(self, reply: ApiReply) -> bool:
        """Whether the key was rejected, so that another one is worth a try."""
        return reply.status == 401

    def secrets(self, key: Any) -> list[str]:
        """What of the key may not be shown."""
        return [key]

    def outcomes(self, envelope: Envelope, reply: ApiReply) -> Report:
        """The report of a 2xx reply; some providers refuse some recipients by it."""
        told = Reply.parse(reply.status, reply.get("message") or "accepted")
        return Report.same(envelope.recipients, Outcome.ACCEPTED, told)

    # ---------------------------------------------------------------------- delivering

    async def deliver(
        self, envelope: Envelope, content: bytes, progress: Progress
    ) -> Report:
        """Send the message, in as many requests as it takes."""
        made: dict[str, RecipientReport] = {}
        try:
            requests = list(self.requests(envelope, content))
        except MessageError as error:
            refused = Reply.observed(str(error))
            return Report.same(envelope.recipients, Outcome.REFUSED, refused)
        for part, what in requests:
            try:
                report = await self._send(Part(part, what, progress))
            except (TransportDown, LeaseLost) as error:
                if not made:
                    raise
                later = Reply.observed(str(error))
                report = Report.same(part.recipients, Outcome.DEFERRED, later)
            made.update(report.recipients)
        return Report({one: made[one] for one in envelope.recipients})

    async def _send(self, part: Part) -> Report:
        try:
            answer = await self.answered(part)
        except NotSent as error:
            told = f"the connection was lost before the end of the request: {error}"
            return self._same(part, Outcome.DEFERRED, told)
        except NoReply as error:
            told = f"no reply came to the whole request, so it may be sent: {error}"
            return self._same(part, Outcome.UNKNOWN, told)
        return self._understood(part, answer)

    async def answered(self, part: Part) -> Answer:
        """The answer to a part. Raises `NotSent`, `NoReply`, `LeaseLost` and
        `TransportDown`.
        """
        return await self.called([part])

    async def called(self, parts: Sequence[Part]) -> Answer:
        """The answer to one call with these parts, with another key if need be."""
        key = await self._key.get()
        reply = await self._exchange(parts, key)
        if self.rejected(reply) and await self._key.renewed(key):
            key = await self._key.get()
            reply = await self._exchange(parts, key)
        return Answer(reply, key)

    def call(self, parts: Sequence[Part], key: Any) -> ApiRequest:
        """The request that sends these parts; there is only one."""
        (part,) = parts
        unique = self.unique_key(part.envelope, part.what) if self.idempotent else ""
        return self.request(part.what, key, unique)

    async def _exchange(self, parts: Sequence[Part], key: Any) -> ApiReply:
        """The reply to a request, which is repeated where that is safe.

        Once a request may have been taken, only an answer that settles it will do.
        """
        request = self.call(parts, key)
        told = f"POST {request.url}, {len(request.body)} bytes"
        if len(parts) > 1:
            told += f" for {len(parts)} messages"
        lost: NoReply | None = None
        for _ in range(1 + (REPEATS if self.idempotent else 0)):
            for part in parts:
                part.progress.note("us", told)
            try:
                reply = await self._client.post(
                    request, [part.progress for part in parts]
                )
            except NoReply as error:
                for part in parts:
                    part.progress.note("them", f"(no reply: {error})")
                lost = error
            except (NotSent, TransportDown, LeaseLost):
                if lost is None:
                    raise
                break
            else:
                if lost is None or _settles(reply):
                    return reply
        assert lost is not None
        raise lost

    def _understood(self, part: Part, answer: Answer) -> Report:
        envelope, progress, reply = part.envelope, part.progress, answer.reply
        if 200 <= reply.status < 300:
            ids = self.accepted(envelope, reply)
            if ids is not None:
                report = self.outcomes(envelope, reply)
                told = ", ".join(dict.fromkeys(ids.values()))
                progress.note("them", f"{reply.status} {told}")
                progress.provider_ids.update(ids)
                return report
            raise AccountTrouble(
                f"{self.base} answered {reply.status}, but not as this API does: is "
                "the host in MAIL_URL right?"
            )
        code, text = self.error(reply)
        told = f"{code} {text or reply.text[:200]}".strip()
        told = redacted(told, self.secrets(answer.key))
        progress.note("them", f"{reply.status} {told}")
        if self.is_duplicate(reply):
            known = f"it has this request already: {told}"
            accepted = Reply.parse(reply.status, known)
            return Report.same(envelope.recipients, Outcome.ACCEPTED, accepted)
        means = self.meaning(reply, code, text)
        if means is Means.WAIT:
            wait = retry_after_seconds(reply.headers.get("retry-after", ""))
            raise Throttled(f"{self.base}: {reply.status} {told}", wait)
        if means is Means.ACCOUNT:
            raise AccountTrouble(f"{self.base} takes no mail: {reply.status} {told}")
        outcome = Outcome[means.name]
        return Report.same(
            envelope.recipients, outcome, Reply.parse(reply.status, told)
        )

    def meaning(self, reply: ApiReply, code: str, text: str) -> Means:
        """What an error means: by its code, or else by its status."""
        if code in self.errors:
            return self.errors[code]
        if reply.status >= 500:
            return Means.DEFERRED
        return BY_STATUS.get(reply.status, Means.ACCOUNT)

    def _same(self, part: Part, outcome: Outcome, told: str) -> Report:
        return Report.same(part.envelope.recipients, outcome, Reply.observed(told))

    # ---------------------------------------------------------------------- asking

    async def ask(self, question: Question) -> ApiReply:
        """The answer to ``question``: 2xx, or 404.

        Raises `Throttled`, `AccountTrouble` for any other refusal, `TransportDown` if
        there is no answer or one of 5xx, and `TooLong`.
        """
        reply, told = await self.reply_to(question)
        if 200 <= reply.status < 300 or reply.status == 404:
            return reply
        code, text = self.error(reply)
        said = f"{question.method} {self.base}{question.path.partition('?')[0]} was "
        said += f"answered {reply.status} {told}".rstrip()
        if self.meaning(reply, code, text) is Means.WAIT:
            wait = retry_after_seconds(reply.headers.get("retry-after", ""))
            raise Throttled(said, wait)
        if reply.status >= 500:
            raise TransportDown(said)
        raise AccountTrouble(said)

    async def reply_to(self, question: Question) -> tuple[ApiReply, str]:
        """The reply to ``question``, whatever it says, and the words of an error in it.

        Raises `TransportDown` if there is no reply, and `TooLong`.
        """
        key = await self._key.get()
        reply = await self._client.ask(self.inquiry(question, key))
        if self.rejected(reply) and await self._key.renewed(key):
            key = await self._key.get()
            reply = await self._client.ask(self.inquiry(question, key))
        if 200 <= reply.status < 300:
            return reply, ""
        code, text = self.error(reply)
        told = f"{code} {text or reply.text[:200]}".strip()
        return reply, redacted(told, self.secrets(key))

    # ---------------------------------------------------------------------- the rest

    async def probe(self) -> None:
        """Return if there is a key and the API answers; neither is tried with mail."""
        await self._key.get()
        await self._client.reach(self.base)

    async def close(self) -> None:
        """Close all connections."""
        await self._client.close()


class FieldsTransport(ApiTransport):
    """Sends by an API that takes fields: what a message says, and to whom."""

    @classmethod
    def check_message(cls, envelope: Envelope, content: bytes) -> None:
        """Refuse what the API's fields cannot say."""
        cls.check_fields(Fields.read(content))

    @classmethod
    def check_fields(cls, fields: Fields) -> None:
        """Refuse what this provider's fields cannot say, beside what none can."""

    def requests(
        self, envelope: Envelope, content: bytes
    ) -> Iterator[tuple[Envelope, Any]]:
        """One request; several for too many recipients.

        Recipients whom no header names must not see each other: if there is nobody else
        to be the To, each gets a request.
        """
        fields = Fields.read(content)
        self.check_fields(fields)
        for part in split(envelope, self.max_recipients):
            named = any(fields.is_in_headers(one) for one in part.recipients)
            for one in [part] if named else split(part, 1):
                yield one, fields.addressed(one)


class BytesTransport(ApiTransport):
    """Sends by an API that takes the message as it is, beside its envelope."""

    def requests(
        self, envelope: Envelope, content: bytes
    ) -> Iterator[tuple[Envelope, tuple[Envelope, bytes]]]:
        """One request; several for too many recipients."""
        self.check_message(envelope, content)
        for part in split(envelope, self.max_recipients):
            yield part, (part, content)


def _settles(reply: ApiReply) -> bool:
    """Whether the reply to a repetition says how the request before it ended."""
    return reply.status < 500 and reply.status not in (401, 403, 429)


def split(envelope: Envelope, most: int) -> Iterator[Envelope]:
    """The envelope, in parts of so many recipients at most."""
    everyone = envelope.recipients
    if len(everyone) <= most:
        yield envelope
        return
    for at in range(0, len(everyone), most):
        yield replace(envelope, recipients=everyone[at : at + most])


def echoed(message_id: str | None) -> dict[str, str]:
    """What rides with a message so that the provider's events name it."""
    return {OUTBOX_ID: message_id} if message_id else {}


def hashed(*parts: Any) -> str:
    """The same 32 hexadecimal digits for the same parts."""
    return hashlib.sha256(repr(parts).encode("utf-8", "replace")).hexdigest()[:32]


def as_json(body: Mapping[str, Any]) -> bytes:
    """The body of a request, without what is empty."""
    full = {name: one for name, one in body.items() if one not in (None, "", [], {})}
    return json.dumps(full).encode()


class KeySource(Protocol):
    """Where the key of an API comes from."""

    async def get(self) -> Any:
        """The key of now. Raises `TransportDown` if there is none."""

    async def renewed(self, rejected: Any) -> bool:
        """Whether there is another key than the one that was rejected."""


def key_source(settings: UrlSettings) -> KeySource:
    """Where the key comes from that a URL and ``MAIL_API_KEY`` say."""
    if isinstance(settings.api_key, AccessTokens):
        return OAuthKey(settings.api_key)
    return ApiKey(settings)


class OAuthKey:
    """The access token of an account, renewed before it ends."""

    def __init__(self, tokens: AccessTokens) -> None:
        self._tokens = tokens

    async def get(self) -> str:
        """The token of now. Raises `TransportDown` if the provider gives none."""
        known = self._tokens.known
        return known if known else await asyncio.to_thread(self._tokens)

    async def renewed(self, rejected: str) -> bool:
        """Whether there is another token than the one that was rejected."""
        return await asyncio.to_thread(self._tokens.renew, rejected) != rejected


class ApiKey:
    """The key of an API: the one in its URL, or ``MAIL_API_KEY``."""

    def __init__(self, settings: UrlSettings) -> None:
        self._given = settings.username or settings.api_key
        self._known: str | None = None
        self._until = 0.0

    async def get(self) -> str:
        """The key. Raises `TransportDown` if the function for it fails."""
        if not callable(self._given):
            return self._given or ""
        now = time.monotonic()
        if self._known is None or now >= self._until:
            self._known, self._until = await self._asked(), now + KEY_SECONDS
        return self._known

    async def renewed(self, rejected: str) -> bool:
        """Whether there is another key than the one that was rejected."""
        if not callable(self._given):
            return False
        self._until = 0.0
        return await self.get() != rejected

    async def _asked(self) -> str:
        assert callable(self._given)
        nothing = "MAIL_API_KEY returned no key"
        return await asyncio.to_thread(text_from, self._given, nothing)
