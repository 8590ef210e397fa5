"""The machine that a benchmark runs on, above all its disk."""

from __future__ import annotations

import os
import platform
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

SYNCS = 200
BLOCK = b"\0" * 4096
IN_MEMORY = {"tmpfs", "ramfs"}


def show_machine(folder: Path, packages: Iterable[str]) -> dict[str, str]:
    """Print the facts about the machine, and return them."""
    facts = machine(folder, packages)
    for name, value in facts.items():
        print(f"{name:9} {value}")
    return facts


def machine(folder: Path, packages: Iterable[str]) -> dict[str, str]:
    """The facts that readers need to compare the figures with their own."""
    kind = file_system(folder)
    note = " (in memory: a sync costs nothing here)" if kind in IN_MEMORY else ""
    return {
        "CPU": f"{os.cpu_count()} × {_cpu()}",
        "system": platform.platform(),
        "Python": platform.python_version(),
        "SQLite": sqlite3.sqlite_version,
        "packages": ", ".join(_versions(packages)),
        "files": f"{folder} on {kind}{note}",
        "sync": f"{sync_seconds(folder) * 1e6:.0f} µs for 4 KiB appended, median",
        "load": f"{os.getloadavg()[0]:.1f} processes",
    }


def file_system(folder: Path) -> str:
    """The type of the file system of ``folder``, if the system reports it."""
    try:
        mounts = Path("/proc/self/mounts").read_text().splitlines()
    except OSError:
        return "an unknown file system"
    kind, nearest = "an unknown file system", -1
    for mount in mounts:
        _, place, its_kind, *_ = mount.split()
        if folder.resolve().is_relative_to(place) and len(place) > nearest:
            kind, nearest = its_kind, len(place)
    return kind


def sync_seconds(folder: Path) -> float:
    """How long an append of 4 KiB and its sync take."""
    seconds = []
    with tempfile.TemporaryFile(dir=folder, buffering=0) as file:
        for _ in range(SYNCS):
            began = time.perf_counter()
            file.write(BLOCK)
            os.fsync(file.fileno())
            seconds.append(time.perf_counter() - began)
    return statistics.median(seconds)


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2] for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine()).strip()


def _versions(packages: Iterable[str]) -> Iterable[str]:
    for package in packages:
        try:
            yield f"{package} {version(package)}"
        except PackageNotFoundError:
            yield f"{package} not installed"
