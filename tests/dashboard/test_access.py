"""Access: every route, asked in each of the ways in which it must not answer."""

from __future__ import annotations

import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from flask import Flask, Response, abort, redirect

from flask_outbox import ConfigError, Mail, Message
from flask_outbox.dashboard.security import access_token
from tests.dashboard.conftest import OpenShop
from tests.dashboard.shop import LOCAL, Shop, make_shop, methods_of, path_of
from tests.mail.site import make_app

FROM_ELSEWHERE = {**LOCAL, "environ_overrides": {"REMOTE_ADDR": "192.0.2.7"}}


def asked(**changed: Any) -> dict[str, Any]:
    """How a browser on this machine asks, with other headers."""
    return {**LOCAL, "headers": {**LOCAL["headers"], **changed}}


WRONG: dict[str, dict[str, Any]] = {
    "another machine": FROM_ELSEWHERE,
    "a socket without an address": {**LOCAL, "environ_overrides": {"REMOTE_ADDR": ""}},
    "a name that leads here": asked(Host="rebound.example"),
    "a name that begins like ours": asked(Host="localhost.example"),
    "a name that is none": asked(Host="[::1"),
    "forwarded": asked(Forwarded="for=192.0.2.7"),
    "x-forwarded-for": asked(**{"X-Forwarded-For": "127.0.0.1"}),
    "x-forwarded-proto": asked(**{"X-Forwarded-Proto": "https"}),
    "x-real-ip": asked(**{"X-Real-Ip": "127.0.0.1"}),
    "via": asked(Via="1.1 proxy"),
}


def every_answer(shop: Shop, **how: Any) -> set[int]:
    return {
        shop.ask(path_of(rule), method=method, **how).status_code
        for rule in shop.routes()
        for method in methods_of(rule)
    }


def test_without_the_setting_there_is_no_dashboard(
    open_shop: OpenShop, shop: Shop
) -> None:
    for debug in (False, True):
        other = open_shop(OUTBOX_DASHBOARD=None, DEBUG=debug)
        assert other.routes() == []
        for rule in shop.routes():
            for method in methods_of(rule):
                assert other.ask(path_of(rule), method).status_code == 404


@pytest.mark.parametrize("how", WRONG.values(), ids=WRONG.keys())
def test_local_refuses_other_machines(shop: Shop, how: dict[str, Any]) -> None:
    assert every_answer(shop, **how) == {403}


@pytest.mark.parametrize(
    ("peer", "host"),
    [
        ("127.0.0.1", "localhost"),
        ("127.0.0.1", "127.0.0.1:5000"),
        ("127.8.9.1", "LOCALHOST:5000"),
        ("::1", "[::1]:5000"),
        ("::ffff:127.0.0.1", "localhost:5000"),
    ],
)
def test_local_answers_this_machine(shop: Shop, peer: str, host: str) -> None:
    answer = shop.ask(
        "/", environ_overrides={"REMOTE_ADDR": peer}, headers={"Host": host}
    )
    assert answer.status_code == 200


# ------------------------------------------------------------------------ the token


def address_told(log: pytest.LogCaptureFixture) -> str:
    """The path and query that the log tells people to open."""
    found = re.findall(
        r"Open the dashboard, .*: http://localhost(?::\d+)?(/\S+)", log.text
    )
    assert len(found) == 1, log.text
    return str(found[0]).removeprefix("/outbox")


@pytest.fixture
def deployed(open_shop: OpenShop) -> Shop:
    """A shop as it is served to others: a plain proxy on this machine, which does not
    say that it is one, asks just as a person here would.
    """
    return open_shop(DEBUG=False)


