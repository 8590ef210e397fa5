"""The recipient guard: whom an app outside production may mail, and who gets
the rest.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from .delivery import Reply
from .erased_address import ErasedAddresses
from .errors import AddressError, ConfigError
from .message import Address, comparable
from .phrases import Phrase, phrase

ONLY_TO, REDIRECT_TO = "OUTBOX_ONLY_TO", "OUTBOX_REDIRECT_TO"


@dataclass(frozen=True, slots=True)
class Guard:
    """Restricts the recipients of an app's mail.

    Addresses in ``only_to`` are mailed as usual. All other mail goes to
    ``redirect_to``; without it, it goes to nobody. With neither, the guard is off and
    lets all mail pass.
    """

    only_to: tuple[str, ...] = ()
    """Addresses, and domains as ``@example.com``, normalized by `comparable`."""
    redirect_to: str | None = None
    erased: ErasedAddresses = field(
        default_factory=ErasedAddresses, compare=False, repr=False
    )
    """Recognises those on the suppression list whose address was erased; it does so
    whether or not the guard is off."""

    @classmethod
    def read(
        cls,
        only_to: Sequence[str] | None,
        redirect_to: str | None,
        erased: ErasedAddresses | None = None,
    ) -> Guard:
        """Make the guard from the two settings. Raises `ConfigError` for a
        bad address.
        """
        return cls(
            tuple(dict.fromkeys(_pattern(one) for one in only_to or ())),
            None if redirect_to is None else _address(REDIRECT_TO, redirect_to),
            erased or ErasedAddresses(),
        )

    def __bool__(self) -> bool:
        return bool(self.only_to or self.redirect_to)

    def __str__(self) -> str:
        return str(self.words)

    @property
    def words(self) -> Phrase:
        """What it does, in a sentence."""
        whom, key = ", ".join(self.only_to), ONLY_TO
        if self.redirect_to is None and whom:
            return phrase("Only %(whom)s may be mailed (%(key)s).", whom=whom, key=key)
        if self.redirect_to is None:
            return phrase("It is off.")
        place, key = self.redirect_to, REDIRECT_TO
        if whom:
            return phrase(
                "All mail but that to %(whom)s goes to %(place)s instead (%(key)s).",
                whom=whom,
                place=place,
                key=key,
            )
        return phrase(
            "All mail goes to %(place)s instead (%(key)s).", place=place, key=key
        )

    def barred(self, recipients: Iterable[str]) -> dict[str, Reply]:
        """The ``recipients`` that must not be mailed at all, and why."""
        if not self.only_to or self.redirect_to:
            return {}
        why = Reply.observed(f"not in {ONLY_TO}: only {', '.join(self.only_to)} may be")
        return dict.fromkeys(self._outside(recipients), why)

    def redirected(self, recipients: Iterable[str]) -> tuple[str, ...]:
        """The ``recipients`` whose mail goes to ``redirect_to`` instead."""
        return self._outside(recipients) if self.redirect_to else ()

    def _outside(self, recipients: Iterable[str]) -> tuple[str, ...]:
        return tuple(one for one in recipients if not self._allows(one))

    def _allows(self, recipient: str) -> bool:
        address = comparable(recipient)
        domain = f"@{address.rpartition('@')[2]}"
        return address in (*self.only_to, self.redirect_to) or domain in self.only_to


OFF = Guard()
"""The guard that is off."""


def _pattern(text: str) -> str:
    if not text.startswith("@"):
        return _address(ONLY_TO, text)
    return _address(ONLY_TO, f"anyone{text}").removeprefix("anyone")


def _address(name: str, text: str) -> str:
    try:
        return comparable(Address.parse(text, name).spec)
    except AddressError as error:
        wanted = "an address such as 'qa@example.com'"
        if name == ONLY_TO:
            wanted += ", or a domain such as '@example.com'"
        raise ConfigError(f"{error}. Write {wanted}.") from error
