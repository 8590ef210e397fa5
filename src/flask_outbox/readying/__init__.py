"""What is done to a message between its hand-over and the outbox."""

from .interceptors import Interceptor, Interceptors
from .leaving import Link, no_link
from .readying import Readying

__all__ = ["Interceptor", "Interceptors", "Link", "Readying", "no_link"]
