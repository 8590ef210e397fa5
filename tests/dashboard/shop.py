"""A shop with a dashboard, and requests to it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from flask import Flask
from flask.testing import FlaskClient
from werkzeug.routing import Rule
from werkzeug.test import TestResponse

from flask_outbox import Mail, Message
from flask_outbox.dashboard.pages import NAME
from flask_outbox.outbox import new_id
from tests.mail.site import Site, make_app_with_outbox

LOCAL: dict[str, Any] = {
    "environ_overrides": {"REMOTE_ADDR": "127.0.0.1"},
    "headers": {"Host": "localhost", "Sec-Fetch-Site": "same-origin"},
}
"""A request from a browser on this machine, from a page of the dashboard."""

ANY = {"id": new_id(), "filename": "dashboard.css", "number": 0, "name": "default"}
"""A value for each variable part of a path."""


class Shop(Site):
    """A site with a dashboard."""

    def __init__(self, app: Flask, mail: Mail) -> None:
        super().__init__(app, mail)
        self.client: FlaskClient = app.test_client()

    def ask(self, path: str, method: str = "GET", **more: Any) -> TestResponse:
        """Request a path below the dashboard's, as a browser on this machine."""
        how = {**LOCAL, "buffered": True, **more}
        return self.client.open(f"/outbox{path}", method=method, **how)

    def page(self, path: str) -> str:
        """The page at this path; fails if there is none."""
        response = self.ask(path)
        assert response.status_code == 200, response.text
        return response.text

    def post(self, path: str, **fields: Any) -> TestResponse:
        """Submit a form of a page of the dashboard."""
        return self.ask(path, "POST", data={**fields, "csrf_token": self.token()})

    def token(self) -> str:
        """The token of a form on the page."""
        found = re.search(r'name="csrf_token" value="([^"]+)"', self.page("/lanes"))
        assert found
        return found[1]

    def keep(self, message: Message, **options: Any) -> str:
        """Send a message; returns its id."""
        with self.app.app_context():
            return self.mail.send(message, **options).id

    def routes(self) -> list[Rule]:
        """All routes of the dashboard."""
        rules = self.app.url_map.iter_rules()
        return [one for one in rules if one.endpoint.startswith(f"{NAME}.")]


def path_of(rule: Rule) -> str:
    """A path that matches the rule."""
    return re.sub(
        r"<(?:\w+:)?(\w+)>", lambda found: str(ANY[found[1]]), rule.rule
    ).removeprefix("/outbox")


def methods_of(rule: Rule) -> set[str]:
    """The methods that a page or a form uses."""
    return (rule.methods or set()) - {"HEAD", "OPTIONS"}


def make_shop(folder: Path, **config: Any) -> Shop:
    """A shop in development that starts no courier by itself."""
    usual = {
        "DEBUG": True,
        "OUTBOX_ENGINE": "external",
        "OUTBOX_DASHBOARD": "local",
    }
    app = make_app_with_outbox(folder, **{**usual, **config})
    return Shop(app, Mail(app))
