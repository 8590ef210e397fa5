"""Example apps as their READMEs start them: in their folder, by their commands."""

from __future__ import annotations

import re
from pathlib import Path

from tests.mail.site import url_of
from tests.processes.running import ROOT
from tests.servers import JournalSmtp
from tests.started_app import START_SECONDS, StartedApp, words_of
from tests.waiting import eventually

EXAMPLES = ROOT / "examples"


class ExampleApp(StartedApp):
    """One example, with a database of its own; a context manager that kills it.

    Its mail goes to ``server``, and ``settings`` into its environment.
    """

    def __init__(
        self, name: str, folder: Path, server: JournalSmtp, **settings: str
    ) -> None:
        own = {
            "FLASK_SECRET_KEY": "secret",
            "FLASK_SQLALCHEMY_DATABASE_URI": f"sqlite:///{folder / 'example.db'}",
            "FLASK_MAIL_URL": url_of(server),
        }
        super().__init__(EXAMPLES / name, folder / "log", own | settings)

    def command(self, beginning: str, **swapped: str) -> list[str]:
        """The one command of the README that begins so.

        Words of it may be ``swapped`` for others, as in ``100000="300"``.
        """
        lines = re.findall(
            r"^\$ (.*)$", (self.folder / "README.md").read_text(), re.MULTILINE
        )
        (command,) = [line for line in lines if line.startswith(beginning)]
        return [swapped.get(word, word) for word in words_of(command)]

    def run(self, beginning: str, typed: str = "", **swapped: str) -> str:
        """Run that command to its end; what it says."""
        return self.execute(self.command(beginning, **swapped), typed)

    def begin(self, beginning: str) -> int:
        """Run that command until `kill`; its process's id."""
        return self.start(self.command(beginning))

    def serve(self, beginning: str) -> None:
        """Run that command until `kill`; returns once it answers requests."""
        self.begin(beginning)
        eventually(self.answers, START_SECONDS)
