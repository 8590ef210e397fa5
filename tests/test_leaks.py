"""What tests leave unclosed fails them, however many processes run them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LEAVES_A_SOCKET = """
import socket


def test_it():
    left = [socket.socket()]
    left.append(left)
"""
"""In a cycle, so that only the garbage collector comes to it."""


@pytest.mark.parametrize("processes", [0, 1])
def test_what_a_file_leaves_unclosed_fails_it(tmp_path: Path, processes: int) -> None:
    (tmp_path / "test_it.py").write_text(LEAVES_A_SOCKET)
    path = os.pathsep.join([str(ROOT), *sys.path])
    run = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "-n", str(processes)),
            *("-c", str(ROOT / "pyproject.toml"), "--rootdir", str(tmp_path)),
            *("-p", "tests.conftest", "-p", "no:cacheprovider", str(tmp_path)),
        ],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == pytest.ExitCode.TESTS_FAILED, run.stdout + run.stderr
    assert "ERROR at teardown of test_it" in run.stdout
    assert "unclosed <socket.socket" in run.stdout
