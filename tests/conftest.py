"""What holds for the whole run, and one outbox on each database that there is."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from functools import cache
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from flask_outbox import log_context
from flask_outbox.outbox import Database
from tests.outbox import databases
from tests.outbox.databases import FindHome, Home

TESTS = Path(__file__).parent

NOBODY = TESTS / "servers" / "nobody.pem"
"""What is trusted in place of the system's authorities: all that tests talk with has
certificates of theirs. To read the system's takes longer than most tests, and PyMySQL
does so for each connection.
"""

NOT_FAST = (
    "checks/test_any_bytes.py", "cli/test_batch.py", "cli/test_feedback.py",
    "cli/test_feedback_imap.py", "cli/test_feedback_servers.py", "cli/test_move.py",
    "cli/test_processes.py", "cli/test_schema.py", "cli/test_send_many.py",
    "cli/test_templates.py", "cli/test_worker.py", "compose/test_roundtrip.py",
    "contrib", "crash",
    "dashboard/test_access.py", "demo", "docs", "doctor", "drop_in", "engines",
    "examples", "hosts",
    "mail/test_claim_ahead.py", "mail/test_drain.py", "mail/test_isolation.py",
    "mail/test_lane_down.py", "mail/test_lifetimes.py", "mail/test_migrate.py",
    "mail/test_resolver.py", "mail/test_server_habits.py", "mail/test_signing.py",
    "mail/test_testing.py", "mail/test_transactions.py", "mail/test_unsubscribe.py",
    "many/test_send_many.py", "migrating", "moving", "outbox/test_couriers.py",
    "outbox/test_fork.py", "outbox/test_interrupted.py", "outbox/test_schema.py",
    "packaging", "process_models", "processes", "provider_events/test_any_body.py",
    "provider_events/test_newsletter.py",
    "smtp/test_exim.py", "smtp/test_haraka.py",
    "smtp/test_postfix.py", "smtp/test_servers.py", "smtp/test_session_model.py",
    "templates/test_endless.py", "templates/test_kills.py", "test_architecture.py",
    "test_leaks.py", "test_notifier.py", "test_patterns.py", "test_report.py",
    "testing",
    "traces/test_instrumentations.py", "traces/test_sentry.py",
    "transports/test_apps.py", "transports/test_contract.py",
    "transports/test_kills.py",
)  # fmt: skip
"""Folders and files of ``tests/`` that take too long for ``--fast``.

``scripts/check`` runs ``test_architecture.py``.
"""

MOSTLY_WAIT = (
    "hosts", "process_models", "crash", "engines", "moving", "demo", "processes",
    "examples", "docs",
)  # fmt: skip
"""Folders of ``tests/`` whose tests wait for leases and grace times, and for processes
that end: meanwhile a processor is free. Those of the longest files come first.
"""

NOT_FAST_WORDS = {*databases.SERVERS, "browser"}
"""``--fast`` leaves out tests with such a fixture, or with one in their parameters."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--fast``."""
    parser.addoption("--fast", action="store_true", help="the tests of the inner loop")


def pytest_configure(config: pytest.Config) -> None:
    """Have Ctrl-C count, and in the processes under test too.

    A shell that starts this run in the background has it ignored, and they inherit it.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ["SSL_CERT_FILE"] = str(NOBODY)
    # No example fails because the machine is slow.
    settings.register_profile(
        "any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow]
    )
    settings.register_profile(
        "fast", settings.get_profile("any machine"), max_examples=20
    )
    few = config.getoption("fast") or os.environ.get("OUTBOX_TEST_EXAMPLES") == "few"
    settings.load_profile("fast" if few else "any machine")
    if os.environ.get("OUTBOX_TEST_LOOP") == "uvloop":
        import uvloop

        asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    if config.getoption("fast"):
        check_not_fast(TESTS)


def check_not_fast(tests: Path) -> None:
    """Raise `pytest.UsageError` where ``NOT_FAST`` names what is not there."""
    if absent := [name for name in NOT_FAST if not (tests / name).exists()]:
        raise pytest.UsageError(f"NOT_FAST names what is not there: {absent}")


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """Have the garbage collector pass over all that is collected: that stays."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Pass over what takes too long for ``--fast``."""
    if not config.getoption("fast"):
        return None
    return collection_path in [TESTS / name for name in NOT_FAST] or None


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(
    config: pytest.Config, items: list[pytest.Item]
) -> None:
    """Leave out the tests on other databases, and in a browser, with ``--fast``."""
    items[:] = mixed(items)
    if not config.getoption("fast"):
        return
    left_out = [item for item in items if NOT_FAST_WORDS & words_of(item)]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]


def mixed(items: list[pytest.Item]) -> list[pytest.Item]:
    """The same file by file, and one that mostly waits before each two others."""
    files: dict[Path, list[pytest.Item]] = {}
    for item in items:
        files.setdefault(item.path, []).append(item)
    folders = [TESTS / name for name in MOSTLY_WAIT]
    waiting = [one for folder in folders for one in files if one.parent == folder]
    others = [one for one in files if one.parent not in folders]
    places = {
        **{one: 2.0 * number for number, one in enumerate(waiting)},
        **{one: float(number) for number, one in enumerate(others)},
    }
    return [
        item for file in sorted(places, key=places.__getitem__) for item in files[file]
    ]


def words_of(item: pytest.Item) -> set[str]:
    """The fixtures that a test uses, and the words of its parameters."""
    parameters = item.name.partition("[")[2].rstrip("]")
    return {*getattr(item, "fixturenames", ()), *parameters.split("-")}


@pytest.fixture(autouse=True)
def _apps_of_this_test(monkeypatch: pytest.MonkeyPatch) -> None:
    """Apps of earlier tests, which may not be collected yet, are in no log line."""
    monkeypatch.setattr(log_context, "_served", log_context._Served())


@pytest.fixture(scope="module", autouse=True)
def _unclosed_is_found_in_its_file() -> Iterator[None]:
    """Collect what a file's tests have left, so that what is unclosed fails the last of
    them. At the end of a process of pytest-xdist, nobody would be told of it.
    """
    yield
    gc.collect()


@pytest.fixture(scope="session")
def find_home() -> Iterator[FindHome]:
    """Opens each database system once for the whole run."""
    with ExitStack() as stack:
        yield cache(lambda name: stack.enter_context(databases.opened(name)))


@pytest.fixture(scope="session", params=databases.NAMES)
def home(find_home: FindHome, request: pytest.FixtureRequest) -> Home:
    """Each database system in turn."""
    return find_home(request.param)


@pytest.fixture
def database(home: Home, tmp_path: Path) -> Iterator[Database]:
    """An outbox's database without messages."""
    with home.empty(tmp_path) as database:
        yield database


@pytest.fixture
def url(database: Database) -> str:
    """Where it is, for whoever opens it a second time."""
    return database.url.render_as_string(hide_password=False)


@pytest.fixture
def bare_url(home: Home, tmp_path: Path) -> Iterator[str]:
    """The URL of a database without tables."""
    with home.bare(tmp_path) as url:
        yield url
