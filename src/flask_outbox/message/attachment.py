"""`Attachment`: a file that travels with a message."""

from __future__ import annotations

import mimetypes
from collections.abc import Mapping
from os import PathLike, fspath
from pathlib import Path

from ..characters import shown
from ..errors import AttachmentError

_COMPRESSED = {"gzip": "application/gzip", "bzip2": "application/x-bzip2"}


class Attachment:
    """A file that travels with a message.

    Its type is guessed from ``filename`` unless ``content_type`` says it; text is sent
    as UTF-8. With ``content_id="logo"`` it is an inline image: the HTML shows it as
    ``<img src="cid:logo">``. The headers in ``headers`` are added to its part.
    """

    def __init__(
        self,
        filename: str | None = None,
        content_type: str | None = None,
        data: str | bytes | None = None,
        disposition: str | None = None,
        headers: Mapping[str, str] | None = None,
        *,
        content_id: str | None = None,
    ) -> None:
        self.filename = filename
        self.data = _attachable(data)
        self.content_type = content_type or _guess_type(filename, self.data)
        self.content_id = content_id
        self.disposition = disposition or ("inline" if content_id else "attachment")
        self.headers = dict(headers or {})

    @classmethod
    def from_path(
        cls,
        path: str | PathLike[str],
        filename: str | None = None,
        content_type: str | None = None,
        disposition: str | None = None,
        headers: Mapping[str, str] | None = None,
        *,
        content_id: str | None = None,
    ) -> Attachment:
        """The file at ``path``, read now and named as it is there.

        Raises `AttachmentError` with the file's name if it cannot be read.
        """
        try:
            data = Path(path).read_bytes()
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise AttachmentError(
                "path", f"cannot read {fspath(path)!r}: {reason}"
            ) from error
        return cls(
            filename or Path(path).name,
            content_type,
            data,
            disposition,
            headers,
            content_id=content_id,
        )

    def __repr__(self) -> str:
        return f"<Attachment {self.filename!r} {self.content_type}>"


def _attachable(data: object) -> str | bytes:
    if isinstance(data, (str, bytes)):
        return data
    if isinstance(data, (bytearray, memoryview)):
        return bytes(data)
    if data is None:
        raise AttachmentError(
            "data", "is missing; pass the content, or use Attachment.from_path(path)"
        )
    raise AttachmentError(
        "data", f"is {shown(data)}; pass str or bytes (of an open file: its .read())"
    )


def _guess_type(filename: str | None, data: str | bytes) -> str:
    if isinstance(filename, str):
        name = filename.rpartition("/")[2]
        guessed, compression = mimetypes.guess_type(f"/{name}")
        if compression:
            return _COMPRESSED.get(compression, "application/octet-stream")
        if guessed:
            return guessed
    return "text/plain" if isinstance(data, str) else "application/octet-stream"
