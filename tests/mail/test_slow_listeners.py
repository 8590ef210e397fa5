"""Listeners that delay a courier beyond its lease: no mail is sent twice."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from flask_outbox import State, signals
from tests.mail.conftest import MakeSite
from tests.servers import JournalSmtp
from tests.waiting import WAIT_SECONDS, eventually


def test_a_message_taken_over_by_another_courier_is_not_sent_again(
    make_site: MakeSite, server: JournalSmtp, tmp_path: Path
):
    lease = {"OUTBOX_LEASE_SECONDS": 0.5, "OUTBOX_URL": f"sqlite:///{tmp_path}/one.db"}
    held_up, other = make_site(**lease), make_site(**lease)
    began, taken_over = threading.Event(), threading.Event()

    def wait(sender: object, **payload: object) -> None:
        began.set()
        assert taken_over.wait(WAIT_SECONDS)

    with signals.message_began.connected_to(wait, sender=held_up.app):
        receipt = held_up.send()
        assert began.wait(WAIT_SECONDS)
        other.make_ready()
        assert other.settled(receipt).state is State.SENT
        taken_over.set()
        held_up.wait_for(signals.lease_lost)
    assert len(server.mails) == 1


def test_a_slow_listener_is_named(
    make_site: MakeSite,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(signals, "SLOW_LISTENER_SECONDS", -1.0)
    site = make_site()

    def listen_for_long(sender: object, **payload: object) -> None:
        pass

    with signals.message_sent.connected_to(listen_for_long, sender=site.app):
        site.send()
        (said,) = eventually(
            lambda: [one for one in caplog.messages if "listen_for_long" in one]
        )
    assert "of the signal message-sent took" in said
    assert "thread or a queue" in said
