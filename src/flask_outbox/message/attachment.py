"""`Attachment`: a file attached to a message; its content is read at once."""

from __future__ import annotations

import mimetypes
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from os import PathLike, fspath
from pathlib import Path
from typing import IO, Any, Protocol, TypeAlias

from ..errors import AttachmentError
from .text import shown

_is_of_one_part = re.compile(
    r"(?!multipart/)[\w.+!#$&^-]+/[\w.+!#$&^-]+", re.I | re.A
).fullmatch
_between_names = re.compile(r"[/\\]")


class ReadableFile(Protocol):
    """A file opened for reading bytes."""

    def read(self) -> bytes:
        """Return the rest of the file."""


class Upload(Protocol):
    """An uploaded file, such as werkzeug's ``FileStorage``."""

    @property
    def stream(self) -> IO[bytes]:
        """The file's content."""

    @property
    def filename(self) -> str | None:
        """The file's name on the client."""


Attachable: TypeAlias = (
    str | bytes | bytearray | memoryview | PathLike[str] | ReadableFile | Upload
)
"""What an attachment can be made of."""


@dataclass(frozen=True, slots=True)
class Content:
    """The content of an attachment, with the name and the type of its source."""

    data: str | bytes
    filename: str | None = None
    content_type: str | None = None


def content_of(given: object) -> Content:
    """Read the content of ``given``. Raises `AttachmentError` if that fails.

    A seekable file is read from its start and left at the position where it was.
    """
    if isinstance(given, (str, bytes)):
        return Content(given)
    if isinstance(given, (bytearray, memoryview)):
        return Content(bytes(given))
    if isinstance(given, PathLike):
        return _read_path(given)
    read = getattr(given, "read", None)
    if callable(read) and not isinstance(given, type):
        return Content(_read_file(given, read), _name_of(given), _type_of(given))
    if given is None:
        raise AttachmentError(
            "data", "is missing; pass the content, or use Attachment.from_path(path)"
        )
    raise AttachmentError(
        "data", f"is {shown(given)}; pass str, bytes, a path or a file open for reading"
    )


def _read_path(path: PathLike[str]) -> Content:
    try:
        return Content(Path(path).read_bytes(), Path(path).name)
    except (OSError, ValueError, TypeError) as error:
        raise AttachmentError(
            "path", f"cannot read {fspath(path)!r}: {_reason(error)}"
        ) from error


def _read_file(file: Any, read: Callable[[], object]) -> bytes:
    try:
        octets = _whole(file, read)
    except (OSError, ValueError) as error:
        raise AttachmentError(
            "data", f"cannot read {shown(file)}: {_reason(error)}"
        ) from error
    if isinstance(octets, (bytes, bytearray, memoryview)):
        return bytes(octets)
    if isinstance(octets, str):
        raise AttachmentError(
            "data",
            f"is {shown(file)}, which is open as text; open it as 'rb', or pass its "
            ".read() to have it sent as UTF-8",
        )
    raise AttachmentError(
        "data", f"is {shown(file)}, whose .read() gives {shown(octets)}; pass bytes"
    )


def _whole(file: Any, read: Callable[[], object]) -> object:
    seekable = getattr(file, "seekable", None)
    if not (callable(seekable) and seekable()):
        return read()
    place = file.tell()
    file.seek(0)
    try:
        return read()
    finally:
        file.seek(place)


def _name_of(file: object) -> str | None:
    """The file name: without folders for an upload, otherwise the file's own.

    An upload with a ``filename`` has the form field's name as its ``name``.
    """
    name = getattr(file, "filename" if hasattr(file, "filename") else "name", None)
    if not isinstance(name, str):
        return None
    return _between_names.split(name)[-1] or None


def _type_of(file: object) -> str | None:
    """The content type of an upload, unless it is not allowed for an attachment."""
    for name in ("mimetype", "content_type"):
        value = getattr(file, name, None)
        if isinstance(value, str) and value:
            return value if _is_of_one_part(value) else None
    return None


def _reason(error: Exception) -> object:
    return getattr(error, "strerror", None) or error


_COMPRESSED = {"gzip": "application/gzip", "bzip2": "application/x-bzip2"}


class Attachment:
    """A file attached to a message.

    ``data`` is text, bytes, a path, an upload or another file opened for reading bytes.
    It is read at once: from the start if it is seekable. Name and type default to those
    of the upload or file; otherwise the type is guessed from the name. Text is sent as
    UTF-8. With ``content_id="logo"`` it is an inline image, which the HTML shows as
    ``<img src="cid:logo">``. ``headers`` are added to its MIME part.
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
        self.data: str | bytes = content.data
        self.filename: str | None = content.filename if filename is None else filename
        self.content_type: str = (
            content_type
            or content.content_type
            or _guess_type(self.filename, self.data)
        )
        self.content_id = content_id
        self.disposition: str = disposition or (
            "inline" if content_id else "attachment"
        )
        self.headers: dict[str, str] = dict(headers or {})

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
        """The file at ``path``, read at once; its name is the file's name.

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
