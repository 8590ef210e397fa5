"""Tokens that are good for one request only, where a signature does not cover it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class OneTimeToken:
    """A token that a provider puts into one request, and into its repetitions."""

    source: str
    """As `Feedback.source`."""
    token: str
    digest: str
    """The same for repetitions, and for no other request."""
