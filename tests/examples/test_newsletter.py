"""``examples/newsletter``: its commands, few readers, and as many as it says."""

from __future__ import annotations

import faulthandler
import os
import re
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from pathlib import Path

import pytest

from tests.examples.apps import ExampleApp
from tests.servers import Behaviour, JournalSmtp, Mail
from tests.started_app import START_SECONDS
from tests.waiting import eventually

SOME, ALL = 60, 100_000
PLACES = 8
"""How many letters are delivered at a time."""
SEND = "flask --app gazette send-issue"

MakeExample = Callable[[int], ExampleApp]


@pytest.fixture
def make_example(tmp_path: Path, server: JournalSmtp) -> Iterator[MakeExample]:
    """Makes the app, its worker and so many readers."""
    server.mails.clear()
    settings = {"FLASK_OUTBOX_URL": f"sqlite:///{tmp_path / 'outbox.db'}"}
    with ExampleApp("newsletter", tmp_path, server, **settings) as example:

        def make(readers: int) -> ExampleApp:
            told = example.run(
                "flask --app gazette add-readers", **{str(ALL): str(readers)}
            )
            assert f"{readers:,} readers" in told
            example.begin("flask --app gazette outbox worker")
            example.serve("flask --app gazette run")
            return example

        example.settings["FLASK_SERVER_NAME"] = f"127.0.0.1:{example.port}"
        yield make


def stands(example: ExampleApp, so: str) -> None:
    """Wait until the page says that of the newest issue, which it shows first."""
    eventually(lambda: _newest(example) == so, START_SECONDS)


def _newest(example: ExampleApp) -> str | None:
    found = re.search(r"<p>(\w+: .*)</p>", example.page("/")[1])
    return found and found[1]


def change(example: ExampleApp, act: str) -> None:
    found = re.search(r'action="(/issues/\w+)"', example.page("/")[1])
    assert found
    assert example.page(found[1], act=act)[0] == 200


def read(mail: Mail) -> EmailMessage:
    message = message_from_bytes(mail.content, policy=default)
    assert isinstance(message, EmailMessage)
    return message


def way_out(mail: Mail) -> str:
    """The link that the reader's provider makes a button of; here without TLS."""
    message = read(mail)
    assert message["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    link = message["List-Unsubscribe"].strip("<>")
    for kind in ("plain", "html"):
        body = message.get_body((kind,))
        assert body is not None
        assert link in body.get_content()
    return str(link.replace("https://", "http://"))


def test_an_issue_goes_to_all_who_have_not_unsubscribed(
    make_example: MakeExample, server: JournalSmtp
) -> None:
    server.behaviour = Behaviour(hang=True)
    example = make_example(SOME)
    assert f"{SOME} letters are on their way" in example.run(SEND)
    server.wait_until(lambda: server.held == PLACES, START_SECONDS)
    change(example, "pause")
    server.behaviour = Behaviour()
    stands(example, f"paused: {PLACES} of {SOME}")
    assert len(server.mails) == PLACES
    change(example, "resume")
    stands(example, f"done: {SOME} of {SOME}")
    assert server.most_connections == PLACES
    assert Counter(mail.recipients for mail in server.mails) == {
        (f"reader{number}@example.org",): 1 for number in range(1, SOME + 1)
    }

    leaver = server.mails[-1]
    link = way_out(leaver)
    assert "List-Unsubscribe" in example.page(link)[1], "it asks whether that is meant"
    assert example.page(link, **{"List-Unsubscribe": "One-Click"})[0] == 200
    example.run(SEND, **{"Our November": "Our December"})
    stands(example, f"done: {SOME} of {SOME}")
    december = [m for m in server.mails if read(m)["Subject"] == "Our December"]
    assert len(december) == SOME - 1
    assert leaver.recipients not in [mail.recipients for mail in december]


@pytest.mark.long
def test_a_hundred_thousand_get_it_though_enqueueing_is_killed(
    make_example: MakeExample, server: JournalSmtp
) -> None:
    faulthandler.cancel_dump_traceback_later()  # each wait below has a bound
    example = make_example(ALL)
    sending = example.begin(SEND)
    server.wait_for(100)
    os.killpg(sending, signal.SIGKILL)
    assert f"{ALL:,} letters are on their way" in example.run(SEND)
    server.wait_for(ALL, 3_600)
    stands(example, f"done: {ALL:,} of {ALL:,}")
    assert len(server.mails) == len({mail.recipients for mail in server.mails}) == ALL
