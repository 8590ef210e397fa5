"""Parses a header of addresses, such as To (RFC 5322 section 3.4).

Parsing is strict: text that two parsers could read as different mailboxes is refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from ..errors import AddressError
from .addresses import Address
from .text import are_encoded_words, decoded, encoded_word, shown

# Each pattern matches a text in one way only, so all run in linear time.
_piece = re.compile(
    r'"(?:[^"\\]|\\.)*"|\[[^\[\]\\]*\]|[ \t]+|[<>,:;@]|[^ \t"()<>,:;@\[\]\\]+'
)
_in_comment = re.compile(r"[^()\\]+|\\.|[()]")
_escaped = re.compile(r"\\(.)")

_SPACE = " "


def read_mailboxes(text: str, field: str) -> list[Address]:
    """All mailboxes in the text of a header, including those in groups.

    Comments are dropped. Encoded words are decoded in names only; decoded text is never
    parsed as an address. Raises `AddressError` with ``field``, or with the place of the
    faulty address as ``field[2]``.
    """
    try:
        found = list(_mailboxes(list(_pieces(text))))
    except _Broken as broken:
        raise AddressError(field, f"{shown(text)} {broken}") from broken
    return [
        Address.parse(mailbox, f"{field}[{index}]")
        for index, mailbox in enumerate(found)
    ]


class _Broken(Exception):
    """What is wrong with a text; completes a sentence that begins with the text."""


def _pieces(text: str) -> Iterator[str]:
    """Quoted strings, literals, atoms and specials; any white space is one space."""
    position = 0
    while position < len(text):
        if text[position] == "(":
            position = _end_of_comment(text, position)
            yield _SPACE
        elif found := _piece.match(text, position):
            position = found.end()
            yield _SPACE if found[0].isspace() else found[0]
        else:
            raise _Broken(f"has a {text[position]!r} that nothing belongs to")


def _end_of_comment(text: str, start: int) -> int:
    depth, position = 0, start
    while found := _in_comment.match(text, position):
        position = found.end()
        depth += {"(": 1, ")": -1}.get(found[0], 0)
        if depth == 0:
            return position
    raise _Broken("has a comment that never ends; close it")


def _mailboxes(pieces: list[str]) -> Iterator[tuple[str, str]]:
    in_group, in_angle = False, False
    item: list[str] = []
    for piece in [*pieces, ","]:
        if not in_angle and piece == ":":
            if in_group:
                raise _Broken("has a group within a group; separate them")
            _name(item)
            in_group, item = True, []
        elif not in_angle and piece in (",", ";"):
            if piece == ";" and not in_group:
                raise _Broken("has a ';' that ends no group; write commas")
            in_group = in_group and piece == ","
            yield from _mailbox(item)
            item = []
        else:
            in_angle = piece == "<" or (in_angle and piece != ">")
            item.append(piece)
    if in_angle:
        raise _Broken("has a '<' without a '>'; add it")
    if in_group:
        raise _Broken("has a group that never ends; write ';' after it")


def _mailbox(item: list[str]) -> Iterator[tuple[str, str]]:
    """The name and address between two commas; None if there is nothing."""
    words = _stripped(item)
    if "<" in words:
        opening = words.index("<")
        if words.index(">") != len(words) - 1:
            raise _Broken("has something behind a '>'; write a comma between addresses")
        yield _name(words[:opening]), _address(words[opening + 1 : -1])
    elif words:
        yield "", _address(words)


def _stripped(pieces: list[str]) -> list[str]:
    begin, end = 0, len(pieces)
    while begin < end and pieces[begin] == _SPACE:
        begin += 1
    while end > begin and pieces[end - 1] == _SPACE:
        end -= 1
    return pieces[begin:end]


def _address(pieces: list[str]) -> str:
    words = _stripped(pieces)
    address = "".join(words)
    if encoded_word.search(address):
        raise _Broken(
            "has an encoded word in an address; only names may be written in those"
        )
    if _SPACE in words:
        raise _Broken(
            "has a space or a comment in an address; write a comma between addresses"
        )
    return address


def _name(pieces: list[str]) -> str:
    """The text of a phrase; the space between two encoded words is dropped."""
    name: list[str] = []
    encoded: list[str] = []
    spaced = False
    for piece in _stripped(pieces):
        if piece == _SPACE:
            spaced = True
            continue
        if are_encoded_words(piece):
            if not encoded:
                name.append(_SPACE * spaced)
            encoded.append(piece)
        else:
            name += [_decoded(encoded), _SPACE * spaced, _word(piece)]
            encoded = []
        spaced = False
    return "".join([*name, _decoded(encoded)])


def _word(piece: str) -> str:
    """The text of an atom or a quoted string in a phrase."""
    if piece in "<>@" or piece.startswith("["):
        raise _Broken(f"has {piece!r} in a name without quotes; put it in quotes")
    if encoded_word.search(piece):
        raise _Broken("has an encoded word that does not stand by itself in a name")
    if piece.startswith('"'):
        return _escaped.sub(r"\1", piece[1:-1])
    return piece


def _decoded(words: list[str]) -> str:
    try:
        return decoded("".join(words))
    except ValueError as error:
        raise _Broken(f"has an encoded word that cannot be read: {error}") from error
