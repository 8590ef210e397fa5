"""`Attachment`: a file that travels with a message."""

from __future__ import annotations

import mimetypes
from collections.abc import Mapping
from os import PathLike
from pathlib import Path

from .content import Attachable, content_of

_COMPRESSED = {"gzip": "application/gzip", "bzip2": "application/x-bzip2"}


class Attachment:
    """A file that travels with a message.

    ``data`` is text, octets, a path, an upload or another file that is open for reading
    octets, which is read now: whole, where it can be rewound. Name and type are the
    upload's or the file's own where none is given; the type is guessed from the name
    where nothing says it. Text is sent as UTF-8. With ``content_id="logo"`` it is an
    inline image: the HTML shows it as ``<img src="cid:logo">``. The headers in
    ``headers`` are added to its part.
    """

    def __init__(
        self,
        filename: str | None = None,
        content_type: str | None = None,
        data: Attachable | None = None,
        disposition: str | None = None,
        headers: Mapping[str, str] | None = None,
        *,
        content_id: str | None = None,
    ) -> None:
        content = content_of(data)
        self.data = content.data
        self.filename = content.filename if filename is None else filename
        self.content_type = (
            content_type
            or content.content_type
            or _guess_type(self.filename, self.data)
        )
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
        return cls(
            filename or None,
            content_type,
            Path(path),
            disposition,
            headers,
            content_id=content_id,
        )

    def __repr__(self) -> str:
        return f"<Attachment {self.filename!r} {self.content_type}>"


def _guess_type(filename: str | None, data: str | bytes) -> str:
    if isinstance(filename, str):
        name = filename.rpartition("/")[2]
        guessed, compression = mimetypes.guess_type(f"/{name}")
        if compression:
            return _COMPRESSED.get(compression, "application/octet-stream")
        if guessed:
            return guessed
    return "text/plain" if isinstance(data, str) else "application/octet-stream"
