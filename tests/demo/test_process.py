"""The demo as a process: it starts, ends and is killed, and no mail is lost by it."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from wsgiref.types import StartResponse, WSGIEnvironment

import pytest
from flask import Flask
from werkzeug.wsgi import ClosingIterator

from flask_outbox import State
from flask_outbox.demo.app import create_app, running
from flask_outbox.demo.check import check
from flask_outbox.demo.server import Behaviour
from flask_outbox.demo.shop import mail
from flask_outbox.demo.smtp import LocalSmtp
from flask_outbox.demo.views import watched
from flask_outbox.demo.web import CannotRun
from tests.demo.running import COMMAND, RunningDemo, ask
from tests.waiting import WAIT_SECONDS, eventually


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the demo to its end, as a shell would."""
    return subprocess.run(
        [*COMMAND, *arguments],
        env={**os.environ, "COLUMNS": "120"},
        capture_output=True,
        text=True,
        timeout=WAIT_SECONDS,
        check=False,
    )


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        yield other.getsockname()[1]


def arrived_in(folder: Path) -> list[str]:
    """What the SMTP server keeps there."""
    return [path.read_text() for path in sorted(folder.glob("arrived/*.eml"))]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_ends_on_a_signal_and_leaves_nothing(
    tmp_path: Path, number: signal.Signals
) -> None:
    with RunningDemo(tmp_path / "log") as demo:
        demo.history_when(demo.send(), state="sent")
        assert demo.folder.exists()
        assert demo.end(number) == 0
        assert "Traceback" not in demo.log
        assert "Still in the outbox" not in demo.log
        assert not demo.folder.exists()


def test_ctrl_c_works_even_if_a_shell_ignored_it(tmp_path: Path) -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        demo = RunningDemo(tmp_path / "log")
    finally:
        signal.signal(signal.SIGINT, before)
    with demo:
        assert demo.end() == 0


@pytest.mark.skipif(
    not Path("/proc/self/task").exists(), reason="its threads cannot be told apart"
)
def test_ctrl_c_works_in_whichever_thread_it_arrives(tmp_path: Path) -> None:
    with RunningDemo(tmp_path / "log") as demo:
        demo.tell_a_thread_to_end()
        assert demo.exit_code() == 0


def test_at_the_end_the_courier_finishes_its_attempts(tmp_path: Path) -> None:
    keep = tmp_path / "keep"
    with RunningDemo(tmp_path / "log", "--keep", str(keep)) as demo:
        demo.behave("slow", seconds=1)
        demo.history_when(demo.send(), state="leased")
        assert demo.end() == 0
        assert "The courier finishes its attempts" in demo.log
        assert "Still in the outbox" not in demo.log
        assert "Traceback" not in demo.log
    assert len(arrived_in(keep)) == 1


def test_a_connection_that_a_browser_opened_ahead_does_not_keep_it_going(
    tmp_path: Path,
) -> None:
    with (
        RunningDemo(tmp_path / "log") as demo,
        closing(demo.connect()) as browser,
    ):
        browser.connect()
        demo.behave("slow", seconds=2)
        demo.history_when(demo.send(), state="leased")
        demo.tell_to_end()
        eventually(lambda: "The courier finishes" in demo.log)
        answer = ask(browser, "GET", "/ping")
        assert (answer.status, answer.text) == (503, "The demo has ended.\n")
        assert demo.exit_code() == 0
        assert "Traceback" not in demo.log


def test_at_the_end_nothing_is_left_of_a_crash(tmp_path: Path) -> None:
    with RunningDemo(tmp_path / "log") as demo:
        assert demo.ask("POST", "/tour/crash", step=3).status == 303
        eventually(lambda: list(demo.folder.glob("*/outbox*.db")))
        assert demo.end() == 0
        assert "Traceback" not in demo.log
        assert not demo.folder.exists()


def test_unsent_mail_is_reported_and_sent_at_the_next_start(
    tmp_path: Path,
) -> None:
    keep = tmp_path / "keep"
    with RunningDemo(tmp_path / "log", "--keep", str(keep)) as demo:
        demo.behave("down")
        history = demo.history(demo.send())
        assert demo.end() == 0
        assert f"Still in the outbox: {history['subject']}\n" in demo.log
        assert f"The next start with --keep {keep} delivers it.\n" in demo.log
    assert arrived_in(keep) == []
    with RunningDemo(tmp_path / "log-2", "--keep", str(keep)) as demo:
        (mail,) = eventually(lambda: arrived_in(keep))
    assert history["rfc_message_id"] in mail


def test_without_keep_it_says_what_is_deleted(tmp_path: Path) -> None:
    with RunningDemo(tmp_path / "log") as demo:
        demo.behave("down")
        demo.send()
        assert demo.end() == 0
        assert "It is deleted with the demo; --keep DIR would have kept it." in demo.log


