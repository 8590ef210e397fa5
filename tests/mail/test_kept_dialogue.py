"""The stored SMTP dialogue: complete, but without secrets and content."""

from __future__ import annotations

import base64
import json
from pathlib import Path

from tests.mail.conftest import MakeSite
from tests.servers import JournalSmtp

USER, SECRET = "shop", "correct-horse-battery-staple"


def test_the_stored_dialogue_has_neither_secrets_nor_content(
    tmp_path: Path, make_site: MakeSite
):
    with JournalSmtp(tmp_path / "closed", users={USER: SECRET}) as server:
        url = f"smtp://{USER}:{SECRET}@{server.host}:{server.port}"
        site = make_site(MAIL_URL=url, MAIL_AUTH_UNENCRYPTED=True)
        record = site.settled(site.send())

    dialogue = record.events[-1].detail["dialogue"]
    assert any("AUTH" in line for line in dialogue)
    assert any("bytes of content" in line for line in dialogue)
    kept = json.dumps([one.detail for one in record.events])
    plain = base64.b64encode(f"\0{USER}\0{SECRET}".encode()).decode()
    encoded = base64.b64encode(SECRET.encode()).decode()
    for hidden in (SECRET, plain, encoded, "Subject: Hello"):
        assert hidden not in kept
