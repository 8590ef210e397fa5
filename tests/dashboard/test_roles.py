"""Roles: what each lets a person open, and what is not offered without one."""

from __future__ import annotations

import re
from html import unescape
from typing import Any

import pytest
from jinja2 import DictLoader
from werkzeug.exceptions import HTTPException

from flask_outbox import ConfigError, Message, signals
from flask_outbox.dashboard.pages import NAME
from flask_outbox.feedback import Fate
from tests.dashboard.conftest import OpenShop
from tests.dashboard.shop import LOCAL, Shop, methods_of, path_of
from tests.mail.site import ADA
from tests.reports import report
from tests.servers import Behaviour, JournalSmtp
from tests.servers.webhook_receiver import SECRET

NEEDED = {
    "read": {
        "static", "overview", "messages", "message", "stream", "batches", "batch",
        "batch_report", "export_csv", "export_json", "lanes",
        "suppressions", "webhooks", "webhook_endpoint",
        "audit_trail",
    },
    "operate": {
        "confirm", "act", "confirm_all", "act_on_all", "confirm_batch", "act_on_batch",
        "pause", "resume",
        "suppress", "confirm_unsuppress", "unsuppress", "release", "carry_out_release",
        "pause_webhooks", "resume_webhooks", "replay_webhooks", "test_webhooks",
        "doctor", "examine_now",
    },
    "content": {
        "message_html", "message_source", "message_file", "message_part", "inbox",
        "inbox_message", "previews", "preview", "preview_digest", "preview_html",
        "preview_source", "preview_file", "preview_part",
    },
}  # fmt: skip
"""Each route of the dashboard, under the role that it needs."""

ROLE_OF = {f"{NAME}.{one}": role for role, some in NEEDED.items() for one in some}

GRANTS: dict[str, Any] = {
    "read": ["read"],
    "operate": {"operate"},
    "content": ("content",),
    "operate and content": frozenset({"operate", "content"}),
    "all": ["read", "operate", "content"],
}
"""What the function may return."""


def granted(answer: Any) -> set[str]:
    return {"read", *answer}


def test_every_route_needs_a_role(shop: Shop) -> None:
    assert {rule.endpoint for rule in shop.routes()} == set(ROLE_OF)
    for rule in shop.routes():
        if "POST" in methods_of(rule):
            assert ROLE_OF[rule.endpoint] == "operate", rule


@pytest.mark.parametrize("answer", GRANTS.values(), ids=GRANTS.keys())
def test_a_role_opens_its_routes_and_no_others(
    open_shop: OpenShop, answer: Any
) -> None:
    shop = open_shop(OUTBOX_DASHBOARD=lambda: answer)
    for rule in shop.routes():
        needed = ROLE_OF[rule.endpoint]
        for method in methods_of(rule):
            found = shop.ask(path_of(rule), method)
            said = f"This needs the role {needed}, which OUTBOX_DASHBOARD does not"
            refused = needed not in granted(answer)
            assert (said in found.text) is refused, rule
            if refused:
                assert found.status_code == 403
                assert f"It grants you: read{other_role(answer)}." in found.text


def other_role(answer: Any) -> str:
    """The role besides ``read``, where one of the others is missing."""
    return "".join(f", {one}" for one in granted(answer) - {"read"})


def test_local_grants_every_role(shop: Shop) -> None:
    for rule in shop.routes():
        for method in methods_of(rule):
            assert "needs the role" not in shop.ask(path_of(rule), method).text


@pytest.mark.parametrize("answer", [set(), [], {}, "read", {"read": True}, ("",)])
def test_what_names_no_role_opens_nothing(open_shop: OpenShop, answer: Any) -> None:
    shop = open_shop(OUTBOX_DASHBOARD=lambda: answer, DEBUG=False)
    assert shop.ask("/").status_code == (500 if answer == ("",) else 403)


def test_an_unknown_role_is_an_error_that_names_the_roles(open_shop: OpenShop) -> None:
    shop = open_shop(OUTBOX_DASHBOARD=lambda: ["read", "admin"])
    with pytest.raises(ConfigError) as caught:
        shop.ask("/")
    assert str(caught.value) == (
        "The function in OUTBOX_DASHBOARD returned the role 'admin': the roles are "
        "read, operate, content."
    )


# ----------------------------------------------------------------- what pages offer


