"""The test servers themselves: what other tests rely on."""

from __future__ import annotations

import json
import signal
import smtplib
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers import CLOSE, Behaviour, JournalSmtp, ScriptedSmtp, Step
from tests.servers.journal_smtp import Mail, read_journal
from tests.waiting import WAIT_SECONDS

ROOT = Path(__file__).parents[2]


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    return tmp_path / "journal"


def send(port: int, subject: str = "hello", recipient: str = "b@example.org") -> None:
    """Send one mail by the standard library: no code of ours at either end."""
    with smtplib.SMTP(
        "127.0.0.1", port, local_hostname="me.test", timeout=WAIT_SECONDS
    ) as smtp:
        smtp.sendmail(
            "a@example.org",
            [recipient],
            f"Subject: {subject}\r\nMessage-ID: <{subject}@x>\r\n\r\nHi\r\n.\r\n",
        )


def test_a_mail_is_in_the_journal_when_it_is_accepted(journal: Path) -> None:
    with JournalSmtp(journal) as server:
        send(server.port)
        (mail,) = read_journal(journal)
        assert server.mails == [mail]
    assert mail.return_path == "a@example.org"
    assert mail.recipients == ("b@example.org",)
    assert mail.rfc_message_id == "<hello@x>"
    assert mail.content.endswith(b"\r\nHi\r\n.\r\n")
    assert Mail.from_json(mail.to_json()) == mail


def test_behaviour_changes_while_it_runs(journal: Path) -> None:
    with JournalSmtp(journal) as server:
        server.behaviour = Behaviour(at_data="451 4.3.0 later")
        with pytest.raises(smtplib.SMTPDataError, match="later"):
            send(server.port)
        server.behaviour = Behaviour(recipients={"b@example.org": "550 no"})
        with pytest.raises(smtplib.SMTPRecipientsRefused):
            send(server.port)
        send(server.port, recipient="c@example.org")
        server.behaviour = Behaviour(drop="journaled")
        with pytest.raises(smtplib.SMTPServerDisconnected):
            send(server.port)
    assert len(server.mails) == 2


def test_it_goes_down_and_comes_back_on_the_same_port(journal: Path) -> None:
    with JournalSmtp(journal) as server:
        port = server.port
        server.go_down()
        with pytest.raises(ConnectionRefusedError):
            send(port)
        server.come_back()
        send(port)
    assert len(read_journal(journal)) == 1


def test_a_hang_ends_when_the_behaviour_does(journal: Path) -> None:
    with JournalSmtp(journal) as server:
        server.behaviour = Behaviour(hang=True)
        sending = threading.Thread(target=send, args=[server.port])
        sending.start()
        server.wait_until(lambda: server.held == 1)
        assert read_journal(journal) == []
        server.behaviour = Behaviour()
        server.wait_for(1)
        sending.join()


@pytest.fixture
def process(journal: Path) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "tests.servers.journal_smtp"]
    with subprocess.Popen(
        [*command, "--journal", str(journal)],
        cwd=ROOT,
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as running:
        yield running
        running.kill()


def port_of(process: subprocess.Popen[str]) -> int:
    assert process.stdout is not None
    return int(process.stdout.readline().rpartition(":")[2])


def test_as_a_process_of_its_own(process: subprocess.Popen[str], journal: Path) -> None:
    port = port_of(process)
    send(port)
    assert process.stdin is not None
    assert process.stdout is not None
    for order in ({"at_rcpt": "550 no"}, "down", "up", {}):
        process.stdin.write(json.dumps(order) + "\n")
        process.stdin.flush()
        assert process.stdout.readline() == f"obeyed {json.dumps(order)}\n"
    send(port, "again")
    process.send_signal(signal.SIGTERM)
    assert process.wait(WAIT_SECONDS) == 0
    assert [mail.rfc_message_id for mail in read_journal(journal)] == [
        "<hello@x>",
        "<again@x>",
    ]


def test_a_killed_process_leaves_its_journal(
    process: subprocess.Popen[str], journal: Path
) -> None:
    send(port_of(process))
    process.kill()
    process.wait(WAIT_SECONDS)
    assert len(read_journal(journal)) == 1


def test_a_script_that_is_not_followed_fails() -> None:
    def talk() -> None:
        with (
            ScriptedSmtp([Step("", b"220 hi\r\n"), Step("QUIT", CLOSE)]) as server,
            smtplib.SMTP("127.0.0.1", server.port, timeout=WAIT_SECONDS) as smtp,
        ):
            smtp.putcmd("noop")
            server.wait_for_end()

    with pytest.raises(AssertionError, match="'QUIT' was expected, b'noop"):
        talk()
