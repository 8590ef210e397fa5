"""Content: what an attachment is made of, read at the call."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from os import PathLike, fspath
from pathlib import Path
from typing import IO, Any, Protocol, TypeAlias

from ..characters import shown
from ..errors import AttachmentError

_is_of_one_part = re.compile(
    r"(?!multipart/)[\w.+!#$&^-]+/[\w.+!#$&^-]+", re.I | re.A
).fullmatch
_between_names = re.compile(r"[/\\]")


class ReadableFile(Protocol):
    """A file that is open for reading octets."""

    def read(self) -> bytes:
        """All that is left of it."""


class Upload(Protocol):
    """A file that came with a request, as werkzeug's ``FileStorage``."""

    @property
    def stream(self) -> IO[bytes]:
        """The file."""

    @property
    def filename(self) -> str | None:
        """What it was called where it came from."""


Attachable: TypeAlias = (
    str | bytes | bytearray | memoryview | PathLike[str] | ReadableFile | Upload
)
"""What an attachment can be made of."""


@dataclass(frozen=True, slots=True)
class Content:
    """What is attached, with the name and the type that it came with."""

    data: str | bytes
    filename: str | None = None
    content_type: str | None = None


def content_of(given: object) -> Content:
    """Read what was ``given``. Raises `AttachmentError` where that cannot be.

    A file that can be rewound is read whole, wherever it stands, and is left there.
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
    """What an upload was called, without its folders; of another file, its name.

    ``name`` is that of the form's field in an upload that has a ``filename``.
    """
    name = getattr(file, "filename" if hasattr(file, "filename") else "name", None)
    if not isinstance(name, str):
        return None
    return _between_names.split(name)[-1] or None


def _type_of(file: object) -> str | None:
    """The type that an upload came with, unless no attachment can have that."""
    for name in ("mimetype", "content_type"):
        value = getattr(file, name, None)
        if isinstance(value, str) and value:
            return value if _is_of_one_part(value) else None
    return None


def _reason(error: Exception) -> object:
    return getattr(error, "strerror", None) or error
