"""Composes messages: `Message` to envelope and RFC 5322 bytes; and parses them.

Nothing else writes headers.

- `compose`: checks a message and puts the parts below together
- `headers`: all headers of a message, and the envelope made from them
- `header_syntax`: how one header is written: checked, encoded, folded
- `parts`: the tree of parts below the headers
- `encoding`: text and bytes in a transfer encoding
- `attachments`: one attachment as a part, with its content type
- `stdlib`: headers and parts of a standard library message
- `parse`: any bytes, parsed so that people can read them
"""

from .compose import Composed, compose
from .headers import with_new_identity

__all__ = ["Composed", "compose", "with_new_identity"]
