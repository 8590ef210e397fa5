"""A shop with a dashboard, and what a browser asks of it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from flask import Flask
from flask.testing import FlaskClient
from werkzeug.routing import Rule
from werkzeug.test import TestResponse

from flask_outbox import Mail, Message
from flask_outbox.dashboard.blueprint import NAME
from flask_outbox.outbox.ids import new_id
from tests.mail.site import Site, make_app

LOCAL: dict[str, Any] = {
    "environ_overrides": {"REMOTE_ADDR": "127.0.0.1"},
    "headers": {"Host": "localhost", "Sec-Fetch-Site": "same-origin"},
}
"""How a browser on this machine asks, from a page of the dashboard."""

ANY = {"id": new_id(), "filename": "dashboard.css", "number": 0, "name": "default"}
"""A value for each part of a path that varies."""


class Shop(Site):
    """A site whose dashboard is asked."""

    def __init__(self, app: Flask, mail: Mail) -> None:
        super().__init__(app, mail)
        self.client: FlaskClient = app.test_client()

    def ask(self, path: str, method: str = "GET", **more: Any) -> TestResponse:
        """Ask for a path below the dashboard's, as a browser on this machine does."""
        how = {**LOCAL, "buffered": True, **more}
        return self.client.open(f"/outbox{path}", method=method, **how)

    def page(self, path: str) -> str:
        """The page there; it must be one."""
        response = self.ask(path)
        assert response.status_code == 200, response.text
        return response.text

    def post(self, path: str, **fields: Any) -> TestResponse:
        """Send a form from a page of the dashboard that was opened before."""
        return self.ask(path, "POST", data={**fields, "csrf_token": self.token()})

    def token(self) -> str:
        """What a form on the page would bring."""
        found = re.search(r'name="csrf_token" value="([^"]+)"', self.page("/lanes"))
        assert found
        return found[1]

    def keep(self, message: Message, **wishes: Any) -> str:
        """Hand over a message; its id."""
        with self.app.app_context():
            return self.mail.send(message, **wishes).id

    def routes(self) -> list[Rule]:
        """Every route of the dashboard."""
        rules = self.app.url_map.iter_rules()
        return [one for one in rules if one.endpoint.startswith(f"{NAME}.")]


def path_of(rule: Rule) -> str:
    """A path that the rule matches."""
    return re.sub(
        r"<(?:\w+:)?(\w+)>", lambda found: str(ANY[found[1]]), rule.rule
    ).removeprefix("/outbox")


def methods_of(rule: Rule) -> set[str]:
    """The methods that a page or a form would use."""
    return (rule.methods or set()) - {"HEAD", "OPTIONS"}


def make_shop(folder: Path, **config: Any) -> Shop:
    """A shop under development that sends nothing by itself."""
    usual = {
        "DEBUG": True,
        "OUTBOX_ENGINE": "external",
        "OUTBOX_DASHBOARD": "local",
    }
    app = make_app(folder, **{**usual, **config})
    return Shop(app, Mail(app))
