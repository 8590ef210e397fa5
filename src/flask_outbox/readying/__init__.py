"""What is done to a message between its hand-over and the outbox."""

from .interceptors import Interceptor, Interceptors
from .leaving import IN_TEMPLATES, Link, no_link
from .readying import HeldBack, Readying, nothing_held_back

__all__ = [
    "IN_TEMPLATES",
    "HeldBack",
    "Interceptor",
    "Interceptors",
    "Link",
    "Readying",
    "no_link",
    "nothing_held_back",
]
