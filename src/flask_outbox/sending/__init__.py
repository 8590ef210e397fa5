"""From `send` to the outbox: options, interceptors, routing, preparing, batches."""

from .feedback_headers import TEMPLATE_VARIABLE, Link, no_link
from .interceptors import Interceptor, Interceptors

__all__ = [
    "TEMPLATE_VARIABLE",
    "Interceptor",
    "Interceptors",
    "Link",
    "no_link",
]
