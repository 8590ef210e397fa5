"""``flask outbox person``, and the same in the API."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from flask_outbox import ConfigError, State
from tests.cli.app import mail
from tests.cli.conftest import MakeShop
from tests.cli.shop import Shop

ADA, BOB = "ada@example.org", "bob@example.org"

KEY = "the secret key of this shop"


@pytest.fixture
def shop(make_shop: MakeShop) -> Shop:
    """A shop with a secret key."""
    return make_shop(SECRET_KEY=KEY)


def test_a_person_is_exported(shop: Shop, tmp_path: Path) -> None:
    id = shop.send("Ada@example.org", subject="Your order")
    shop.send(BOB)
    shop.run("suppress", ADA, "--list", "news", "--reason", "asked us")
    shop.deliver()

    document = json.loads(shop.run("person", "export", "ADA@example.org").stdout)

    assert document["address"] == "ADA@example.org"
    suppression, message = document["records"]
    assert (suppression["kind"], suppression["reason"]) == ("suppression", "asked us")
    assert (message["id"], message["subject"]) == (id, "Your order")
    assert message["state"] == "sent"
    assert "Hello" in message["content"]
    assert BOB not in json.dumps(document)
    file = tmp_path / "ada.json"
    said = shop.run("person", "export", ADA, "--output", str(file)).stdout
    assert said == f"Wrote 2 records about {ADA} to {file}.\n"
    assert json.loads(file.read_text())["records"] == document["records"]
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    folder = tmp_path / "missing"
    result = shop.run("person", "export", ADA, "--output", f"{folder}/a.json", code=1)
    assert f"{folder}/a.json cannot be written: No such file" in result.stderr


def test_a_person_is_erased(shop: Shop) -> None:
    sent, kept = shop.send(ADA, subject="Your order"), shop.send(BOB)
    shop.deliver()
    waiting = shop.send(ADA)

    said = shop.run("person", "erase", ADA, "--suppress", "--yes").stdout

    lines = dict(line.rsplit(maxsplit=1) for line in said.splitlines())
    assert lines["Messages erased"] == "2"
    assert lines["Cancelled before"] == "1"
    assert lines["Suppressions kept as digests"] == "1"
    assert json.loads(shop.run("person", "export", ADA).stdout)["records"][1:] == []
    shown = shop.run("show", sent).stdout
    assert "erased-0@invalid" in shown
    assert ADA not in shown
    assert shop.get(waiting).state is State.CANCELLED
    assert shop.get(kept).recipients[0].address == BOB
    assert shop.get(shop.send(ADA)).state is State.SUPPRESSED
    again = shop.document("person", "erase", ADA, "--yes")
    assert (again["messages"], again["waiting"], again["rewritten"]) == (1, [], True)


def test_erase_asks_first(shop: Shop) -> None:
    id = shop.send(ADA)
    result = shop.run("person", "erase", ADA, code=1)
    assert f"Erase all that the outbox keeps about {ADA}?" in result.stderr
    assert shop.get(id).recipients[0].address == ADA


def test_what_cannot_be_erased_yet_is_an_exit_code(shop: Shop) -> None:
    id = shop.send(ADA, BOB)
    result = shop.run("person", "erase", ADA, "--yes", code=1)
    assert result.stderr == (
        f"Error: Message {id} cannot be erased yet: it waits for other recipients.\n"
        f"Error: 1 message still names {ADA}: run this again later.\n"
    )
    document = shop.document("person", "erase", ADA, "--yes", code=1)
    assert [one["message_id"] for one in document["waiting"]] == [id]


def test_an_invalid_address_is_refused(shop: Shop) -> None:
    for command in ("export", "erase"):
        assert "has no '@'" in shop.run("person", command, "ada", code=1).stderr


def test_a_digest_needs_a_secret_key(make_shop: MakeShop) -> None:
    shop = make_shop()
    shop.send(ADA)
    result = shop.run("person", "erase", ADA, "--suppress", "--yes", code=1)
    assert "SECRET_KEY, which is not set: set it. Nothing was erased." in result.stderr
    assert shop.document("person", "erase", ADA, "--yes")["messages"] == 1


def test_a_digest_is_listed_exported_and_imported(
    shop: Shop, make_shop: MakeShop, tmp_path: Path
) -> None:
    shop.run("suppress", ADA)
    shop.run("person", "erase", ADA, "--yes")
    assert "digest:" in shop.run("suppressions").stdout
    assert "digest:" in shop.run("suppressions", ADA).stdout.replace("\n", "")
    file = tmp_path / "list.csv"
    file.write_text(shop.run("suppressions", "--export", "csv").stdout)
    assert ADA not in file.read_text()

    other = make_shop(OUTBOX_URL=f"sqlite:///{tmp_path / 'other.db'}", SECRET_KEY=KEY)
    other.run("suppressions", "--import", str(file))

    assert other.get(other.send(ADA)).state is State.SUPPRESSED
    assert "may be mailed again" in other.run("unsuppress", ADA).stdout
    assert other.get(other.send(ADA)).state is State.PENDING


def test_digests_outlive_a_new_secret_key(make_shop: MakeShop) -> None:
    make_shop(SECRET_KEY=KEY).run("person", "erase", ADA, "--suppress", "--yes")
    renewed = make_shop(SECRET_KEY="another one", SECRET_KEY_FALLBACKS=[KEY])
    assert renewed.get(renewed.send(ADA)).state is State.SUPPRESSED


def test_the_api_does_the_same(shop: Shop, make_shop: MakeShop) -> None:
    id = shop.send(ADA)
    with shop.app.app_context():
        assert [one["id"] for one in mail.export_person("Ada <ADA@example.org>")] == [
            id
        ]
        erased = mail.erase_person(ADA, suppress=True)
        assert (erased.messages, erased.cancelled) == (1, (id,))
        assert [one.source for one in mail.suppressions()] == ["api"]
        assert mail.erase_person(ADA).messages == 0
        assert mail.unsuppress(ADA)
    without = make_shop()
    with without.app.app_context(), pytest.raises(ConfigError):
        mail.erase_person(ADA, suppress=True)
