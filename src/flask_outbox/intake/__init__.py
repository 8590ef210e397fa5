"""Where mail comes in that reports about mail: by a pipe, by LMTP, from a mailbox."""

from .intake import Intake

__all__ = ["Intake"]
