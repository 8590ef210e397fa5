"""Words that are handed over in every field of mail, to be looked for elsewhere."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any

from jinja2 import DictLoader

from flask_outbox import Fate, Feedback, Message, Receipt, State
from flask_outbox.delivery import Reply
from tests.mail.site import ADA, BOB, Site
from tests.servers import Behaviour, JournalSmtp

Say = Callable[[str], str]
"""Makes a canary for a field: a word that is nowhere else."""


class Canaries:
    """The words that were handed over, each in a field of its own."""

    def __init__(self) -> None:
        self.words: list[str] = []

    def __call__(self, field: str) -> str:
        self.words.append(f"{field}{len(self.words):03}canary")
        return self.words[-1]

    def found_in(self, kept: bytes) -> list[str]:
        """Those that are in ``kept``, as they are or in base64."""
        return [one for one in self.words if _is_in(one.encode(), kept)]


def _is_in(word: bytes, kept: bytes) -> bool:
    forms = [word]
    for before in range(3):
        whole = base64.b64encode(b"\0" * before + word)
        forms.append(whole[4:-4])  # but for what depends on its neighbours
    return any(form in kept for form in forms)


def hand_over(site: Site, server: JournalSmtp, say: Say) -> None:
    """Hand over words in all fields, and have them come back in replies and reports."""
    site.app.jinja_loader = DictLoader({"mail/hello.txt": "{{ name }}"})
    for _ in range(12):
        site.settled(_send_one(site, say))
    refused = f"550 5.1.1 {say('reply')} has moved"
    server.behaviour = Behaviour(at_rcpt=refused)
    failed = _send_one(site, say)
    assert site.settled(failed).state is State.FAILED
    server.behaviour = Behaviour()
    with site.app.app_context():
        site.mail.send_many("hello", _rows(say), subject=say("subject"))
        site.mail.suppress(_address(say), reason=say("reason"))
        site.runtime.outbox.pause_lane_by_operator("default", say("pause"))
        _send_one(site, say, template="hello")
    _report(site, failed.id, say)


def _rows(say: Say) -> Iterable[dict[str, str]]:
    return [{"to": _address(say), "name": say("context")} for _ in range(20)]


def _address(say: Say) -> str:
    return f"{say('address')}@example.org"


def _send_one(site: Site, say: Say, template: str | None = None) -> Receipt:
    with site.app.app_context():
        given: dict[str, Any] = {"subject": say("subject")}
        given["recipients"] = [(say("recipient"), ADA)]
        given["sender"] = (say("sender"), "shop@example.com")
        given["reply_to"] = (say("reply_to"), "shop@example.com")
        given["cc"] = [(say("cc"), BOB)]
        given["bcc"] = [_address(say)]
        given["extra_headers"] = {"X-Customer": say("header")}
        if template:
            message = Message.from_template(
                template, context={"name": say("context")}, **given
            )
        else:
            message = Message(body=say("body"), html=f"<p>{say('html')}</p>", **given)
        for size in (1, 4_000):
            attached = say("attachment").encode() * size
            message.attach(f"{say('filename')}.bin", "application/x-own", attached)
        metadata = {say("name"): say("metadata")}
        return site.mail.send(message, metadata=metadata, key=say("key"))


def _report(site: Site, message_id: str, say: Say) -> None:
    now = datetime.now(UTC)
    for fate in (Fate.SOFT_BOUNCED, Fate.BOUNCED, Fate.COMPLAINED):
        report = Feedback(
            fate,
            "resend",
            str(fate),
            now,
            message_id=message_id,
            address=ADA,
            reply=Reply(550, "5.1.1", say("words")),
            detail={"url": say("url"), "user_agent": say("agent")},
        )
        site.runtime.take_feedback([report])
