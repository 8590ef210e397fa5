"""From `send` to the outbox: options, interceptors, routing, preparing, batches."""

from .interceptors import Interceptor, Interceptors
from .list_unsubscribe import TEMPLATE_VARIABLE, Link, no_link

__all__ = [
    "TEMPLATE_VARIABLE",
    "Interceptor",
    "Interceptors",
    "Link",
    "no_link",
]