@pytest.fixture
def may(open_shop: OpenShop, server: JournalSmtp) -> tuple[Shop, set[str]]:
    """A shop with something of everything on its pages, and the roles it grants."""
    roles = {"operate", "content"}
    shop = open_shop(
        OUTBOX_DASHBOARD=lambda: roles,
        OUTBOX_ENGINE="thread",
        MAIL_TRANSPORTS={"kept": "inbox://", "other": "inbox://"},
        OUTBOX_WEBHOOKS={"crm": {"url": CRM_URL, "secrets": SECRET}},
    )

    @shop.mail.preview
    def welcome() -> Message:
        return hello()

    server.behaviour = Behaviour(at_rcpt="550 5.7.1 not today")
    shop.keep(hello())
    shop.wait_for(signals.message_failed)
    shop.keep(hello(), transport="kept")
    shop.wait_for(signals.message_sent)
    with shop.app.app_context():
        shop.mail.send_many([hello()], name="News", delay=3_600)
        shop.mail.suppress("bob@example.org")
        shop.mail.pause("other")
        shop.mail.stop()
    shop.runtime.take_feedback([report(Fate.COMPLAINED, None)])
    return shop, roles


def hello() -> Message:
    mail = Message("Hello", [ADA], "Hello Ada\n", html="<p>Hello <b>Ada</b></p>")
    mail.attach("bill.txt", "text/plain", b"17 euros")
    return mail


CRM_URL = "https://crm.example.com/mail"

START = "/outbox/"


def reached(shop: Shop) -> dict[str, str]:
    """Every page of the dashboard that links lead to from its start, by endpoint; each
    link and form must lead to what this person may open.
    """
    pages: dict[str, str] = {}
    waiting, seen = [START], {START}
    while waiting:
        address = waiting.pop()
        found = shop.client.open(address, **LOCAL, buffered=True)
        assert found.status_code < 400, (address, found.status_code)
        pages[endpoint(shop, address, "GET")] = found.text
        if found.mimetype != "text/html":
            continue
        for link in links(found.text):
            name = endpoint(shop, link, "GET")
            if name not in pages and link not in seen and name:
                waiting.append(link)
                seen.add(link)
        for action in re.findall(r'method="post" action="([^"]+)"', found.text):
            pages[endpoint(shop, unescape(action), "POST")] = ""
    return pages


def links(page: str) -> list[str]:
    """Where the page leads, also by the buttons of its forms."""
    found = re.findall(r'(?:href|src|data-stream|data-digest)="(/outbox/[^"#]*)', page)
    for form, inside in re.findall(
        r'<form[^>]*method="get" action="([^"]+)"[^>]*>(.*?)</form>', page, re.DOTALL
    ):
        chosen = "".join(
            f"&id={id}" for id in re.findall(r'"id" value="(.+?)"', inside)
        )
        names = re.findall(r'name="action" value="([^"]+)"', inside)
        if chosen or "/batches/" in form or form.endswith("/act/all"):
            found += [f"{form}?action={name}{chosen}" for name in names]
    return [unescape(one) for one in found]


def endpoint(shop: Shop, address: str, method: str) -> str:
    """What answers there; "" if nothing does."""
    places = shop.app.url_map.bind("localhost")
    try:
        return str(places.match(address.partition("?")[0], method)[0])
    except HTTPException:
        return ""


@pytest.mark.parametrize("answer", GRANTS.values(), ids=GRANTS.keys())
def test_pages_offer_only_what_the_roles_allow(
    may: tuple[Shop, set[str]], answer: Any
) -> None:
    shop, roles = may
    roles.clear()
    roles.update(answer)

    offered = {one for one in reached(shop) if one}

    wanted = {one for one, role in ROLE_OF.items() if role in granted(answer)}
    assert offered <= wanted
    assert wanted - offered <= {f"{NAME}.{one}" for one in NOT_LINKED}


NOT_LINKED = {
    "stream", "batch_report", "preview_part", "release", "carry_out_release",
    "resume_webhooks",
}  # fmt: skip
"""What pages only offer in states that this shop is not in, or by JavaScript."""


def test_without_the_role_no_page_has_the_content(may: tuple[Shop, set[str]]) -> None:
    shop, roles = may
    roles.clear()
    roles.add("operate")

    pages = reached(shop)

    assert f"{NAME}.message" in pages
    for name, text in pages.items():
        assert "Hello Ada" not in text, name
        assert "bill.txt" not in text, name
    roles.add("content")
    assert "Hello Ada" in "".join(reached(shop).values())


def test_the_context_of_a_template_is_content(open_shop: OpenShop) -> None:
    roles = {"operate"}
    shop = open_shop(OUTBOX_DASHBOARD=lambda: roles)
    shop.app.jinja_loader = DictLoader({"mail/code.txt": "Your code is {{ code }}"})
    with shop.app.app_context():
        code = Message.from_template(
            "code", [ADA], "Your code", render="later", context={"code": "7788990"}
        )
    path = f"/messages/{shop.keep(code)}"
    assert "7788990" not in shop.page(path)
    roles.add("content")
    assert "7788990" in shop.page(path)
