"""The first example that anyone sees works as it stands, but for its mail server."""

from __future__ import annotations

import re
import sys
from importlib import import_module
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from tests.mail.site import url_of
from tests.servers import JournalSmtp

ROOT = Path(__file__).parents[2]

EXAMPLES = {
    "README.md": r"```python\n(.+?)```",
    "docs/index.rst": r"\.\. code-block:: python\n(.+?)\n(?=\S)",
}


@pytest.mark.parametrize("page", EXAMPLES)
def test_it_sends(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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
            assert example.mail.get(answer.json["id"]).message_id == mail.message_id
            example.mail.stop()
        example.app.extensions["outbox"].runtime.outbox.database.close()
