"""``flask outbox check``: problems of a mail, for people and for builds."""

from __future__ import annotations

from flask_outbox import Message
from tests.cli.app import mail
from tests.cli.shop import Shop


def send(shop: Shop, html: str) -> str:
    with shop.app.app_context():
        return mail.send(
            Message("Your order", ["ada@example.org"], "Your order", html=html)
        ).id


def test_broken_things_are_printed_with_what_to_do(shop: Shop) -> None:
    id = send(shop, '<a href="/7">Your order</a> <img src="https://cdn.example/a.png">')
    lines = shop.run("check", id[:12].lower(), code=1).stdout.splitlines()
    assert lines[0].split("  ")[0] == "Severity"
    assert [line.split()[0] for line in lines[2:] if line[:1].strip()] == [
        "broken",
        "warning",
        "advice",
    ]
    assert "The link 'Your order' does not" in lines[2]
    assert "Build it with" in lines[2]


def test_the_exit_code_is_0_if_nothing_is_broken(shop: Shop) -> None:
    advised = send(shop, '<a href="http://shop.example/7">Your order</a>')
    assert shop.run("check", advised).stdout.count("advice") == 1
    good = send(shop, "<p>Your order</p>")
    assert shop.run("check", good).stdout == "No problems found.\n"


def test_findings_and_links_are_printed_as_json(shop: Shop) -> None:
    id = send(shop, '<a href="">Your order</a>')
    document = shop.document("check", id, code=1)
    finding = {
        "severity": "broken",
        "what": "The link 'Your order' has no address.",
        "todo": "Give it one, or make it plain text.",
    }
    assert document == {
        "findings": [finding],
        "links": [{"text": "Your order", "target": "", "finding": finding}],
        "image_hosts": [],
    }


def test_pruned_content_is_an_error(shop: Shop) -> None:
    id = send(shop, "<p>Your order</p>")
    shop.run("cancel", id)
    shop.runtime.outbox.prune(bodies_seconds=-60, rows_seconds=1e9)
    assert "was pruned" in shop.run("check", id, code=1).stderr
