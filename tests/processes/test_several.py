"""Several processes on one outbox: forked, or started apart. Each mail goes once."""

from __future__ import annotations

import os
import signal
from concurrent.futures import ThreadPoolExecutor

from tests.processes.conftest import OpenShop, RunScript
from tests.servers import Behaviour, JournalSmtp
from tests.waiting import eventually

PREFORK = """
children = []
for _ in range({workers}):
    pid = os.fork()
    if not pid:
        for _ in range({mails}):
            send()
        sys.exit()
    children.append(pid)
for pid in children:
    assert os.waitpid(pid, 0)[1] == 0
"""


def test_each_forked_worker_has_its_own_courier(
    run_script: RunScript, server: JournalSmtp
):
    """Prefork: the app is made once, before any worker is."""
    sent = run_script(PREFORK.format(workers=4, mails=10)).end().split()
    assert len(sent) == 40
    assert server.arrived == sorted(sent)


def test_nothing_is_started_before_the_fork(run_script: RunScript):
    script = run_script(
        "print(threading.active_count(), len(os.listdir('/proc/self/task')))\n"
        "print(glob.glob('outbox*'))"
    )
    assert script.end().splitlines() == ["1 1", "[]"]


def test_a_process_forked_after_sending_can_send(
    run_script: RunScript, server: JournalSmtp
):
    """The parent's courier and connections stay the parent's; both go on sending."""
    script = run_script(
        "send()\n"
        "assert mail.drain(60)\n" + PREFORK.format(workers=2, mails=10) + "send()\n"
    )
    sent = script.end().split()
    assert len(sent) == 22
    assert server.arrived == sorted(sent)


def test_mail_of_a_killed_worker_is_delivered_by_others(
    run_script: RunScript, server: JournalSmtp
):
    server.behaviour = Behaviour(hang=True)
    script = run_script(
        "pid = os.fork()\n"
        "if not pid:\n"
        "    send()\n"
        "    time.sleep(60)\n"
        "print(pid, flush=True)\n"
        "assert os.waitpid(pid, 0)[1] == 9\n"
        "mail.start()\n"
        "assert mail.drain(60)",
        OUTBOX_LEASE_SECONDS=6,
    )
    (sent, pid) = sorted([script.line(), script.line()], key=str.isdigit)
    server.wait_until(lambda: server.connections == 1)
    before = server.connections_made
    os.kill(int(pid), signal.SIGKILL)
    server.wait_until(
        lambda: server.connections == 0 or server.connections_made > before
    )
    server.behaviour = Behaviour()
    script.end()
    assert server.arrived == [sent]


def test_two_processes_share_one_outbox(open_shop: OpenShop, server: JournalSmtp):
    shops = [open_shop(), open_shop()]
    with ThreadPoolExecutor() as customers:
        answers = customers.map(lambda shop: shop.send_emails(100), shops)
        sent = [one for answer in answers for one in answer]
    assert len(sent) == 200
    server.wait_for(200)
    eventually(lambda: shops[0].get("/status")["counts"] == {"sent": 200})
    assert server.arrived == sorted(sent)


def test_mail_that_one_process_leaves_is_delivered_by_another(
    open_shop: OpenShop, server: JournalSmtp
):
    """Killed with mail in hand while the other is at work."""
    server.behaviour = Behaviour(hang=True)
    first, second = open_shop(), open_shop(OUTBOX_LEASE_SECONDS=6)
    sent = first.send_emails(5)
    second.get("/ping")
    server.wait_until(lambda: server.connections == 5)
    first.kill()
    server.wait_until(lambda: server.connections <= 1)  # the second tries one at once
    server.behaviour = Behaviour()
    server.wait_for(5)
    eventually(lambda: second.get("/status")["counts"] == {"sent": 5})
    assert server.arrived == sorted(sent)
