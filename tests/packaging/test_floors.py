"""The lowest versions that the package allows are those that CI tests."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from .conftest import CLONE, PROJECT


def bounds_of(project: dict[str, Any]) -> Iterator[Requirement]:
    """What the package requires, with each extra and without."""
    extras = project["optional-dependencies"].values()
    for group in (project["dependencies"], *extras):
        yield from map(Requirement, group)


def pinned(lines: Iterable[str]) -> dict[str, Requirement]:
    """The requirements of a file, by their names."""
    written = (line.partition("#")[0].strip() for line in lines)
    pins = [Requirement(line) for line in written if line]
    return {canonicalize_name(one.name): one for one in pins}


def version_of(requirement: Requirement, operator: str) -> Version:
    """The version of its only specifier, which has this operator."""
    (one,) = requirement.specifier
    assert one.operator == operator, requirement
    return Version(one.version)


def untested(
    bounds: Iterable[Requirement], pins: dict[str, Requirement]
) -> Iterator[str]:
    """Each bound that is not tested as it is, by the package's name."""
    for bound in bounds:
        pin = pins.get(canonicalize_name(bound.name))
        if pin is None:
            yield f"{bound.name} is missing"
        elif version_of(pin, "==") != version_of(bound, ">="):
            yield f"{bound.name} is {pin.specifier}, and required is {bound.specifier}"
        elif not bound.extras <= pin.extras:
            yield f"{bound.name} has no {', '.join(bound.extras - pin.extras)}"


def test_each_lowest_version_is_the_one_that_is_tested() -> None:
    lines = (CLONE / "requirements" / "lowest.txt").read_text("utf-8").splitlines()
    assert list(untested(bounds_of(PROJECT), pinned(lines))) == []


@pytest.mark.parametrize(
    ("pin", "difference"),
    [
        ("My_Driver[fast] == 2.1.0  # the lowest", None),
        ("my-driver[fast]==2.2", "my.driver is ==2.2, and required is >=2.1"),
        ("my-driver==2.1", "my.driver has no fast"),
        ("other==2.1", "my.driver is missing"),
    ],
)
def test_a_difference_names_the_package(pin: str, difference: str | None) -> None:
    project = {
        "dependencies": [],
        "optional-dependencies": {"driver": ["my.driver[fast]>=2.1"]},
    }
    found = list(untested(bounds_of(project), pinned(["# a comment", pin])))
    assert found == ([difference] if difference else [])
