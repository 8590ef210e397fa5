"""``flask outbox suppress``, ``unsuppress`` and ``suppressions``, and their CSV."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from flask_outbox import State
from tests.cli.shop import Shop
from tests.servers import JournalSmtp

ADA, BOB = "ada@example.org", "bob@example.org"


def addresses(shop: Shop) -> list[tuple[str, str]]:
    """Who is on which list."""
    return [(one.address, one.list) for one in shop.outbox.suppressions()]


# ------------------------------------------------------------------ one by one


def test_addresses_are_suppressed(shop: Shop, server: JournalSmtp) -> None:
    said = shop.run("suppress", "ADA@example.org", BOB, "--reason", "asked us").stdout
    first, second = said.splitlines()
    assert first.startswith(f"{ADA}  suppressed since 20")
    assert second.endswith(" UTC: asked us")
    kept_back, sent = shop.send(ADA), shop.send("cy@example.org")
    shop.deliver()
    assert shop.get(kept_back).state is State.SUPPRESSED
    assert shop.get(sent).state is State.SENT
    assert "on the suppression list since 20" in shop.run("show", kept_back).stdout


def test_what_was_said_before_is_shown(shop: Shop) -> None:
    shop.run("suppress", ADA, "--reason", "asked us")
    assert ": asked us" in shop.run("suppress", ADA, "--reason", "again").stdout
    (kept,) = shop.outbox.suppressions()
    assert (kept.reason, kept.source) == ("asked us", "person")


def test_one_that_is_no_address_leaves_the_others(shop: Shop) -> None:
    result = shop.run("suppress", ADA, "bob", code=1)
    assert result.stderr == (
        "Error: address: 'bob' has no '@'; pass an address such as 'ada@example.org'\n"
    )
    assert addresses(shop) == [(ADA, "")]


def test_they_may_be_mailed_again(shop: Shop) -> None:
    shop.run("suppress", ADA, "--list", "news")
    result = shop.run("unsuppress", ADA, code=1)
    assert result.stderr == (
        f"Error: {ADA} is not on the suppression list: 'flask outbox suppressions' "
        "shows who is.\n"
    )
    said = shop.run("unsuppress", ADA, "--list", "news").stdout
    assert said == f"{ADA}  may be mailed again\n"
    assert addresses(shop) == []


def test_for_machines(shop: Shop) -> None:
    results = shop.document("suppress", ADA, "bob", code=1)["results"]
    assert [(one["address"], one["done"]) for one in results] == [
        (ADA, True),
        ("bob", False),
    ]
    assert results[0]["suppression"]["source"] == "person"
    assert "has no '@'" in results[1]["error"]
    (shown,) = shop.document("suppressions")["suppressions"]
    assert shown == results[0]["suppression"]
    (result,) = shop.document("unsuppress", ADA)["results"]
    assert (result["done"], result["suppression"]) == (True, None)


def test_a_list_that_cannot_be(shop: Shop) -> None:
    result = shop.run("suppress", ADA, "--list", " news", code=1)
    assert "list: ' news' begins or ends with a space" in result.stderr


# --------------------------------------------------------------------- shown


def test_who_is_on_the_list(shop: Shop) -> None:
    assert "There are no suppressions." in shop.run("suppressions").stdout
    shop.run("suppress", ADA, "--reason", "asked us")
    shop.run("suppress", ADA, BOB, "--list", "news")
    rows = shop.run("suppressions").stdout.splitlines()
    assert rows[0].split() == ["Address", "List", "Since", "By", "Reason"]
    assert [row.split()[0] for row in rows[2:]] == [ADA, ADA, BOB]
    assert BOB not in shop.run("suppressions", "--list", "").stdout
    assert len(shop.document("suppressions", "--list", "news")["suppressions"]) == 2
    said = shop.run("suppressions", "--limit", "2").stdout
    assert BOB not in said
    assert "There are more: --limit shows them, --export csv prints all." in said


# ----------------------------------------------------------------------- CSV


def test_what_is_exported_can_be_imported(shop: Shop, tmp_path: Path) -> None:
    reason = 'said "no", twice;\nand then, in Zürich, again'
    shop.run("suppress", ADA, "jörg@müller.example", "--reason", reason)
    shop.run("suppress", BOB, "--list", "news")
    before = [*shop.outbox.suppressions()]
    file = tmp_path / "suppressed.csv"
    file.write_bytes(shop.run("suppressions", "--export", "csv").stdout_bytes)
    assert file.read_text().startswith("address,list,reason,source,added_at\n")
    for one in before:
        shop.outbox.unsuppress(one.address, list=one.list)

    said = shop.run("suppressions", "--import", str(file)).stdout

    assert said == "Added 3 suppressions of 3 lines.\n"
    assert [*shop.outbox.suppressions()] == before
    again = shop.document("suppressions", "--import", str(file))
    assert again == {"lines": 3, "added": 0, "present": 3}
    assert [*shop.outbox.suppressions()] == before


def test_a_file_of_a_spreadsheet(shop: Shop, tmp_path: Path) -> None:
    """A byte order mark, capital letters, blank lines, spaces and CRLF."""
    file = tmp_path / "list.csv"
    file.write_bytes(
        f"\ufeffAddress, List\r\n{ADA}, news\r\n\r\n{BOB},\r\n{ADA},news\r\n".encode()
    )
    said = shop.run("suppressions", "--import", str(file)).stdout
    assert said == "Added 2 suppressions of 3 lines; 1 were there already.\n"
    assert addresses(shop) == [(ADA, "news"), (BOB, "")]
    assert {one.source for one in shop.outbox.suppressions()} == {"import"}


def test_lines_at_fault_are_all_named_and_nothing_is_imported(
    shop: Shop, tmp_path: Path
) -> None:
    good = [f"reader-{number}@example.org,,,,\n" for number in range(2, 57_312)]
    file = tmp_path / "list.csv"
    file.write_text(
        "address,list,reason,source,added_at\n"
        + "".join(good)
        + "cy,,,,\n"
        + f"{ADA},,,,,more\n"
        + f"{ADA},,,the moon,\n"
        + f"{ADA},,,,2026-11-24 09:30\n"
        + f"{ADA},,,,yesterday\n"
    )
    result = shop.run("suppressions", "--import", str(file), code=1)
    assert result.stderr.splitlines() == [
        f"Error: {file} has 5 lines at fault. Nothing was imported.",
        "  line 57,312: address: 'cy' has no '@'; pass an address such as "
        "'ada@example.org'",
        "  line 57,313: it has more cells than there are columns.",
        "  line 57,314: source: 'the moon' is none of person, api, import, "
        "unsubscribe.",
        "  line 57,315: added_at: '2026-11-24 09:30' is no time with a zone; write it "
        "as 2026-11-24T09:30:05+00:00.",
        "  line 57,316: added_at: 'yesterday' is no time with a zone; write it as "
        "2026-11-24T09:30:05+00:00.",
    ]
    assert addresses(shop) == []


def test_of_many_faults_the_first_are_named(shop: Shop, tmp_path: Path) -> None:
    file = tmp_path / "list.csv"
    file.write_text("address\n" + "nobody\n" * 1_234)
    result = shop.run("suppressions", "--import", str(file), code=1)
    assert "has 1,234 lines at fault" in result.stderr
    assert result.stderr.splitlines()[-1] == "  and 1,214 lines more"
    assert len(result.stderr.splitlines()) == 22


WRONG = {
    "columns": (
        b"email,list\nada@example.org,\n",
        "its first line names the columns email, list: it needs address, and may have "
        "list, reason, source, added_at, each once and separated by commas.",
    ),
    "semicolons": (b"address;list\nada@example.org;\n", "the columns address;list"),
    "twice": (b"address,address\na,b\n", "the columns address, address"),
    "nothing": (b"", "the columns (none)"),
    "latin-1": ("address\njörg@example.org\n".encode("latin-1"), "it is not UTF-8"),
    "no CSV": (b'address\n"' + b"a" * 200_000, "it is not CSV: field larger than"),
}


@pytest.mark.parametrize(("content", "words"), WRONG.values(), ids=WRONG)
def test_a_file_that_is_something_else(
    shop: Shop, tmp_path: Path, content: bytes, words: str
) -> None:
    file = tmp_path / "list.csv"
    file.write_bytes(content)
    result = shop.run("suppressions", "--import", str(file), code=1)
    assert result.stderr.startswith(f"Error: {file} cannot be imported: ")
    assert words in result.stderr
    assert result.stderr.endswith(" Nothing was imported.\n")
    assert addresses(shop) == []


def test_an_import_that_breaks_off_says_how_far_it_came(
    shop: Shop, tmp_path: Path
) -> None:
    """No number is left in the table that is used up: SQLite says SQLITE_FULL of it."""
    file = tmp_path / "list.csv"
    lines = [f"reader-{number:04}@example.org\n" for number in range(1_200)]
    file.write_text("address\n" + "".join(lines))
    with shop.outbox.database.engine.begin() as connection:
        connection.exec_driver_sql(
            "CREATE TABLE used_up (id INTEGER PRIMARY KEY AUTOINCREMENT)"
        )
        connection.exec_driver_sql(f"INSERT INTO used_up VALUES ({2**63 - 1})")
        connection.exec_driver_sql(
            "CREATE TRIGGER full BEFORE INSERT ON outbox_suppression "
            "WHEN NEW.address = 'reader-0700@example.org' "
            "BEGIN INSERT INTO used_up (id) VALUES (NULL); END"
        )

    result = shop.run("suppressions", "--import", str(file), code=2)

    assert "Make room on the disk." in result.stderr
    assert (
        f"The first 500 lines of 1,200 in {file} are imported. To import the file "
        "again is safe."
    ) in result.stderr
    assert len(addresses(shop)) == 500
    with shop.outbox.database.engine.begin() as connection:
        connection.exec_driver_sql("DROP TRIGGER full")
    again = json.loads(shop.run("suppressions", "--import", str(file), "--json").stdout)
    assert again == {"lines": 1_200, "added": 700, "present": 500}
