"""The code of ``docs/migrating``: before and after, the same mail arrives."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.drop_in.essence import essence
from tests.mail.site import ADA, SENDER
from tests.processes.running import ROOT
from tests.servers import JournalSmtp

FOLDER = ROOT / "docs" / "migrating"
CODE = FOLDER / "code"
PAGES = sorted(one.stem for one in FOLDER.glob("*.rst") if one.stem != "index")
RUN_SECONDS = 120.0


def before_and_after(page: str) -> tuple[Path, Path]:
    name = page.replace("-", "_")
    return CODE / f"{name}_before.py", CODE / f"{name}_after.py"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[JournalSmtp]:
    with JournalSmtp(tmp_path / "journal") as server:
        yield server


@pytest.mark.parametrize("page", PAGES)
def test_the_code_before_and_after_sends_the_same_mail(
    page: str, server: JournalSmtp, tmp_path: Path
) -> None:
    environment = {
        **os.environ,
        "FLASK_MAIL_SERVER": server.host,
        "FLASK_MAIL_PORT": str(server.port),
        "FLASK_MAIL_DEFAULT_SENDER": SENDER,
        "FLASK_OUTBOX_URL": f"sqlite:///{tmp_path / 'outbox.db'}",
        "FLASK_CELERY": '{"task_always_eager": true}',
    }
    run = subprocess.run(
        [sys.executable, "-m", "tests.migrating.posting", *before_and_after(page)],
        cwd=ROOT,
        env=environment,
        check=False,
        capture_output=True,
        timeout=RUN_SECONDS,
    )
    assert run.returncode == 0, run.stderr.decode()
    arrived = server.wait_for(2)
    assert len(arrived) == 2
    assert arrived[0].recipients == arrived[1].recipients == (ADA,)
    assert essence(arrived[0].content) == essence(arrived[1].content)
    ours = [one for one in arrived if one.rfc_message_id.endswith("@example.com>")]
    assert len(ours) == 1


@pytest.mark.parametrize("page", PAGES)
def test_a_page_shows_the_code_that_was_run(page: str) -> None:
    text = (FOLDER / f"{page}.rst").read_text(encoding="utf-8")
    shown = set(re.findall(r"literalinclude:: (\S+)", text))
    assert {f"code/{one.name}" for one in before_and_after(page)} == shown


def test_every_code_file_is_shown_on_a_page() -> None:
    named = {one for page in PAGES for one in before_and_after(page)}
    assert named == set(CODE.glob("*.py"))


def test_from_flask_mail_one_line_changes() -> None:
    before, after = (
        one.read_text(encoding="utf-8").splitlines()
        for one in before_and_after("flask-mail")
    )
    changed = [(old, new) for old, new in zip(before, after, strict=True) if old != new]
    assert changed == [
        (
            "from flask_mail import Mail, Message",
            "from flask_outbox.flask_mail import Mail, Message",
        )
    ]
