"""The pytest plugin of Flask-Outbox: fixtures, and what a failed test shows.

It lies outside of the package, and imports that only where a test asks for it: pytest
loads plugins at every start, before it measures coverage.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from flask import Flask

    from flask_outbox.testing import OutboxWorker, RecordedOutbox, SmtpServer

_summaries = pytest.StashKey[dict[str, Callable[[], str]]]()
"""What a failed test shows, by its title."""

_failed = pytest.StashKey[bool]()


@contextmanager
def _shown_on_failure(
    request: pytest.FixtureRequest, title: str, summary: Callable[[], str]
) -> Iterator[None]:
    summaries = request.node.stash.setdefault(_summaries, {})
    summaries[title] = summary
    try:
        yield
    finally:
        del summaries[title]  # pytest keeps its tests to the end, but not their apps


@pytest.fixture
def outbox(request: pytest.FixtureRequest) -> Iterator[RecordedOutbox]:
    """What the app under test has handed over, with assertions on it."""
    from flask_outbox.testing import RecordedOutbox

    with (
        RecordedOutbox() as recorded,
        _shown_on_failure(request, "Mail", recorded.summary),
    ):
        yield recorded


@pytest.fixture
def smtp_server(request: pytest.FixtureRequest) -> Iterator[SmtpServer]:
    """A real mail server on this machine, which does as a script says."""
    from flask_outbox.testing import SmtpServer

    with (
        SmtpServer() as server,
        _shown_on_failure(request, "Mail server", server.summary),
    ):
        yield server
    if not request.node.stash.get(_failed, False):
        _check_script(server)


def _check_script(server: SmtpServer) -> None:
    try:
        server.check_script()
    except AssertionError as error:
        pytest.fail(str(error), pytrace=False)


@pytest.fixture
def outbox_worker(smtp_server: SmtpServer) -> Iterator[Callable[[Flask], OutboxWorker]]:
    """Starts ``flask outbox worker`` for an app, in a process of its own."""
    from flask_outbox.testing import OutboxWorker

    with ExitStack() as ending:

        def start(app: Flask) -> OutboxWorker:
            worker = OutboxWorker(app)
            ending.callback(worker.close)
            smtp_server.victims.append(worker)
            return worker

        yield start


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Have a failed test show its mail, unless its failure says so already."""
    report = yield
    if call.when == "call" and call.excinfo:
        item.stash[_failed] = True
        for title, summary in item.stash.get(_summaries, {}).items():
            told = _told(summary)
            if told not in str(call.excinfo.value):
                report.sections.append((title, told))
    return report


def _told(summary: Callable[[], str]) -> str:
    """A summary; where there can be none, the test's own failure counts."""
    try:
        return summary()
    except Exception as error:
        return f"The outbox could not be read: {error}"
