"""The documentation as it is built: its search leads to what has a name."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import click
import pytest
from blinker import NamedSignal
from flask import Flask

import flask_outbox
from flask_outbox import Mail, delivery, errors, signals, testing
from flask_outbox.cli import outbox_commands
from flask_outbox.config import KEYS
from flask_outbox.doctor import FAULTS
from tests.browser import chromium, opened
from tests.dashboard.serving import served
from tests.docs.blocks import DOCS

if TYPE_CHECKING:
    from playwright.sync_api import Browser

Search = Callable[[list[str]], dict[str, list[str]]]

BUILD = (sys.executable, "-m", "sphinx", "-q", "-b", "html", "-D", "html_theme=basic")
"""In the theme that all others are made from: Furo's navigation takes as long as all
the rest, and no part in the search.
"""
BUILD_SECONDS = 600.0
FIRST = 3
"""Among so many results what is looked for must be: a phone shows them at once, and no
name belongs to more of us (a signal, a fate and a kind of event are ``unsubscribed``).
"""
SEARCH = """queries => queries.map(query =>
    Search._performSearch(...Search._parseQuery(query)).reverse()
        .map(([page, title, anchor]) => `${page}.html${anchor}`)
)"""
"""What ``Search.query`` does, but for showing the results."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the documentation, built once for this file."""
    folder = tmp_path_factory.mktemp("site")
    built = subprocess.run(
        [*BUILD, DOCS, folder],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=BUILD_SECONDS,
    )
    assert built.returncode == 0, built.stderr
    return folder


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium, as the system has it."""
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def search(site: Path, browser: Browser) -> Iterator[Search]:
    """Asks the site's own search, and says where its first results lead."""
    app = Flask("site", static_folder=site, static_url_path="")
    with served(app) as dashboard:
        address = dashboard.removesuffix("/outbox") + "/search.html"
        with opened(browser, address) as page:
            page.wait_for_function("Search.hasIndex()")

            def ask(queries: list[str]) -> dict[str, list[str]]:
                found = page.evaluate(SEARCH, queries)
                return {
                    query: places[:FIRST]
                    for query, places in zip(queries, found, strict=True)
                }

            yield ask


def places_of_keys() -> Iterator[tuple[str, str]]:
    for key in KEYS:
        yield key.name, f"configuration.html#confval-{key.name}"


def places_of_commands(
    group: click.Group = outbox_commands, path: str = "flask outbox"
) -> Iterator[tuple[str, str]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = f"{path} {name}"
        yield command, f"cli.html#{command.replace(' ', '-')}"
        inner = group.get_command(context, name)
        if isinstance(inner, click.Group):
            yield from places_of_commands(inner, command)


def places_of_errors() -> Iterator[tuple[str, str]]:
    for name, error in vars(errors).items():
        if isinstance(error, type) and issubclass(error, errors.OutboxError):
            yield name, f"errors.html#{name.lower()}"


def places_of_faults() -> Iterator[tuple[str, str]]:
    for fault in FAULTS:
        yield fault, f"doctor.html#{fault}"


def places_of_the_api() -> Iterator[tuple[str, str]]:
    aside = {name for name, _ in places_of_errors()}
    documented_in = {
        **dict.fromkeys(flask_outbox.__all__, flask_outbox),
        **dict.fromkeys(vars(delivery).keys() & {*flask_outbox.__all__}, delivery),
        **dict.fromkeys(testing.__all__, testing),
        **{
            name: signals
            for name, signal in vars(signals).items()
            if isinstance(signal, NamedSignal)
        },
    }
    for name, module in documented_in.items():
        if name not in aside:
            yield name, f"api.html#{module.__name__}.{name}"
    for name in vars(Mail):
        if not name.startswith("_"):
            yield f"Mail.{name}", f"api.html#flask_outbox.Mail.{name}"


@pytest.mark.parametrize(
    "places",
    [
        places_of_keys,
        places_of_commands,
        places_of_errors,
        places_of_faults,
        places_of_the_api,
    ],
)
def test_the_search_leads_to_each_name(
    places: Callable[[], Iterator[tuple[str, str]]], search: Search, site: Path
) -> None:
    wanted = dict(places())
    found = search(list(wanted))
    missed = {
        name: found[name] for name, place in wanted.items() if place not in found[name]
    }
    assert not missed
    for place in wanted.values():
        page, _, anchor = place.partition("#")
        assert anchor in anchors(site / page), place


@cache
def anchors(page: Path) -> set[str]:
    """All that a link to this page can name."""
    return set(re.findall(r' id="([^"]+)"', page.read_text(encoding="utf-8")))
