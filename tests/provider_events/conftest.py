"""Fixtures: apps to which providers post, and what they fetch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from flask_outbox import Mail
from tests.mail.site import Site, make_app_with_outbox
from tests.provider_events.posting import Provider, Sns
from tests.provider_events.proxied import ProxiedWeb

MakeShop = Callable[..., Site]
ServeTopic = Callable[[Sns], ProxiedWeb]

URLS = {
    "mailgun": "mailgun://key@/mg.example.com",
    "mailjet": "mailjet://key:secret@",
    "ses": "ses://key:secret@?region=eu-west-1",
    "scaleway": "scaleway://key@?project=1",
}


def url_of(scheme: str) -> str:
    """A ``MAIL_URL`` of the scheme."""
    return URLS.get(scheme, f"{scheme}://key@")


@pytest.fixture
def make_shop(tmp_path: Path) -> Iterator[MakeShop]:
    """Makes apps that take a provider's events. Keywords are more settings.

    No mail leaves them.
    """
    shops: list[Site] = []

    def make(provider: Provider | None = None, **config: Any) -> Site:
        events = {"OUTBOX_EVENTS_PATH": "/mail-events", "MAIL_SUPPRESS_SEND": True}
        if provider is not None:
            events |= {"MAIL_URL": url_of(provider.scheme), **provider.settings}
        app = make_app_with_outbox(
            tmp_path / f"shop-{len(shops)}", **{**events, **config}
        )
        shops.append(Site(app, Mail(app)))
        return shops[-1]

    yield make
    for shop in shops:
        shop.close()


@pytest.fixture
def serve_topic(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[ServeTopic]:
    """Serves the hosts of a topic's service, where apps find them by their proxy."""
    with ExitStack() as stack:

        def serve(provider: Sns) -> ProxiedWeb:
            web = stack.enter_context(ProxiedWeb(tmp_path, provider.web().pages))
            monkeypatch.setenv("HTTPS_PROXY", web.url)
            monkeypatch.delenv("NO_PROXY", raising=False)
            return web

        yield serve
