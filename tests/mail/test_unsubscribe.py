"""Unsubscribing by one click (RFC 8058): the headers, the link, and its page."""

from __future__ import annotations

from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from flask import Flask

from flask_outbox import ConfigError, Mail, Message, MessageError, State
from flask_outbox.checks import check
from flask_outbox.mime.parse import parse_message
from tests.browser import chromium, opened, serious_findings
from tests.dashboard.serving import served
from tests.dkim.keyring import RSA, verified
from tests.mail.conftest import MakeSite
from tests.mail.site import ADA, BOB, SENDER, Site
from tests.servers import JournalSmtp

ONE_CLICK = {"List-Unsubscribe": "One-Click"}
SET_UP = {
    "SECRET_KEY": "a secret",
    "SERVER_NAME": "shop.example.com",
    "OUTBOX_UNSUBSCRIBE_PATH": "/unsubscribe",
}


def _add_templates(site: Site, folder: Path, **texts: str) -> None:
    """Give the site's app templates of its own: ``mail_news_txt`` is a file's name."""
    for name, text in texts.items():
        *folders, kind = name.split("_")
        place = folder.joinpath(*folders).with_suffix(f".{kind}")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
    site.app.jinja_loader.searchpath.append(str(folder))  # type: ignore[union-attr]


@pytest.fixture
def shop(make_site: MakeSite) -> Site:
    """A site where people can unsubscribe."""
    return make_site(**SET_UP, MAIL_DKIM_KEYS=[RSA])


def _received(server: JournalSmtp) -> EmailMessage:
    (mail,) = server.wait_for(1)
    parsed = message_from_bytes(mail.content, policy=default)
    assert isinstance(parsed, EmailMessage)
    return parsed


def _lists(site: Site, address: str = ADA) -> list[tuple[str, str]]:
    found = site.mail.suppressions()
    return [(one.list, one.source) for one in found if one.address == address]


# ------------------------------------------------------------------------- the headers


