"""`send(key=)`: simultaneous calls with one key are one mail."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

from tests.mail.conftest import MakeSite
from tests.servers import JournalSmtp
from tests.waiting import WAIT_SECONDS

SENDERS = 100


def test_a_hundred_threads_with_one_key_send_one_mail(
    make_site: MakeSite, url: str, server: JournalSmtp
):
    site = make_site(OUTBOX_URL=url)
    site.make_ready()
    start = Barrier(SENDERS)

    def send(_number: int) -> tuple[str, bool]:
        start.wait()
        receipt = site.send(key="order-17")
        return receipt.id, receipt.duplicate

    with ThreadPoolExecutor(SENDERS) as threads:
        receipts = list(threads.map(send, range(SENDERS)))

    assert len({id for id, _ in receipts}) == 1
    assert [duplicate for _, duplicate in receipts].count(False) == 1
    assert site.mail.drain(WAIT_SECONDS)
    assert len(site.outbox.list()) == len(server.mails) == 1