def test_outside_debug_mode_local_requires_the_token(
    deployed: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    assert every_answer(deployed) == {403}
    address = address_told(caplog)
    for wrong in ("", "x", "é", f"{address.partition('=')[2]}x"):
        assert deployed.ask("/", query_string={"token": wrong}).status_code == 403
    opened = deployed.ask(f"{address}&hours=24&hours=7&endpoint=x")
    assert opened.status_code == 303
    assert opened.location == "/outbox/?hours=24&hours=7&endpoint=x"
    (cookie,) = opened.headers.getlist("Set-Cookie")
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    assert "Path=/outbox/" in cookie
    assert deployed.ask("/").status_code == 200
    assert deployed.post("/lanes/default/pause", reason="").status_code == 303


def test_the_token_is_refused_from_other_machines(
    deployed: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    deployed.ask("/")
    address = address_told(caplog)
    for how in WRONG.values():
        assert deployed.ask(address, **how).status_code == 403


def test_all_processes_share_the_token_until_its_file_is_removed(
    deployed: Shop, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = Path(deployed.app.instance_path) / "outbox-dashboard-token"
    deployed.ask("/")
    assert file.stat().st_mode & 0o777 == 0o600
    deployed.ask(address_told(caplog))
    caplog.clear()
    other = make_shop(
        Path(deployed.app.instance_path), DEBUG=False, MAIL_URL="inbox://"
    )
    other.ask(address_told_before := f"/?token={file.read_text()}")
    assert other.ask("/").status_code == 200
    assert address_told(caplog) == address_told_before
    file.unlink()
    assert other.ask("/").status_code == 403
    assert deployed.ask("/").status_code == 403
    other.close()


def test_concurrent_processes_create_the_same_token(deployed: Shop) -> None:
    with ThreadPoolExecutor(8) as pool:
        found = set(pool.map(access_token, [deployed.app] * 16))
    assert len(found) == 1
    assert [one.name for one in Path(deployed.app.instance_path).glob("*tmp*")] == []


def test_a_token_that_cannot_be_stored_grants_no_access(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "shop"
    shop = make_shop(folder, DEBUG=False, MAIL_URL="inbox://")
    (folder / "outbox-dashboard-token").mkdir(parents=True)
    assert shop.ask("/?token=").status_code == 403
    assert "The dashboard cannot be opened" in caplog.text
    (folder / "outbox-dashboard-token").rmdir()
    (folder / "outbox-dashboard-token").write_text("\n")
    assert shop.ask("/?token=").status_code == 403
    shop.close()


def test_a_function_needs_no_token(
    open_shop: OpenShop, caplog: pytest.LogCaptureFixture
) -> None:
    shop = open_shop(DEBUG=False, OUTBOX_DASHBOARD=lambda: True)
    assert shop.ask("/").status_code == 200
    assert "Open the dashboard" not in caplog.text
    assert not (Path(shop.app.instance_path) / "outbox-dashboard-token").exists()


def test_a_function_decides_who_has_access(open_shop: OpenShop) -> None:
    may: list[Any] = [False]
    shop = open_shop(OUTBOX_DASHBOARD=lambda: may[0])
    assert every_answer(shop) == {403}
    for no_answer in (None, 1, "yes", Response("log in first")):
        may[0] = no_answer
        assert every_answer(shop) == {403}
    may[0] = True
    assert shop.ask("/", **FROM_ELSEWHERE).status_code == 200


def test_a_function_may_redirect_to_a_login(open_shop: OpenShop) -> None:
    shop = open_shop(OUTBOX_DASHBOARD=lambda: abort(401))
    assert every_answer(shop) == {401}
    shop = open_shop(OUTBOX_DASHBOARD=lambda: abort(redirect("/login")))
    assert every_answer(shop) == {302}
    assert shop.ask("/").location == "/login"


def changes(shop: Shop) -> list[tuple[str, str]]:
    """Every route that changes something."""
    return [
        (path_of(rule), method)
        for rule in shop.routes()
        for method in methods_of(rule) - {"GET"}
    ]


def test_a_change_without_a_token_is_refused(shop: Shop) -> None:
    assert changes(shop)
    for path, method in changes(shop):
        for fields in ({}, {"csrf_token": ""}, {"csrf_token": "a.b"}):
            assert shop.ask(path, method, data=fields).status_code == 403
    token = shop.token()
    other = Shop(shop.app, shop.mail)
    for path, method in changes(shop):
        fields = {"csrf_token": token}
        assert other.ask(path, method, data=fields).status_code == 403
        refused = shop.ask(path, method, data={"csrf_token": f"{token}0"})
        assert refused.status_code == 403


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://["},
        {"Origin": "http://localhost:9999"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "cross-site", "Origin": "http://localhost"},
        {},
    ],
    ids=str,
)
def test_a_change_requested_by_another_site_is_refused(
    shop: Shop, headers: dict[str, str]
) -> None:
    fields = {"csrf_token": shop.token()}
    headers = {"Host": "localhost", **headers}
    for path, method in changes(shop):
        answer = shop.ask(path, method, data=fields, headers=headers)
        assert answer.status_code == 403


FOREIGN = ("cross-site", "same-site")


@pytest.mark.parametrize("site", FOREIGN)
def test_requests_from_other_sites_cost_nothing(open_shop: OpenShop, site: str) -> None:
    shop = open_shop()
    built = []

    @shop.mail.preview
    def welcome() -> Message:
        built.append(1)
        return Message("Hi", ["ada@example.org"], html="<p>Hi</p>")

    id = shop.keep(Message("Hi", ["ada@example.org"], html="<p>Hi</p>"))
    leading = {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    costly = [
        "/live",
        *(f"/previews/welcome{one}" for one in ("", "/digest", "/html", "/source")),
        "/previews/welcome/message.eml",
        "/previews/welcome/parts/0",
        f"/messages/{id}?images=1",
        f"/messages/{id}/html?images=1",
        f"/inbox/{id}?images=1",
    ]
    for path in costly:
        how = asked(**{"Sec-Fetch-Site": site, **leading})
        assert shop.ask(path, **how).status_code == 403, path
    assert not built
    assert shop.ask("/previews/welcome", **asked()).status_code == 200
    assert (
        shop.ask("/previews/welcome", **asked(**{"Sec-Fetch-Site": "none"})).status_code
        == 200
    )
    assert len(built) == 2


@pytest.mark.parametrize("site", FOREIGN)
def test_other_sites_can_link_here_but_not_embed_it(shop: Shop, site: str) -> None:
    for destination, status in (
        ("document", 200),
        ("image", 403),
        ("script", 403),
        ("iframe", 403),
        ("empty", 403),
    ):
        how = asked(**{"Sec-Fetch-Site": site, "Sec-Fetch-Dest": destination})
        assert shop.ask("/", **how).status_code == status, destination
        assert shop.ask("/messages", **how).status_code == status, destination
        assert shop.ask("/static/dashboard.css", **how).status_code == status


def test_a_form_token_is_valid_in_every_process_without_a_secret_key(
    open_shop: OpenShop,
) -> None:
    one, other = open_shop(), open_shop()
    assert one.app.secret_key is None
    fields = {"csrf_token": one.token(), "reason": ""}
    (cookie,) = [one.client.get_cookie("flask_outbox_forms", path="/outbox/")]
    assert cookie
    assert cookie.http_only
    assert cookie.same_site == "Lax"
    other.client.set_cookie(cookie.key, cookie.value, path="/outbox/")
    answer = other.ask("/lanes/default/pause", "POST", data=fields)
    assert answer.status_code == 303
    assert one.token() != one.token()


def test_every_response_has_the_security_headers(shop: Shop) -> None:
    for rule in shop.routes():
        if "GET" not in methods_of(rule):
            continue
        answer = shop.ask(path_of(rule))
        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["X-Frame-Options"] == "DENY"
        assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert answer.headers["Referrer-Policy"] == "same-origin"
        if not rule.endpoint.endswith(".static"):
            assert answer.headers["Cache-Control"] == "no-store"


# ----------------------------------------------------------- beside the app's own pages


def test_a_path_that_the_app_uses_is_refused_at_once(tmp_path: Path) -> None:
    app = make_app(tmp_path, OUTBOX_DASHBOARD="local", MAIL_URL="inbox://")
    app.add_url_rule("/outbox/<int:n>", "shipments", str)
    with pytest.raises(ConfigError, match="OUTBOX_DASHBOARD_PATH") as raised:
        Mail(app)
    assert "'/outbox/<int:n>'" in str(raised.value)


@pytest.mark.parametrize("rule", ["/outbox", "/outbox/", "/outbox/messages/<id>"])
def test_a_path_that_the_app_uses_later_is_refused_at_each_request(
    open_shop: OpenShop, rule: str
) -> None:
    shop = open_shop()
    shop.app.add_url_rule(rule, "shipments", lambda **_: "mine")
    shop.app.add_url_rule("/", "home", lambda: "home")
    shop.app.testing = True
    for path in ("/", rule):
        with pytest.raises(ConfigError, match="OUTBOX_DASHBOARD_PATH"):
            shop.client.get(path)


def test_at_another_path_the_default_path_is_free_for_the_app(tmp_path: Path) -> None:
    app = make_app(
        tmp_path,
        DEBUG=True,
        OUTBOX_DASHBOARD="local",
        OUTBOX_DASHBOARD_PATH="/staff/mail",
        MAIL_URL="inbox://",
        OUTBOX_ENGINE="external",
    )
    app.add_url_rule("/<path:anything>", "mine", lambda anything: anything)
    site = Shop(app, Mail(app))
    app.add_url_rule("/outbox/<id>", "shipment", lambda id: f"shipment {id}")
    assert site.client.get("/staff/mail/", **LOCAL).status_code == 200
    assert site.client.get("/outbox/7").text == "shipment 7"
    assert site.client.get("/staff").text == "staff"
    assert site.client.get("/staff/mails").text == "staff/mails"
    site.close()


@pytest.mark.parametrize(
    ("key", "value", "wanted"),
    [
        ("OUTBOX_DASHBOARD", True, '"local"'),
        ("OUTBOX_DASHBOARD", "everyone", '"local"'),
        ("OUTBOX_DASHBOARD_PATH", "outbox", '"/outbox"'),
        ("OUTBOX_DASHBOARD_PATH", "/", '"/outbox"'),
        ("OUTBOX_DASHBOARD_PATH", "/outbox/", '"/outbox"'),
        ("OUTBOX_DASHBOARD_PATH", "/<x>", '"/outbox"'),
    ],
)
def test_an_invalid_setting_is_refused(
    tmp_path: Path, key: str, value: object, wanted: str
) -> None:
    app = make_app(tmp_path, MAIL_URL="inbox://", **{key: value})
    with pytest.raises(ConfigError, match=f"{key} is .*{wanted}"):
        Mail(app)


def test_without_the_setting_the_dashboard_is_not_imported() -> None:
    code = (
        "import sys; from flask import Flask; from flask_outbox import Mail\n"
        "app = Flask('a'); app.config['MAIL_URL'] = 'inbox://'; Mail(app)\n"
        "assert 'flask_outbox.dashboard' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_initialised_twice_it_is_mounted_once(tmp_path: Path) -> None:
    app: Flask = make_app(tmp_path, OUTBOX_DASHBOARD="local", MAIL_URL="inbox://")
    mail = Mail(app)
    mail.init_app(app)
    assert "flask_outbox" in app.blueprints
