"""Transports that the app finds by name when mail is due for them."""

from __future__ import annotations

import asyncio
import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from flask import current_app

from flask_outbox import (
    ConfigError,
    Mail,
    Message,
    MessageError,
    Search,
    State,
    signals,
)
from flask_outbox.courier import dynamic_lanes
from tests.mail.conftest import MakeSite
from tests.mail.site import ADA, Site, url_of
from tests.outbox.databases import FindHome
from tests.servers import Behaviour, JournalSmtp
from tests.waiting import eventually

NEVER = 3_600
"""Seconds between two looks of a courier: if it looks at all, something woke it."""

GRACE_SECONDS = 0.1
"""Not even that is needed to end where a server never answers."""


class Customers:
    """What the app knows of its customers' servers, and how often it was asked."""

    def __init__(self) -> None:
        self.known: dict[str, Any] = {}
        self.asked: Counter[str] = Counter()

    def __call__(self, name: str) -> Any:
        self.asked[name] += 1
        answer = self.known.get(name)
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.fixture
def customers() -> Customers:
    return Customers()


@pytest.fixture
def mail(customers: Customers) -> Mail:
    """A mail that asks for ``customers``."""
    mail = Mail()
    mail.transport_resolver(customers)
    return mail


@pytest.fixture(params=["sqlite", "postgresql"])
def url(
    request: pytest.FixtureRequest, find_home: FindHome, tmp_path: Path
) -> Iterator[str]:
    """Where the outbox is kept."""
    with find_home(request.param).empty(tmp_path) as database:
        yield database.url.render_as_string(hide_password=False)


@pytest.fixture
def make_server(tmp_path: Path) -> Iterator[Callable[..., JournalSmtp]]:
    """Makes the servers of customers."""
    with ExitStack() as servers:

        def make(**options: Any) -> JournalSmtp:
            journal = tmp_path / f"customer-{len(made)}"
            made.append(servers.enter_context(JournalSmtp(journal, **options)))
            return made[-1]

        made: list[JournalSmtp] = []
        yield make


def _tasks(site: Site) -> int:
    """How many tasks its courier runs."""
    store = site.courier._threads
    assert store is not None
    return len(asyncio.all_tasks(store._loop))


def _lanes(site: Site) -> set[str]:
    return set(site.courier.lanes)


def _rows(site: Site) -> set[str]:
    """The lanes that the outbox keeps anything of."""
    with site.outbox.database.reading() as connection:
        found = connection.exec_driver_sql("SELECT name FROM outbox_lane")
        return {row[0] for row in found}


def test_mail_leaves_by_what_the_resolver_returns(
    make_site: MakeSite,
    mail: Mail,
    customers: Customers,
    url: str,
    server: JournalSmtp,
    make_server: Callable[..., JournalSmtp],
):
    first, second = make_server(), make_server()
    customers.known = {
        "customer-1": url_of(first),
        "customer-2": {"MAIL_SERVER": second.host, "MAIL_PORT": second.port},
    }
    site = make_site(mail, OUTBOX_URL=url, OUTBOX_POLL_SECONDS=NEVER)
    sent = [
        site.send(transport=name)
        for _ in range(5)
        for name in ("customer-1", "customer-2", "default")
    ]
    records = [site.settled(one) for one in sent]
    assert {one.state for one in records} == {State.SENT}
    assert [len(one.mails) for one in (first, second, server)] == [5, 5, 5]
    assert {one.lane for one in records} == {"customer-1", "customer-2", "default"}
    assert customers.asked == {"customer-1": 1, "customer-2": 1}


def test_the_resolver_has_the_apps_context(make_site: MakeSite, server: JournalSmtp):
    mail = Mail()

    @mail.transport_resolver
    def find(name: str) -> str:
        return str(current_app.config["SERVERS"][name])

    site = make_site(mail, SERVERS={"mine": url_of(server)})
    assert site.settled(site.send(transport="mine")).state is State.SENT


def test_an_unknown_name_holds_its_mail_until_the_resolver_learns_it(
    make_site: MakeSite,
    mail: Mail,
    customers: Customers,
    url: str,
    make_server: Callable[..., JournalSmtp],
):
    site = make_site(mail, OUTBOX_URL=url, OUTBOX_POLL_SECONDS=NEVER)
    held = [site.send(transport="customer-9") for _ in range(3)]
    (paused,) = site.wait_for(signals.lane_paused)
    reason = "the transport resolver returned None for 'customer-9'"
    assert (paused["lane"], paused["reason"]) == ("customer-9", reason)
    eventually(lambda: customers.asked["customer-9"] >= 3)
    assert {site.get(one).state for one in held} == {State.PENDING}
    assert not site.get(held[0]).attempts
    assert _lanes(site) == {"default"}
    late = make_server()
    customers.known["customer-9"] = url_of(late)
    assert {site.settled(one).state for one in held} == {State.SENT}
    assert len(late.mails) == 3
    assert site.told(signals.lane_resumed)[-1]["lane"] == "customer-9"
    assert _rows(site) == set()


