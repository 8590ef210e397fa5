"""``flask outbox audit``, and the line that each act on the command line leaves."""

from __future__ import annotations

import os
import pwd
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from alembic import command as alembic
from alembic.config import Config

from flask_outbox import Message, State
from flask_outbox.cli import webhooks
from flask_outbox.outbox import REVISION, Database, migrations
from flask_outbox.outbox.records import Act, AuditLine
from tests.cli.app import mail
from tests.cli.conftest import MakeShop
from tests.cli.shop import Shop
from tests.servers import Behaviour, JournalSmtp
from tests.servers.webhook_receiver import SECRET
from tests.transports.list_fakes import Entry, ListingSendGrid

ME = pwd.getpwuid(os.getuid()).pw_name
BOB = "bob@example.org"
MASKED = "b…@e….org"
CRM = {"url": "http://127.0.0.1:9/", "secrets": SECRET, "allow_private": True}
"""Where nobody listens."""

Expected = tuple[str, str, int, str]
"""Act, target, how many, and note."""


@pytest.fixture
def api() -> Iterator[ListingSendGrid]:
    with ListingSendGrid(Entry("cy@example.org"), Entry("di@example.org")) as api:
        yield api


@pytest.fixture
def shop(
    make_shop: MakeShop,
    api: ListingSendGrid,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Shop:
    """A shop with something of everything, of which nobody became another user."""
    monkeypatch.delenv("SUDO_USER", raising=False)
    monkeypatch.setattr(webhooks, "TEST_SECONDS", 0.0)
    (tmp_path / "templates" / "mail").mkdir(parents=True)
    (tmp_path / "templates" / "mail" / "news.txt").write_text("News for {{ name }}")
    (tmp_path / "templates" / "mail" / "news.subject.txt").write_text("News")
    (tmp_path / "readers.csv").write_text("to,name\ned@example.org,Ed\nfo@a.org,Fo\n")
    (tmp_path / "gone.csv").write_text(f"address\n{BOB}\ngy@example.org\n")
    return make_shop(
        TEMPLATE_FOLDER=str(tmp_path / "templates"),
        MAIL_TRANSPORTS={"listed": api.url()},
        OUTBOX_ON_UNKNOWN="hold",
        SECRET_KEY="for the digests of erased addresses",
        OUTBOX_WEBHOOKS={"crm": CRM},
    )


def there(shop: Shop, server: JournalSmtp) -> SimpleNamespace:
    """The ids of messages in each state, and of a batch."""
    server.behaviour = Behaviour(drop="unjournaled")
    unknown, dropped = shop.send(), shop.send()
    shop.deliver()
    server.behaviour = Behaviour()
    sent = shop.send()
    shop.deliver()
    with shop.app.app_context():
        rows = [Message("News", [f"user{row}@example.org"], "News") for row in range(3)]
        batch = mail.send_many(rows, name="News", delay=3_600).id
    later = shop.send(delay=3_600)
    assert shop.get(unknown).state is State.UNKNOWN
    return SimpleNamespace(
        unknown=unknown, dropped=dropped, sent=sent, batch=batch, later=later
    )


def acts(ids: SimpleNamespace, folder: Path) -> dict[str, Expected]:
    """Every command that is an act of a person, and the line that it leaves."""
    return {
        f"cancel {ids.later}": ("cancel", ids.later, 1, ""),
        f"retry {ids.later}": ("retry", ids.later, 1, ""),
        f"release {ids.unknown}": ("release", ids.unknown, 1, ""),
        f"drop {ids.dropped}": ("drop", ids.dropped, 1, ""),
        f"send-again {ids.sent}": ("send again", ids.sent, 1, ""),
        f"show {ids.sent} --content": ("view", ids.sent, 1, ""),
        f"show {ids.later} --content --json": ("view", ids.later, 1, ""),
        f"check {ids.unknown}": ("view", ids.unknown, 1, ""),
        f"batch pause {ids.batch}": ("pause batch", ids.batch, 3, ""),
        f"batch resume {ids.batch}": ("resume batch", ids.batch, 3, ""),
        f"batch cancel {ids.batch}": ("cancel batch", ids.batch, 3, ""),
        f"send-many news {folder}/readers.csv": ("send batch", "", 2, ""),
        "pause default --reason holidays": ("pause lane", "default", 1, ""),
        "resume default": ("resume lane", "default", 1, ""),
        f"suppress {BOB} --list news": ("suppress", MASKED, 1, "news"),
        f"unsuppress {BOB} --list news": ("unsuppress", MASKED, 1, "news"),
        f"suppressions --import {folder}/gone.csv": (
            ("import suppressions", "gone.csv", 2, "")
        ),
        "sync-suppressions listed": ("sync suppressions", "listed", 2, ""),
        f"person export {BOB}": ("export person", MASKED, 1, ""),
        f"person erase {BOB} --yes": ("erase person", MASKED, 1, ""),
        "webhooks pause crm": ("pause webhooks", "crm", 1, ""),
        "webhooks resume crm": ("resume webhooks", "crm", 1, ""),
        "webhooks test crm": ("test webhooks", "crm", 1, ""),
        "webhooks replay crm --failed": ("replay webhooks", "crm", 0, ""),
        "prune": ("prune", "", 0, ""),
        f"move --to sqlite:///{folder}/new.db --abandon": (
            ("abandon move", f"sqlite:///{folder}/new.db", 1, "")
        ),
        f"move --to sqlite:///{folder}/new.db": (
            ("move", f"sqlite:///{folder}/new.db", 10, "")
        ),
    }


NOT_OF_A_SHOP = {
    "download", "export messages", "init", "upgrade", "rekey", "test mail",
}  # fmt: skip
"""Acts of the dashboard, of the doctor, and on tables and keys: others test them."""

NO_ACTS = (
    "status", "list", "show {later}", "show {later} --dialogue", "show {later} --json",
    "batch list", "batch show {batch}", "batch report {batch}", "suppressions",
    "suppressions --export csv", "sync-suppressions listed --dry-run", "webhooks",
    "webhooks show crm", "metrics", "audit", "init", "upgrade",
    "send-many news {folder}/readers.csv --dry-run",
    "move --to sqlite:///{folder}/new.db --dry-run",
)  # fmt: skip
"""Commands that only tell something, or that no person's data depends on."""


def lines(shop: Shop) -> tuple[AuditLine, ...]:
    return shop.outbox.trail.find(limit=100).lines


def test_every_act_leaves_one_line(
    shop: Shop, server: JournalSmtp, tmp_path: Path
) -> None:
    ids = there(shop, server)
    for one in NO_ACTS:
        shop.run(*one.format(**vars(ids), folder=tmp_path).split())
    assert lines(shop) == ()
    table = acts(ids, tmp_path)
    for number, (command, expected) in enumerate(table.items(), 1):
        code = 1 if command.startswith("webhooks test") else 0
        shop.run(*command.split(), code=code)
        found = lines(shop)
        assert len(found) == number, command
        newest = found[0]
        target = newest.target if newest.act != "send batch" else ""
        assert (newest.act, target, newest.many, newest.note) == expected
        assert (newest.actor, newest.face) == (ME, "cli")
    acts_here = {act for act, *_ in table.values()}
    assert acts_here | NOT_OF_A_SHOP == {one.value for one in Act}


def test_who_makes_and_upgrades_the_tables_is_named(
    make_shop: MakeShop, tmp_path: Path
) -> None:
    url = f"sqlite:///{tmp_path}/new.db"
    shop = make_shop(OUTBOX_URL=url)
    for _ in range(2):
        shop.run("init")
    assert [told(one) for one in lines(shop)] == [("init", REVISION, 1, ME)]

    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    engine = Database(url).new_engine()
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        alembic.downgrade(config, "-1")
    engine.dispose()
    for _ in range(2):
        make_shop(OUTBOX_URL=url).run("upgrade")
    newest, *_ = lines(make_shop(OUTBOX_URL=url))
    assert told(newest) == ("upgrade", REVISION, 1, ME)


def test_who_changes_the_keys_is_named(make_shop: MakeShop) -> None:
    old, new = (make_shop().run("new-key", id).stdout.strip() for id in ("old", "new"))
    make_shop(OUTBOX_ENCRYPTION_KEYS=old).run("rekey")
    for _ in range(3):
        make_shop(OUTBOX_ENCRYPTION_KEYS=old).send()
    shop = make_shop(OUTBOX_ENCRYPTION_KEYS=f"{new},{old}")
    rows = shop.document("rekey")["rows"]
    assert rows > 3
    assert shop.document("rekey")["rows"] == 0
    assert [told(one) for one in lines(shop)] == [("rekey", "new", rows, ME)]


def told(line: AuditLine) -> tuple[str, str, int, str]:
    return line.act, line.target, line.many, line.actor


def test_the_trail_moves_along(shop: Shop, make_shop: MakeShop, tmp_path: Path) -> None:
    shop.run("pause", "default")
    to = f"sqlite:///{tmp_path}/new.db"
    for _ in range(2):
        shop.run("move", "--to", to)
    assert lines(make_shop(OUTBOX_URL=to)) == lines(shop)
    assert [one.act for one in lines(shop)] == ["move", "move", "pause lane"]


def test_an_act_that_is_refused_leaves_none(shop: Shop) -> None:
    id = shop.send()
    shop.run("release", id, code=1)
    shop.run("suppress", "nonsense", code=1)
    shop.run("batch", "cancel", "0" * 26, code=1)
    assert lines(shop) == ()


def test_who_became_another_user_is_named(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SUDO_USER", "ada")
    monkeypatch.setenv("LOGNAME", "somebody")
    shop.run("pause", "default")
    assert [one.actor for one in lines(shop)] == [f"ada as {ME}"]


def test_lines_are_pruned_in_their_time(
    shop: Shop, make_shop: MakeShop, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.run("pause", "default")
    late = shop.outbox.clock() + 366 * 86_400
    monkeypatch.setattr(shop.outbox, "clock", lambda: late)
    monkeypatch.setattr(shop.outbox.trail, "clock", lambda: late)
    shop.run("prune")
    assert [one.act for one in lines(shop)] == ["prune"]


# ---------------------------------------------------------------------------- reading


@pytest.fixture
def trail(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Three acts, a day apart."""
    id, now = shop.send(), shop.outbox.clock()
    for days, command in (
        (2, f"cancel {id}"),
        (1, f"suppress {BOB}"),
        (0, "pause default"),
    ):
        at = now - 86_400 * days
        monkeypatch.setattr(shop.outbox, "clock", lambda at=at: at)
        monkeypatch.setattr(shop.outbox.trail, "clock", lambda at=at: at)
        shop.run(*command.split())
    monkeypatch.undo()
    return SimpleNamespace(id=id)


def test_lines_are_shown_the_newest_first(shop: Shop, trail: SimpleNamespace) -> None:
    shown = shop.run("audit", columns=120).stdout
    assert shown.index("pause lane") < shown.index("suppress") < shown.index("cancel")
    assert MASKED in shown
    assert BOB not in shown
    first, *_ = shop.document("audit")["lines"]
    assert {**first, "id": "", "at": ""} == {
        "id": "", "at": "", "actor": ME, "face": "cli", "act": "pause lane",
        "target": "default", "many": 1, "note": "",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("options", "found"),
    [
        ("--message {id}", ["cancel"]),
        ("--target bob@example.org", ["suppress"]),
        ("--target default", ["pause lane"]),
        ("--actor nobody", []),
        ("--act suppress", ["suppress"]),
        ("--since 30h --until 10h", ["suppress"]),
        ("--since 2100-01-01", []),
    ],
)
def test_lines_are_found(
    shop: Shop, trail: SimpleNamespace, options: str, found: list[str]
) -> None:
    given = options.format(id=trail.id[:12].lower()).split()
    told = shop.document("audit", *given)
    assert [one["act"] for one in told["lines"]] == found
    if not found:
        assert "no such lines" in shop.run("audit", *given).stdout


def test_older_lines_are_on_further_pages(shop: Shop, trail: SimpleNamespace) -> None:
    acts: list[str] = []
    before: list[str] = []
    while True:
        page = shop.document("audit", "--limit", "1", *before)
        acts += [one["act"] for one in page["lines"]]
        if page["older"] is None:
            break
        before = ["--before", page["older"]]
    assert acts == ["pause lane", "suppress", "cancel"]
    assert "Older ones: --before" in shop.run("audit", "--limit", "1").stdout


def test_a_wrong_time_is_refused(shop: Shop) -> None:
    refused = shop.run("audit", "--since", "yesterday", code=2)
    assert "'yesterday' is neither a time" in refused.stderr
    assert "--since" in refused.stderr
    shop.run("audit", "--message", "0", "--target", "x", code=2)
