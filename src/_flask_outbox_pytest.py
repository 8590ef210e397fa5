"""Flask-Outbox's pytest plugin: fixtures, and extra output for failed tests.

It is outside the package, and imports that only when a test uses it: pytest loads
plugins at every start, before coverage is measured.
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
"""What a failed test shows, by title."""

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
        del summaries[title]  # pytest keeps its tests; this frees the app


@pytest.fixture
def outbox(request: pytest.FixtureRequest) -> Iterator[RecordedOutbox]:
    """The messages that the app under test has sent, with assertions."""
    from flask_outbox.testing import RecordedOutbox

    with (
        RecordedOutbox() as recorded,
        _shown_on_failure(request, "Mail", recorded.summary),
    ):
        yield recorded


@pytest.fixture
def smtp_server(request: pytest.FixtureRequest) -> Iterator[SmtpServer]:
    """A real mail server on this machine that follows a script."""
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
    """Starts ``flask outbox worker`` for an app, in its own process."""
    from flask_outbox.testing import OutboxWorker

    with ExitStack() as ending:

        def start(app: Flask) -> OutboxWorker:
            worker = OutboxWorker(app)
            ending.callback(worker.close)
            smtp_server.workers.append(worker)
            return worker

        yield start


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show the mail of a failed test, unless its failure already does."""
    report = yield
    if call.when == "call" and call.excinfo:
        item.stash[_failed] = True
        for title, summary in item.stash.get(_summaries, {}).items():
            told = _safe_summary(summary)
            if told not in str(call.excinfo.value):
                report.sections.append((title, told))
    return report


def _safe_summary(summary: Callable[[], str]) -> str:
    """A summary, or why there is none: an error here must not hide the test's
    failure.
    """
    try:
        return summary()
    except Exception as error:
        return f"The outbox could not be read: {error}"