def test_status_and_dashboard_say_why_it_is_held(make_site: MakeSite, mail: Mail):
    site = make_site(mail, OUTBOX_DASHBOARD=lambda: True)
    site.send(transport="customer-9")
    site.wait_for(signals.lane_paused)
    reason = "the transport resolver returned None for 'customer-9'"
    (lane,) = site.status().lanes
    assert (lane.name, lane.paused_by, lane.reason) == ("customer-9", "trouble", reason)
    page = site.app.test_client().get("/outbox/lanes").get_data(as_text=True)
    assert "the transport resolver returned None for &#39;customer-9&#39;" in page
    shown = site.app.test_cli_runner().invoke(args=["outbox", "status"])
    assert shown.exit_code == 1
    assert "Lane customer-9 is down since" in shown.output
    assert reason in shown.output
    as_json = site.app.test_cli_runner().invoke(args=["outbox", "status", "--json"])
    lanes = json.loads(as_json.stdout)["lanes"]
    assert [one["name"] for one in lanes] == ["default", "customer-9"]


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (LookupError("no such table"), "the transport resolver raised LookupError("),
        ("pigeon://roof", "for 'customer-9' cannot be used: MAIL_URL begins with"),
        ({"MAIL_PROT": 25}, "cannot be used: MAIL_PROT is not a setting of a transp"),
        (["smtp://a"], "returned a value of type list for 'customer-9': it must be"),
        ("smtp://a:hunter2/@b", "cannot be used: MAIL_URL cannot be read"),
    ],
)
def test_a_resolver_that_fails_holds_that_mail_and_no_other(
    make_site: MakeSite,
    mail: Mail,
    customers: Customers,
    server: JournalSmtp,
    answer: object,
    reason: str,
):
    customers.known = {"customer-9": answer, "customer-1": url_of(server)}
    site = make_site(mail, OUTBOX_POLL_SECONDS=NEVER)
    held = site.send(transport="customer-9")
    (paused,) = site.wait_for(signals.lane_paused)
    assert reason in paused["reason"]
    assert "hunter2" not in paused["reason"]
    assert site.settled(site.send(transport="customer-1")).state is State.SENT
    assert site.get(held).state is State.PENDING
    customers.known["customer-9"] = url_of(server)
    assert site.settled(held).state is State.SENT


def test_a_resolver_that_does_not_return_delays_no_other_mail(
    make_site: MakeSite, server: JournalSmtp
):
    mail, go_on = Mail(), threading.Event()

    @mail.transport_resolver
    def find(name: str) -> str:
        if name == "slow":
            go_on.wait()
        return url_of(server)

    site = make_site(mail, OUTBOX_POLL_SECONDS=NEVER)
    slow = site.send(transport="slow")
    try:
        for name in ("default", "quick"):
            assert site.settled(site.send(transport=name)).state is State.SENT
        assert site.get(slow).state is State.PENDING
    finally:
        go_on.set()
    assert site.settled(slow).state is State.SENT


def test_a_secret_is_asked_for_again_after_the_time_limit(
    make_site: MakeSite,
    mail: Mail,
    customers: Customers,
    url: str,
    make_server: Callable[..., JournalSmtp],
):
    users = {"shop": "first"}
    theirs = make_server(users=users)

    def keys() -> dict[str, Any]:
        return {
            "MAIL_SERVER": theirs.host,
            "MAIL_PORT": theirs.port,
            "MAIL_USERNAME": "shop",
            "MAIL_PASSWORD": users["shop"],
            "MAIL_AUTH_UNENCRYPTED": True,
        }

    customers.known["customer-1"] = keys()
    site = make_site(
        mail,
        OUTBOX_URL=url,
        OUTBOX_TRANSPORT_CACHE_SECONDS=0.3,
        OUTBOX_POLL_SECONDS=NEVER,
    )
    assert site.settled(site.send(transport="customer-1")).state is State.SENT
    users["shop"] = "second"
    customers.known["customer-1"] = keys()

    def new_connection() -> bool:
        record = site.settled(site.send(transport="customer-1"))
        assert record.state is State.SENT
        return theirs.connections_made >= 2

    eventually(new_connection)
    assert customers.asked["customer-1"] >= 2


