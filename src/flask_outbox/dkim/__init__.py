"""DKIM (RFC 6376, RFC 8463): a domain's signature on each message that leaves."""

from .signer import Signed, Signer

__all__ = ["Signed", "Signer"]
