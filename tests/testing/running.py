"""pytest as users run it, on tests of theirs, with this plugin and no other."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

PATIENCE_SECONDS = 120.0


class TestRun:
    """One run of pytest in a folder, in a process of its own."""

    __test__ = False

    def __init__(self, folder: Path) -> None:
        plugins = ["-p", "flask_outbox", "-p", "no:cacheprovider"]
        done = subprocess.run(
            [sys.executable, "-m", "pytest", *plugins, "-W", "error", "--rootdir", "."],
            check=False,
            cwd=folder,
            env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "COLUMNS": "80"},
            text=True,
            capture_output=True,
            timeout=PATIENCE_SECONDS,
        )
        self.printed = done.stdout + done.stderr
        """All that it printed."""
        self.outcomes = {
            word: int(number)
            for number, word in re.findall(
                r"(\d+) (\w+)", self.printed.splitlines()[-1]
            )
            if word in ("passed", "failed", "error", "errors", "skipped")
        }
        """How many tests had which outcome."""

    def failure_of(self, test: str) -> str:
        """What it printed of a test that failed, without the marks of errors."""
        title = re.search(rf"^_+ {test} _+\n", self.printed, re.MULTILINE)
        assert title, self.printed
        rest = self.printed[title.end() :]
        end = re.search(r"^_+ [\w ]+ _+$|^=+ ", rest, re.MULTILINE)
        assert end
        return re.sub(r"^E {7}", "", rest[: end.start()], flags=re.MULTILINE)
