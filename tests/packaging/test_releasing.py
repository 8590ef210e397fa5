"""The workflows and forms of the repository, and that version and changelog agree."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.version import Version

from .conftest import CLONE, PROJECT

WORKFLOWS = CLONE / ".github" / "workflows"
FORMS = CLONE / ".github" / "ISSUE_TEMPLATE"

ACTIONS = {
    "actions/checkout", "actions/download-artifact", "actions/setup-python",
    "actions/upload-artifact", "pypa/gh-action-pypi-publish",
}  # fmt: skip

ELEMENTS = {
    "checkboxes": {"label", "description", "options"},
    "dropdown": {"label", "description", "options", "multiple", "default"},
    "input": {"label", "description", "placeholder", "value"},
    "markdown": {"value"},
    "textarea": {"label", "description", "placeholder", "render", "value"},
}


def workflow(name: str) -> dict[str, Any]:
    document = yaml.safe_load((WORKFLOWS / name).read_text("utf-8"))
    jobs: dict[str, Any] = document["jobs"]
    assert document[True], "YAML reads the key 'on' as true"
    assert document["permissions"] == {"contents": "read"}
    return jobs


def steps() -> Iterator[tuple[str, dict[str, Any]]]:
    for path in sorted(WORKFLOWS.iterdir()):
        for job in workflow(path.name).values():
            for step in job["steps"]:
                yield path.name, step


def test_each_job_says_where_it_runs_and_after_what() -> None:
    for path in WORKFLOWS.iterdir():
        jobs = workflow(path.name)
        for name, job in jobs.items():
            needed = job.get("needs", [])
            assert job["runs-on"] == "ubuntu-latest", name
            assert job["timeout-minutes"] <= 90, name
            assert {needed} if isinstance(needed, str) else {*needed} <= {*jobs}, name


def test_each_step_is_an_action_of_a_version_or_a_script_that_is_here() -> None:
    for name, step in steps():
        assert ("uses" in step) != ("run" in step), (name, step)
        if "uses" in step:
            action, _, version = step["uses"].partition("@")
            assert action in ACTIONS, name
            assert re.fullmatch(r"(release/)?v\d+", version), step
        else:
            subprocess.run(["sh", "-n", "-c", step["run"]], check=True)
            for script in re.findall(r"(?:scripts|tests)/[\w./-]+", step["run"]):
                path = CLONE / script
                assert path.exists(), script
                assert not script.startswith("scripts") or os.access(path, os.X_OK)


def test_only_what_publishes_may_publish() -> None:
    jobs = workflow("release.yml")
    allowed = {name: job.get("permissions", {}) for name, job in jobs.items()}
    assert allowed == {
        "build": {},
        "install": {},
        "publish": {"id-token": "write"},
        "announce": {"contents": "write"},
    }
    assert jobs["publish"]["needs"] == ["build", "install"]
    assert jobs["publish"]["environment"] == "pypi"
    assert not re.search(r"secrets\.", (WORKFLOWS / "release.yml").read_text("utf-8"))


def test_the_pythons_are_those_that_the_package_names() -> None:
    named = re.findall(r":: (3\.\d+)$", "\n".join(PROJECT["classifiers"]), re.M)
    matrix = workflow("release.yml")["install"]["strategy"]["matrix"]["python"]
    core = workflow("ci.yml")["core"]["strategy"]["matrix"]["with"]
    assert matrix == named
    assert core == ["lowest", *(f"python{name}" for name in named[1:])]


def test_the_forms_are_ones_that_github_can_show() -> None:
    for path in sorted(FORMS.glob("*.yml")):
        form = yaml.safe_load(path.read_text("utf-8"))
        if path.name == "config.yml":
            assert form == {"blank_issues_enabled": True}
            continue
        assert {*form} == {"name", "description", "labels", "body"}, path.name
        ids = [element["id"] for element in form["body"] if "id" in element]
        assert len(ids) == len({*ids}), path.name
        for element in form["body"]:
            assert {*element} <= {"type", "id", "attributes", "validations"}
            assert {*element["attributes"]} <= ELEMENTS[element["type"]], path.name
            assert ("id" in element) == (element["type"] != "markdown"), path.name


def test_the_version_is_the_newest_of_the_changelog_or_comes_after_it() -> None:
    text = (CLONE / "CHANGELOG.md").read_text("utf-8")
    headings = re.findall(r"^## (.*)$", text, re.M)
    assert headings[0] == "[Unreleased]"
    released = [
        re.fullmatch(r"\[(\S+)\] - (\d{4}-\d\d-\d\d)", one) for one in headings[1:]
    ]
    assert all(released), headings
    numbers = [Version(one[1]) for one in released if one]
    assert numbers == sorted(numbers, reverse=True)
    assert Version(PROJECT["version"]) >= max(numbers, default=Version("0"))


@pytest.fixture
def released(tmp_path: Path) -> Path:
    """The folder of a project with a release in its changelog."""
    (tmp_path / "scripts").mkdir()
    shutil.copy(CLONE / "scripts" / "release-notes", tmp_path / "scripts")
    (tmp_path / "pyproject.toml").write_text('[project]\nversion = "1.2.0"\n')
    (tmp_path / "CHANGELOG.md").write_text(
        "# Changelog\n\n## [Unreleased]\n\n## [1.2.0] - 2027-01-31\n\n### Added\n\n"
        "- Stamps.\n\n## [1.1.0] - 2027-01-01\n\n- Letters.\n"
    )
    return tmp_path


def release_notes(project: Path, version: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [project / "scripts" / "release-notes", version],
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_notes_of_a_release_are_its_part_of_the_changelog(released: Path) -> None:
    said = release_notes(released, "1.2.0")
    assert (said.returncode, said.stdout.strip()) == (0, "### Added\n\n- Stamps.")


def test_a_tag_that_is_not_the_version_is_not_released(released: Path) -> None:
    said = release_notes(released, "1.1.0")
    assert (said.returncode, said.stdout) == (1, "")
    assert said.stderr == "pyproject.toml has version 1.2.0, and not 1.1.0.\n"


def test_a_version_that_the_changelog_does_not_have_is_not_released(
    released: Path,
) -> None:
    (released / "CHANGELOG.md").write_text("# Changelog\n\n## [Unreleased]\n\n- All.\n")
    said = release_notes(released, "1.2.0")
    assert (said.returncode, said.stdout) == (1, "")
    assert "has no heading" in said.stderr
