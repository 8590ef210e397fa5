"""What is in a release, what an index shows of it, and that it sends a mail."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tarfile
import zipfile
from email import message_from_bytes
from pathlib import Path, PurePosixPath

import pytest
from packaging.metadata import Metadata
from packaging.requirements import Requirement
from trove_classifiers import classifiers

from .conftest import CLONE, PROJECT, REPOSITORY, Release, build

FIRST_MAIL = Path(__file__).with_name("first_mail.py")

KINDS = {
    ".css", ".html", ".js", ".LICENSE", ".mako", ".mo", ".po", ".py", ".svg", ".txt",
    ".typed",
}  # fmt: skip
"""What may lie beside the modules. Anything else got there by mistake."""

LINK = re.compile(r"\]\(([^)\s]+)\)")


@pytest.fixture(scope="module")
def metadata(release: Release) -> Metadata:
    with zipfile.ZipFile(release.wheel) as wheel:
        name = next(one for one in wheel.namelist() if one.endswith("/METADATA"))
        return Metadata.from_email(wheel.read(name), validate=True)


def sources() -> set[str]:
    paths = (path.relative_to(CLONE / "src") for path in (CLONE / "src").rglob("*.*"))
    return {
        path.as_posix()
        for path in paths
        if "__pycache__" not in path.parts and (CLONE / "src" / path).is_file()
    }


def test_the_wheel_has_the_package_and_nothing_else(release: Release) -> None:
    with zipfile.ZipFile(release.wheel) as wheel:
        names = {one for one in wheel.namelist() if ".dist-info/" not in one}
    assert names == sources()
    assert {PurePosixPath(one).suffix for one in names} <= KINDS
    assert {
        "_flask_outbox_pytest.py",
        "flask_outbox/py.typed",
        "flask_outbox/dashboard/templates/layout.html",
        "flask_outbox/dashboard/static/dashboard.css",
        "flask_outbox/outbox/migrations/script.py.mako",
        "flask_outbox/outbox/migrations/versions/v0001_the_first_tables.py",
    } <= names
    catalogues = {one for one in names if one.endswith(".po")}
    assert catalogues
    assert {one.removesuffix(".po") + ".mo" for one in catalogues} <= names


def test_the_sdist_has_what_builds_and_runs_it(release: Release) -> None:
    with tarfile.open(release.sdist) as archive:
        names = [PurePosixPath(one).parts[1:] for one in archive.getnames()]
    assert {parts[0] for parts in names} == {
        ".gitignore", "CHANGELOG.md", "LICENSE", "PKG-INFO", "README.md", "SECURITY.md",
        "contrib", "hatch_build.py", "pyproject.toml", "src",
    }  # fmt: skip
    packed = {"/".join(parts[1:]) for parts in names if parts[0] == "src"}
    assert packed == sources()


def test_the_metadata_say_what_it_is(metadata: Metadata, release: Release) -> None:
    assert metadata.name == "Flask-Outbox"
    assert str(metadata.version) == PROJECT["version"]
    assert metadata.license_expression == "MIT"
    assert metadata.license_files == ["LICENSE"]
    assert set(metadata.classifiers or ()) == set(PROJECT["classifiers"])
    assert set(PROJECT["classifiers"]) <= classifiers
    with zipfile.ZipFile(release.wheel) as wheel:
        entries = next(one for one in wheel.namelist() if "entry_points" in one)
        assert b"[pytest11]\nflask_outbox = _flask_outbox_pytest" in wheel.read(entries)


def test_the_pythons_that_it_names_are_those_that_it_takes(metadata: Metadata) -> None:
    named = re.findall(r":: (3\.\d+)$", "\n".join(metadata.classifiers or ()), re.M)
    assert named == sorted(named, key=lambda name: int(name[2:]))
    assert str(metadata.requires_python) == f">={named[0]}"


def test_each_dependency_has_a_lowest_version_and_no_highest(
    metadata: Metadata,
) -> None:
    for requirement in metadata.requires_dist or ():
        bounds = [one.operator for one in Requirement(str(requirement)).specifier]
        assert bounds == [">="], requirement


def test_each_link_of_the_index_page_leads_to_a_file_of_this_version(
    metadata: Metadata,
) -> None:
    targets = LINK.findall(metadata.description or "")
    tagged = f"{REPOSITORY}/blob/v{PROJECT['version']}/"
    assert metadata.description_content_type == "text/markdown"
    assert len(targets) > 20
    for target in targets:
        path = target.removeprefix(tagged).partition("#")[0]
        assert target.startswith("https://"), target
        if target.startswith(REPOSITORY):
            assert target.startswith(tagged), target
            assert (CLONE / path).is_file(), target


def test_its_addresses_are_the_repositorys(metadata: Metadata) -> None:
    urls = metadata.project_urls or {}
    assert {*urls} == {"Documentation", "Source", "Changelog", "Issues", "Security"}
    tagged = f"{REPOSITORY}/blob/v{PROJECT['version']}/"
    for label, url in urls.items():
        assert url.startswith(REPOSITORY), label
        if url.startswith(tagged):
            assert (CLONE / url.removeprefix(tagged)).is_file(), label


def test_a_build_that_knows_no_repository_links_nowhere(tmp_path: Path) -> None:
    sdist = build(CLONE, "sdist", tmp_path, {"FLASK_OUTBOX_REPOSITORY": ""})
    with tarfile.open(sdist) as archive:
        packed = archive.extractfile(f"{sdist.name.removesuffix('.tar.gz')}/PKG-INFO")
        assert packed is not None
        page = message_from_bytes(packed.read())
    assert not page.get_all("Project-URL")
    text = page.get_payload()
    assert isinstance(text, str)
    assert "quickstart" in text
    assert [one for one in LINK.findall(text) if not one.startswith("https://")] == []


def test_the_wheel_sends_a_first_mail_into_the_inbox(
    release: Release, tmp_path: Path
) -> None:
    installed = tmp_path / "installed"
    with zipfile.ZipFile(release.wheel) as wheel:
        wheel.extractall(installed)
    done = subprocess.run(
        [sys.executable, FIRST_MAIL, tmp_path],
        env={**os.environ, "PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{installed / 'flask_outbox'}\n"
