"""Messages that write themselves: their bytes leave as they are, or not at all."""

from __future__ import annotations

from email.parser import BytesHeaderParser
from email.policy import compat32

from ..errors import MessageError
from .bodies import wire_fault, with_crlf


def own_form(content: object, otherwise: str) -> tuple[bytes, str]:
    """The bytes as they leave, and their Message-ID, or ``otherwise`` without one.

    Lines are ended by CRLF, as on the wire. Raises `MessageError` for what could not
    leave unchanged.
    """
    if not isinstance(content, bytes):
        kind = type(content).__name__
        raise MessageError("message", f"as_bytes() answered {kind}, and not bytes")
    octets = content if _is_crlf(content) else with_crlf(content)
    if not octets.endswith(b"\r\n"):
        octets += b"\r\n"
    if fault := wire_fault(octets):
        raise MessageError(
            "message",
            f"as_bytes() answered {fault}, which nobody may change for it; "
            "have it write 7bit, quoted-printable or base64",
        )
    headers = BytesHeaderParser(policy=compat32).parsebytes(octets)
    for name in ("Bcc", "Resent-Bcc"):
        if name in headers:
            raise MessageError("message", f"as_bytes() wrote a {name}; leave it out")
    if "From" not in headers or "Date" not in headers:
        raise MessageError("message", "as_bytes() wrote no From or Date; write both")
    return octets, str(headers.get("Message-ID", otherwise)).strip()


def _is_crlf(octets: bytes) -> bool:
    return octets.count(b"\r\n") == octets.count(b"\n") == octets.count(b"\r")
