"""Transports by name, as the settings describe them."""

from __future__ import annotations

import traceback
from typing import Any

import pytest

from flask_outbox import ConfigError
from flask_outbox.config import Settings, SmtpSettings
from flask_outbox.limits import Limit

URL = "sqlite:////srv/app/outbox.db"
MAIL = "smtp://m.example.com"
BULK = "smtp://bulk.example.com:2525"


def _read(**config: Any) -> Settings:
    """The settings of a production app."""
    return Settings.read(config, default_url=URL)


def _smtp(settings: Settings, name: str) -> SmtpSettings:
    smtp = settings.transports[name].adapter
    assert isinstance(smtp, SmtpSettings)
    return smtp


def test_an_app_without_named_transports_has_the_default():
    settings = _read(MAIL_URL=MAIL)
    assert list(settings.transports) == ["default"]
    assert settings.transports["default"] == settings.default


def test_a_transport_is_given_as_a_url_or_as_keys():
    keys = {"MAIL_SERVER": "news.example.com", "MAIL_USE_TLS": True, "MAIL_PORT": 587}
    settings = _read(MAIL_URL=MAIL, MAIL_TRANSPORTS={"bulk": BULK, "news": keys})
    assert list(settings.transports) == ["default", "bulk", "news"]
    assert _smtp(settings, "bulk") == SmtpSettings("bulk.example.com", 2525)
    assert _smtp(settings, "news") == SmtpSettings("news.example.com", 587, "starttls")


def test_the_default_may_be_in_mail_transports():
    settings = _read(MAIL_TRANSPORTS={"bulk": BULK, "default": MAIL})
    assert list(settings.transports) == ["default", "bulk"]
    assert settings.default.adapter == SmtpSettings("m.example.com", 25)


def test_the_apps_keys_are_every_transports_defaults():
    settings = _read(
        MAIL_URL=MAIL,
        MAIL_MAX_EMAILS=7,
        MAIL_MAX_CONNECTIONS=3,
        MAIL_IDLE_SECONDS=5,
        MAIL_RATE="9/s",
        MAIL_TRANSPORTS={
            "bulk": BULK,
            "news": {"MAIL_URL": BULK, "MAIL_MAX_EMAILS": 8, "MAIL_RATE": "5/min"},
        },
    )
    assert _smtp(settings, "bulk").max_messages_per_connection == 7
    assert _smtp(settings, "bulk").max_connections == 3
    assert _smtp(settings, "bulk").idle_seconds == 5
    assert settings.transports["bulk"].limits == (Limit(9, 1),)
    assert _smtp(settings, "news").max_messages_per_connection == 8
    assert settings.transports["news"].limits == (Limit(5, 60),)


def test_a_transport_inherits_nothing_about_another_server():
    settings = _read(
        MAIL_SERVER="m.example.com",
        MAIL_USERNAME="shop",
        MAIL_PASSWORD="hunter2",
        MAIL_PORT=587,
        MAIL_USE_TLS=True,
        MAIL_TLS_VERIFY=False,
        MAIL_AUTH_UNENCRYPTED=True,
        MAIL_TLS_CLIENT_CERT_FILE=__file__,
        MAIL_TLS_CLIENT_KEY_FILE=__file__,
        MAIL_TRANSPORTS={"bulk": {"MAIL_SERVER": "bulk.example.com"}},
    )
    assert _smtp(settings, "bulk") == SmtpSettings("bulk.example.com", 25)


def test_a_token_is_not_inherited_by_another_server():
    settings = _read(
        MAIL_URL="smtps://shop@m.example.com",
        MAIL_OAUTH_TOKEN=lambda: "token",
        MAIL_TRANSPORTS={"bulk": BULK},
    )
    assert _smtp(settings, "bulk").oauth_token is None


