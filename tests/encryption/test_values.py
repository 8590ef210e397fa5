"""Encrypted values: for any value and place, and against whoever changes them."""

from __future__ import annotations

from base64 import b64decode, b64encode
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flask_outbox.config import EncryptionKey
from flask_outbox.errors import Damaged, KeyMissing
from flask_outbox.outbox.encryption import LOOKUP_MARK, Keyring, Place

from .conftest import NEW, OLD

HERE = Place("outbox_content.body", "01MESSAGE")
OTHER_ROW = replace(HERE, row="01OTHER")
OTHER_COLUMN = replace(HERE, column="outbox_content.template")

texts = st.text(st.characters(exclude_categories=["Cs", "Cc"]))
OLDER, RING, NEWER = Keyring([OLD]), Keyring([NEW, OLD]), Keyring([NEW])
LOOKING_UP = Keyring([NEW])
LOOKING_UP.look_up_with(b"3" * 32, may_be_clear=False)


@given(texts, st.binary())
def test_what_is_encrypted_is_read_again(text: str, content: bytes) -> None:
    assert RING.open(RING.seal(text, HERE), HERE) == text
    assert RING.open_bytes(RING.seal_bytes(content, HERE), HERE) == content


@given(texts, texts)
def test_equal_values_of_a_column_stay_equal_and_no_others(
    text: str, other: str
) -> None:
    column, another = str(HERE.column), OTHER_COLUMN.column
    sealed = LOOKING_UP.seal_equally(text, column)

    assert LOOKING_UP.open(sealed, HERE) == text
    assert LOOKING_UP.open(sealed, OTHER_ROW) == text
    assert LOOKING_UP.seal_equally(text, column) == sealed
    assert (LOOKING_UP.seal_equally(other, column) == sealed) == (other == text)
    assert (LOOKING_UP.seal_equally(text, another) == sealed) == (text == "")
    assert LOOKING_UP.forms(text, column) == [sealed]


@given(texts, st.data())
def test_equal_values_that_were_changed_are_not_read(
    text: str, data: st.DataObject
) -> None:
    sealed = LOOKING_UP.seal_equally(f"a{text}", HERE.column)
    mark, whole = (
        sealed[: len(LOOKUP_MARK)],
        bytearray(b64decode(sealed[len(LOOKUP_MARK) :])),
    )
    whole[data.draw(st.integers(0, len(whole) - 1))] ^= 1
    changed = f"{mark}{b64encode(whole).decode()}"

    with pytest.raises(Damaged, match="was changed"):
        LOOKING_UP.open(changed, HERE)
    with pytest.raises(Damaged):
        LOOKING_UP.open(sealed, OTHER_COLUMN)


@given(texts)
def test_what_is_in_the_clear_is_read_as_it_is(text: str) -> None:
    assert RING.open(text, HERE) == text


@given(texts)
def test_each_key_reads_its_own(text: str) -> None:
    sealed = OLDER.seal(text, HERE)

    assert RING.open(sealed, HERE) == text
    with pytest.raises(KeyMissing, match=r"message 01MESSAGE .*'old'") as missing:
        NEWER.open(sealed, HERE)
    assert missing.value.key_id == "old"


@pytest.mark.parametrize("place", [OTHER_ROW, OTHER_COLUMN])
def test_what_was_moved_elsewhere_is_not_read(place: Place) -> None:
    with pytest.raises(Damaged):
        RING.open(RING.seal("Hello", HERE), place)
    with pytest.raises(Damaged):
        RING.open_bytes(RING.seal_bytes(b"Hello", HERE), place)


@given(st.binary(min_size=1), st.data())
def test_what_was_changed_is_not_read(content: bytes, data: st.DataObject) -> None:
    sealed = bytearray(RING.seal_bytes(content, HERE))
    first = len(RING.mark)
    position = data.draw(st.integers(first, len(sealed) - 1))
    sealed[position] ^= data.draw(st.integers(1, 255))

    with pytest.raises(Damaged):
        RING.open_bytes(bytes(sealed), HERE)


@pytest.mark.parametrize("rest", ["", "!", "AAAA", "ä" * 40])
def test_what_is_no_ciphertext_is_not_read(rest: str) -> None:
    with pytest.raises(Damaged):
        RING.open(RING.mark + rest, HERE)
    with pytest.raises(Damaged):
        RING.open_bytes((RING.mark + rest).encode(), HERE)


def test_the_same_twice_is_encrypted_differently() -> None:
    assert RING.seal("Hello", HERE) != RING.seal("Hello", HERE)


def test_equal_contents_have_a_digest_that_takes_the_key() -> None:
    other = Keyring([EncryptionKey("new", b"3" * 32)])

    assert RING.digest(b"one") == NEWER.digest(b"one") != RING.digest(b"two")
    assert RING.digest(b"one") != other.digest(b"one")
