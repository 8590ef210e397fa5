"""Questions to a provider about the account by which a transport sends."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus

from ...config import UrlSettings
from ...errors import TransportDown
from ...feedback.json_value import JsonValue, parse
from ...transports.http.api import ApiTransport, Question
from ...transports.http.client import as_query
from ..findings import Section
from ..lookups import txt_record

NEARLY_ALL = 0.9
"""How much of a quota may be used before somebody should know."""

ELSEWHERE = "not told by this API; see the provider's pages"


class KeyUnknown(Exception):
    """The API rejects the key itself, whatever is asked."""


class NotNow(Exception):
    """The API wants to be left alone."""


@dataclass(frozen=True, slots=True)
class Senders:
    """Whom mail is from."""

    domains: tuple[str, ...]
    address: str | None
    """The address of the default sender."""

    def address_at(self, domain: str) -> str:
        """The default sender if it is at ``domain``; else ""."""
        address = self.address or ""
        return address if address.rpartition("@")[2].lower() == domain else ""


@dataclass(frozen=True, slots=True)
class Told:
    """An answer."""

    status: int
    code: str
    """The provider's code of an error."""
    words: str
    """The status and, of an error, what the provider says."""
    said: JsonValue

    @property
    def is_good(self) -> bool:
        """Whether the API says what it was asked for."""
        return 200 <= self.status < 300


Rejects = Callable[[Told], bool]
"""Whether an answer says that the key itself is unknown."""


def is_unauthorized(told: Told) -> bool:
    """By its status, as most APIs say it."""
    return told.status == HTTPStatus.UNAUTHORIZED


class Account:
    """Asks, and notes in a section what was seen and found."""

    def __init__(
        self, section: Section, transport: ApiTransport, rejects: Rejects
    ) -> None:
        self.section = section
        self.settings: UrlSettings = transport.settings
        self._transport = transport
        self._rejects = rejects
        self._is_accepted = False

    async def get(
        self, path: str, query: Mapping[str, str | int] | None = None
    ) -> Told:
        """The answer about ``path``: what is asked for, that it is not there, or that
        this key may not ask.

        Raises `KeyUnknown`, `NotNow`, and `TransportDown` if there is no answer, or
        none of this API.
        """
        asked = as_query(query or {})
        question = Question("GET", f"{path}?{asked}" if asked else path)
        reply, words = await self._transport.reply_to(question)
        told = Told(
            reply.status,
            ""
            if reply.status < HTTPStatus.BAD_REQUEST
            else self._transport.error(reply)[0],
            f"{reply.status} {words}".rstrip(),
            _json(reply.body),
        )
        said = f"GET {self._transport.base}{path} was answered {told.words}"
        if self._rejects(told):
            raise KeyUnknown(f"{said}.")
        if told.status == HTTPStatus.TOO_MANY_REQUESTS:
            raise NotNow(f"{said}.")
        if told.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            raise TransportDown(f"{said}.")
        if told.is_good and not isinstance(told.said.raw, dict | list):
            raise TransportDown(
                f"{said}, but not as this API does: is the host in MAIL_URL right?"
            )
        if told.status != HTTPStatus.NOT_FOUND:
            self._accept()
        return told

    def _accept(self) -> None:
        if not self._is_accepted:
            self._is_accepted = True
            self.note("Key", "accepted")

    def note(self, step: str, words: str) -> None:
        """Note what was seen at a step."""
        self.section.note(step, words)

    def can_see(self, step: str, told: Told) -> bool:
        """Whether this key sees what it asked for; if not, that is noted."""
        if not told.is_good:
            self.note(step, f"cannot be seen with this key ({told.words})")
        return told.is_good

    def note_signed(self, domain: str, words: str) -> None:
        """Note a sender that is well, and that the provider signs for ``domain``."""
        self.note("Sender", words)
        self.section.signed.append(domain.lower())

    def check_quota(
        self,
        step: str,
        used: JsonValue,
        limit: JsonValue,
        *,
        ends_mail: bool = True,
    ) -> None:
        """Note how much of a quota is used; nothing if there is none.

        Without ``ends_mail``, mail beyond it may be taken and cost more.
        """
        most, so_far = number(limit), number(used)
        if most is None or so_far is None or most <= 0:
            return
        shown = f"{so_far:,.0f} of {most:,.0f} used"
        self.note(step, shown)
        todo = "Wait until it is renewed, or have the provider raise it."
        if so_far >= most and ends_mail:
            self.section.find("api-quota-used", f"{step}: {shown}.", todo)
        elif so_far >= most * NEARLY_ALL:
            self.section.find("api-quota-low", f"{step}: {shown}.", todo)

    def find_stopped(self, saw: str) -> None:
        """Find that the provider has stopped the account or a domain."""
        self.section.find(
            "api-account-stopped", saw, "See the provider's pages and mails for why."
        )

    def find_unknown(self, sender: str, *, is_whole: bool = True) -> None:
        """Find that nobody has set up this sender; note it where the list of them that
        was seen is not the whole one.
        """
        if not is_whole:
            self.note("Sender", f"{sender} is not among the first of many")
            return
        self.section.find(
            "api-sender-unknown",
            f"{sender} is not among the senders and domains of this account.",
            f"Add {sender.rpartition('@')[2]} in the provider's pages, and write the "
            "records that they show.",
        )

    def find_unverified(
        self, sender: str, status: str, records: Sequence[str] = ()
    ) -> None:
        """Find that this sender is set up, and not verified."""
        self.section.find(
            "api-sender-unverified",
            f"{sender}: {status}.",
            "Write these records, then have the provider verify again."
            if records
            else "Write the records that the provider's pages show.",
            "\n".join(records),
        )

    def find_unsigned(
        self, domain: str, status: str, records: Sequence[str] = ()
    ) -> None:
        """Find that mail from this domain has no signature of the provider's."""
        self.section.find(
            "api-domain-unsigned",
            f"{domain}: {status}.",
            "Write these records, then have the provider verify again."
            if records
            else "Authenticate the domain in the provider's pages.",
            "\n".join(records),
        )


def _json(body: bytes) -> JsonValue:
    try:
        return parse(body)
    except ValueError:
        return JsonValue(None)


def number(value: JsonValue) -> float | None:
    """The number that a value is; None if it is none."""
    try:
        return float(value.text)
    except ValueError:
        return None


def with_parents(domain: str) -> Iterator[str]:
    """A domain and those above it but the last: each may be set up for it."""
    while "." in domain:
        yield domain
        domain = domain.partition(".")[2]


def entry_for(domain: str, entries: JsonValue, name: str) -> JsonValue | None:
    """The entry of a list whose field ``name`` is the domain or one above it."""
    by_name = {one[name].text.lower(): one for one in entries}
    found = (by_name.get(one) for one in with_parents(domain))
    return next((one for one in found if one is not None), None)


def record(name: str, kind: str, value: str) -> str:
    """A record for a zone file."""
    name, kind = name.rstrip("."), kind.upper()
    if kind == "TXT":
        return txt_record(name, value)
    return f"{name}. {kind} {value.rstrip('.')}."
