"""The unsubscribe page in the languages of its readers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from email import message_from_bytes
from email.policy import default
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from flask.testing import FlaskClient

from flask_outbox import Message, OutboxUnavailable
from flask_outbox.outbox import Outbox
from flask_outbox.unsubscribe.views import CATALOGUES
from tests.browser import chromium, opened, serious_findings
from tests.catalogues import messages_in_code
from tests.dashboard.serving import served
from tests.mail.conftest import MakeSite
from tests.mail.site import ADA, Site
from tests.mail.test_unsubscribe import ONE_CLICK, SET_UP, shop
from tests.servers import JournalSmtp

__all__ = ["shop"]

LONG = "Donaudampfschifffahrtsgesellschaftskapitänsrundschreiben"
ASKS, HAS_LEFT = "[name=List-Unsubscribe]", "[name=Subscribe]"
"""What is on the page that asks, and on the page of those who have left."""

TITLES = {
    "en": "Unsubscribe?",
    "de": "Abmelden?",
    "es": "¿Darse de baja?",
    "fr": "Se désabonner\N{NO-BREAK SPACE}?",
    "it": "Annullare l’iscrizione?",
    "ja": "配信を停止しますか？",
    "nl": "Afmelden?",
    "pl": "Wypisać się z listy?",
    "pt": "Cancelar a inscrição?",
    "sv": "Avsluta prenumerationen?",
}

# --------------------------------------------------------------------- which language


def heading(page: str) -> tuple[str, str]:
    """The language of a page, and its heading."""
    found = re.search(r'<html lang="(\w+)" dir="ltr">.*<h1>(.*?)</h1>', page, re.DOTALL)
    assert found
    return found[1], found[2]


@pytest.mark.parametrize(
    ("accepted", "of_mail", "shown"),
    [
        (None, None, "en"),
        ("", "", "en"),
        ("*", None, "en"),
        ("fi", None, "en"),
        ("fi,sv;q=0.5", None, "sv"),
        ("de-AT,en;q=0.9", None, "de"),
        ("en;q=0.5,ja", None, "ja"),
        ("de;q=0,pt-BR;q=0.1", None, "pt"),
        ("nonsense;;=,\\", None, "en"),
        ("en-GB", "de_AT", "de"),
        ("en-GB", "PL", "pl"),
        ("fr", "fi", "fr"),
        ("fr", "../de", "fr"),
    ],
)
def test_the_mail_decides_then_the_browser(
    shop: Site, accepted: str | None, of_mail: str | None, shown: str
) -> None:
    link = shop.mail.unsubscribe_url(ADA, list="news", locale=of_mail)
    headers = {} if accepted is None else {"Accept-Language": accepted}

    page = shop.app.test_client().get(link, headers=headers).text

    assert heading(page) == (shown, TITLES[shown])


def test_the_link_in_a_mail_knows_its_language(
    shop: Site, server: JournalSmtp, tmp_path: Path
) -> None:
    (tmp_path / "mail").mkdir()
    for name in ("news.txt", "news.de.txt"):
        (tmp_path / "mail" / name).write_text("Hello")
    shop.app.jinja_loader.searchpath.append(str(tmp_path))  # type: ignore[union-attr]
    from_template = partial(Message.from_template, "news", [ADA], "Hello")
    with shop.app.app_context():
        messages = {
            "lang=de-AT": from_template(locale="de_AT"),
            "lang=de": from_template(locale="de", render="later"),
            "": from_template(),
        }
        for message in messages.values():
            shop.mail.send(message, tag="news", unsubscribe=True)

    asked = set()
    for mail in server.wait_for(len(messages)):
        received = message_from_bytes(mail.content, policy=default)
        asked.add(urlsplit(received["List-Unsubscribe"].strip("<>")).query)
    assert asked == {*messages}


# ----------------------------------------------------------------------- what it says


def states(site: Site, client: FlaskClient) -> Iterator[str]:
    """The page in each of its states."""
    site.mail.unsuppress(ADA, list="news")
    link = site.mail.unsubscribe_url(ADA, list="news")
    yield client.get(link).text
    yield client.post(link, data=ONE_CLICK).text
    yield client.get(link).text
    yield client.post(link, data={}).text
    yield client.get(f"{link}x").text
    site.mail.suppress(ADA, list="news", reason="hard bounce")
    yield client.get(link).text


def test_no_state_of_the_page_is_in_english_by_mistake(
    shop: Site, subtests: pytest.Subtests
) -> None:
    client = shop.app.test_client()
    english = [
        str(one).replace("%(list)s", "") for _, one in messages_in_code("unsubscribe")
    ]
    for language in CATALOGUES.languages:
        client.environ_base["HTTP_ACCEPT_LANGUAGE"] = language
        with subtests.test(language):
            for page in states(shop, client):
                seen = re.sub(r"<style>.*</style>|<[^>]*>", "", page, flags=re.DOTALL)
                assert heading(page)[0] == language
                found = [one for one in english if one in seen]
                assert bool(found) is (language == "en"), found


def test_an_outbox_out_of_reach_is_told_in_the_readers_language(
    shop: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    def out_of_reach(*given: object) -> None:
        raise OutboxUnavailable("The disk is full.")

    monkeypatch.setattr(Outbox, "suppressed_by", out_of_reach)
    link = shop.mail.unsubscribe_url(ADA, list="news", locale="it")
    client = shop.app.test_client()

    for answer in (client.get(link), client.post(link, data=ONE_CLICK)):
        assert answer.status_code == 503
        assert heading(answer.text) == ("it", "Riprova più tardi")
        assert "disk" not in answer.text
        assert "Non è stato modificato nulla" not in answer.text
        assert answer.headers["Cache-Control"] == "no-store"
    assert len([*shop.mail.suppressions()]) == 1  # it failed when that was done


def test_names_are_shown_as_they_are(shop: Site) -> None:
    link = shop.mail.unsubscribe_url(ADA, list="<b>50 %(list)s", locale="ja")

    page = shop.app.test_client().get(link).text

    assert '<strong dir="auto" translate="no">&lt;b&gt;50 %(list)s</strong>' in page


def test_a_page_of_the_app_may_use_the_same_words(shop: Site, tmp_path: Path) -> None:
    (tmp_path / "outbox").mkdir()
    (tmp_path / "outbox" / "unsubscribe.html").write_text(
        "{{ words.language }}: {{ words('Unsubscribe?') }} {{ words('Our own') }}"
    )
    shop.app.jinja_loader.searchpath.append(str(tmp_path))  # type: ignore[union-attr]
    link = shop.mail.unsubscribe_url(ADA, list="news", locale="sv")

    page = shop.app.test_client().get(link).text

    assert page == "sv: Avsluta prenumerationen? Our own"


def test_every_language_fits_a_small_phone(
    make_site: MakeSite, subtests: pytest.Subtests
) -> None:
    site = make_site(**{**SET_UP, "SERVER_NAME": None}, DEBUG=True)
    with chromium() as browser, served(site.app) as dashboard:
        address = f"http://{urlsplit(dashboard).netloc}"
        with site.app.test_request_context(base_url=address):
            link = site.mail.unsubscribe_url(f"{LONG}@example.org", list=LONG)
        small = {"width": 320, "height": 640}
        with opened(browser, link, viewport=small) as page:
            for language in CATALOGUES.languages:
                with subtests.test(language):
                    page.goto(f"{link}?lang={language}")
                    for shown, follows in ((ASKS, HAS_LEFT), (HAS_LEFT, ASKS)):
                        page.locator(shown).wait_for(state="attached")
                        assert page.evaluate(
                            "document.documentElement.scrollWidth <= innerWidth"
                        )
                        page.get_by_role("button").click()
                        page.locator(follows).wait_for(state="attached")
            assert serious_findings(page) == []
