"""The doctor's page: it examines when a person asks, and shows what to write."""

from __future__ import annotations

import re
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from flask_outbox.dashboard.views import doctor as views
from flask_outbox.doctor import Diagnosis, examination
from flask_outbox.doctor.lookups import Lookups
from tests.browser import chromium, expect, opened, serious_findings
from tests.dashboard.conftest import OpenShop
from tests.dashboard.serving import served
from tests.dashboard.shop import Shop
from tests.doctor.conftest import patience
from tests.doctor.patient import CONFIG, ZONE, Records
from tests.servers import JournalSmtp
from tests.servers.dns import NameServer
from tests.waiting import WAIT_SECONDS

if TYPE_CHECKING:
    from playwright.sync_api import Browser

__all__ = ["patience"]

PASSWORD = "hunter2-hunter2"
WELL: dict[str, Any] = {**CONFIG, "OUTBOX_ENGINE": "thread"}

SetDns = Callable[..., None]


@pytest.fixture
def dns(monkeypatch: pytest.MonkeyPatch) -> Iterator[SetDns]:
    """Has the doctor ask a name server of the good zone, with these changes to it."""
    with ExitStack() as stack:

        def serve(changes: dict[str, Records] | None = None) -> None:
            zone = {**ZONE, **(changes or {})}
            server = stack.enter_context(
                NameServer({name: one for name, one in zone.items() if one})
            )
            monkeypatch.setattr(
                examination,
                "Lookups",
                lambda _, seconds: Lookups(server.place, seconds),
            )

        yield serve


@pytest.fixture
def no_examination(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> Diagnosis:
        raise AssertionError("nobody asked for it")

    monkeypatch.setattr(views, "examine", fail)


@pytest.mark.usefixtures("no_examination")
def test_a_visit_examines_nothing(shop: Shop) -> None:
    assert "Nothing is changed" in shop.page("/doctor")
    assert "/outbox/doctor" in shop.page("/lanes")
    assert shop.ask("/doctor", "POST").status_code == 403, "without the form's token"


def test_a_set_up_that_is_well(
    open_shop: OpenShop, dns: SetDns, server: JournalSmtp
) -> None:
    dns()
    answer = open_shop(**WELL).post("/doctor")
    assert answer.status_code == 200
    assert "Nothing found" in answer.text
    assert "All that was examined is well." in answer.text
    for heading in ("Configuration", "Database", "Transports", "From domains"):
        assert f">{heading}</h2>" in answer.text
    assert "example.com – follows all 7 rules." in answer.text
    assert server.mails == []


def test_what_is_found_is_shown_without_secrets(
    open_shop: OpenShop, dns: SetDns, server: JournalSmtp
) -> None:
    dns({"_dmarc.example.com": [], "10.2.0.192.in-addr.arpa": []})
    shop = open_shop(
        **{
            **WELL,
            "SECRET_KEY": "s3cret-s3cret",
            "MAIL_URL": f"smtp://ada:{PASSWORD}@{server.host}:{server.port}",
            "MAIL_AUTH_UNENCRYPTED": True,
        }
    )
    text = shop.post("/doctor").text
    assert "4 found" in text
    for id in ("secret-key-weak", "login-missing", "dmarc-missing", "ptr-missing"):
        assert f">{id}<" in text
    assert "_dmarc.example.com. TXT &#34;v=DMARC1; p=none; rua=" in text
    assert "names of addresses (PTR)" in text
    for secret in (PASSWORD, "s3cret-s3cret", "PRIVATE KEY"):
        assert secret not in text


def test_without_dnspython_the_extra_is_named(
    open_shop: OpenShop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "dns.resolver", None)
    text = open_shop(**WELL).post("/doctor").text
    assert "pip install &#34;flask-outbox[doctor]&#34;" in text


def test_a_database_that_is_down_is_a_finding(
    open_shop: OpenShop, dns: SetDns, tmp_path: Path
) -> None:
    dns()
    (tmp_path / "broken.db").write_bytes(b"this is no database " * 1000)
    shop = open_shop(**WELL, OUTBOX_URL=f"sqlite:///{tmp_path}/broken.db")
    token = re.search(r'name="csrf_token" value="([^"]+)"', shop.page("/doctor"))
    assert token
    answer = shop.ask("/doctor", "POST", data={"csrf_token": token[1]})
    assert answer.status_code == 200
    assert "outbox-unavailable" in answer.text


def test_it_does_not_examine_twice_at_once(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def slow(*_: object, **__: object) -> Diagnosis:
        begun.set()
        assert go_on.wait(WAIT_SECONDS)
        return Diagnosis((), ())

    monkeypatch.setattr(views, "examine", slow)
    other, answers = Shop(shop.app, shop.mail), []
    first = threading.Thread(target=lambda: answers.append(shop.post("/doctor")))
    first.start()
    assert begun.wait(WAIT_SECONDS)
    refused = other.post("/doctor")
    go_on.set()
    first.join()
    assert refused.status_code == 409
    assert "The doctor is at work" in refused.text
    assert [one.status_code for one in answers] == [200]
    assert other.post("/doctor").status_code == 200


# ------------------------------------------------------------------- in a browser


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def ill(open_shop: OpenShop, dns: SetDns) -> Shop:
    """A shop with one thing to write."""
    dns({"_dmarc.example.com": []})
    return open_shop(**WELL)


def test_a_record_is_copied(ill: Shop, browser: Browser) -> None:
    with (
        served(ill.app) as address,
        opened(
            browser,
            f"{address}/doctor",
            color_scheme="dark",
            viewport={"width": 360, "height": 740},
            permissions=["clipboard-read", "clipboard-write"],
        ) as page,
    ):
        assert serious_findings(page) == []
        page.get_by_role("button", name="Examine").click()
        page.get_by_role("heading", name="1 found").wait_for()
        assert serious_findings(page) == []
        assert page.evaluate("document.documentElement.scrollWidth") == 360
        page.get_by_role("button", name="Copy").click()
        page.get_by_role("button", name="Copied").wait_for()
        assert page.evaluate("navigator.clipboard.readText()") == (
            '_dmarc.example.com. TXT "v=DMARC1; p=none; '
            'rua=mailto:dmarc-reports@example.com"'
        )


def test_without_javascript_a_click_selects_it(ill: Shop, browser: Browser) -> None:
    options = {"java_script_enabled": False, "viewport": {"width": 1280, "height": 720}}
    with (
        served(ill.app) as address,
        opened(browser, f"{address}/doctor", **options) as page,
    ):
        page.get_by_role("button", name="Examine").click()
        page.get_by_role("heading", name="1 found").wait_for()
        record = page.locator(".write code")
        assert record.evaluate("one => getComputedStyle(one).userSelect") == "all"
        expect(page.get_by_role("button", name="Copy")).to_have_count(0)
