"""The pages, one per file: importing one adds its routes to the blueprint."""

from . import (
    audit,
    batches,
    bulk,
    doctor,
    export,
    inbox,
    lanes,
    messages,
    overview,
    previews,
    stream,
    suppressions,
    webhooks,
)

__all__ = [
    "audit",
    "batches",
    "bulk",
    "doctor",
    "export",
    "inbox",
    "lanes",
    "messages",
    "overview",
    "previews",
    "stream",
    "suppressions",
    "webhooks",
]
