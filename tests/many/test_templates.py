"""`send_many` with a template: one row, one mail, rendered by the courier."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from flask_outbox import (
    BatchInterrupted,
    BatchReceipt,
    MessageError,
    State,
    TemplateError,
)
from tests.mail.conftest import MakeSite
from tests.mail.site import ADA, BOB
from tests.servers import JournalSmtp
from tests.templates.stationery import Stationery, opened, said
from tests.waiting import WAIT_SECONDS


@pytest.fixture
def desk(make_site: MakeSite, tmp_path: Path) -> Stationery:
    """An app whose courier works only while it is drained, with a newsletter."""
    site = make_site(TESTING=True, MAIL_SUPPRESS_SEND=False)
    stationery = Stationery(site, tmp_path)
    stationery.write("news.txt", "Dear {{ name }}, this is issue {{ issue }}\n")
    stationery.write("news.subject.txt", "News for {{ name }}")
    return stationery


def send_many(desk: Stationery, rows: Any, **options: Any) -> BatchReceipt:
    with desk.site.app.app_context():
        return desk.site.mail.send_many("news", rows, **options)


def row(number: int) -> dict[str, Any]:
    return {"to": f"user{number}@example.org", "name": f"N{number}", "issue": 7}


def test_each_row_is_rendered_for_its_reader(
    desk: Stationery, server: JournalSmtp
) -> None:
    rows = [
        {"to": ADA, "name": "Ada", "issue": 7},
        (("Bob B.", BOB), {"name": "Bob", "issue": 8}),
    ]
    receipt = send_many(desk, rows, sender="news@example.com")
    ids = [one.id for one in desk.site.outbox.list()]
    assert all(desk.site.outbox.get(one).template is not None for one in ids)
    with desk.site.app.app_context():
        assert desk.site.mail.batch(receipt.id).name == "news"
        assert desk.site.mail.drain(WAIT_SECONDS)
    sent = {mail.recipients[0]: mail for mail in server.wait_for(2)}
    assert said(sent[ADA].content, "plain").rstrip() == "Dear Ada, this is issue 7"
    assert said(sent[BOB].content, "plain").rstrip() == "Dear Bob, this is issue 8"
    assert opened(sent[BOB].content)["Subject"] == "News for Bob"
    assert str(opened(sent[BOB].content)["To"]) == f'"Bob B." <{BOB}>'
    assert sent[ADA].return_path == "news@example.com"


def test_a_missing_value_fails_only_its_own_mail(
    desk: Stationery, server: JournalSmtp
) -> None:
    receipt = send_many(desk, [row(1), {"to": ADA, "name": "Ada"}, row(3)])
    with desk.site.app.app_context():
        assert desk.site.mail.drain(WAIT_SECONDS)
        assert desk.site.mail.batch(receipt.id).counts == {
            State.SENT: 2,
            State.FAILED: 1,
        }
        (failure,) = desk.site.mail.batch_failures(receipt.id)
    assert (failure.row, failure.address) == (2, ADA)
    failed = desk.site.outbox.get(failure.message_id)
    assert "'issue' is undefined" in str(failed.events[-1])


@pytest.mark.parametrize(
    ("bad", "problem"),
    [
        ({"name": "Ada"}, "to: the row has no 'to', only name."),
        ({"to": "ada", "name": "Ada"}, "recipients[0]: 'ada' has no '@'"),
        ((ADA, {"name": object()}), "name"),
        ("ada@example.org", "rows: 'ada@example.org' is not a row: pass a mapping"),
    ],
)
def test_an_invalid_row_is_named(desk: Stationery, bad: Any, problem: str) -> None:
    with pytest.raises(BatchInterrupted) as caught:
        send_many(desk, [row(1), row(2), bad, row(4)])
    assert (caught.value.row, caught.value.rows_stored) == (3, 2)
    assert str(caught.value).startswith("Row 3: ")
    assert problem in str(caught.value)
    good = [row(1), row(2), row(3), row(4)]
    assert send_many(desk, good, resume=caught.value.batch).messages == 4
    assert desk.site.counts() == {State.PENDING: 4}


def test_rows_are_read_one_by_one(desk: Stationery) -> None:
    def broken() -> Iterator[dict[str, Any]]:
        yield row(1)
        raise OSError("the file is gone")

    with pytest.raises(BatchInterrupted, match="Row 2: OSError: the file is gone"):
        send_many(desk, broken())


def test_contradictory_arguments_are_refused(desk: Stationery) -> None:
    mail: Any = desk.site.mail
    with desk.site.app.app_context():
        with pytest.raises(MessageError, match="'news' is a template: pass its rows"):
            mail.send_many("news")
        with pytest.raises(MessageError, match="rows are for a template"):
            mail.send_many([], [])
        with pytest.raises(TypeError, match="takes no sender with messages"):
            mail.send_many([], sender="shop@example.com")


def test_a_template_without_a_subject_begins_no_batch(desk: Stationery) -> None:
    desk.write("bare.txt", "Dear {{ name }}\n")
    with desk.site.app.app_context():
        with pytest.raises(TemplateError, match="bare: it has no subject"):
            desk.site.mail.send_many("bare", [row(0), row(1)])
        assert desk.site.mail.batches() == []
        desk.site.mail.send_many("bare", [row(0)], subject="News")
        assert len(desk.site.mail.batches()) == 1


def test_a_subject_may_come_from_a_layout(desk: Stationery) -> None:
    desk.write("frame.txt", "{% block subject %}News{% endblock %}Dear reader\n")
    desk.write("named.txt", "{% extends 'mail/frame.txt' %}\n")
    desk.write("chosen.txt", "{% extends 'mail/' ~ frame %}\n")
    with desk.site.app.app_context():
        desk.site.mail.send_many("named", [row(0)])
        desk.site.mail.send_many("chosen", [{**row(0), "frame": "frame.txt"}])
        assert len(desk.site.mail.batches()) == 2
