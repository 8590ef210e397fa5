"""``docs/events.rst``: the event that a reader posts to try the page."""

from __future__ import annotations

import re
from pathlib import Path
from textwrap import dedent

from flask_outbox import Fate
from tests.mail.site import ADA
from tests.provider_events.conftest import MakeShop

DOCS = Path(__file__).parents[2] / "docs"


def test_the_event_that_the_page_posts_suppresses_the_recipient(
    make_shop: MakeShop,
) -> None:
    _, _, trying = (DOCS / "events.rst").read_text().partition("Trying it\n")
    found = re.search(
        r"code-block:: python\n\n(.+?)\n\n\S.+"
        r'curl -i -u (\S+?):(\S+) -H "(\S+): (\S+)" .+?:5000(\S+)',
        trying,
        re.DOTALL,
    )
    assert found
    settings, user, password, header, value, path = found.groups()
    shop = make_shop(
        **dict(re.findall(r'config\["(\w+)"\] = "(.+)"', dedent(settings)))
    )
    event = (DOCS / "events" / "bounce.json").read_text()
    receipt = shop.send(ADA)
    shop.settled(receipt)

    answer = shop.app.test_client().post(
        path,
        data=event.replace("MESSAGE_ID", receipt.id),
        headers={header: value},
        auth=(user, password),
    )

    assert answer.status_code == 200
    with shop.app.app_context():
        (recipient,) = shop.mail.get(receipt.id).recipients
        assert (recipient.fate, str(recipient.fate_text)) == (
            Fate.BOUNCED,
            "550 5.1.1 no such user",
        )
        assert [one.address for one in shop.mail.suppressions()] == [ADA]
