"""The files of ``contrib/``, read as the programs that they are for read them."""

from __future__ import annotations

import json
import re
import runpy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

FOLDER = Path(__file__).parents[2] / "contrib"
SYSTEMD = FOLDER / "systemd"
DOCKER = FOLDER / "docker"
KUBERNETES = FOLDER / "kubernetes"

GRACE_SECONDS = 10 + 5
"""OUTBOX_GRACE_SECONDS, and what a courier may take longer."""


def manifests() -> Iterator[dict[str, Any]]:
    """Each object of ``kubernetes/``."""
    for path in sorted(KUBERNETES.glob("*.yaml")):
        yield from yaml.safe_load_all(path.read_text("utf-8"))


def manifest(kind: str, name: str) -> dict[str, Any]:
    """One object by its kind and name."""
    (found,) = (
        one
        for one in manifests()
        if (one["kind"], one.get("metadata", {}).get("name")) == (kind, name)
    )
    return found


def pods() -> dict[str, dict[str, Any]]:
    """The pods that ``kubernetes/`` makes, by their component."""
    templates = [one["spec"]["template"] for one in manifests() if "spec" in one
                 and "template" in one["spec"]]  # fmt: skip
    return {
        one["metadata"]["labels"]["app.kubernetes.io/component"]: one["spec"]
        for one in templates
    }


def compose() -> dict[str, Any]:
    """``docker/compose.yaml``, its anchors merged."""
    text = (DOCKER / "compose.yaml").read_text("utf-8")
    document: dict[str, Any] = yaml.safe_load(text)
    return document


def dockerfile(instruction: str) -> str:
    """What the last such instruction of the Dockerfile says."""
    text = (DOCKER / "Dockerfile").read_text("utf-8")
    found: list[str] = re.findall(rf"^{instruction} (.*)$", text, re.M)
    return found[-1]


def dockerfile_command(instruction: str) -> list[str]:
    """The command in such an instruction, a JSON array."""
    said = dockerfile(instruction)
    command: list[str] = json.loads(said[said.index("[") :])
    return command


def gunicorn_settings() -> dict[str, Any]:
    """``docker/gunicorn.conf.py``."""
    return runpy.run_path(str(DOCKER / "gunicorn.conf.py"))


def unit(name: str) -> dict[str, list[str]]:
    """The directives of a unit of ``systemd/``, each with all its values."""
    found: dict[str, list[str]] = {}
    for line in (SYSTEMD / name).read_text("utf-8").splitlines():
        if "=" in line and not line.startswith("#"):
            key, _, value = line.partition("=")
            found.setdefault(key, []).append(value)
    return found


def environment() -> dict[str, str]:
    """What ``systemd/shop.env`` sets."""
    lines = (SYSTEMD / "shop.env").read_text("utf-8").splitlines()
    pairs = (line.partition("=") for line in lines if not line.startswith("#"))
    return {key: value for key, _, value in pairs}
