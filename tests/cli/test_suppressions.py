"""``flask outbox suppress``, ``unsuppress`` and ``suppressions``, and their CSV."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from flask_outbox import Fate, State
from flask_outbox.delivery import Reply
from flask_outbox.humanize import clock
from tests.cli.shop import Shop
from tests.reports import GONE, HOSTILE, report
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


def test_an_existing_suppression_is_kept_and_shown(shop: Shop) -> None:
    shop.run("suppress", ADA, "--reason", "asked us")
    assert ": asked us" in shop.run("suppress", ADA, "--reason", "again").stdout
    (kept,) = shop.outbox.suppressions()
    assert (kept.reason, kept.source) == ("asked us", "person")


def test_an_invalid_address_does_not_affect_the_others(shop: Shop) -> None:
    result = shop.run("suppress", ADA, "bob", code=1)
    assert result.stderr == (
        "Error: address: 'bob' has no '@'; write an address such as 'ada@example.org'\n"
    )
    assert addresses(shop) == [(ADA, "")]


def test_unsuppress_allows_mail_again(shop: Shop) -> None:
    shop.run("suppress", ADA, "--list", "news")
    result = shop.run("unsuppress", ADA, code=1)
    assert result.stderr == (
        f"Error: {ADA} is not suppressed for all mail, but for news: unsuppress it "
        "with --list news.\n"
    )
    said = shop.run("unsuppress", ADA, "--list", "news").stdout
    assert said == f"{ADA}  may be mailed again\n"
    assert addresses(shop) == []
    result = shop.run("unsuppress", ADA, code=1)
    assert result.stderr == (
        f"Error: {ADA} is not on the suppression list: 'flask outbox suppressions' "
        "shows it.\n"
    )


def test_unsuppress_says_for_which_mail_an_address_is_still_suppressed(
    shop: Shop,
) -> None:
    for list_ in ("", "news", "offers"):
        shop.run("suppress", ADA, "--list", list_)
    said = shop.run("unsuppress", ADA, "--list", "news").stdout
    assert said == (
        f"{ADA}  taken off this list; still suppressed for all mail, offers\n"
    )
    (result,) = shop.document("unsuppress", ADA)["results"]
    assert (result["done"], result["still_on"]) == (True, ["offers"])


def test_results_are_printed_as_json(shop: Shop) -> None:
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


def test_an_invalid_list_name_is_refused(shop: Shop) -> None:
    result = shop.run("suppress", ADA, "--list", " news", code=1)
    assert "list: ' news' begins or ends with a space" in result.stderr


# --------------------------------------------------------------------- shown


def test_suppressions_shows_the_list(shop: Shop) -> None:
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


def bounce(shop: Shop, reply: Reply = GONE) -> str:
    """Have mail to Ada come back; its id."""
    id = shop.send(ADA)
    shop.deliver()
    shop.runtime.take_feedback([report(Fate.BOUNCED, id, event_id="e-1", reply=reply)])
    return id


def test_one_address_is_shown_with_the_report_that_suppressed_it(shop: Shop) -> None:
    id = bounce(shop)
    shop.run("suppress", ADA, "--list", "news", "--reason", "asked us")
    said = shop.run("suppressions", "ADA@example.org").stdout
    by_report, by_person = (
        dict(line.split(maxsplit=1) for line in one.splitlines())
        for one in said.split("\n\n")
    )
    assert by_report["List"] == "all mail"
    assert by_report["By"] == "bounce"
    assert by_report["Reason"] == f"bounced: {GONE}"
    assert by_report["Happened"] == "bounced, as postmark reports"
    assert by_report["Event"] == "e-1"
    assert by_report["Words"] == str(GONE)
    assert by_report["Message"] == id
    (entry,) = shop.outbox.suppressions(source="bounce")
    assert entry.reported_at is not None
    assert by_report["At"] == clock(entry.reported_at)
    assert (by_person["List"], by_person["Reason"]) == ("news", "asked us")
    assert "Event" not in by_person
    (shown,) = shop.document("suppressions", ADA, "--source", "bounce")["suppressions"]
    assert shown["evidence"]["message_id"] == id


def test_an_address_that_is_not_suppressed_is_an_exit_code(shop: Shop) -> None:
    assert shop.run("suppressions", BOB, code=1).stdout == f"{BOB} is not suppressed.\n"
    assert shop.document("suppressions", BOB, code=1) == {"suppressions": []}
    assert "has no '@'" in shop.run("suppressions", "bob", code=1).stderr


def test_suppressions_from_one_source_are_shown(shop: Shop) -> None:
    bounce(shop)
    shop.run("suppress", BOB)
    assert ADA not in shop.run("suppressions", "--source", "person").stdout
    assert BOB not in shop.run("suppressions", "--source", "bounce").stdout
    exported = shop.run("suppressions", "--source", "bounce", "--export", "csv").stdout
    assert (ADA in exported, BOB in exported) == (True, False)


def test_hostile_words_in_a_report_are_escaped(shop: Shop) -> None:
    bounce(shop, Reply(550, None, HOSTILE))
    for command in (["suppressions"], ["suppressions", ADA]):
        said = shop.run(*command, columns=120).stdout
        assert "RAN" in said
        assert said.replace("\n", "").isprintable()


# ----------------------------------------------------------------------- CSV


def test_an_import_keeps_source_and_evidence(shop: Shop, tmp_path: Path) -> None:
    bounce(shop)
    before = [*shop.outbox.suppressions()]
    assert before[0].evidence
    file = tmp_path / "suppressed.csv"
    file.write_bytes(shop.run("suppressions", "--export", "csv").stdout_bytes)
    shop.run("unsuppress", ADA)
    shop.run("suppressions", "--import", str(file))
    assert [*shop.outbox.suppressions()] == before


@pytest.mark.parametrize(
    "evidence",
    [
        "bounced",
        '["bounced"]',
        '{"unknown": "1"}',
        '{"words": 1}',
        '{"message_id": "../lanes"}',
        '{"at": "now"}',
        '{"at": NaN}',
        '{"at": 1e300}',
        "[" * 100_000,
    ],
)
def test_evidence_that_is_none_is_refused(
    shop: Shop, tmp_path: Path, evidence: str
) -> None:
    file = tmp_path / "list.csv"
    with file.open("w", newline="") as opened:
        csv.writer(opened).writerows([["address", "evidence"], [ADA, evidence]])
    error = shop.run("suppressions", "--import", str(file), code=1).stderr
    assert "line 2: evidence: " in error
    assert addresses(shop) == []


def test_an_export_can_be_imported(shop: Shop, tmp_path: Path) -> None:
    reason = 'said "no", twice;\nand then, in Zürich, again'
    shop.run("suppress", ADA, "jörg@müller.example", "--reason", reason)
    shop.run("suppress", BOB, "--list", "news")
    before = [*shop.outbox.suppressions()]
    file = tmp_path / "suppressed.csv"
    file.write_bytes(shop.run("suppressions", "--export", "csv").stdout_bytes)
    assert file.read_text().startswith("address,list,reason,source,added_at,evidence\n")
    for one in before:
        shop.outbox.unsuppress(one.address, list=one.list)

    said = shop.run("suppressions", "--import", str(file)).stdout

    assert said == "Added 3 suppressions of 3 lines.\n"
    assert [*shop.outbox.suppressions()] == before
    again = shop.document("suppressions", "--import", str(file))
    assert again == {"lines": 3, "added": 0, "present": 3}
    assert [*shop.outbox.suppressions()] == before


def test_a_spreadsheets_csv_can_be_imported(shop: Shop, tmp_path: Path) -> None:
    """A byte order mark, capital letters, blank lines, spaces and CRLF."""
    file = tmp_path / "list.csv"
    file.write_bytes(
        f"\ufeffAddress, List\r\n{ADA}, news\r\n\r\n{BOB},\r\n{ADA},news\r\n".encode()
    )
    said = shop.run("suppressions", "--import", str(file)).stdout
    assert said == "Added 2 suppressions of 3 lines; 1 were already listed.\n"
    assert addresses(shop) == [(ADA, "news"), (BOB, "")]
    assert {one.source for one in shop.outbox.suppressions()} == {"import"}


def test_every_invalid_line_is_named_and_nothing_imported(
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
        f"Error: {file} has 5 invalid lines. Nothing was imported.",
        "  line 57,312: address: 'cy' has no '@'; write an address such as "
        "'ada@example.org'",
        "  line 57,313: it has more cells than the header has columns.",
        "  line 57,314: source: 'the moon' is not one of person, api, import, "
        "unsubscribe, bounce, complaint, refusal, provider.",
        "  line 57,315: added_at: '2026-11-24 09:30' is not a time with a zone; write "
        "it as 2026-11-24T09:30:05+00:00.",
        "  line 57,316: added_at: 'yesterday' is not a time with a zone; write it as "
        "2026-11-24T09:30:05+00:00.",
    ]
    assert addresses(shop) == []


def test_only_the_first_of_many_faults_are_named(shop: Shop, tmp_path: Path) -> None:
    file = tmp_path / "list.csv"
    file.write_text("address\n" + "nobody\n" * 1_234)
    result = shop.run("suppressions", "--import", str(file), code=1)
    assert "has 1,234 invalid lines" in result.stderr
    assert result.stderr.splitlines()[-1] == "  and 1,214 lines more"
    assert len(result.stderr.splitlines()) == 22


WRONG = {
    "columns": (
        b"email,list\nada@example.org,\n",
        "its header line has the columns email, list: it needs address, and may have "
        "list, reason, source, added_at, evidence, each once, separated by commas.",
    ),
    "semicolons": (b"address;list\nada@example.org;\n", "the columns address;list"),
    "twice": (b"address,address\na,b\n", "the columns address, address"),
    "nothing": (b"", "the columns (none)"),
    "latin-1": ("address\njörg@example.org\n".encode("latin-1"), "it is not UTF-8"),
    "no CSV": (b'address\n"' + b"a" * 200_000, "it is not CSV: field larger than"),
}


@pytest.mark.parametrize(("content", "words"), WRONG.values(), ids=WRONG)
def test_a_file_that_is_not_a_suppression_csv_is_refused(
    shop: Shop, tmp_path: Path, content: bytes, words: str
) -> None:
    file = tmp_path / "list.csv"
    file.write_bytes(content)
    result = shop.run("suppressions", "--import", str(file), code=1)
    assert result.stderr.startswith(f"Error: {file} cannot be imported: ")
    assert words in result.stderr
    assert result.stderr.endswith(" Nothing was imported.\n")
    assert addresses(shop) == []


def test_an_interrupted_import_says_how_much_was_imported(
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
        f"The first 500 lines of 1,200 in {file} are imported. It is safe to import "
        "the file again."
    ) in result.stderr
    assert len(addresses(shop)) == 500
    with shop.outbox.database.engine.begin() as connection:
        connection.exec_driver_sql("DROP TRIGGER full")
    again = json.loads(shop.run("suppressions", "--import", str(file), "--json").stdout)
    assert again == {"lines": 1_200, "added": 700, "present": 500}


def test_unsuppress_sends_nobody_to_an_api_that_the_app_does_not_use(
    shop: Shop,
) -> None:
    bounce(shop)
    said = shop.run("unsuppress", ADA).stdout
    assert said == (
        f"{ADA}  may be mailed again; if a provider sends the mail, it may still have "
        "it on a list of its own: look on the provider's own pages\n"
    )
