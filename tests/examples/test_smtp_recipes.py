"""``docs/providers/smtp.rst``: each recipe is a configuration that an app accepts."""

from __future__ import annotations

import os
import re
from pathlib import Path
from textwrap import dedent
from urllib.parse import unquote, urlsplit

import pytest
from flask import Flask

from flask_outbox import oauth
from flask_outbox.config import Settings, SmtpSettings

PAGE = (Path(__file__).parents[2] / "docs/providers/smtp.rst").read_text()
RECIPES = {
    title: dedent(code)
    for title, code in re.findall(
        r"^(.+)\n[~-]+\n\n\.\. code-block:: python\n\n((?:    .+\n)+)",
        PAGE,
        re.MULTILINE,
    )
}


def test_every_recipe_is_found() -> None:
    assert len(RECIPES) == PAGE.count("code-block:: python")


@pytest.mark.parametrize("title", RECIPES)
def test_the_recipe_has_a_server_and_a_login(
    title: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLIENT_SECRET", "secret")
    app = Flask("shop")
    exec(RECIPES[title], {"app": app, "oauth": oauth, "os": os})
    url = urlsplit(app.config["MAIL_URL"])
    smtp = Settings.read(app.config, default_url="sqlite://").default.adapter
    assert isinstance(smtp, SmtpSettings)
    assert smtp.host == url.hostname
    assert smtp.username == (url.username and unquote(url.username))
    assert smtp.half_login is None
