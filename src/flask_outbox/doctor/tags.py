"""Records of ``tag=value`` pairs, as DKIM and DMARC have them."""

from __future__ import annotations


def read_tags(text: str) -> dict[str, str]:
    """The tags of a record, their names in lower case.

    Raises `ValueError` for what is no such record.
    """
    tags: dict[str, str] = {}
    for part in text.split(";"):
        if not part.strip():
            continue
        name, equals, value = part.partition("=")
        name = name.strip().lower()
        if not equals or not name.isidentifier() or name in tags:
            raise ValueError(f"{part.strip()!r} cannot stand there")
        tags[name] = value.strip()
    return tags


def written(name: str, text: str) -> str:
    """A TXT record for a zone file, in strings of the length that DNS allows."""
    pieces = [text[start : start + 255] for start in range(0, len(text), 255)]
    return f"{name}. TXT " + " ".join(f'"{one}"' for one in pieces)
