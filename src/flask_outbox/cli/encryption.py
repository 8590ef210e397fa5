"""``flask outbox new-key`` and ``rekey``: the keys that encrypt the outbox."""

from __future__ import annotations

import base64
import secrets
from datetime import UTC, datetime

import click

from ..config import KEY_BYTES, as_encryption_keys
from ..errors import ConfigError
from ..humanize import counted
from ..outbox import Rekeyed, Rekeying
from .group import acting, app_runtime, json_option
from .output import print_document, progress, say, say_error

SHOWN_FAILURES = 10


@click.command()
@click.argument("key_id", metavar="[ID]", required=False)
def new_key(key_id: str | None) -> None:
    """Print a new key for OUTBOX_ENCRYPTION_KEYS, as ID:KEY.

    The ID is today's date by default. Nothing is changed: put the key where the app's
    secrets are kept, and make a backup of it. Without the key, nobody can read what was
    encrypted with it.
    """
    secret = base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode()
    key = f"{key_id or f'{datetime.now(UTC):%Y-%m-%d}'}:{secret}"
    try:
        as_encryption_keys("ID", key)
    except ConfigError as error:
        raise click.BadParameter(str(error)) from error
    say(key)


@click.command()
@json_option
def rekey(as_json: bool) -> None:
    """Encrypt all that is in the clear, or under an old key, with the first key.

    For an outbox that was not encrypted until now, and after a new key was put first
    into OUTBOX_ENCRYPTION_KEYS. The app and its workers may run meanwhile; they must
    have the new key already. If it breaks off, run it again: it skips what is done.
    Afterwards the other keys can be removed. The exit code is 1 if something could not
    be decrypted.
    """
    rekeying = Rekeying(app_runtime().outbox.database, acting())
    with progress("Encrypting", rekeying.count()) as advance:
        result = rekeying.run(advance)
    if as_json:
        print_document(result)
    else:
        _print(result)
    if result.failed:
        raise click.exceptions.Exit(1)


def _print(result: Rekeyed) -> None:
    rows = counted(result.rows, "row")
    say(f"Encrypted {rows} with the key {result.key!r}.")
    for one in result.failed[:SHOWN_FAILURES]:
        say_error(one)
    if len(result.failed) > SHOWN_FAILURES:
        say_error(f"… and {len(result.failed) - SHOWN_FAILURES:,} more.")
    if not result.failed:
        say("Nothing needs another key: the others can be removed.")
