"""The pages, a file each: importing one adds its routes to the blueprint."""

from . import (
    acting,
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
