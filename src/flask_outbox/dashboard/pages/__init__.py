"""The pages, a file each: importing one adds its routes to the blueprint."""

from . import (
    acting,
    batches,
    content,
    inbox,
    lanes,
    live,
    message,
    messages,
    overview,
    previews,
    release,
    suppressions,
)

__all__ = [
    "acting",
    "batches",
    "content",
    "inbox",
    "lanes",
    "live",
    "message",
    "messages",
    "overview",
    "previews",
    "release",
    "suppressions",
]
