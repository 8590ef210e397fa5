"""Bounces by real servers: a Postfix that reports what it cannot deliver."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from flask_outbox import State
from flask_outbox.feedback import Fate
from tests.cli.conftest import MakeShop
from tests.cli.test_feedback import SET_UP, fates
from tests.outbox.databases import is_required
from tests.servers import Authority, Behaviour, JournalSmtp
from tests.servers.ports import free_port
from tests.servers.postfix import Postfix
from tests.servers.postfix import why_absent as why_no_postfix

ODD, BOB = "ada+tag=1@example.org", "bob@example.org"


def need(name: str, why_absent: Callable[[], str | None]) -> None:
    """Skip, or fail where it is required, without this server."""
    if reason := why_absent():
        (pytest.fail if is_required(name) else pytest.skip)(reason)


def test_postfix_reports_by_lmtp_what_it_cannot_deliver(
    make_shop: MakeShop, server: JournalSmtp, tmp_path: Path
):
    need("postfix", why_no_postfix)
    port = free_port()
    lmtp = f"lmtp:inet:127.0.0.1:{port}"
    server.behaviour = Behaviour(recipients={ODD: "550 5.1.1 no such user here"})
    with Postfix(
        Authority(tmp_path), relay_to=server.port, transports={"example.com": lmtp}
    ) as postfix:
        url = f"smtp://{postfix.host}:{postfix.port('plain')}"
        shop = make_shop(**SET_UP, MAIL_URL=url)
        bind = f"127.0.0.1:{port}"
        with shop.process("feedback", "lmtp", "--bind", bind) as process:
            process.wait_for("Listening at")
            id = shop.send(ODD, BOB)
            shop.deliver()
            assert shop.get(id).state is State.SENT
            process.wait_for(f"A bounce about message {id} was recorded: bounced.")
    assert fates(shop.get(id)) == {ODD: Fate.BOUNCED, BOB: None}
    (dialogue,) = re.findall(
        r"RCPT TO:<ada.*", shop.run("show", id, "--dialogue").output
    )
    assert "NOTIFY=FAILURE,DELAY ORCPT=rfc822;ada+2Btag+3D1@example.org" in dialogue
    (mail,) = server.mails
    assert mail.recipients == (BOB,)
    assert shop.outbox.suppressed_by(ODD, "") is not None