def test_a_connection_stays_open_while_the_answer_stays_the_same(
    make_site: MakeSite,
    mail: Mail,
    customers: Customers,
    make_server: Callable[..., JournalSmtp],
):
    theirs = make_server()
    customers.known["customer-1"] = url_of(theirs)
    site = make_site(mail, OUTBOX_TRANSPORT_CACHE_SECONDS=0.05)

    def asked_often() -> bool:
        assert site.settled(site.send(transport="customer-1")).state is State.SENT
        return customers.asked["customer-1"] >= 4

    eventually(asked_often)
    assert theirs.connections_made == 1


def test_a_name_that_is_no_longer_known_sends_nothing_more(
    make_site: MakeSite, mail: Mail, customers: Customers, server: JournalSmtp
):
    customers.known["customer-1"] = url_of(server)
    site = make_site(mail, OUTBOX_TRANSPORT_CACHE_SECONDS=0.05)
    assert site.settled(site.send(transport="customer-1")).state is State.SENT
    del customers.known["customer-1"]

    def is_held() -> bool:
        site.send(transport="customer-1")
        return bool(site.told(signals.lane_paused))

    eventually(is_held)
    eventually(lambda: State.LEASED not in site.counts())
    count = len(server.mails)
    held = site.send(transport="customer-1")
    eventually(lambda: "customer-1" not in _lanes(site))
    assert site.get(held).state is State.PENDING
    assert len(server.mails) == count


def test_ten_thousand_idle_names_cost_no_lane_task_connection_or_row(
    make_site: MakeSite,
    mail: Mail,
    customers: Customers,
    url: str,
    make_server: Callable[..., JournalSmtp],
):
    theirs = make_server()
    customers.known = {f"customer-{one}": url_of(theirs) for one in range(10_000)}
    site = make_site(
        mail, OUTBOX_URL=url, MAIL_IDLE_SECONDS=0.2, OUTBOX_POLL_SECONDS=NEVER
    )
    site.make_ready()
    assert site.settled(site.send()).state is State.SENT
    before = eventually(lambda: _tasks(site))
    used = [f"customer-{one}" for one in range(0, 10_000, 100)]
    sent = [site.send(transport=name) for name in used]
    assert {site.settled(one).state for one in sent} == {State.SENT}
    assert set(customers.asked) == set(used)
    eventually(lambda: _lanes(site) == {"default"})
    eventually(lambda: _tasks(site) <= before)
    theirs.wait_until(lambda: theirs.connections == 0)
    assert _rows(site) == set()
    again = site.settled(site.send(transport="customer-0"))
    assert again.state is State.SENT


def test_a_lane_is_closed_though_its_mail_was_in_flight_at_the_last_look(
    make_site: MakeSite,
    mail: Mail,
    customers: Customers,
    make_server: Callable[..., JournalSmtp],
):
    theirs = make_server()
    theirs.behaviour = Behaviour(hang=True)
    customers.known = {"customer": url_of(theirs)}
    site = make_site(mail, MAIL_IDLE_SECONDS=0.2, OUTBOX_POLL_SECONDS=NEVER)
    site.make_ready()
    receipt = site.send(transport="customer")
    theirs.wait_until(lambda: theirs.held == 1)
    theirs.behaviour = Behaviour()
    assert site.settled(receipt).state is State.SENT
    eventually(lambda: _lanes(site) == {"default"})


def test_scheduled_mail_of_many_names_opens_nothing_before_its_time(
    make_site: MakeSite, mail: Mail, customers: Customers, url: str
):
    site = make_site(mail, OUTBOX_URL=url, OUTBOX_POLL_SECONDS=NEVER)
    with site.app.app_context():
        for one in range(50):
            mail.send(
                Message("Later", [ADA], "x"), transport=f"customer-{one}", delay=900
            )
    assert site.settled(site.send()).state is State.SENT
    assert _lanes(site) == {"default"}
    assert not customers.asked


def test_one_customers_many_mails_do_not_starve_the_others(
    make_site: MakeSite,
    mail: Mail,
    customers: Customers,
    url: str,
    server: JournalSmtp,
    make_server: Callable[..., JournalSmtp],
):
    """Though all of them were there first, and none of them gets through."""
    big, small = make_server(), make_server()
    big.behaviour = Behaviour(hang=True)
    customers.known = {"big": url_of(big)}
    customers.known |= {f"small-{one}": url_of(small) for one in range(30)}
    site = make_site(
        mail,
        OUTBOX_URL=url,
        OUTBOX_CONCURRENCY=2,
        OUTBOX_POLL_SECONDS=NEVER,
        OUTBOX_GRACE_SECONDS=GRACE_SECONDS,
    )
    with site.app.app_context():
        many = (Message("Hi", [ADA], "x") for _ in range(1_000))
        mail.send_many(many, transport="big", priority=10)
    big.wait_until(lambda: big.held == 2)
    others = [site.send(transport=name) for name in customers.known if name != "big"]
    assert {site.settled(one).state for one in [*others, site.send()]} == {State.SENT}
    assert big.held == 2
    assert not big.mails
    assert big.most_connections == 2
    with site.app.app_context():
        assert mail.search(Search(state=State.SENT)).messages


