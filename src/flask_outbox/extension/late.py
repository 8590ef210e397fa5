"""An extension that comes late: the app has answered its first request already."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from flask import Flask


@contextmanager
def setting_up(app: Flask) -> Iterator[None]:
    """Have the app take routes and hooks inside the block, whatever it has answered.

    Flask refuses them then, for a request before may have missed them. Ours concern the
    requests that come: nothing of theirs was promised to one before.
    """
    began, app._got_first_request = app._got_first_request, False
    try:
        yield
    finally:
        app._got_first_request = began or app._got_first_request
