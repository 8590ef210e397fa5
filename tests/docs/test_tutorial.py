"""``docs/tutorial``: followed from an empty folder, page by page, as a reader does."""

from __future__ import annotations

import re
import shlex
import sys
from html import unescape
from pathlib import Path

from tests.docs.blocks import blocks, write_files
from tests.mail.site import ADA, BOB, url_of
from tests.servers import JournalSmtp
from tests.started_app import START_SECONDS, StartedApp, words_of
from tests.waiting import eventually

CAROL = "carol@example.org"

WIDE = {"COLUMNS": "120"}
"""A terminal in which tables are whole."""


class Reader(StartedApp):
    """Who follows the tutorial in a folder; a context manager that ends what runs."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, folder / "log", WIDE)
        self.settings["FLASK_SERVER_NAME"] = f"127.0.0.1:{self.port}"

    def run(self, command: str) -> str:
        """What the command says."""
        return self.execute(self._words(command))

    def begin(self, command: str) -> None:
        """Run the command until `kill`."""
        self.start(self._words(command))

    def shown(self, path: str = "/", **form: str) -> str:
        """What the browser shows there; "" while nobody answers."""
        try:
            status, text = self.page(path, **form)
        except OSError:
            return ""
        return text if status == 200 else f"{status} {text}"

    def link_in_mail(self, to: str, subject: str, path: str) -> str:
        """The link to the app in that mail of the dev inbox, once it is there."""

        def found() -> str | None:
            shown = re.findall(
                r'href="(/outbox/inbox/\w+)[^"]*"(.+?)(?=href="/outbox/inbox/\w|\Z)',
                self.shown("/outbox/inbox"),
                re.DOTALL,
            )
            for address, row in shown:
                if to in row and subject in row:
                    links = unescape(self.shown(f"{address}?view=links"))
                    return str(re.findall(rf"{self.address}{path}[\w.-]+", links)[0])
            return None

        return str(eventually(found, START_SECONDS))

    def _words(self, command: str) -> list[str]:
        first, *rest = words_of(command)
        module = {"pytest": ["-m", "pytest", "-p", "no:cacheprovider"]}.get(first)
        return [sys.executable, *module, *rest] if module else [first, *rest]


def commands(step: str) -> list[str]:
    return [
        typed for one in blocks(f"tutorial/{step}", "console") for typed in one.commands
    ]


def test_each_step_works_as_it_says(tmp_path: Path) -> None:
    with Reader(tmp_path) as reader, JournalSmtp(tmp_path / "journal") as server:
        follow_first_mail(reader)
        follow_confirm(reader)
        follow_newsletter(reader)
        reader.kill()
        follow_tests(reader)
        follow_deploy(reader, server)


def follow_first_mail(reader: Reader) -> None:
    write_files("tutorial/first-mail", reader.folder)
    (start,) = commands("first-mail")
    reader.begin(start)
    assert "Subscribe" in eventually(reader.shown, START_SECONDS)
    assert reader.shown(email=ADA) == "Look into your mailbox."
    eventually(lambda: "Welcome to The Weekly" in reader.shown("/outbox/inbox"))


def follow_confirm(reader: Reader) -> None:
    """The app was left running, and notices what has changed."""
    write_files("tutorial/confirm", reader.folder)
    eventually(lambda: "viewport" in reader.shown(), START_SECONDS)
    for address in (ADA, BOB):
        assert "Look into your mailbox." in reader.shown(email=address)
        link = reader.link_in_mail(address, "Please confirm", "/confirm/")
        assert "Yes, send me The Weekly" in reader.shown(link)
        assert "You get the next issue." in reader.shown(link, yes="yes")
    assert reader.shown(email="nobody").startswith("400")
    assert "Look into your mailbox." in reader.shown(email=CAROL)


def follow_newsletter(reader: Reader) -> None:
    write_files("tutorial/newsletter", reader.folder)
    first, second = commands("newsletter")
    assert reader.run(first) == "2 mails are on their way.\n"
    link = reader.link_in_mail(ADA, "Issue 1", "/unsubscribe/")
    eventually(lambda: ADA in reader.shown(link), START_SECONDS)
    reader.shown(link, **{"List-Unsubscribe": "One-Click"})
    reader.run(second)
    reader.link_in_mail(BOB, "Issue 2", "/unsubscribe/")
    inbox = reader.shown("/outbox/inbox")
    assert inbox.count("Issue 2") < inbox.count("Issue 1")


def follow_tests(reader: Reader) -> None:
    write_files("tutorial/tests", reader.folder)
    assert commands("tests") == ["pip install pytest", "pytest"]
    assert "5 passed" in reader.run("pytest")


def follow_deploy(reader: Reader, server: JournalSmtp) -> None:
    write_files("tutorial/deploy", reader.folder)
    lines = (reader.folder / "weekly.env").read_text().splitlines()
    settings = dict("".join(shlex.split(line)).split("=", 1) for line in lines)
    reader.settings = WIDE | settings
    reader.settings["FLASK_MAIL_URL"] = url_of(server)
    serve, listing = commands("deploy")[-3:-1]
    reader.begin(serve.replace(":8000", f":{reader.port}"))
    eventually(reader.shown, START_SECONDS)
    assert reader.shown("/outbox/").startswith("404")
    assert "Look into your mailbox." in reader.shown(email="dora@example.org")
    (mail,) = server.wait_for(1)
    assert b"From: The Weekly <weekly@example.com>" in mail.content
    assert b"https://weekly.example.com/confirm/" in mail.content
    assert "dora@example.org" in reader.run(listing)
