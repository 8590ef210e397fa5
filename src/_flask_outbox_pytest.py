"""The pytest plugin of Flask-Outbox: fixtures, and what a failed test shows.

It lies outside of the package, and imports that only where a test asks for it: pytest
loads plugins at every start, before it measures coverage.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from flask_outbox.testing import RecordedOutbox


_recorded = pytest.StashKey["RecordedOutbox"]()


@pytest.fixture
def outbox(request: pytest.FixtureRequest) -> Iterator[RecordedOutbox]:
    """What the app under test has handed over, with assertions on it."""
    from flask_outbox.testing import RecordedOutbox

    with RecordedOutbox() as recorded:
        request.node.stash[_recorded] = recorded
        yield recorded


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Have a failed test show what was in its outbox, unless its failure says so."""
    report = yield
    recorded = item.stash.get(_recorded, None)
    if call.when == "call" and call.excinfo and recorded is not None:
        told = _told(recorded)
        if told not in str(call.excinfo.value):
            report.sections.append(("Mail", told))
    return report


def _told(recorded: RecordedOutbox) -> str:
    """What is in the outbox; if that cannot be read, the test's own failure counts."""
    try:
        return recorded.summary()
    except Exception as error:
        return f"The outbox could not be read: {error}"
