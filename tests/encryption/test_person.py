"""One person in an encrypted outbox: found in what is encrypted, and erased from it."""

from __future__ import annotations

import json

from flask_outbox.erased_address import PLACEHOLDER, ErasedAddresses
from flask_outbox.limits import RetryWindow
from flask_outbox.outbox import Outbox, PersonStore
from flask_outbox.recipient_guard import Guard
from tests.outbox.making import ADA, COURIER, CY, RETRY_SECONDS, claim_one, put, sent

from .conftest import NEW, Opener
from .test_at_rest import fill

KEPT_DIGESTS = ErasedAddresses((b"a key for digests",))


def person_store(outbox: Outbox) -> PersonStore:
    guarded = Outbox(
        outbox.database,
        outbox.clock,
        Guard(erased=KEPT_DIGESTS),
        retry_window=RetryWindow(RETRY_SECONDS),
    )
    return PersonStore(guarded)


def test_a_person_is_exported_and_erased(open_with: Opener) -> None:
    outbox = open_with(NEW)
    to_ada = fill(outbox)
    about_ada = put(outbox, CY, subject=f"About {ADA}", metadata=f'{{"of":"{ADA}"}}')
    outbox.record([sent(claim_one(outbox, COURIER), outbox.clock())])
    people = person_store(outbox)

    exported = [*people.export(ADA)]
    done = people.erase(ADA)

    assert "Ada's body" in json.dumps(exported)
    places = {(one["table"], one["column"]) for one in exported if "table" in one}
    assert places >= {("outbox_message", "subject"), ("outbox_content", "metadata")}
    assert done.messages == 1
    assert [*people.export(ADA)] == []
    assert ADA not in str(outbox.get(to_ada))
    assert outbox.get(about_ada).subject == f"About {PLACEHOLDER}"
