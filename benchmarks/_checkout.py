"""Runs a benchmark's script with the package of another checkout, to compare two."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from _ways import Failed


def run_with(tree: Path, script: Path, *arguments: object) -> str:
    """The output of ``script`` in a process that imports ``tree``'s package.

    Raises `Failed` if it ends with an error.
    """
    child = subprocess.run(
        [sys.executable, str(script), *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(tree / "src")},
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    if child.returncode:
        raise Failed(f"{script.name} with {tree} ended with {child.returncode}.")
    return child.stdout
