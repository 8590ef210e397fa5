"""Rendered later, whoever delivers: a worker, a script, the app's own transaction."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from flask_outbox import State
from flask_outbox.testing import RecordedOutbox
from tests.mail.conftest import MakeSite
from tests.mail.shop import engine_on
from tests.servers import JournalSmtp
from tests.templates.stationery import Stationery, said


@pytest.fixture
def desk(make_site: MakeSite, tmp_path: Path) -> Stationery:
    """An app whose couriers work elsewhere."""
    site = make_site(OUTBOX_ENGINE="external", SERVER_NAME="shop.example.com")
    desk = Stationery(site, tmp_path)
    desk.write("bill.txt", "{{ name }}: {{ url_for('static', filename='a') }}")
    desk.write("bill.subject.txt", "Bill for {{ name }}")
    return desk


def run(desk: Stationery, *words: str) -> str:
    """What a command says, however wide its columns are."""
    ran = desk.site.app.test_cli_runner().invoke(
        args=["outbox", *words], env={"COLUMNS": "200"}, catch_exceptions=False
    )
    return " ".join(ran.output.split())


def test_a_worker_renders_and_show_says_so(
    desk: Stationery, server: JournalSmtp
) -> None:
    id = desk.keep_later(name="Ada").id
    shown = run(desk, "show", id)
    assert 'Template bill with {"name": "Ada"}' in shown
    assert "(bill, not yet rendered)" in shown
    assert "has no content yet" in run(desk, "show", id, "--content")

    run(desk, "worker", "--until-drained")
    (mail,) = server.mails
    assert said(mail.content, "plain").strip() == (
        "Ada: http://shop.example.com/static/a"
    )
    document = json.loads(run(desk, "show", id, "--json"))
    assert document["subject"] == "Bill for Ada"
    (rendered,) = [one for one in document["events"] if one["kind"] == "rendered"]
    assert rendered["detail"]["template"] == "bill"


def test_a_template_error_is_shown_and_a_retry_succeeds_once_fixed(
    desk: Stationery, server: JournalSmtp
) -> None:
    id = desk.keep_later().id
    run(desk, "worker", "--until-drained")
    shown = run(desk, "show", id, "--json")
    for text in ("mail/bill.txt, line 1", "'name' is undefined", "not be rendered"):
        assert text in shown
    desk.write("bill.txt", "Hello")
    desk.write("bill.subject.txt", "Bill")
    run(desk, "retry", id)
    run(desk, "worker", "--until-drained")
    assert desk.site.outbox.get(id).state is State.SENT
    assert said(server.mails[0].content, "plain").strip() == "Hello"


def test_a_message_rendered_later_is_part_of_the_apps_transaction(
    desk: Stationery,
) -> None:
    assert desk.site.counts() == {}
    message = desk.compose(render="later", name="Ada")
    with (
        engine_on(desk.site.runtime.settings.url) as engine,
        engine.connect() as connection,
    ):
        desk.site.mail.send(message, session=connection)
        connection.rollback()
        assert desk.site.counts() == {}
        receipt = desk.site.mail.send(message, session=connection)
        connection.commit()
    assert desk.site.get(receipt).template == message.template


def test_the_outbox_fixture_renders_what_it_reads(desk: Stationery) -> None:
    with RecordedOutbox() as outbox:
        desk.site.mail.send(desk.compose(render="later", name="Ada"))
        outbox.assert_sent(subject="Bill for Ada", contains="Ada: http://shop")
    assert desk.site.counts() == {State.PENDING: 1}
