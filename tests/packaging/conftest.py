"""A release, built once: the sdist from the clone, and the wheel from the sdist."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

CLONE = Path(__file__).parents[2]
PROJECT = tomllib.loads((CLONE / "pyproject.toml").read_text("utf-8"))["project"]

REPOSITORY = "https://git.example.com/shop/outbox"


@dataclass(frozen=True, slots=True)
class Release:
    """What is uploaded."""

    sdist: Path
    wheel: Path


def build(source: Path, target: str, folder: Path, environ: Mapping[str, str]) -> Path:
    """Build ``target`` (sdist or wheel) into ``folder``, and return its path."""
    done = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", target, "-d", folder],
        cwd=source,
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (built,) = folder.glob("*.whl" if target == "wheel" else "*.tar.gz")
    return built


@pytest.fixture(scope="session")
def release(tmp_path_factory: pytest.TempPathFactory) -> Release:
    """As the release workflow builds it, which alone is told of a repository."""
    folder = tmp_path_factory.mktemp("release")
    told = {"FLASK_OUTBOX_REPOSITORY": REPOSITORY}
    sdist = build(CLONE, "sdist", folder, told)
    with tarfile.open(sdist) as archive:
        archive.extractall(folder, filter="data")
    unpacked = folder / sdist.name.removesuffix(".tar.gz")
    return Release(sdist, build(unpacked, "wheel", folder, {}))