def test_a_transport_may_have_another_login_on_the_same_server():
    login = {"MAIL_USERNAME": "news", "MAIL_PASSWORD": "other"}
    settings = _read(
        MAIL_SERVER="m.example.com", MAIL_USE_SSL=True, MAIL_TRANSPORTS={"news": login}
    )
    expected = SmtpSettings("m.example.com", 465, "tls", "news", "other")
    assert _smtp(settings, "news") == expected


def test_a_named_transport_may_be_the_inbox():
    settings = _read(MAIL_URL=MAIL, MAIL_TRANSPORTS={"bulk": "inbox://"})
    assert settings.transports["bulk"].keeps_mail
    assert settings.transports["bulk"].place == "the dev inbox"


def test_suppress_send_applies_to_all_transports():
    settings = _read(
        MAIL_URL=MAIL, MAIL_SUPPRESS_SEND=True, MAIL_TRANSPORTS={"bulk": BULK}
    )
    assert all(one.keeps_mail for one in settings.transports.values())


def test_production_without_a_default_transport_is_refused():
    with pytest.raises(ConfigError, match="name one 'default' there, or set MAIL_URL"):
        _read(MAIL_TRANSPORTS={"bulk": BULK})


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"MAIL_MAX_EMAIL": 5}, "Did you mean MAIL_MAX_EMAILS?"),
        ({"SERVER": "x"}, "SERVER is not a setting of a transport. Did you mean"),
        ({"MAIL_DEFAULT_SENDER": "a@b.c"}, "is for the whole app: set it outside"),
        ({"MAIL_PORT": 0}, "MAIL_PORT is not a port: it must be"),
        ({"MAIL_URL": BULK, "MAIL_PORT": 25}, "remove MAIL_PORT"),
        ("smpt.x", "is not a URL: it must begin with one of"),
        ({"MAIL_SERVER": "a", "MAIL_API_KEY": "b"}, "by SMTP, where nothing asks"),
    ],
)
def test_an_error_names_the_transport(keys: Any, words: str):
    with pytest.raises(ConfigError) as refused:
        _read(MAIL_URL="smtp://m", MAIL_TRANSPORTS={"bulk": keys})
    assert str(refused.value).startswith("MAIL_TRANSPORTS['bulk']: ")
    assert words in str(refused.value)


@pytest.mark.parametrize(
    "given",
    [
        {"bulk": "smtp://user:hunter2/@m"},
        {"bulk": ["smtp://user:hunter2@m"]},
        {"bulk": {"MAIL_PASSWORD": ["hunter2"]}},
    ],
)
def test_no_error_shows_a_password(given: Any):
    with pytest.raises(ConfigError) as refused:
        _read(MAIL_URL=MAIL, MAIL_TRANSPORTS=given)
    assert "hunter2" not in str(refused.value)
    assert "hunter2" not in "".join(traceback.format_exception_only(refused.value))


@pytest.mark.parametrize(
    ("failover", "words"),
    [
        ({"default": ["bulc"]}, "names 'bulc', and there is no such transport"),
        ({"defualt": ["bulk"]}, "names 'defualt', .* has 'bulk', 'default'"),
        ({"bulk": ["bulk"]}, "name other transports than itself"),
        ({"default": ["bulk", "bulk"]}, "each once"),
    ],
)
def test_an_invalid_failover_is_refused(failover: Any, words: str):
    with pytest.raises(ConfigError, match=words):
        _read(MAIL_URL=MAIL, MAIL_TRANSPORTS={"bulk": BULK}, MAIL_FAILOVER=failover)


def test_a_failover_keeps_its_order():
    settings = _read(
        MAIL_URL=MAIL,
        MAIL_TRANSPORTS={"bulk": BULK, "news": BULK},
        MAIL_FAILOVER={"default": ["news", "bulk"]},
    )
    assert settings.failover == {"default": ("news", "bulk")}


def test_a_route_to_an_unknown_transport_is_refused_at_once():
    with pytest.raises(
        ConfigError, match="sends the tag 'news' to 'bulk', which is not"
    ):
        _read(MAIL_URL=MAIL, MAIL_ROUTE={"news": "bulk"})
