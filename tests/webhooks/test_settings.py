"""``OUTBOX_WEBHOOKS``: what is read from it, and errors that name the entry."""

from __future__ import annotations

import base64
import importlib.util
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from hypothesis import given
from hypothesis import strategies as st

from flask_outbox import ConfigError, Mail
from flask_outbox.config.webhooks import as_webhooks
from flask_outbox.transports.http.webhook_client import signature
from flask_outbox.webhooks.kinds import DEFAULT_WEBHOOK_KINDS
from tests.servers.webhook_receiver import SECRET

URL = "https://crm.example.com/hooks?token=s3cret"
GOOD = {"url": URL, "secrets": SECRET}


def read(entry: object) -> Any:
    return as_webhooks("OUTBOX_WEBHOOKS", {"crm": entry})["crm"]


def test_an_endpoint_is_read() -> None:
    one = read(GOOD)
    assert (one.name, one.url, one.kinds) == ("crm", URL, set(DEFAULT_WEBHOOK_KINDS))
    assert one.read_keys() == (base64.b64decode(SECRET[6:]),)
    assert (one.allow_private, one.metadata) == (False, False)
    assert one.place == "https://crm.example.com"


def test_no_secret_is_shown() -> None:
    one = read(GOOD)
    assert SECRET[6:] not in repr(one)
    assert "s3cret" not in repr(one)


def test_an_endpoint_on_this_machine_is_allowed_on_request() -> None:
    one = read({**GOOD, "url": "http://127.0.0.1:80/", "allow_private": True})
    assert one.allow_private


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ("https://crm.example.com/", "of type str: it must be a dict"),
        ({"secrets": SECRET}, "['url'] is not a URL"),
        ({**GOOD, "url": "ftp://crm.example.com/"}, "['url'] is not a URL"),
        ({**GOOD, "url": "https:///hooks"}, "['url'] is not a URL"),
        ({**GOOD, "url": "https://crm.example.com:port/"}, "['url'] is not a URL"),
        ({**GOOD, "url": "https://crm.example.com/a b"}, "['url'] is not a URL"),
        ({**GOOD, "url": "http://crm.example.com/"}, "begins with http://"),
        ({**GOOD, "url": "https://u:s3cret@crm.example.com/"}, "has a user name"),
        ({**GOOD, "url": "https://10.0.0.1/"}, "10.0.0.1, which is not a public"),
        ({"url": URL}, "['secrets'] is of type NoneType"),
        ({**GOOD, "secrets": []}, "['secrets'] is of type list"),
        ({**GOOD, "secrets": "s3cret"}, '"whsec_" and 24 to 64 bytes'),
        ({**GOOD, "secrets": "whsec_s3cret"}, '"whsec_" and 24 to 64 bytes'),
        ({**GOOD, "secrets": [SECRET, "whsec_c2hvcnQ="]}, '"whsec_" and 24 to 64'),
        ({**GOOD, "events": ["sent", "snet"]}, "['events'] has 'snet': it must be one"),
        ({**GOOD, "events": []}, "['events'] must be a list"),
        ({**GOOD, "events": "sent"}, "['events'] must be a list"),
        ({**GOOD, "allow_private": "maybe"}, "['allow_private'] is 'maybe'"),
        ({**GOOD, "secret": SECRET}, "has 'secret': it must be one of url, secrets"),
    ],
)  # fmt: skip
def test_an_error_names_the_entry(entry: object, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(entry)
    assert str(caught.value).startswith("OUTBOX_WEBHOOKS['crm']")
    assert said in str(caught.value)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("value", [[], "crm", {"": GOOD}, {"a b": GOOD}, {7: GOOD}])
def test_names_are_checked(value: object) -> None:
    with pytest.raises(ConfigError, match=r"^OUTBOX_WEBHOOKS (is of type|has an inv)"):
        as_webhooks("OUTBOX_WEBHOOKS", value)


def test_an_app_with_a_wrong_entry_does_not_start(tmp_path: Path) -> None:
    app = Flask("shop", instance_path=str(tmp_path))
    app.config.update(MAIL_URL="inbox://", OUTBOX_WEBHOOKS={"crm": {"url": URL}})
    with pytest.raises(ConfigError, match=r"OUTBOX_WEBHOOKS\['crm'\]\['secrets'\]"):
        Mail(app)


def test_without_aiohttp_the_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name, *rest: None if name == "aiohttp" else real(name, *rest),
    )
    app = Flask("shop", instance_path=str(tmp_path))
    app.config.update(MAIL_URL="inbox://", OUTBOX_WEBHOOKS={"crm": GOOD})
    with pytest.raises(ConfigError, match=r"pip install 'flask-outbox\[http\]'"):
        Mail(app)


def test_the_signature_is_that_of_the_specification() -> None:
    """Its example, https://www.standardwebhooks.com."""
    from datetime import UTC, datetime

    from standardwebhooks import Webhook

    body = b'{"test": 2432232314}'
    at = datetime(2021, 2, 25, 10, 23, 10, tzinfo=UTC)
    stated = Webhook(SECRET).sign("msg_p5jXN8AQM9LWM0D4loKWxJek", at, body.decode())
    key = base64.b64decode(SECRET[6:])
    timestamp = int(at.timestamp())
    assert stated == signature([key], "msg_p5jXN8AQM9LWM0D4loKWxJek", timestamp, body)
    assert stated.startswith("v1,")


@given(st.text() | st.dictionaries(st.text(), st.text()) | st.binary())
def test_any_secret_is_read_or_refused_without_being_shown(value: Any) -> None:
    secret = f"whsec_{value}" if isinstance(value, str) else value
    try:
        read({**GOOD, "secrets": secret})
    except ConfigError as error:
        shown = str(error)
        assert shown.startswith("OUTBOX_WEBHOOKS['crm']['secrets']")
        assert len(shown) < 300


@given(st.text())
def test_any_url_is_read_or_refused_without_being_shown(url: str) -> None:
    for one in (url, f"https://{url}", f"https://example.com/{url}"):
        try:
            read({**GOOD, "url": one})
        except ConfigError as error:
            shown = str(error)
            assert shown.startswith("OUTBOX_WEBHOOKS['crm']['url']")
