"""Each kind of server: all that is sent arrives once, whoever begins or ends."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.waiting import eventually

from .kinds import FAMILIES, RECYCLED, WORKERS
from .serving import Serving
from .stage import Stage, each

MAILS = 40


@pytest.mark.parametrize("family", FAMILIES)
def test_each_mail_arrives_once(family: str, tmp_path: Path):
    """From the very first request on, which makes the outbox."""

    def life(stage: Stage) -> None:
        with stage.serving() as serving:
            sent = serving.send_emails(MAILS)
            if RECYCLED in stage.kind.command:
                sent += _send_until_recycled(serving)
            stage.smtp.wait_for(len(sent))
            assert "Traceback" not in serving.log, serving.log
        assert stage.arrived == sorted(sent)

    kinds = FAMILIES[family]
    if not all(kind.installed for kind in kinds):
        pytest.skip(f"{family} is not installed")
    each(kinds, tmp_path, life)


def _send_until_recycled(serving: Serving) -> list[str]:
    """Send on until some worker has made room for another; the Message-IDs."""
    sent: list[str] = []

    def another_has_answered() -> bool:
        sent.extend(serving.send_emails(1))
        return len(serving.workers) > WORKERS

    eventually(another_has_answered)
    return sent
