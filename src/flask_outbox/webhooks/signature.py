"""The signature of a webhook, as Standard Webhooks says."""

from __future__ import annotations

import base64
import hmac
from collections.abc import Iterable


def signature(
    keys: Iterable[bytes], webhook_id: str, timestamp: int, body: bytes
) -> str:
    """The value of ``webhook-signature``: one signature for each key.

    A receiver that knows any of the keys accepts it.
    """
    signed = f"{webhook_id}.{timestamp}.".encode() + body
    digests = (hmac.digest(key, signed, "sha256") for key in keys)
    return " ".join(f"v1,{base64.b64encode(one).decode()}" for one in digests)
