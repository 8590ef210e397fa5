"""``flask outbox new-key``, ``rekey``, and what ``status`` and ``move`` say of keys."""

from __future__ import annotations

from pathlib import Path

from flask_outbox.config import as_encryption_keys
from flask_outbox.outbox import Database, Outbox
from tests.cli.conftest import MakeShop


def new_key(make_shop: MakeShop, id: str) -> str:
    return make_shop().run("new-key", id).stdout.strip()


def test_a_new_key_is_one_that_the_settings_take(make_shop: MakeShop):
    shop = make_shop()
    keys = [shop.run("new-key").stdout.strip() for _ in range(2)]

    first, second = (as_encryption_keys("it", one)[0] for one in keys)
    assert first.id == second.id
    assert first.secret != second.secret
    assert shop.run("new-key", "mine").stdout.startswith("mine:")


def test_an_id_that_could_not_be_used_is_refused(make_shop: MakeShop):
    refused = make_shop().run("new-key", "not one", code=2)
    assert "1 to 16 letters" in refused.stderr


def test_an_outbox_in_the_clear_is_encrypted(make_shop: MakeShop):
    message_id = make_shop().send(subject="Secret")
    shop = make_shop(OUTBOX_ENCRYPTION_KEYS=new_key(make_shop, "mine"))
    header = " ".join(shop.run("status", code=1).stdout.split())
    rows = shop.document("status", code=1)["encryption"]["rows_left"]
    assert rows > 1
    assert (
        f"key mine; something may be in the clear; {rows} rows left to encrypt; "
        "'flask outbox rekey' does that" in header
    )

    done = shop.run("rekey")

    assert "with the key 'mine'" in done.stdout
    assert "others can be removed" in done.stdout
    assert shop.get(message_id).subject == "Secret"
    document = shop.document("status", code=1)
    assert document["encryption"] == {
        "key": "mine",
        "old_keys": [],
        "missing_keys": [],
        "clear": False,
        "rows_left": None,
    }
    assert shop.document("rekey") == {"key": "mine", "rows": 0, "failed": []}


def test_an_old_key_may_go_once_no_row_needs_it(make_shop: MakeShop):
    old, new = (new_key(make_shop, one) for one in ("old", "new"))
    not_restarted = make_shop(OUTBOX_ENCRYPTION_KEYS=f"{old},{new}")
    not_restarted.send()
    shop = make_shop(OUTBOX_ENCRYPTION_KEYS=f"{new},{old}")
    left = " ".join(shop.run("status", code=1).stdout.split())
    assert "key new; something may need the old key old; 2 rows left" in left
    shop.run("rekey")
    done = " ".join(shop.run("status", code=1).stdout.split())
    assert "key new; no row needs another key: the others can be removed" in done

    not_restarted.send()
    left = " ".join(shop.run("status", code=1).stdout.split())
    assert "key new; 2 rows left to encrypt; 'flask outbox rekey' does that" in left


def test_what_lacks_its_key_is_told_and_is_a_problem(make_shop: MakeShop):
    old, new = (new_key(make_shop, one) for one in ("old", "new"))
    message_id = make_shop(OUTBOX_ENCRYPTION_KEYS=old).send()
    make_shop(OUTBOX_ENCRYPTION_KEYS=f"{new},{old}").send()
    shop = make_shop(OUTBOX_ENCRYPTION_KEYS=new)

    said = shop.run("rekey", code=1)

    assert message_id in said.stderr
    assert "is encrypted with the key 'old'" in said.stderr
    problems = shop.document("status", code=1)["problems"]
    assert any("'old', which is not in OUTBOX_ENCRYPTION_KEYS" in p for p in problems)


def test_a_key_that_nobody_has_used_here_does_not_open_the_outbox(make_shop: MakeShop):
    old, new = (new_key(make_shop, one) for one in ("old", "new"))
    make_shop(OUTBOX_ENCRYPTION_KEYS=old).send()
    said = make_shop(OUTBOX_ENCRYPTION_KEYS=new).run("rekey", code=2)
    assert "can be read with the keys 'old'" in said.stderr


def test_rekeying_without_keys_says_what_to_set(make_shop: MakeShop):
    said = make_shop().run("rekey", code=1)
    assert "OUTBOX_ENCRYPTION_KEYS is not set" in said.stderr


def test_an_outbox_moves_to_other_keys(make_shop: MakeShop, tmp_path: Path):
    old, new = (new_key(make_shop, one) for one in ("old", "new"))
    shop = make_shop(OUTBOX_ENCRYPTION_KEYS=old)
    message_id = shop.send(subject="Secret")
    to = f"sqlite:///{tmp_path / 'there.db'}"

    shop.run("move", "--to", to, "--to-keys", new)

    there = Database(to, keys=as_encryption_keys("it", new))
    assert Outbox(there).get(message_id).subject == "Secret"
    there.close()
    refused = shop.run("move", "--to", to, "--to-keys", "none", code=2).stderr
    assert "encrypted, with the keys 'new': set --to-keys." in refused
    refused = shop.run("move", "--to", to, code=2).stderr
    assert "the keys 'new', and none of these is in --to-keys" in refused