def test_mail_of_a_killed_demo_is_sent_at_the_next_start(tmp_path: Path) -> None:
    keep = tmp_path / "keep"
    with RunningDemo(tmp_path / "log", "--keep", str(keep)) as demo:
        demo.behave("slow", seconds=600)
        path = demo.send()
        message_id = demo.history_when(path, state="leased")["rfc_message_id"]
        demo.kill()
    assert arrived_in(keep) == []
    with RunningDemo(tmp_path / "log-2", "--keep", str(keep)) as demo:
        history = demo.history_when(path, state="sent")
        assert history["rfc_message_id"] == message_id
        assert [one["known_as"] for one in demo.now()["arrived"]] == [message_id]
        assert [one["id"] for one in demo.now()["messages"]] == [history["id"]]
        demo.wait_until_lit(path, server="done", end="done")
    (mail,) = arrived_in(keep)
    assert message_id in mail


def test_check_sends_waits_and_prints_the_history(tmp_path: Path) -> None:
    done = run("--check", "--keep", str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert re.search(
        r'POST /send-email answered "Email sending started!" after [\d.]+ ms',
        done.stdout,
    )
    for heading in (
        "Step",
        "What happened",
        "Background work",
        "Web request",
        "Output",
    ):
        assert heading in done.stdout
    assert "The response" in done.stdout
    assert "Email sent! 250" in " ".join(done.stdout.split())
    for page in ("/outbox/", "/outbox/inbox", "/outbox/previews"):
        assert re.search(rf"http://127\.0\.0\.1:\d+{page} answers", done.stdout)
    (mail,) = arrived_in(tmp_path)
    arrived = re.search(r"Mail (<\S+>) arrived at the SMTP server", done.stdout)
    assert arrived
    assert arrived[1] in mail


@pytest.mark.parametrize("arguments", [[], ["--check"]], ids=["demo", "check"])
def test_a_port_in_use_is_reported(taken_port: int, arguments: list[str]) -> None:
    done = run("--port", str(taken_port), *arguments)
    assert done.returncode == 1
    assert done.stderr == (
        f"The demo cannot run: port {taken_port} is taken by another program. Choose "
        "another with --port, or --port 0 for any that is free.\n"
    )


def test_an_unusable_folder_is_reported(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    done = run("--check", "--keep", str(file))
    assert done.returncode == 1
    assert f"The demo cannot run: {file} cannot be used as a folder" in done.stderr


def test_check_says_why_a_mail_cannot_be_sent(tmp_path: Path) -> None:
    (tmp_path / "outbox.db").write_text("this is no database, whatever its name says")
    done = run("--check", "--keep", str(tmp_path))
    assert done.returncode == 1
    assert "\nThe demo cannot run: The outbox at sqlite" in f"\n{done.stderr}"
    assert "not an SQLite database" in done.stderr
    assert "Traceback" not in done.stderr


def test_check_says_why_a_mail_does_not_arrive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("flask_outbox.demo.check.MAIL_PATIENCE_SECONDS", 0.2)
    with running(0, tmp_path) as demo:
        demo.server.behave(Behaviour.DOWN)
        summary = r"it is (pending, waiting|leased, a courier is delivering it)"
        with pytest.raises(CannotRun, match=rf"did not go out .* {summary}"):
            check(demo)
    assert "The response" in capsys.readouterr().out  # its figures decide the wrapping


class LateEnd:
    """What an app answers, whose end waits until the mail has been sent."""

    def __init__(self, answer: Iterable[bytes], app: Flask) -> None:
        self._answer = answer
        self._app = app

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._answer)

    def close(self) -> None:
        with self._app.app_context():
            (id,) = watched().watch.ids
            eventually(lambda: mail.get(id).state is State.SENT)
        if isinstance(self._answer, ClosingIterator):
            self._answer.close()


def test_check_waits_for_the_response_if_the_courier_is_faster(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def with_late_end(folder: Path, smtp: LocalSmtp) -> Flask:
        app = create_app(folder, smtp)
        answer = app.wsgi_app

        def late(environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
            response = answer(environ, start)
            sends = environ["REQUEST_METHOD"] == "POST"
            return LateEnd(response, app) if sends else response

        monkeypatch.setattr(app, "wsgi_app", late)
        return app

    monkeypatch.setattr("flask_outbox.demo.app.create_app", with_late_end)
    with running(0, tmp_path) as demo:
        check(demo)
    assert "The response" in capsys.readouterr().out


@pytest.mark.parametrize("port", ["-1", "65536", "web"])
def test_an_invalid_port_is_refused(port: str) -> None:
    done = run("--port", port)
    assert done.returncode == 2
    assert "--port" in done.stderr


def test_without_aiosmtpd_it_says_what_to_install() -> None:
    code = (
        "import sys; sys.modules['aiosmtpd'] = None; "
        "from flask_outbox.demo.__main__ import main; sys.exit(main(['--check']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=WAIT_SECONDS,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr == (
        "The demo cannot run: it needs aiosmtpd: pip install 'flask-outbox[demo]'.\n"
    )
