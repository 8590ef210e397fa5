"""Message → Envelope and RFC 5322 bytes: the only place that writes headers.

- `headers`: how one header is written: checked, encoded, folded
- `heading`: the headers at the top of a message, and the envelope that follows
- `bodies`: text and bytes in a transfer encoding
- `parts`: the tree of parts below the heading
- `adopted`: the same from a standard library message, with `header_sources` for what
  its headers are made of, and `adopted_parts` for its parts
- `composer`: `compose`, which puts them together
- `renewed`: the same message once more, as a new one
"""

from .composer import Composed, compose
from .renewed import renewed

__all__ = ["Composed", "compose", "renewed"]