@pytest.mark.parametrize(
    "names",
    [
        pytest.param(200, id="short"),
        pytest.param(1_000, id="long", marks=pytest.mark.long),
    ],
)
def test_many_names_have_their_turn_beside_one_with_a_huge_backlog(
    names: int,
    make_site: MakeSite,
    mail: Mail,
    customers: Customers,
    server: JournalSmtp,
    make_server: Callable[..., JournalSmtp],
    monkeypatch: pytest.MonkeyPatch,
):
    """Room is for forty, and no turn ends here but that of a name without mail: the one
    with the backlog holds its places for ever.
    """
    monkeypatch.setattr(dynamic_lanes, "TURN_SECONDS", NEVER)
    big, small = make_server(), make_server()
    big.behaviour = Behaviour(hang=True)
    customers.known = {"big": url_of(big)}
    customers.known |= {f"small-{one}": url_of(small) for one in range(names)}
    site = make_site(
        mail,
        OUTBOX_CONCURRENCY=2,
        MAIL_IDLE_SECONDS=NEVER,
        OUTBOX_GRACE_SECONDS=GRACE_SECONDS,
    )
    with site.app.app_context():
        many = (Message("Hi", [ADA], "x") for _ in range(2_000))
        mail.send_many(many, transport="big", priority=10)
        big.wait_until(lambda: big.held == 2)
        for name in customers.known:
            mail.send(Message("Hi", [f"{name}@example.org"], "x"), transport=name)
    for count in range(100, names + 1, 100):
        small.wait_for(count)
    assert {one.recipients[0] for one in small.mails} == {
        f"{name}@example.org" for name in customers.known if name != "big"
    }
    assert small.most_connections <= 39
    assert big.held == 2
    assert not big.mails


def test_more_names_than_there_is_room_for_take_turns(
    make_site: MakeSite,
    mail: Mail,
    customers: Customers,
    url: str,
    make_server: Callable[..., JournalSmtp],
):
    """Room is for twenty: all of thirty have mail sent, and none keeps its lane."""
    theirs = make_server()
    customers.known = {f"customer-{one}": url_of(theirs) for one in range(30)}
    site = make_site(mail, OUTBOX_URL=url, OUTBOX_CONCURRENCY=1)
    most = 0
    sent = [site.send(transport=name) for name in customers.known for _ in range(3)]

    def all_sent() -> bool:
        nonlocal most
        most = max(most, len(_lanes(site)))
        return site.counts() == {State.SENT: len(sent)}

    eventually(all_sent)
    assert most <= 21
    assert theirs.most_connections <= 20


def test_a_person_pauses_a_name_that_the_resolver_finds(
    make_site: MakeSite, mail: Mail, customers: Customers, server: JournalSmtp, url: str
):
    customers.known["customer-1"] = url_of(server)
    site = make_site(mail, OUTBOX_URL=url, OUTBOX_POLL_SECONDS=0.05)
    with site.app.app_context():
        mail.pause("customer-1", reason="unpaid")
        held = site.send(transport="customer-1")
        assert site.settled(site.send()).state is State.SENT
        assert site.get(held).state is State.PENDING
        assert not customers.asked
        mail.resume("customer-1")
    assert site.settled(held).state is State.SENT


def test_send_now_asks_the_resolver(
    make_site: MakeSite, mail: Mail, customers: Customers, server: JournalSmtp
):
    customers.known["customer-1"] = url_of(server)
    site = make_site(mail)
    with site.app.app_context():
        message = Message("Hi", [ADA], "Hello")
        assert mail.send_now(message, transport="customer-1").accepted
        with pytest.raises(MessageError, match="resolver returned None for 'other'"):
            mail.send_now(message, transport="other")


@pytest.mark.parametrize("name", ["", "a b", "a/b", "a\n", "x" * 65, "é"])
def test_an_invalid_name_is_refused_at_hand_over(
    make_site: MakeSite, mail: Mail, name: str
):
    site = make_site(mail)
    with pytest.raises(MessageError, match="a name is 1 to 64 letters, digits and"):
        site.send(transport=name)


def test_without_a_resolver_an_unknown_name_is_refused(site: Site):
    with pytest.raises(MessageError, match="this app has 'default'"):
        site.send(transport="customer-1")


def test_an_app_has_one_resolver(mail: Mail):
    with pytest.raises(ConfigError, match="has a transport resolver already"):
        mail.transport_resolver(lambda name: None)
    with pytest.raises(ConfigError, match="pass a function that takes a name"):
        Mail().transport_resolver("smtp://a")  # type: ignore[type-var]
