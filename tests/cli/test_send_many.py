"""``flask outbox send-many``: checks the whole file, and sends each row once."""

from __future__ import annotations

import signal
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from flask_outbox import State
from flask_outbox.sending import batch as handing_over
from tests.cli.conftest import MakeShop
from tests.cli.shop import Shop
from tests.servers import JournalSmtp
from tests.waiting import eventually

LONG = 1_500
FILE = "to,name,issue\nada@example.org,Ada,7\nBob <bob@example.org>,Bob,8\n"


@pytest.fixture
def shop(make_shop: MakeShop, tmp_path: Path) -> Shop:
    """A shop with a newsletter."""
    templates = tmp_path / "templates"
    (templates / "mail").mkdir(parents=True)
    (templates / "mail" / "news.subject.txt").write_text("News for {{ name }}")
    (templates / "mail" / "news.txt").write_text(
        "{% for one in [issue] %}{{ name|upper }}: {{ one }} {{ config.NAME }}"
        "{% endfor %}"
    )
    return make_shop(TEMPLATE_FOLDER=str(templates), NAME="the shop")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "readers.csv"
    path.write_text(FILE)
    return path


@pytest.fixture
def long_file(file: Path) -> Path:
    """One that takes long enough to be interrupted in the middle."""
    rows = (f"user{row}@example.org,N{row},7\n" for row in range(LONG))
    file.write_text("to,name,issue\n" + "".join(rows))
    return file


def complaint(shop: Shop, file: Path, text: str | bytes, *options: str) -> str:
    """What is said of a file that is refused; nothing is handed over."""
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    said = shop.run("send-many", "news", str(file), *options, code=1).stderr
    assert shop.runtime.batches.newest() == []
    assert shop.outbox.list() == []
    return said.removeprefix(f"Error: {file} ")


# ---------------------------------------------------------------------------- sending


def test_each_row_is_sent_its_mail(shop: Shop, file: Path, server: JournalSmtp) -> None:
    said = shop.run("send-many", "news", str(file), "--tag", "weekly").stdout
    (batch,) = shop.runtime.batches.newest()
    assert said == (
        f"Batch {batch.id} has 2 messages. 'flask outbox batch show {batch.id}' shows "
        "the progress.\n"
    )
    assert (batch.name, batch.tag, batch.total) == ("news", "weekly", 2)
    assert shop.outbox.get(shop.outbox.list()[0].id).priority == -100
    shop.deliver()
    assert {mail.recipients[0] for mail in server.wait_for(2)} == {
        "ada@example.org",
        "bob@example.org",
    }
    assert any(b"ADA: 7 the shop" in mail.content for mail in server.mails)


def test_unsubscribe_gives_each_recipient_a_link(
    make_shop: MakeShop, file: Path, tmp_path: Path, server: JournalSmtp
) -> None:
    (tmp_path / "mail").mkdir()
    (tmp_path / "mail" / "leave.txt").write_text("{{ name }}: {{ unsubscribe_url }}")
    (tmp_path / "mail" / "leave.subject.txt").write_text("News")
    settings = {"TEMPLATE_FOLDER": str(tmp_path), "SECRET_KEY": "a secret"}
    settings["OUTBOX_UNSUBSCRIBE_PATH"] = "/unsubscribe"
    command = ("send-many", "leave", str(file), "--unsubscribe")

    nameless = make_shop(**settings)
    without = nameless.run(*command[:-1], code=1).stderr
    assert "--unsubscribe sets 'unsubscribe_url'" in without
    assert "it needs tag=" in nameless.run(*command, code=1).stderr
    said = nameless.run(*command, "--tag", "news", "--dry-run", code=1).stderr
    assert "set SERVER_NAME" in said

    shop = make_shop(**settings, SERVER_NAME="shop.example.com")
    shop.run(*command, "--tag", "news")
    shop.deliver()
    for mail in server.wait_for(2):
        link = shop.runtime.link(mail.recipients[0], "news").encode()
        assert b"List-Unsubscribe: <" + link in mail.content
        assert b": " + link in mail.content.partition(b"\r\n\r\n")[2]


def test_a_dry_run_stores_nothing(shop: Shop, file: Path) -> None:
    said = shop.run("send-many", "news", str(file), "--dry-run").stdout
    assert said == "2 rows, all valid. Nothing was stored.\n"
    assert shop.outbox.list() == []
    assert shop.document("send-many", "news", str(file), "--dry-run") == {
        "rows": 2,
        "batch": None,
    }


def test_value_and_to_set_common_values_and_the_address_column(
    shop: Shop, file: Path
) -> None:
    file.write_text("\ufeffE-mail,name\n ada@example.org ,Ada\n,\n\n", "utf-8")
    options = ("--to", "E-mail", "--value", "issue=7", "--name", "November")
    shop.run("send-many", "news", str(file), *options)
    (batch,) = shop.runtime.batches.newest()
    assert (batch.rows_stored, batch.name) == (1, "November")


def test_the_same_key_sends_no_mail_twice(shop: Shop, file: Path) -> None:
    shop.run("send-many", "news", str(file), "--key", "news-7")
    said = shop.run("send-many", "news", str(file), "--key", "news-7").stdout
    assert "has all of its 2 rows already. Nothing was stored." in said
    again = shop.document("send-many", "news", str(file), "--key", "news-7")
    assert again["batch"]["duplicate"] is True
    assert len(shop.outbox.list()) == 2


# --------------------------------------------------------------------------- complaints


