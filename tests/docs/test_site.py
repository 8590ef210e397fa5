"""The documentation as it is built: its search leads to what has a name, and to what
errors say; what errors name is there.
"""

from __future__ import annotations

import html
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
from flask_outbox import (
    ConfigError,
    Mail,
    OutboxUnavailable,
    TransportDown,
    delivery,
    errors,
    signals,
    testing,
)
from flask_outbox.cli import outbox_commands
from flask_outbox.config import KEYS
from flask_outbox.doctor import FAULTS
from flask_outbox.outbox.database_errors import Fault
from flask_outbox.transports.smtp import errors as smtp
from tests.browser import chromium, opened
from tests.dashboard.serving import served
from tests.docs.blocks import DOCS
from tests.docs.raised import raised

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
TEXT = re.compile(r'<p class="error-text" id="([^"]+)">(.*?)</p>', re.DOTALL)
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


@cache
def anchors(page: Path) -> set[str]:
    """All that a link to this page can name."""
    return set(re.findall(r' id="([^"]+)"', page.read_text(encoding="utf-8")))


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


def test_each_error_that_a_page_names_is_a_link(site: Path) -> None:
    names = "|".join(name for name, _ in places_of_errors())
    for page in site.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        plain = re.findall(
            rf'(?<!>)<code class="xref[^>]*><span class="pre">(?:{names})</span>', text
        )
        assert not plain, page
    assert 'href="errors.html#outboxunavailable"' in (site / "api.html").read_text()


@pytest.fixture(scope="module")
def texts(site: Path) -> dict[str, str]:
    """The texts of errors that ``errors.html`` has, by the place of each."""
    page = (site / "errors.html").read_text(encoding="utf-8")
    return {
        f"errors.html#{id}": html.unescape(re.sub("<[^>]+>", "", item))
        for id, item in TEXT.findall(page)
    }


def test_every_text_of_an_error_is_in_the_documentation(texts: dict[str, str]) -> None:
    missing = [
        f"{one.where}: {piece}"
        for one in raised()
        for piece in one.pieces
        if not any(piece in text for text in texts.values())
    ]
    assert not missing
    assert len(raised()) > 300


def test_every_place_that_an_error_can_name_exists(site: Path) -> None:
    named = {one.kind("", anchor=one.anchor).section for one in raised() if one.anchor}
    named |= {
        OutboxUnavailable("", anchor=fault.anchor).section
        for fault in Fault
        if fault.anchor
    }
    named |= {
        TransportDown("", anchor=anchor).section for _, _, anchor in smtp.SENTENCES
    }
    named |= {ConfigError(f"{key.name} is wrong.").section for key in KEYS}
    named |= {place for _, place in places_of_errors()}
    named.add("errors.html#messageerror-transport")
    for place in named:
        page, _, anchor = place.partition("#")
        assert anchor in anchors(site / page), place


def test_every_setting_that_an_error_names_exists() -> None:
    known = {key.name for key in KEYS}
    for one in raised():
        if issubclass(one.kind, ConfigError):
            key = ConfigError(" ".join(one.pieces), anchor=one.anchor).key
            assert key is None or key in known, one.where


def test_the_search_leads_from_the_words_of_an_error_to_it(
    texts: dict[str, str], search: Search
) -> None:
    words = {max(one.pieces, key=len) for one in raised() if one.pieces}
    found = search(sorted(words))
    missed = {
        said: places
        for said, places in found.items()
        if not any(said in texts.get(place, "") for place in places)
    }
    assert not missed


def test_the_search_leads_from_an_error_as_it_is_printed_to_it(
    texts: dict[str, str], search: Search
) -> None:
    printed = {
        place: f"flask_outbox.errors.Some: {text.replace('…', '42')}"
        for place, text in texts.items()
        if max(piece.count(" ") for piece in text.split("…")) > 3
    }
    found = search([*printed.values()])
    missed = {
        query: found[query]
        for place, query in printed.items()
        if place not in found[query]
    }
    assert not missed
