"""The guard, on the dashboard: whoever looks for a mail sees why it went elsewhere."""

from __future__ import annotations

import pytest

from tests.dashboard.conftest import OpenShop

SAID = "All mail goes to qa@example.com instead (OUTBOX_REDIRECT_TO)."


@pytest.mark.parametrize("path", ["/", "/messages", "/lanes"])
def test_every_page_says_that_the_recipient_guard_is_on(
    open_shop: OpenShop, path: str
) -> None:
    guarded = open_shop(OUTBOX_REDIRECT_TO="qa@example.com")

    assert SAID in guarded.page(path)
    assert 'class="guard"' not in open_shop().page(path)
