"""Topics post to apps, which fetch certificates and confirm subscriptions by HTTPS."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from werkzeug.test import TestResponse

from flask_outbox import signals
from flask_outbox.feedback import Fate
from tests.mail.site import Site
from tests.provider_events.conftest import MakeShop, ServeTopic
from tests.provider_events.posting import (
    ADA,
    OUTBOX_ID,
    Post,
    Scaleway,
    Ses,
)
from tests.provider_events.proxied import ProxiedWeb

PAGE = "/mail-events/default"
TOPICS: list[Any] = [Ses(), Scaleway()]


def now() -> datetime:
    return datetime.now(UTC)


def posted(shop: Site, post: Post) -> TestResponse:
    client = shop.app.test_client(use_cookies=False)
    return client.post(PAGE, data=post.body, headers=post.headers, buffered=True)


@pytest.fixture(params=TOPICS, ids=lambda one: one.scheme)
def provider(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture
def web(provider: Any, serve_topic: ServeTopic) -> ProxiedWeb:
    """The service's hosts."""
    return serve_topic(provider)


@pytest.fixture
def shop(provider: Any, web: ProxiedWeb, make_shop: MakeShop) -> Site:
    """An app that takes the topic's events."""
    return make_shop(provider, MAIL_TLS_CA_FILE=web.ca_file)


def notification(provider: Any, event: Any, **more: Any) -> Post:
    post: Post = provider.message(Message=json.dumps(event), at=now(), **more)
    return post


def confirmation(provider: Any, url: str) -> Post:
    post: Post = provider.message(
        Type="SubscriptionConfirmation",
        Message="You have chosen to subscribe to the topic.",
        SubscribeURL=url,
        Token="2336412f37",
        at=now(),
    )
    return post


def test_a_bounce_is_stored_once_however_often_it_is_posted(
    provider: Any, web: ProxiedWeb, shop: Site
) -> None:
    receipt = shop.send()
    text = json.dumps(provider.bounce()).replace(OUTBOX_ID, receipt.id)
    post = notification(provider, json.loads(text))

    answers = [posted(shop, post).status_code for _ in range(3)]

    assert answers == [200, 200, 200]
    (told,) = shop.told(signals.fate_changed)
    assert (told["message_id"], told["address"]) == (receipt.id, ADA)
    assert (told["fate"], told["source"]) == (Fate.BOUNCED, provider.scheme)
    assert sorted(web.asked) == sorted(web.pages)


def test_a_subscription_is_confirmed(
    provider: Any, web: ProxiedWeb, shop: Site
) -> None:
    web.pages[provider.subscribe_url] = b"<ConfirmSubscriptionResponse/>"
    post = confirmation(provider, provider.subscribe_url)
    assert posted(shop, post).status_code == 200
    assert web.asked[-1] == provider.subscribe_url


REDIRECTED = b"HTTP/1.1 302 Found\r\nLocation: %s\r\nContent-Length: 0\r\n\r\n"
ENDLESS = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + b"x" * 1_000_000


def test_no_redirect_is_followed(provider: Any, web: ProxiedWeb, shop: Site) -> None:
    elsewhere = f"{provider.subscribe_url}&moved=1"
    web.pages[elsewhere] = b"<ConfirmSubscriptionResponse/>"
    web.pages[provider.subscribe_url] = REDIRECTED % elsewhere.encode()
    post = confirmation(provider, provider.subscribe_url)
    assert posted(shop, post).status_code == 503
    assert elsewhere not in web.asked


@pytest.mark.parametrize(
    "page", [ENDLESS, b"HTTP/1.1 404 No\r\n\r\n", b"HTTP/nonsense"]
)
def test_a_certificate_that_is_not_there_means_later(
    provider: Any, web: ProxiedWeb, shop: Site, page: bytes
) -> None:
    good = web.pages[provider.certificate_url]
    web.pages[provider.certificate_url] = page
    post = notification(provider, provider.bounce())
    assert posted(shop, post).status_code == 503
    web.pages[provider.certificate_url] = good
    assert posted(shop, post).status_code == 200


def test_a_service_that_nobody_vouches_for_is_not_trusted(
    provider: Any, web: ProxiedWeb, make_shop: MakeShop
) -> None:
    shop = make_shop(provider)
    post = notification(provider, provider.bounce())
    assert posted(shop, post).status_code == 503
    assert web.asked == []


def test_a_foreign_topic_fetches_nothing(
    provider: Any, web: ProxiedWeb, shop: Site
) -> None:
    arn = f"{provider.topic}-of-somebody-else"
    answer = posted(shop, notification(provider, provider.bounce(), TopicArn=arn))
    assert answer.status_code == 401
    assert web.asked == []


def test_other_content_types_are_refused(
    provider: Any, web: ProxiedWeb, shop: Site
) -> None:
    post = notification(provider, provider.bounce())
    for kind in ("text/html", "application/x-www-form-urlencoded"):
        changed = Post(post.body, {**post.headers, "Content-Type": kind})
        assert posted(shop, changed).status_code == 415


def test_more_than_a_topic_ever_posts_is_refused(
    provider: Any, web: ProxiedWeb, shop: Site
) -> None:
    post = notification(provider, {"x": "x" * 2_000_000})
    assert posted(shop, post).status_code == 413
