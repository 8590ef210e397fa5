"""``pip install`` of the wheel into a bare environment of each Python that is there."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from .conftest import Release

FIRST_MAIL = Path(__file__).with_name("first_mail.py")

PYTHONS = ("python3.11", "python3.12", "python3.13")

pytestmark = pytest.mark.long


def found(name: str) -> str:
    """A Python on the PATH, or as pyenv keeps it."""
    kept = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    for place in (name, *map(str, sorted(kept.glob(f"*/bin/{name}")))):
        if path := shutil.which(place):
            works = subprocess.run([path, "-c", ""], capture_output=True, check=False)
            if works.returncode == 0:
                return path
    pytest.skip(f"{name} is not here")


def run(*command: str | Path, code: int = 0) -> str:
    """What the command writes, without what only this project's tests set."""
    ours = ("PYTHONPATH", "SSL_CERT_FILE", "VIRTUAL_ENV")
    done = subprocess.run(
        command,
        env={name: value for name, value in os.environ.items() if name not in ours},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == code, done.stdout
    return done.stdout


@pytest.fixture(params=PYTHONS)
def bare(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """The folder of an environment's programs, with pip and nothing else."""
    run(found(request.param), "-m", "venv", tmp_path / "venv")
    return tmp_path / "venv" / "bin"


def test_the_first_mail_and_then_the_demo(
    bare: Path, release: Release, tmp_path: Path
) -> None:
    demo = (bare / "python", "-m", "flask_outbox.demo", "--check")
    run(bare / "pip", "install", "--quiet", release.wheel)
    run(bare / "pip", "check")
    assert f"{tmp_path / 'venv'}" in run(bare / "python", FIRST_MAIL, tmp_path)
    assert "install 'flask-outbox[demo]'" in run(*demo, code=1)

    run(bare / "pip", "install", "--quiet", f"{release.wheel}[demo]")
    assert "arrived at the SMTP server" in run(*demo)
    assert "arrived at the fake of Resend" in run(*demo, "--transport", "resend")
