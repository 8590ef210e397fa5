"""A newsletter by a provider whose events come in any order to a receiver that dies."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from flask_outbox import BatchReceipt, Fate, Mail, State
from flask_outbox.message import Message
from tests.mail.site import Site, make_app_with_outbox
from tests.processes.running import Running
from tests.provider_events.posting import Basic
from tests.provider_events.reporting_postmark import ReportingPostmark
from tests.waiting import WAIT_SECONDS, eventually


class Readers:
    """So many readers of a newsletter, and what is to become of the mail to them."""

    def __init__(self, count: int) -> None:
        self._count = count
        self.bounced = self._those(ReportingPostmark.bounces)
        self.complained = self._those(ReportingPostmark.complains)
        self.all = self._those(lambda _: True)
        self.delivered = self.all - self.bounced - self.complained
        self.still_mailed = self.delivered

    def _those(self, which: Any) -> set[str]:
        numbers = filter(which, range(self._count))
        return {f"reader{number}@example.org" for number in numbers}


class Receiver:
    """The process that takes the events; it may be killed and begins again."""

    def __init__(self, provider: ReportingPostmark, folder: Path, config: Any) -> None:
        self._provider = provider
        self._folder = folder
        self._config = json.dumps(config)
        self._begin()

    def _begin(self) -> None:
        module = "tests.provider_events.receiver"
        self._process = Running(self._folder, "-m", module, self._config)
        self._provider.port_of_app = int(self._process.line())

    def die(self) -> None:
        """Be killed in the midst of it, and begin again elsewhere."""
        self.end()
        self._begin()

    def end(self) -> None:
        self._provider.port_of_app = None
        self._process.__exit__()


@pytest.fixture
def provider() -> Iterator[ReportingPostmark]:
    with ReportingPostmark() as provider:
        yield provider


@pytest.fixture
def site(tmp_path: Path, provider: ReportingPostmark) -> Iterator[Site]:
    app = make_app_with_outbox(
        tmp_path / "app",
        MAIL_URL=provider.url(),
        OUTBOX_EVENTS_PATH="/mail-events",
        **Basic.settings,
    )
    site = Site(app, Mail(app))
    yield site
    site.close()


@pytest.fixture
def receiver(
    tmp_path: Path, provider: ReportingPostmark, site: Site
) -> Iterator[Receiver]:
    names = ("MAIL_URL", "OUTBOX_EVENTS_PATH", "MAIL_EVENTS_SECRET")
    config = {name: site.app.config[name] for name in names}
    config |= {
        "OUTBOX_URL": str(site.outbox.database.url),
        "OUTBOX_ENGINE": "external",
        "MAIL_DEFAULT_SENDER": "shop@example.com",
    }
    receiver = Receiver(provider, tmp_path / "receiver", config)
    yield receiver
    receiver.end()


def send_newsletter(site: Site, readers: Readers) -> BatchReceipt:
    with site.app.app_context():
        mails = (Message("News", [one], "News\n") for one in sorted(readers.all))
        return site.mail.send_many(mails, tag="news")


def state_counts(site: Site, batch: BatchReceipt) -> dict[State, int]:
    with site.app.app_context():
        counts = site.mail.batch(batch.id).counts
    return {state: count for state, count in counts.items() if count}


def fates(site: Site, readers: Readers) -> dict[str, set[str]]:
    """Fate → the readers who have it."""
    found: dict[str, set[str]] = {}
    for one in site.outbox.list(limit=len(readers.all)):
        for to in site.outbox.get(one.id).recipients:
            found.setdefault(str(to.fate), set()).add(to.address)
    return found


@pytest.mark.parametrize(
    ("count", "kills"), [(400, 3), pytest.param(10_000, 20, marks=pytest.mark.long)]
)
def test_fates_and_suppressions_are_exact(
    count: int, kills: int, provider: ReportingPostmark, site: Site, receiver: Receiver
) -> None:
    readers = Readers(count)
    first = send_newsletter(site, readers)
    for kill in range(1, kills + 1):
        enough = kill * count // (kills + 1)
        eventually(lambda: provider.posted >= enough)  # noqa: B023
        receiver.die()
    eventually(lambda: not provider.to_post and len(provider.mailed) == count)

    with site.app.app_context():
        assert site.mail.drain(WAIT_SECONDS)
        eventually(
            lambda: sum(site.mail.batch(first.id).fates.values()) == count,
            5 * WAIT_SECONDS,
        )
    assert state_counts(site, first) == {State.SENT: count}
    assert fates(site, readers) == {
        Fate.DELIVERED: readers.delivered,
        Fate.BOUNCED: readers.bounced,
        Fate.COMPLAINED: readers.complained,
    }
    suppressed = {one.address: one.source for one in site.outbox.suppressions()}
    assert suppressed == {
        **dict.fromkeys(readers.bounced, "bounce"),
        **dict.fromkeys(readers.complained, "complaint"),
    }

    provider.mailed.clear()
    second = send_newsletter(site, readers)
    with site.app.app_context():
        assert site.mail.drain(5 * WAIT_SECONDS)
    assert sorted(provider.mailed) == sorted(readers.still_mailed)
    left_out = len(readers.bounced | readers.complained)
    assert state_counts(site, second) == {
        State.SENT: count - left_out,
        State.SUPPRESSED: left_out,
    }