def test_wrong_columns_are_refused(shop: Shop, file: Path) -> None:
    assert complaint(shop, file, "address,name\nada@example.org,Ada\n") == (
        "cannot be sent to: its header line has the columns address, name, and none "
        "of them is 'to': name the column that has the addresses with --to. Columns "
        "are separated by commas. Nothing was stored.\n"
    )
    assert complaint(shop, file, "to\nada@example.org\n") == (
        "cannot be sent to: its header line has the columns to, but the template also "
        "needs 'issue', 'name': add a column, or set it for all rows with --value "
        "NAME=VALUE. Nothing was stored.\n"
    )
    twice = complaint(shop, file, "to,name,name,issue\n")
    assert "where 'name' occurs twice" in twice
    assert "has the columns (none), and" in complaint(shop, file, "")
    assert "it has no rows after" in complaint(shop, file, "to,name,issue\n")


def test_every_invalid_row_is_named(shop: Shop, file: Path) -> None:
    text = FILE + 'bob,"Bob\nB.",7\n,Cy,7\ndi@example.org,Di\ned@example.org,Ed,7,8\n'
    said = complaint(shop, file, text).splitlines()
    assert said[0] == "has 4 invalid rows. Nothing was stored."
    assert said[1].startswith(
        "  row 3 (line 5): to: 'bob' has no '@'; write an address"
    )
    assert said[2].startswith("  row 4 (line 6): to: ")
    assert said[3:] == [
        "  row 5 (line 7): it has fewer cells than the header has columns.",
        "  row 6 (line 8): it has more cells than the header has columns.",
    ]


def test_an_invalid_row_far_inside_the_file_prevents_all_sending(
    shop: Shop, file: Path
) -> None:
    rows = "".join(f"user{row}@example.org,N,7\n" for row in range(1, 57_312))
    text = f"to,name,issue\n{rows}nobody,N,7\nada@example.org,Ada,7\n"
    said = complaint(shop, file, text)
    assert "\n  row 57,312 (line 57,313): to: 'nobody' has no '@'" in said


def test_a_file_that_is_not_utf8_csv_is_refused(shop: Shop, file: Path) -> None:
    assert "it is not UTF-8 text" in complaint(shop, file, FILE.encode("utf-16"))
    unended = f'{FILE}cy@example.org,"Cy,7\n'
    assert "it is not CSV: unexpected end" in complaint(shop, file, unended)


def test_an_error_in_the_template_is_named(shop: Shop, file: Path) -> None:
    said = shop.run("send-many", "olds", str(file), code=1).stderr
    assert "there is no mail/olds.html and no mail/olds.txt" in said
    said = shop.run("send-many", "news", str(file), "--value", "7", code=1).stderr
    assert said == "Error: --value 7 is not of the form NAME=VALUE.\n"


# ------------------------------------------------------------------------ breaking off


def test_resume_continues_an_interrupted_batch(
    shop: Shop, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handing_over, "CHUNK_ROWS", 1)
    shop.outbox.database.open()
    execute(
        shop,
        "CREATE TRIGGER no_bob BEFORE INSERT ON outbox_recipient WHEN NEW.address = "
        "'bob@example.org' BEGIN SELECT RAISE(ABORT, 'disk is full'); END",
    )
    said = shop.run("send-many", "news", str(file), code=2).stderr
    (batch,) = shop.runtime.batches.newest()
    assert said.startswith("Error: Row 2: The outbox at ")
    assert said.endswith(
        f"The first row is stored in batch {batch.id}. Run it again with --resume "
        f"{batch.id}.\n"
    )
    execute(shop, "DROP TRIGGER no_bob")
    shop.run("send-many", "news", str(file), "--resume", batch.id.lower())
    assert shop.runtime.batches.get(batch.id).counts == {State.PENDING: 2}


def execute(shop: Shop, statement: str) -> None:
    """Do to the outbox's file what no part of ours does."""
    path = shop.outbox.database.url.database
    assert path
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(statement)


def test_ctrl_c_says_how_to_resume(shop: Shop, long_file: Path) -> None:
    store = shop.runtime.batches
    shop.outbox.database.open()
    with shop.process("send-many", "news", str(long_file)) as process:
        eventually(lambda: any(one.rows_stored for one in store.newest()))
        process.signal(signal.SIGINT)
        process.ended(1)
    (batch,) = store.newest()
    assert batch.state == "interrupted"
    assert (
        f"Error: The first {batch.rows_stored:,} rows are stored in batch {batch.id}. "
        f"To continue, resume batch {batch.id}.\n"
    ) in process.said
    shop.run("send-many", "news", str(long_file), "--resume", batch.id)
    assert store.get(batch.id).rows_stored == LONG


def test_after_a_kill_resume_loses_and_repeats_nothing(
    shop: Shop, long_file: Path
) -> None:
    store = shop.runtime.batches
    shop.outbox.database.open()
    with shop.process("send-many", "news", str(long_file), "--key", "news-7"):
        eventually(lambda: any(one.rows_stored for one in store.newest()))
    (batch,) = store.newest()
    assert 0 < batch.rows_stored < LONG
    assert batch.rows_stored == sum(batch.counts.values())
    assert batch.state == "interrupted"
    shop.run("send-many", "news", str(long_file), "--key", "news-7")
    assert store.get(batch.id).rows_stored == LONG
    kept = [one.recipients for one in shop.outbox.list(limit=2 * LONG)]
    assert len(kept) == len(set(kept)) == LONG
