"""``flask outbox check``: what is the matter with a mail, for people and for builds."""

from __future__ import annotations

from flask_outbox import Message
from tests.cli.app import mail
from tests.cli.shop import Shop


def send(shop: Shop, html: str) -> str:
    with shop.app.app_context():
        return mail.send(
            Message("Your order", ["ada@example.org"], "Your order", html=html)
        ).id


def test_what_is_broken_is_told_with_what_to_do_about_it(shop: Shop) -> None:
    id = send(shop, '<a href="/7">Your order</a> <img src="https://cdn.example/a.png">')
    lines = shop.run("check", id[:12].lower(), code=1).stdout.splitlines()
    assert lines[0].split("  ")[0] == "Severity"
    assert [line.split()[0] for line in lines[2:] if line[:1].strip()] == [
        "broken",
        "warning",
        "advice",
    ]
    assert "The link 'Your order' begins" in lines[2]
    assert "Build it with" in lines[2]


def test_a_build_goes_on_where_nothing_is_broken(shop: Shop) -> None:
    advised = send(shop, '<a href="http://shop.example/7">Your order</a>')
    assert shop.run("check", advised).stdout.count("advice") == 1
    good = send(shop, "<p>Your order</p>")
    assert shop.run("check", good).stdout == "Nothing is the matter with it.\n"


def test_findings_and_links_for_machines(shop: Shop) -> None:
    id = send(shop, '<a href="">Your order</a>')
    document = shop.document("check", id, code=1)
    finding = {
        "severity": "broken",
        "what": "The link 'Your order' leads nowhere.",
        "todo": "Give it an address, or make it plain text.",
    }
    assert document == {
        "findings": [finding],
        "links": [{"text": "Your order", "target": "", "finding": finding}],
        "image_hosts": [],
    }


def test_what_was_pruned_is_said(shop: Shop) -> None:
    id = send(shop, "<p>Your order</p>")
    shop.run("cancel", id)
    shop.runtime.outbox.prune(bodies_seconds=-60, rows_seconds=1e9)
    assert "was pruned" in shop.run("check", id, code=1).stderr