def test_a_providers_one_click_post_unsubscribes(shop: Site, server: JournalSmtp):
    shop.settled(shop.send("Ada@example.org", tag="news", unsubscribe=True))

    received = _received(server)
    link = received["List-Unsubscribe"].strip("<>")
    assert link.startswith("https://shop.example.com/unsubscribe/")
    assert received["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"

    answer = shop.app.test_client(use_cookies=False).post(
        link, data=ONE_CLICK, content_type="multipart/form-data"
    )

    assert answer.status_code == 200
    assert "Set-Cookie" not in answer.headers
    assert _lists(shop) == [("news", "unsubscribe")]
    later = shop.send(tag="news")
    assert shop.get(later).state is State.SUPPRESSED
    assert later.suppressed[ADA].endswith(": unsubscribed")
    assert shop.settled(shop.send(tag="orders")).state is State.SENT


def test_both_headers_are_signed(shop: Site, server: JournalSmtp):
    """RFC 8058 section 4 asks for that."""
    shop.send(tag="news", unsubscribe=True)

    (mail,) = server.wait_for(1)
    assert verified(mail.content) == [True]
    for one in (b"List-Unsubscribe: <https://", b"Post: List-Unsubscribe=One-"):
        assert one in mail.content
        forged = mail.content.replace(one, one + b"x")
        assert verified(forged) == [False]


def test_a_standard_message_gets_a_link(shop: Site, server: JournalSmtp):
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = SENDER, f"Ada <{ADA}>", "Hello"
    message.set_content("Hello\n")

    shop.mail.send(message, tag="news", unsubscribe=True)

    link = _received(server)["List-Unsubscribe"].strip("<>")
    assert link == shop.mail.unsubscribe_url(ADA, list="news")
    assert message["List-Unsubscribe"] is None


def test_a_template_rendered_later_gets_a_link(
    shop: Site, server: JournalSmtp, tmp_path: Path
):
    text = "{% block subject %}Hi{% endblock %}Leave: {{ unsubscribe_url }}"
    _add_templates(shop, tmp_path / "own", mail_news_txt=text)
    with shop.app.app_context():
        message = Message.from_template("news", recipients=[ADA], render="later")
        shop.mail.send(message, tag="news", unsubscribe=True)

    received = _received(server)
    link = received["List-Unsubscribe"].strip("<>")
    assert received.get_content().split() == ["Leave:", link]
    assert message.template is not None
    assert message.template.context == {}


def test_a_row_cannot_have_another_link(
    shop: Site, server: JournalSmtp, tmp_path: Path
):
    text = "{% block subject %}Hi{% endblock %}Leave: {{ unsubscribe_url }}"
    _add_templates(shop, tmp_path / "own", mail_news_txt=text)
    with shop.app.app_context():
        context = {"unsubscribe_url": "https://evil.example/"}
        message = Message.from_template(
            "news", recipients=[ADA], render="later", context=context
        )
        shop.mail.send(message, tag="news", unsubscribe=True)

    received = _received(server)
    link = received["List-Unsubscribe"].strip("<>")
    assert received.get_content().split() == ["Leave:", link]


def test_each_recipient_of_send_many_has_a_link_of_its_own(
    shop: Site, server: JournalSmtp
):
    rows = [Message("Hello", [one], "Hello") for one in (ADA, BOB)]

    shop.mail.send_many(rows, tag="news", unsubscribe=True)

    for mail in server.wait_for(2):
        received = message_from_bytes(mail.content, policy=default)
        link = shop.mail.unsubscribe_url(received["To"], list="news")
        assert received["List-Unsubscribe"] == f"<{link}>"


def test_the_checks_find_nothing_missing(make_site: MakeSite, server: JournalSmtp):
    debugged = {"DEBUG": True, "SERVER_NAME": "localhost:5000"}
    for site in (make_site(**SET_UP), make_site(**{**SET_UP, **debugged})):
        site.settled(site.send(tag="newsletter", unsubscribe=True))
    for mail in server.wait_for(2):
        checked = check(parse_message(mail.content), size_bytes=1_000, tag="newsletter")
        assert "nsubscribe" not in str(checked.findings)


@pytest.mark.parametrize(
    ("message", "tag", "said"),
    [
        (Message("Hi", [ADA]), None, "unsubscribe: it needs tag="),
        (Message("Hi", [ADA], bcc=[BOB]), "news", "the message has 2 recipients"),
        (Message("Hi", [ADA], cc=["eve"]), "news", "has no '@'"),
        (
            Message("Hi", [ADA], extra_headers={"list-unsubscribe": "<mailto:a@b.c>"}),
            "news",
            "already has a list-unsubscribe header: remove one",
        ),
    ],
)
def test_a_message_that_cannot_have_a_link_is_refused(
    shop: Site, message: Message, tag: str | None, said: str
):
    message.body = "Hello"
    with pytest.raises(MessageError, match=said):
        shop.mail.send(message, tag=tag, unsubscribe=True)
    assert shop.counts() == {}


# --------------------------------------------------------------------------- the link


def test_the_link_has_the_host_of_the_request(make_site: MakeSite):
    site = make_site(**{**SET_UP, "SERVER_NAME": None})

    with site.app.test_request_context(base_url="http://shop.example.net/below"):
        link = site.mail.unsubscribe_url(ADA, list="news")

    assert link.startswith("https://shop.example.net/below/unsubscribe/")


@pytest.mark.parametrize(
    ("missing", "said"),
    [
        ("SERVER_NAME", "outside a request, .*: set SERVER_NAME"),
        ("SECRET_KEY", "signed with the app's SECRET_KEY, which is not set"),
        (
            "OUTBOX_UNSUBSCRIBE_PATH",
            "no unsubscribe page: set OUTBOX_",
        ),
    ],
)
def test_a_missing_setting_for_links_is_named_in_the_error(
    make_site: MakeSite, missing: str, said: str
):
    site = make_site(**{**SET_UP, missing: None})

    with pytest.raises(ConfigError, match=said):
        site.send(tag="news", unsubscribe=True)

    assert site.counts() == {}


def test_a_link_signed_with_a_fallback_key_works(make_site: MakeSite):
    first = make_site(**SET_UP)
    link = first.mail.unsubscribe_url(ADA, list="news")
    changed = {**SET_UP, "SECRET_KEY": "another"}

    kept = make_site(**changed, SECRET_KEY_FALLBACKS=["a secret"])
    forgotten = make_site(**changed)
    kept.app.name = forgotten.app.name = first.app.name

    assert kept.app.test_client().get(link).status_code == 200
    assert forgotten.app.test_client().get(link).status_code == 404


def test_a_link_works_in_its_own_app_only(make_site: MakeSite):
    link = make_site(**SET_UP).mail.unsubscribe_url(ADA, list="news")
    other = make_site(**SET_UP)

    assert other.app.test_client().post(link, data=ONE_CLICK).status_code == 404
    assert _lists(other) == []


def test_a_link_that_was_tampered_with_does_nothing(shop: Site):
    link = shop.mail.unsubscribe_url(ADA, list="news")
    token = urlsplit(link).path.rpartition("/")[2]
    payload, _, signature = token.partition(".")
    others = urlsplit(shop.mail.unsubscribe_url(BOB, list="news")).path
    client = shop.app.test_client()
    for bad in (
        payload,
        token[:-1],
        f"{others.rpartition('/')[2].partition('.')[0]}.{signature}",
        "x" * 2_000,
    ):
        path = f"/unsubscribe/{bad}"
        for answer in (client.get(path), client.post(path, data=ONE_CLICK)):
            assert answer.status_code == 404
            assert "This link does not work" in answer.text
    assert _lists(shop) == _lists(shop, BOB) == []


# --------------------------------------------------------------------------- the page


def test_opening_the_page_changes_nothing(shop: Site):
    link = shop.mail.unsubscribe_url(ADA, list="news")
    client = shop.app.test_client()

    for answer in (client.get(link), client.head(link), client.get(link)):
        assert answer.status_code == 200
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]

    assert _lists(shop) == []


