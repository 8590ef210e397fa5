"""``docs/tutorial``: followed from an empty folder, page by page, as a reader does."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request
from contextlib import ExitStack
from html import unescape
from pathlib import Path
from typing import Self

from tests.docs.blocks import blocks, write_files
from tests.examples.apps import PATHS, RUN_SECONDS, START_SECONDS, words_of
from tests.mail.site import ADA, BOB, url_of
from tests.servers import JournalSmtp
from tests.servers.ports import free_port
from tests.waiting import eventually

CAROL = "carol@example.org"


class Reader:
    """Who follows the tutorial in a folder; a context manager that ends what runs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.address = f"http://127.0.0.1:{self.port}"
        self.settings = {
            "FLASK_RUN_PORT": str(self.port),
            "FLASK_SERVER_NAME": f"127.0.0.1:{self.port}",
        }
        self._running = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._running.close()

    def run(self, command: str) -> str:
        """What the command says."""
        done = subprocess.run(
            self._words(command),
            cwd=self.folder,
            env=self._environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=RUN_SECONDS,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def begin(self, command: str) -> None:
        """Run the command until `end`."""
        with (self.folder / "log").open("ab") as log:
            process = subprocess.Popen(
                self._words(command),
                cwd=self.folder,
                env=self._environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._running.callback(process.wait, START_SECONDS)
        self._running.callback(os.killpg, process.pid, signal.SIGKILL)

    def end(self) -> None:
        """End what runs."""
        self._running.close()

    def page(self, path: str = "/", **form: str) -> str:
        """What the browser shows there; "" while nobody answers."""
        url = urllib.parse.urljoin(self.address, path)
        body = urllib.parse.urlencode(form).encode() if form else None
        try:
            with urllib.request.urlopen(url, body, timeout=START_SECONDS) as answer:
                return str(answer.read().decode())
        except urllib.error.HTTPError as error:
            with error:
                return f"{error.code} {error.read().decode()}"
        except OSError:
            return ""

    def link_in_mail(self, to: str, subject: str, path: str) -> str:
        """The link to the app in that mail of the dev inbox, once it is there."""

        def found() -> str | None:
            shown = re.findall(
                r'href="(/outbox/inbox/\w+)[^"]*"(.+?)(?=href="/outbox/inbox/\w|\Z)',
                self.page("/outbox/inbox"),
                re.DOTALL,
            )
            for address, row in shown:
                if to in row and subject in row:
                    links = unescape(self.page(f"{address}?view=links"))
                    return str(re.findall(rf"{self.address}{path}[\w.-]+", links)[0])
            return None

        return str(eventually(found, START_SECONDS))

    def _words(self, command: str) -> list[str]:
        first, *rest = words_of(command)
        module = {"pytest": ["-m", "pytest", "-p", "no:cacheprovider"]}.get(first)
        return [sys.executable, *module, *rest] if module else [first, *rest]

    @property
    def _environment(self) -> dict[str, str]:
        return {**os.environ, **PATHS, "COLUMNS": "120", **self.settings}


def commands(step: str) -> list[str]:
    return [
        typed for one in blocks(f"tutorial/{step}", "console") for typed in one.commands
    ]


def test_each_step_works_as_it_says(tmp_path: Path) -> None:
    with Reader(tmp_path) as reader, JournalSmtp(tmp_path / "journal") as server:
        follow_first_mail(reader)
        follow_confirm(reader)
        follow_newsletter(reader)
        reader.end()
        follow_tests(reader)
        follow_deploy(reader, server)


def follow_first_mail(reader: Reader) -> None:
    write_files("tutorial/first-mail", reader.folder)
    (start,) = commands("first-mail")
    reader.begin(start)
    assert "Subscribe" in eventually(reader.page, START_SECONDS)
    assert reader.page(email=ADA) == "Look into your mailbox."
    eventually(lambda: "Welcome to The Weekly" in reader.page("/outbox/inbox"))


def follow_confirm(reader: Reader) -> None:
    """The app was left running, and notices what has changed."""
    write_files("tutorial/confirm", reader.folder)
    eventually(lambda: "viewport" in reader.page(), START_SECONDS)
    for address in (ADA, BOB):
        assert "Look into your mailbox." in reader.page(email=address)
        link = reader.link_in_mail(address, "Please confirm", "/confirm/")
        assert "Yes, send me The Weekly" in reader.page(link)
        assert "You get the next issue." in reader.page(link, yes="yes")
    assert reader.page(email="nobody").startswith("400")
    assert "Look into your mailbox." in reader.page(email=CAROL)


def follow_newsletter(reader: Reader) -> None:
    write_files("tutorial/newsletter", reader.folder)
    first, second = commands("newsletter")
    assert reader.run(first) == "2 mails are on their way.\n"
    link = reader.link_in_mail(ADA, "Issue 1", "/unsubscribe/")
    eventually(lambda: ADA in reader.page(link), START_SECONDS)
    reader.page(link, **{"List-Unsubscribe": "One-Click"})
    reader.run(second)
    reader.link_in_mail(BOB, "Issue 2", "/unsubscribe/")
    inbox = reader.page("/outbox/inbox")
    assert inbox.count("Issue 2") < inbox.count("Issue 1")


def follow_tests(reader: Reader) -> None:
    write_files("tutorial/tests", reader.folder)
    assert commands("tests") == ["pip install pytest", "pytest"]
    assert "5 passed" in reader.run("pytest")


def follow_deploy(reader: Reader, server: JournalSmtp) -> None:
    write_files("tutorial/deploy", reader.folder)
    lines = (reader.folder / "weekly.env").read_text().splitlines()
    reader.settings = dict("".join(shlex.split(line)).split("=", 1) for line in lines)
    reader.settings["FLASK_MAIL_URL"] = url_of(server)
    serve, listing = commands("deploy")[-3:-1]
    reader.begin(serve.replace(":8000", f":{reader.port}"))
    eventually(reader.page, START_SECONDS)
    assert reader.page("/outbox/").startswith("404")
    assert "Look into your mailbox." in reader.page(email="dora@example.org")
    (mail,) = server.wait_for(1)
    assert b"From: The Weekly <weekly@example.com>" in mail.content
    assert b"https://weekly.example.com/confirm/" in mail.content
    assert "dora@example.org" in reader.run(listing)
