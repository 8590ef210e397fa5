"""Rows: to whom each message of a batch goes, and what its template is filled with."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ..characters import shown
from ..errors import MessageError
from ..message import Address, AddressLike, Message

Row = Mapping[str, Any] | tuple[AddressLike, Mapping[str, Any]]
"""A mapping whose ``to`` is the address, or an address and a mapping."""

TO = "to"


def from_template(template: str, **message: Any) -> Callable[[Row], Message]:
    """What makes a row a message from ``template``, which a courier is to render.

    ``message`` are more arguments of `Message.from_template`.
    """

    def message_of(row: Row) -> Message:
        address, context = parted(row)
        return Message.from_template(
            template, [address], context=context, render="later", **message
        )

    return message_of


def whom_of(row: Row) -> Iterable[str]:
    """To whom a row goes."""
    address, _ = parted(row)
    return [Address.parse(address, TO).spec]


def parted(row: Any) -> tuple[AddressLike, Mapping[str, Any]]:
    """A row's address and its context. Raises `MessageError` for what is no row."""
    match row:
        case Mapping():
            if TO not in row:
                names = ", ".join(map(str, row)) or "nothing"
                raise MessageError(TO, f"the row has no {TO!r} but only {names}.")
            return row[TO], row
        case (address, Mapping() as context):
            return address, context
    raise MessageError(
        "rows",
        f"{shown(row)} is no row: pass a mapping with {TO!r} and what the template is "
        "filled with, or a pair of the address and that.",
    )