def test_a_post_without_a_command_does_nothing(shop: Site):
    link = shop.mail.unsubscribe_url(ADA, list="news")

    answer = shop.app.test_client().post(link, data={"List-Unsubscribe": "Maybe"})

    assert answer.status_code == 400
    assert "has no action" in answer.text
    assert _lists(shop) == []


def test_unsubscribing_twice_changes_nothing(shop: Site):
    link = shop.mail.unsubscribe_url(ADA, list="news")
    client = shop.app.test_client()
    client.post(link, data=ONE_CLICK)
    (first,) = shop.mail.suppressions()

    assert client.post(link, data=ONE_CLICK).status_code == 200

    assert [*shop.mail.suppressions()] == [first]


def test_a_person_suppressed_by_others_cannot_subscribe_again(shop: Site):
    shop.mail.suppress(ADA, list="news", reason="hard bounce")
    link = shop.mail.unsubscribe_url(ADA, list="news")
    client = shop.app.test_client()

    asked = client.get(link).text
    client.post(link, data={"Subscribe": "Again"})

    assert "You get no mail of this list" in asked
    assert "<form" not in asked
    assert _lists(shop) == [("news", "api")]


def test_an_app_has_a_page_of_its_own(make_site: MakeSite, tmp_path: Path):
    site = make_site(**SET_UP)
    own = "{{ address }} / {{ list }} / {{ subscription }}"
    _add_templates(site, tmp_path / "own", outbox_unsubscribe_html=own)
    link = site.mail.unsubscribe_url(ADA, list="<news>")
    client = site.app.test_client()

    answer = client.get(link)
    left = client.post(link, data=ONE_CLICK)

    assert answer.text == f"{ADA} / &lt;news&gt; / subscribed"
    assert "Content-Security-Policy" not in answer.headers
    assert left.text.endswith("/ left")
    assert "does not work" in client.get("/unsubscribe/x").text


def test_the_page_exists_only_with_its_setting(site: Site):
    assert not [one for one in site.app.url_map.iter_rules() if "token" in one.rule]


def test_a_route_of_the_app_below_its_path_is_refused_at_once(tmp_path: Path):
    app = Flask("shop", instance_path=str(tmp_path))
    app.config.update(SET_UP, MAIL_URL="inbox://")
    app.add_url_rule("/unsubscribe/<list>", "lists", str)
    with pytest.raises(ConfigError, match="OUTBOX_UNSUBSCRIBE_PATH") as raised:
        Mail(app)
    assert "'/unsubscribe/<list>' (lists)" in str(raised.value)


def test_a_route_below_its_path_that_comes_later_is_refused_at_each_request(
    shop: Site,
):
    shop.app.testing = True
    shop.app.add_url_rule("/unsubscribe/<list>", "lists", lambda list: "mine")
    shop.app.add_url_rule("/", "home", lambda: "home")
    for path in ("/", "/unsubscribe/news"):
        with pytest.raises(ConfigError, match="OUTBOX_UNSUBSCRIBE_PATH"):
            shop.app.test_client().get(path)


def test_a_person_unsubscribes_and_subscribes_again_in_a_browser(make_site: MakeSite):
    with chromium() as browser:
        site = make_site(**{**SET_UP, "SERVER_NAME": None}, DEBUG=True)
        with served(site.app) as dashboard:
            address = f"http://{urlsplit(dashboard).netloc}"
            with site.app.test_request_context(base_url=address):
                link = site.mail.unsubscribe_url(ADA, list="news")
            with opened(browser, link) as page:
                page.get_by_role("heading", name="Unsubscribe?").wait_for()
                assert serious_findings(page) == []
                page.get_by_role("button", name="Unsubscribe").click()
                page.get_by_role("heading", name="You are unsubscribed").wait_for()
                assert page.url == link
                assert serious_findings(page) == []
                assert _lists(site) == [("news", "unsubscribe")]
                page.get_by_role("button", name="Subscribe again").click()
                page.get_by_role("heading", name="Unsubscribe?").wait_for()
                assert _lists(site) == []
