"""Misspelt ``MAIL_*`` keys, told from those of other extensions and of the app."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .convert import is_unset
from .mail_keys import MAIL_KEYS

PREFIX = "MAIL_"

SHORT = 4
"""A word of so many letters is one letter away from too many others: ``MAIL_DATE`` is
no mistake for ``MAIL_RATE``."""

OTHER_WORDS = {
    "MAIL_SSL": "MAIL_USE_SSL",
    "MAIL_STARTTLS": "MAIL_USE_TLS",
    "MAIL_TLS": "MAIL_USE_TLS",
    "MAIL_URI": "MAIL_URL",
    "MAIL_USE_STARTTLS": "MAIL_USE_TLS",
}
"""What people write who know another library: an error where the key itself is not set,
for mail would leave unencrypted, or by another server."""

_STEMS = [key.name.removeprefix(PREFIX) for key in MAIL_KEYS]


def nearly(name: str, config: Mapping[str, Any]) -> str | None:
    """The key that whoever wrote ``name`` meant; None where it may be another's."""
    meant = OTHER_WORDS.get(name)
    if meant is not None:
        return meant if is_unset(config.get(meant)) else None
    stem = name.removeprefix(PREFIX)
    return next((PREFIX + one for one in _STEMS if _is_slip(stem, one)), None)


def _is_slip(written: str, meant: str) -> bool:
    """Whether the one is the other but for one slip of the fingers."""
    if sorted(written.split("_")) == sorted(meant.split("_")):
        return True
    if sorted(written) == sorted(meant):
        return _are_two_swapped(written, meant)
    if len(meant) <= SHORT:
        return False
    longer, shorter = sorted((written, meant), key=len, reverse=True)
    same = _common_start(longer, shorter)
    rest = longer[same + 1 :]
    return rest in (shorter[same:], shorter[same + 1 :])


def _are_two_swapped(written: str, meant: str) -> bool:
    same = _common_start(written, meant)
    swapped = meant[same : same + 2][::-1] + meant[same + 2 :]
    return written[same:] == swapped


def _common_start(one: str, other: str) -> int:
    pairs = enumerate(zip(one, other, strict=False))
    return next((at for at, (a, b) in pairs if a != b), min(len(one), len(other)))
