"""Transports by name, as the settings describe them."""

from __future__ import annotations

import traceback
from typing import Any

import pytest

from flask_outbox import ConfigError
from flask_outbox.config import Settings, SmtpSettings
from flask_outbox.rate import Limit

URL = "sqlite:////srv/app/outbox.db"
MAIL = "smtp://m.example.com"
BULK = "smtp://bulk.example.com:2525"


def _read(**config: Any) -> Settings:
    """The settings of a production app."""
    return Settings.read(config, default_url=URL)


def _smtp(settings: Settings, name: str) -> SmtpSettings:
    smtp = settings.transports[name].smtp
    assert smtp is not None
    return smtp


def test_an_app_that_names_none_has_the_default():
    settings = _read(MAIL_URL=MAIL)
    assert list(settings.transports) == ["default"]
    assert settings.transports["default"].smtp == settings.smtp


def test_a_transport_is_a_url_or_keys():
    keys = {"MAIL_SERVER": "news.example.com", "MAIL_USE_TLS": True, "MAIL_PORT": 587}
    settings = _read(MAIL_URL=MAIL, MAIL_TRANSPORTS={"bulk": BULK, "news": keys})
    assert list(settings.transports) == ["default", "bulk", "news"]
    assert _smtp(settings, "bulk") == SmtpSettings("bulk.example.com", 2525)
    assert _smtp(settings, "news") == SmtpSettings("news.example.com", 587, "starttls")


def test_the_default_may_be_named():
    settings = _read(MAIL_TRANSPORTS={"bulk": BULK, "default": MAIL})
    assert list(settings.transports) == ["default", "bulk"]
    assert settings.smtp == SmtpSettings("m.example.com", 25)


def test_the_keys_outside_are_every_transports_defaults():
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


def test_nothing_that_was_said_of_one_server_goes_to_another():
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


def test_a_token_stays_with_its_server():
    settings = _read(
        MAIL_URL="smtps://shop@m.example.com",
        MAIL_OAUTH_TOKEN=lambda: "token",
        MAIL_TRANSPORTS={"bulk": BULK},
    )
    assert _smtp(settings, "bulk").oauth_token is None


def test_the_same_server_with_another_login():
    login = {"MAIL_USERNAME": "news", "MAIL_PASSWORD": "other"}
    settings = _read(
        MAIL_SERVER="m.example.com", MAIL_USE_SSL=True, MAIL_TRANSPORTS={"news": login}
    )
    expected = SmtpSettings("m.example.com", 465, "tls", "news", "other")
    assert _smtp(settings, "news") == expected


def test_what_is_named_may_keep_its_mail_here():
    settings = _read(MAIL_URL=MAIL, MAIL_TRANSPORTS={"bulk": "inbox://"})
    assert settings.transports["bulk"].smtp is None
    assert settings.transports["bulk"].place == "the dev inbox"


def test_suppressed_is_all_of_it():
    settings = _read(
        MAIL_URL=MAIL, MAIL_SUPPRESS_SEND=True, MAIL_TRANSPORTS={"bulk": BULK}
    )
    assert {one.smtp for one in settings.transports.values()} == {None}


def test_production_says_how_other_mail_leaves():
    with pytest.raises(ConfigError, match="name one 'default' there, or set MAIL_URL"):
        _read(MAIL_TRANSPORTS={"bulk": BULK})


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"MAIL_MAX_EMAIL": 5}, "Did you mean MAIL_MAX_EMAILS?"),
        ({"SERVER": "x"}, "SERVER is not a setting of a transport. Did you mean"),
        ({"MAIL_DEFAULT_SENDER": "a@b.c"}, "holds for the whole app: set it outside"),
        ({"MAIL_PORT": 0}, "MAIL_PORT is no port: it must be"),
        ({"MAIL_URL": BULK, "MAIL_PORT": 25}, "remove MAIL_PORT"),
        ("smpt://x", "begins with 'smpt'"),
    ],
)
def test_what_is_wrong_says_with_which(keys: Any, words: str):
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
def test_a_failover_that_cannot_be(failover: Any, words: str):
    with pytest.raises(ConfigError, match=words):
        _read(MAIL_URL=MAIL, MAIL_TRANSPORTS={"bulk": BULK}, MAIL_FAILOVER=failover)


def test_a_failover_is_kept_in_its_order():
    settings = _read(
        MAIL_URL=MAIL,
        MAIL_TRANSPORTS={"bulk": BULK, "news": BULK},
        MAIL_FAILOVER={"default": ["news", "bulk"]},
    )
    assert settings.failover == {"default": ("news", "bulk")}


def test_a_tag_that_leads_nowhere_is_found_at_once():
    with pytest.raises(ConfigError, match="sends the tag 'news' to 'bulk', and there"):
        _read(MAIL_URL=MAIL, MAIL_ROUTE={"news": "bulk"})
