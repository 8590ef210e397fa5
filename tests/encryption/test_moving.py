"""Moving between outboxes with different keys: decrypted here, encrypted there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from flask_outbox.config import EncryptionKey
from flask_outbox.outbox import Database, Outbox
from flask_outbox.outbox.transfer import TransferRun
from tests.outbox.databases import put_empty_outbox
from tests.outbox.making import ADA, CY, Clock

from .conftest import NEW, OLD, Opener
from .test_at_rest import cells, fill
from .test_rekey import marked

Keys = tuple[EncryptionKey, ...]


@pytest.fixture
def target(
    request: pytest.FixtureRequest, tmp_path: Path, clock: Clock
) -> Iterator[Outbox]:
    put_empty_outbox(tmp_path / "target.db")
    database = Database(f"sqlite:///{tmp_path / 'target.db'}", keys=request.param)
    yield Outbox(database, clock)
    database.close()


@pytest.mark.parametrize(
    ("here", "target"),
    [((OLD,), (NEW,)), ((), (NEW,)), ((OLD,), ())],
    ids=["another key", "from the clear", "into the clear"],
    indirect=["target"],
)
def test_all_moves_and_is_read_there_as_here(
    open_with: Opener, here: Keys, target: Outbox
) -> None:
    source = open_with(*here)
    message_id = fill(source)
    before, content = source.get(message_id), source.content(message_id)

    run = TransferRun(source, target, hold_unknown=False)
    run.prepare()
    steps = [*run.steps(follow=False, wait_seconds=0.0)]

    assert steps
    assert run.left.messages == 0
    after = target.get(message_id)
    assert after.subject == before.subject
    assert after.recipients == before.recipients
    assert after.events[:-1] == before.events
    assert target.content(message_id) == content
    assert {*target.suppressions()} == {*source.suppressions()}
    assert target.get(message_id).key == "Ada's order"
    assert not target.unsuppress(CY)
    assert marked(target, "old:") == set()
    keys = target.database.keys
    there = [str(one) for some in cells(target).values() for one in some]
    assert any("Ada's" in one for one in there) == (keys is None)
    assert any(ADA in one for one in there) == (keys is None)
