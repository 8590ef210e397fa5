"""The dashboard in the language of its reader."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache
from html.parser import HTMLParser
from pathlib import Path

import pytest
from jinja2 import Environment, nodes

from flask_outbox import Message
from flask_outbox.checks import Severity
from flask_outbox.counters import Counters
from flask_outbox.dashboard import terms
from flask_outbox.dashboard.language import CATALOGUES, NAMES
from flask_outbox.feedback import Fate
from flask_outbox.outbox import SOURCES
from flask_outbox.outbox.records import Act, BatchState, Tab
from flask_outbox.outbox.stats import stats_row
from tests.browser import chromium, expect, opened, serious_findings
from tests.catalogues import PACKAGE, translations
from tests.dashboard.conftest import OpenShop
from tests.dashboard.serving import served
from tests.dashboard.shop import LOCAL, Shop
from tests.dashboard.test_every_page import NARROW, PAGES, ids, overflow

__all__ = ["ids"]

OTHERS = CATALOGUES.languages[1:]

VISIBLE = {"aria-label", "title", "placeholder", "alt", "data-heading", "data-words"}
"""Attributes whose values people read or hear."""


class Reader(HTMLParser):
    """Collects what people read of a page, but for what is English on every page."""

    VOID = frozenset({"meta", "link", "input", "path", "br", "hr", "img"})
    WITHOUT = frozenset({"code", "pre", "kbd", "script", "style", "iframe"})

    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []
        self._inside: list[bool] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        stays = given.get("translate") == "no" or given.get("lang") == "en"
        hides = tag in self.WITHOUT or (stays and tag != "html")
        if not any(self._inside) and not hides:
            self.said += [text for name, text in attrs if text and name in VISIBLE]
        if tag not in self.VOID:
            self._inside.append(hides)

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID and self._inside:
            self._inside.pop()

    def handle_data(self, data: str) -> None:
        if not any(self._inside):
            self.said.append(" ".join(data.split()))


def read(page: str) -> list[str]:
    """What people read of a page."""
    reader = Reader()
    reader.feed(page)
    return reader.said


def page_in(shop: Shop, languages: str, path: str) -> str:
    """The page as a browser gets it that accepts these languages."""
    headers = {**LOCAL["headers"], "Accept-Language": languages}
    response = shop.ask(path, headers=headers)
    assert response.status_code == 200, response.text
    return response.text


def language_of(page: str) -> str:
    found = re.search(r'<html lang="(\w+)">', page)
    assert found
    return found[1]


# ----------------------------------------------------------------- nothing is forgotten


@cache
def english_of(language: str) -> frozenset[str]:
    """The words that this language does not have."""
    (catalogue,) = (one for code, one in translations(CATALOGUES) if code == language)
    pairs = [(one.id, one.string) for one in catalogue if isinstance(one.id, str)]
    has = {said for _, said in pairs}
    return frozenset(
        english
        for english, _ in pairs
        if english not in has and re.search("[a-z]", english)
    )


def test_every_page_is_in_every_language(
    ids: tuple[Shop, Mapping[str, str]], subtests: pytest.Subtests
) -> None:
    shop, named = ids
    for language in OTHERS:
        for path in [path for paths in PAGES.values() for path in paths]:
            with subtests.test(f"{language} {path}"):
                page = page_in(shop, language, f"/{path.format_map(named)}")
                assert language_of(page) == language
                assert english_of(language).intersection(read(page)) == set()


class Shown:
    """What a template would write, whatever its conditions are."""

    def __init__(self, template: str) -> None:
        self.html = "".join(self._of(Environment().parse(template)))

    def _of(self, node: nodes.Node) -> Iterator[str]:
        if isinstance(node, nodes.TemplateData):
            yield node.data
        elif isinstance(node, nodes.Output):
            for one in node.nodes:
                yield from self._of(one) if _is_data(one) else self._written(one)
        elif not isinstance(node, nodes.Expr):
            for child in node.iter_child_nodes():
                yield from self._of(child)

    def _written(self, node: nodes.Node | None) -> Iterator[str]:
        """The texts among the values that an expression may have."""
        if isinstance(node, nodes.Const):
            yield str(node.value)
        elif isinstance(node, nodes.CondExpr):
            yield from self._written(node.expr1)
            yield from self._written(node.expr2)
        elif isinstance(node, nodes.Concat):
            for one in node.nodes:
                yield from self._written(one)
        elif isinstance(node, nodes.Or | nodes.And):
            yield from self._written(node.left)
            yield from self._written(node.right)
        elif isinstance(node, nodes.Filter) and node.name == "safe":
            yield from self._written(node.node)
        else:
            yield "0"


def _is_data(node: nodes.Node) -> bool:
    return isinstance(node, nodes.TemplateData)


TEMPLATES = sorted((PACKAGE / "dashboard" / "templates").glob("*.html"))

ATTRIBUTES = re.compile(r'(?:\s*[\w-]+="[^"]*")+')
"""What a macro writes into a tag."""

NOT_TRANSLATED = {
    "Outbox",  # the product's name
    "0 – Outbox",
    "UTC",
    "CSV",
    "JSON",
    "Message-ID",  # the name of a header
}


def said_without_words(template: str) -> list[str]:
    """The texts of a template that no function translates."""
    said = (one.replace("\ufeff", "").strip() for one in read(Shown(template).html))
    return [
        one
        for one in said
        if re.search("[A-Za-z]", one)
        and one not in NOT_TRANSLATED
        and not ATTRIBUTES.fullmatch(one)
    ]


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.stem)
def test_a_template_says_nothing_but_what_is_translated(template: Path) -> None:
    assert said_without_words(template.read_text("utf-8")) == []


@pytest.mark.parametrize(
    "template",
    [
        "<p>Hello</p>",
        '<p>{{ "Hello" if good else "0" }}</p>',
        '<p>{{ name or "nobody" }}</p>',
        '{% if x %}<input placeholder="Name">{% endif %}',
        '<td data-heading="State">{{ words("State") }}</td>',
    ],
)
def test_a_forgotten_text_is_found(template: str) -> None:
    assert said_without_words(template)


def test_each_value_that_is_shown_has_a_term() -> None:
    tabs = {str(one) for one in Tab}
    fates = {one.words for one in Fate}
    assert {*terms.STATES} == {*terms.STATES_OF_MANY} == tabs
    assert {*terms.FATES} == {*terms.FATES_OF_MANY} == fates
    assert {*terms.BATCH_STATES} == {*BatchState}
    assert {*terms.SOURCES} == {*SOURCES}
    assert {*terms.SEVERITIES} == {*Severity}
    assert {*terms.ACTS} == {*Act}


def test_a_value_that_this_version_does_not_know_is_shown_as_it_is() -> None:
    assert terms.ACTS["fold"] == "fold"


# ----------------------------------------------------------------------- which language


@pytest.mark.parametrize(
    ("accepted", "shown"),
    [
        ("", "en"),
        ("de-AT,en;q=0.9", "de"),
        ("en;q=0.5,fr-CA", "fr"),
        ("ja,fr;q=0.1", "fr"),
        ("ja", "en"),
    ],
)
def test_the_browser_decides(shop: Shop, accepted: str, shown: str) -> None:
    assert language_of(page_in(shop, accepted, "/")) == shown


def test_a_person_chooses_and_the_address_stays_as_it_is(shop: Shop) -> None:
    page = page_in(shop, "de", "/messages?is=failed&q=a%26b")
    (link,) = re.findall(r'<a href="([^"]+)" lang="fr"', page)
    assert {*re.findall(r'hreflang="(\w+)"', page)} == {*NAMES}
    answer = shop.ask(link.removeprefix("/outbox").replace("&amp;", "&"))
    assert answer.status_code == 303
    assert answer.headers["Location"] == "/outbox/messages?is=failed&q=a%26b"
    assert language_of(page_in(shop, "de", "/")) == "fr"


def test_an_unknown_choice_changes_nothing(shop: Shop) -> None:
    assert language_of(page_in(shop, "de", "/?lang=../fr")) == "de"


def test_every_language_has_a_name() -> None:
    assert {*NAMES} == {*CATALOGUES.languages}


# ----------------------------------------------------------------------- what it says


def test_numbers_and_lengths_of_time_are_written_as_in_the_language(
    shop: Shop,
) -> None:
    tally = Counters()
    tally.ended.update(sent=1_234)
    at = int(shop.outbox.clock())
    shop.outbox.write_stats([stats_row(at, "", "default", tally)])
    for language, words in {
        "en": "1,234 messages sent, at most 1,234 per minute",
        "de": "1.234 Nachrichten gesendet, höchstens 1.234 je Minute",
        "fr": "1\N{NARROW NO-BREAK SPACE}234 messages envoyés, au plus "
        "1\N{NARROW NO-BREAK SPACE}234 par minute",
    }.items():
        assert words in page_in(shop, language, "/")


def test_a_word_is_said_as_its_context_demands(shop: Shop) -> None:
    shop.keep(Message("Hello", ["ada@example.org"], "Hi"))
    assert "<strong>1</strong> wartend<" in page_in(shop, "de", "/")
    assert ">wartet<" in page_in(shop, "de", "/messages?q=Hello")


def test_forms_and_links_name_states_as_addresses_do(shop: Shop) -> None:
    page = page_in(shop, "de", "/messages?is=failed&fate=soft_bounced")
    assert '<option value="failed" selected>fehlgeschlagen</option>' in page
    assert "Verbleib: <strong>vorläufig unzustellbar</strong>" in page
    assert 'href="/outbox/messages?is=failed"' in page_in(shop, "de", "/")


def test_a_history_is_told_in_the_language(shop: Shop) -> None:
    id = shop.keep(Message("50 %(time)s", ["ada@example.org"], "Hi"))
    with shop.app.app_context():
        shop.mail.cancel(id)
    page = page_in(shop, "fr", f"/messages/{id}")
    assert "Un script a mis le message en file" in page
    assert "Une personne l’a annulé" in page
    assert "50 %(time)s" in page


def test_errors_of_pages_are_translated_and_those_of_the_library_are_not(
    shop: Shop,
) -> None:
    id = shop.keep(Message("Hello", ["ada@example.org"], "Hi"))
    for language, heading, said in [
        (
            "de",
            "404 Nicht gefunden",
            "&#39;none&#39; ist nicht die ID einer Nachricht.",
        ),
        (
            "fr",
            "404 Introuvable",
            "&#39;none&#39; n’est pas l’identifiant d’un message.",
        ),
    ]:
        headers = {**LOCAL["headers"], "Accept-Language": language}
        page = shop.ask("/messages/none", headers=headers).text
        assert language_of(page) == language
        assert heading in page
        assert said in page
    data = {"action": "drop", "id": id, "csrf_token": shop.token()}
    headers = {**LOCAL["headers"], "Accept-Language": "de"}
    page = shop.ask("/act", "POST", data=data, headers=headers).text
    assert "1 Nachricht nicht:" in page
    assert "is pending" in page
    assert 'hreflang="fr"' not in page


def test_the_guard_is_explained_in_the_language(open_shop: OpenShop) -> None:
    shop = open_shop(OUTBOX_REDIRECT_TO="dev@example.com")
    assert (
        "<strong>Schutz:</strong> Alle Mails gehen stattdessen an dev@example.com "
        "(OUTBOX_REDIRECT_TO)." in page_in(shop, "de", "/lanes")
    )


def test_a_diagnosis_has_headings_in_the_language(open_shop: OpenShop) -> None:
    shop = open_shop(MAIL_URL="inbox://")
    data = {"csrf_token": shop.token()}
    headers = {**LOCAL["headers"], "Accept-Language": "fr"}
    page = shop.ask("/doctor", "POST", data=data, headers=headers).text
    assert language_of(page) == "fr"
    assert "Base de données" in page
    assert english_of("fr").intersection(read(page)) == set()


def test_a_value_of_a_filter_is_refused_in_the_language(shop: Shop) -> None:
    page = page_in(shop, "de", "/messages?last=soon")
    assert "soon ist nichts von diesen: 1h, 24h, 7d, 30d. Das wird ausgelassen." in page


def test_scripts_say_it_in_the_language(open_shop: OpenShop) -> None:
    shop = open_shop()
    shop.keep(Message("Hello", ["ada@example.org"], "Hi"))
    with (
        chromium() as browser,
        served(shop.app) as address,
        opened(browser, f"{address}/messages", locale="de-AT") as page,
    ):
        expect(page.locator("#follow")).to_have_text(
            "Diese Seite aktualisiert sich selbst."
        )
        expect(page.locator(".enqueued time")).to_have_text(re.compile("vor|jetzt"))
        page.locator(".choose input").first.check()
        expect(page.locator("#chosen")).to_have_text("1 ausgewählt")


@pytest.mark.parametrize("language", OTHERS)
def test_pages_in_longer_words_are_accessible_and_fit_a_phone(
    ids: tuple[Shop, Mapping[str, str]], language: str
) -> None:
    shop, named = ids
    with (
        chromium() as browser,
        served(shop.app) as address,
        opened(browser, f"{address}/", viewport=NARROW, locale=language) as page,
    ):
        for view, (path, *_) in PAGES.items():
            page.goto(f"{address}/{path.format_map(named)}")
            assert overflow(page) == 0, path
            if view in ("overview", "messages", "message"):
                assert serious_findings(page) == [], path
