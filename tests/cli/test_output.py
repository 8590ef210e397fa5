"""Tables: within the width, with nothing cut off and no control characters."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flask_outbox.cli.output import columns, fields, printable, table, wrap

ID = "01M86TYWPGG2R5HEJBTE1K4404"
HEADINGS = ("Step", "What happened", "Output")
STORY = [
    ("1", "POST /send-email (request 4a5e8c) enqueued the message", f"id {ID}"),
    ("2", "Attempt 1 began", ""),
    (
        "3",
        "The next hop refused the mail permanently",
        "550 5.1.1 " + "no such user " * 9,
    ),
]


def test_columns_are_no_wider_than_needed() -> None:
    assert table(("Id", "State"), [("1", "sent"), ("22", "pending")], 80) == (
        "Id  State\n--  -------\n1   sent\n22  pending"
    )


@pytest.mark.parametrize("width", [60, 80, 120])
def test_a_table_fits_the_width_and_loses_nothing(width: int) -> None:
    lines = table(HEADINGS, STORY, width).splitlines()
    assert max(map(columns, lines)) <= width
    text = " ".join(lines)
    for row in STORY:
        for cell in row:
            assert all(word in text for word in cell.split())


def test_a_cell_of_one_word_is_not_broken() -> None:
    rows = [(ID, "because " * 9, "so " * 20)]
    assert ID in table(("Id", "Why", "More"), rows, 60)


def test_a_terminal_that_is_too_narrow_gets_wider_lines() -> None:
    said = table(("Id", "Why"), [(ID, "because of this")], 3)
    assert "".join(said.split()).startswith("IdWhy")
    assert columns(max(said.splitlines(), key=columns)) == 6 + 2 + 6


def test_a_word_wider_than_its_column_is_broken() -> None:
    assert wrap("to abcdefgh ij", 3) == ["to", "abc", "def", "gh", "ij"]


def test_wrapped_rows_are_separated_by_blank_lines() -> None:
    wrapped = table(("A", "B"), [("1", "one two three"), ("2", "four")], 12)
    assert wrapped == ("A  B\n-  ---------\n1  one two\n   three\n\n2  four")


def test_wide_and_combining_characters_are_measured_in_columns() -> None:
    assert columns("日本") == 4
    assert columns("e\N{COMBINING ACUTE ACCENT}") == 1
    assert table(("日本", "B"), [("x", "y")], 80).splitlines()[2] == "x     y"


def test_names_and_values_are_aligned() -> None:
    assert fields([("State", "sent"), ("Tag", "a b c")], 80) == (
        "State  sent\nTag    a b c"
    )


def test_control_characters_are_escaped() -> None:
    assert printable("550 \x1b[2J\x07 no\r\nway\t!") == r"550 \x1b[2J\x07 no way !"
    assert printable("\u202egnp.exe") == r"\u202egnp.exe"
    assert printable("a\ud800b") == r"a\ud800b"


@given(
    st.lists(
        st.tuples(*[st.text(st.characters(codec="utf-8"), max_size=60)] * 3), max_size=4
    ),
    st.integers(40, 120),
)
def test_no_text_breaks_a_table(rows: list[tuple[str, ...]], width: int) -> None:
    lines = table(HEADINGS, rows, width).split("\n")
    assert all(columns(line) <= width for line in lines)
    assert all(line.isprintable() for line in lines)
