"""The first example that anyone sees works as it stands, but for its mail server."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from importlib import import_module
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from tests.mail.site import url_of
from tests.servers import JournalSmtp
from tests.servers.ports import free_port
from tests.started_app import PATHS, words_of
from tests.waiting import WAIT_SECONDS, eventually

ROOT = Path(__file__).parents[2]

EXAMPLES = {
    "README.md": r"```python\n(.+?)```",
    "docs/index.rst": r"\.\. code-block:: python\n(.+?)\n(?=\S)",
}


@pytest.mark.parametrize("page", EXAMPLES)
def test_the_first_example_sends_a_mail(
    page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = re.search(EXAMPLES[page], (ROOT / page).read_text(), re.DOTALL)
    assert found
    with JournalSmtp(tmp_path / "journal") as server:
        code, servers = re.subn(r"smtp\+starttls://[^\"]+", url_of(server), found[1])
        assert servers == 1
        (tmp_path / "first_example.py").write_text(dedent(code))
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.delitem(sys.modules, "first_example", raising=False)
        example: Any = import_module("first_example")
        answer = example.app.test_client().post("/send-email")
        assert answer.status_code == 202
        (mail,) = server.wait_for(1)
        with example.app.app_context():
            assert (
                example.mail.get(answer.json["id"]).rfc_message_id
                == mail.rfc_message_id
            )
            example.mail.stop()
        example.app.extensions["outbox"].runtime.outbox.database.close()


START_SECONDS = WAIT_SECONDS


def test_the_quickstart_ends_with_a_mail_in_the_browser(tmp_path: Path) -> None:
    """Its commands, typed one after the other where nothing was before."""
    page = (ROOT / "docs/quickstart.rst").read_text()
    found = re.search(r":caption: shop\.py\n(.+?)\n(?=\S)", page, re.DOTALL)
    assert found
    (tmp_path / "shop.py").write_text(dedent(found[1]))
    run, post = re.findall(r"^    \$ ((?:flask|curl) .+)$", page, re.MULTILINE)
    assert shlex.split(post)[:3] == ["curl", "-X", "POST"]
    port = free_port()
    sending, inbox = (
        found.replace(":5000", f":{port}")
        for found in (shlex.split(post)[3], re.findall(r"http://\S+inbox", page)[0])
    )
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            words_of(run),
            cwd=tmp_path,
            env={**os.environ, **PATHS, "FLASK_RUN_PORT": str(port)},
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        answer = eventually(lambda: _read(sending, "POST"), START_SECONDS)
        assert '"id"' in answer
        shown = eventually(lambda: _with(_read(inbox), "Welcome"), START_SECONDS)
        assert "ada@example.org" in shown
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _read(url: str, method: str = "GET") -> str:
    """What is there; "" as long as nobody listens."""
    try:
        asked = urllib.request.Request(url, method=method)
        with urllib.request.urlopen(asked, timeout=START_SECONDS) as answer:
            return str(answer.read().decode())
    except ConnectionError:
        return ""
    except urllib.error.URLError as error:
        if isinstance(error.reason, ConnectionError):
            return ""
        raise


def _with(page: str, words: str) -> str:
    return page if words in page else ""
