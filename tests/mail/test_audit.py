"""The audit trail of what an app does in a person's name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from flask_outbox import Mail, Message, MessageError
from flask_outbox.outbox.records import masked
from tests.mail.conftest import MakeSite
from tests.mail.site import ADA, BOB, Site

Do = Callable[..., Any]


def acts(mail: Mail, id: str, batch: str) -> list[tuple[str, str, Do]]:
    """Act, target, and the call that takes ``actor``."""
    return [
        ("cancel", id, lambda **by: mail.cancel(id, **by)),
        ("send again", id, lambda **by: mail.send_again(id, **by)),
        ("retry", id, lambda **by: mail.retry(id, **by)),
        ("view", id, lambda **by: mail.content(id, **by)),
        ("pause batch", batch, lambda **by: mail.pause_batch(batch, **by)),
        ("resume batch", batch, lambda **by: mail.resume_batch(batch, **by)),
        ("cancel batch", batch, lambda **by: mail.cancel_batch(batch, **by)),
        ("pause lane", "default", lambda **by: mail.pause("default", **by)),
        ("resume lane", "default", lambda **by: mail.resume("default", **by)),
        ("suppress", masked(BOB), lambda **by: mail.suppress(BOB, **by)),
        ("unsuppress", masked(BOB), lambda **by: mail.unsuppress(BOB, **by)),
        ("export person", masked(BOB), lambda **by: mail.export_person(BOB, **by)),
        ("erase person", masked(BOB), lambda **by: mail.erase_person(BOB, **by)),
    ]


@pytest.fixture
def site(make_site: MakeSite) -> Site:
    return make_site(OUTBOX_ENGINE="external")


def test_only_what_names_a_person_is_in_it(site: Site) -> None:
    id = site.send(ADA, delay=3_600).id
    with site.app.app_context():
        batch = site.mail.send_many([Message("News", [ADA], "News")], name="News").id
        for _, _, do in acts(site.mail, id, batch)[:4]:
            do()
        assert site.outbox.trail.find().lines == ()
        for number, (act, target, do) in enumerate(acts(site.mail, id, batch), 1):
            do(actor="eva")
            found = site.outbox.trail.find().lines
            assert len(found) == number, act
            line = found[0]
            assert (line.act, line.target) == (act, target)
            assert (line.actor, line.face) == ("eva", "api")


@pytest.mark.parametrize("actor", ["", " ", 7])
def test_a_person_has_a_name(site: Site, actor: Any) -> None:
    id = site.send(ADA, delay=3_600).id
    with site.app.app_context(), pytest.raises(MessageError, match="actor"):
        site.mail.cancel(id, actor=actor)
    assert site.outbox.get(id).state == "pending"


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("ada@example.org", "a…@e….org"),
        ("ADA@Example.ORG", "a…@e….org"),
        ("grüße@müll.example", "g…@m….example"),
        ('"a@b"@example.org', '"…@e….org'),
    ],
)
def test_an_address_is_masked(address: str, shown: str) -> None:
    assert masked(address) == shown
