"""Every setting: what it takes, what it refuses and how, and its default."""

from __future__ import annotations

import base64
import sys
import traceback
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from flask_outbox import ConfigError
from flask_outbox.alerts import NO_LIMITS, AlertLimits
from flask_outbox.config import (
    KEYS,
    DkimKey,
    EncryptionKey,
    Key,
    Settings,
    SmtpSettings,
    TransportSettings,
)
from flask_outbox.limits import Limit, RetryWindow

URL = "sqlite:////srv/app/outbox.db"
HERE = Path(__file__)
DAY = 86_400.0
K1, K2 = (base64.b64encode(one * 32).decode() for one in (b"1", b"2"))
KEY1, KEY2 = EncryptionKey("new", b"1" * 32), EncryptionKey("old", b"2" * 32)

TEXT: list[tuple[Any, Any]] = [("text", "text"), ("ö", "ö")]
NO_TEXT: list[Any] = [5, b"bytes", ["text"]]
FLAG: list[tuple[Any, Any]] = [
    *((word, True) for word in (True, 1, "1", "true", "True", "YES", " on ")),
    *((word, False) for word in (False, 0, "0", "false", "No", "OFF")),
]
NO_FLAG: list[Any] = ["maybe", "2", [], object()]
SECONDS: list[tuple[Any, Any]] = [
    (5, 5.0),
    (0.25, 0.25),
    ("2.5", 2.5),
    ("90", 90.0),
    (timedelta(minutes=1), 60.0),
]
NO_SECONDS: list[Any] = [
    0,
    -1,
    "0",
    "soon",
    float("nan"),
    float("inf"),
    "inf",
    timedelta(0),
    [],
]


def _whole(least: int, most: int) -> tuple[list[tuple[Any, Any]], list[Any]]:
    good = [(least, least), (most, most), (str(least), least), (f" {most} ", most)]
    return good, [least - 1, most + 1, 1.5, float(least), "many", "1.5", []]


def _words(*words: str) -> tuple[list[tuple[Any, Any]], list[Any]]:
    return [(word, word) for word in words], [words[0].upper(), 1, True, [words[0]]]


PATH: tuple[list[tuple[Any, Any]], list[Any]] = (
    [("/outbox", "/outbox"), ("/staff/mail.v2", "/staff/mail.v2")],
    ["outbox", "/", "/outbox/", "//outbox", "/a b", "/<x>", "/ä", 5],
)

DKIM = {"domain": "Example.com", "selector": "s1", "key": "PEM"}
DKIM_KEY = DkimKey(
    "MAIL_DKIM_KEYS[0] (s1._domainkey.example.com)", "example.com", "s1", b"PEM"
)

CASES: dict[str, tuple[list[tuple[Any, Any]], list[Any]]] = {
    "MAIL_URL": (TEXT, NO_TEXT),
    "MAIL_SERVER": (
        [
            ("mail.example.com", "mail.example.com"),
            (" localhost ", "localhost"),
            ("mail_relay", "mail_relay"),
            ("127.0.0.1", "127.0.0.1"),
            ("::1", "::1"),
            ("[::1]", "::1"),
        ],
        [
            *NO_TEXT,
            "mail.example.com:587",
            "smtp://mail.example.com",
            "user@mail.example.com",
            "mail.example.com/inbox",
            "mail example",
        ],
    ),
    "MAIL_PORT": _whole(1, 65_535),
    "MAIL_USE_TLS": (FLAG, NO_FLAG),
    "MAIL_USE_SSL": (FLAG, NO_FLAG),
    "MAIL_USERNAME": (TEXT, NO_TEXT),
    "MAIL_PASSWORD": (TEXT, NO_TEXT),
    "MAIL_API_KEY": ([("key", "key"), (repr, repr)], [5, b"key"]),
    "MAIL_EVENTS_SECRET": (
        [("secret", ("secret",)), (["a", "b"], ("a", "b")), (repr, repr)],
        [5, b"secret", [], ["a", ""], ["a", 5], {"a": "b"}],
    ),
    "MAIL_EVENTS_TOPICS": (
        [("arn:1, arn:2", ("arn:1", "arn:2")), (["arn:1"], ("arn:1",))],
        [5, [], [""], [5], {"arn:1": 1}],
    ),
    "MAIL_EVENTS_FROM": (TEXT, NO_TEXT),
    "MAIL_OAUTH_TOKEN": ([(str, str), (repr, repr)], ["token", 5, b"token"]),
    "MAIL_AUTH_MECHANISM": (
        [
            (one, one)
            for one in ("PLAIN", "LOGIN", "CRAM-MD5", "XOAUTH2", "OAUTHBEARER")
        ],
        ["plain", "GSSAPI", 5],
    ),
    "MAIL_AUTH_UNENCRYPTED": (FLAG, NO_FLAG),
    "MAIL_DEFAULT_SENDER": (
        [
            ("ada@example.org", "ada@example.org"),
            (("Ada", "ada@example.org"), ("Ada", "ada@example.org")),
            (["Ada", "ada@example.org"], ("Ada", "ada@example.org")),
        ],
        [5, ("Ada",), ("Ada", "ada@example.org", "x"), {"Ada": "x"}],
    ),
    "MAIL_MAX_EMAILS": (
        [(1, 1), ("50", 50), (1_000_000, 1_000_000), (0, sys.maxsize)],
        [-1, 1_000_001, 1.5, "many", []],
    ),
    "MAIL_MAX_CONNECTIONS": _whole(1, 1_000),
    "MAIL_PIPELINE_AFTER_CONTENT": (FLAG, NO_FLAG),
    "MAIL_IDLE_SECONDS": (SECONDS, NO_SECONDS),
    "MAIL_RATE": (
        [
            ("10/s", (Limit(10, 1),)),
            ("10/second, 500 / H", (Limit(10, 1), Limit(500, 3_600))),
            ("3/min,7/day", (Limit(3, 60), Limit(7, 86_400))),
        ],
        [5, "10", "0/s", "-1/s", "1.5/s", "10/month", "10/s 5/h", "1/s, 2/s", []],
    ),
    "MAIL_TRANSPORTS": (
        [
            ({}, {}),
            ({"bulk": "smtp://m"}, {"bulk": "smtp://m"}),
            ({"a-1.b": {"MAIL_PORT": 1}}, {"a-1.b": {"MAIL_PORT": 1}}),
        ],
        ["smtp://m", 5, {"": "smtp://m"}, {"a b": "x"}, {5: "x"}, {"a": 5}, {"a": ""}],
    ),
    "MAIL_ROUTE": (
        [({"news": "bulk"}, {"news": "bulk"}), (print, print)],
        ["bulk", 5, {"news": 5}, {5: "bulk"}, ["bulk"]],
    ),
    "MAIL_FAILOVER": (
        [({"a": ["b"]}, {"a": ("b",)}), ({"a": ("b", "c")}, {"a": ("b", "c")})],
        ["backup", 5, {"a": "b"}, {"a": []}, {"a": [5]}, {5: ["a"]}],
    ),
    "MAIL_SUPPRESS_SEND": (FLAG, NO_FLAG),
    "MAIL_ASCII_ATTACHMENTS": (FLAG, NO_FLAG),
    "MAIL_DEBUG": (FLAG, NO_FLAG),
    "MAIL_CONNECT_TIMEOUT_SECONDS": (SECONDS, NO_SECONDS),
    "MAIL_COMMAND_TIMEOUT_SECONDS": (SECONDS, NO_SECONDS),
    "MAIL_DATA_TIMEOUT_SECONDS": (SECONDS, NO_SECONDS),
    "MAIL_DEADLINE_SECONDS": (SECONDS, NO_SECONDS),
    "MAIL_LOCAL_HOSTNAME": (TEXT, NO_TEXT),
    "MAIL_TLS_CA_FILE": (
        [(str(HERE), str(HERE)), (HERE, str(HERE))],
        ["/no/such/ca.pem", str(HERE.parent), 5],
    ),
    "MAIL_TLS_VERIFY": (FLAG, NO_FLAG),
    "MAIL_TLS_CLIENT_CERT_FILE": ([(HERE, str(HERE))], ["/no/such.pem", 5]),
    "MAIL_TLS_CLIENT_KEY_FILE": ([(HERE, str(HERE))], ["/no/such.pem", 5]),
    "MAIL_DKIM_KEYS": (
        [([], ()), ([DKIM], (DKIM_KEY,)), ((DKIM,), (DKIM_KEY,))],
        ["s1", 5, DKIM, ["s1"], [{}], [{**DKIM, "key": None}], [DKIM, DKIM]],
    ),
    "OUTBOX_URL": (TEXT, NO_TEXT),
    "OUTBOX_LISTEN_URL": (TEXT, NO_TEXT),
    "OUTBOX_ENGINE": _words("thread", "external", "celery"),
    "OUTBOX_ENCRYPTION_KEYS": (
        [
            ({"new": K1, "old": K2}, (KEY1, KEY2)),
            (f"new:{K1}", (KEY1,)),
            (f"new:{K1}, old:{K2}", (KEY1, KEY2)),
            ([f"new:{K1}", f"old:{K2}"], (KEY1, KEY2)),
        ],
        [
            *(5, {}, [], K1, f"new:{K1[:-4]}", {"new": b"1" * 32}, {"new": None}),
            *({"": K1}, {"new key": K1}, {"n" * 17: K1}, {5: K1}, [("new", K1)]),
            *(f"new:{K1},new:{K2}", f"new:{K1},", "new:" + "!" * 44),
        ],
    ),
    "OUTBOX_DURABILITY": _words("full", "process"),
    "OUTBOX_CONCURRENCY": _whole(1, 1_000),
    "OUTBOX_TAG_CONCURRENCY": (
        [({}, {}), ({"news": 2, "orders": "10"}, {"news": 2, "orders": 10})],
        ["news", 5, ["news"], {"": 5}],
    ),
    "OUTBOX_LEASE_SECONDS": (SECONDS, NO_SECONDS),
    "OUTBOX_POLL_SECONDS": (SECONDS, NO_SECONDS),
    "OUTBOX_GRACE_SECONDS": (SECONDS, NO_SECONDS),
    "OUTBOX_RENDER_TIMEOUT_SECONDS": (SECONDS, NO_SECONDS),
    "OUTBOX_BACKOFF_BASE_SECONDS": (SECONDS, NO_SECONDS),
    "OUTBOX_BACKOFF_CAP_SECONDS": (SECONDS, NO_SECONDS),
    "OUTBOX_LANE_PAUSE_CAP_SECONDS": (SECONDS, NO_SECONDS),
    "OUTBOX_TRANSPORT_CACHE_SECONDS": (SECONDS, NO_SECONDS),
    "OUTBOX_GIVE_UP_AFTER": (
        [
            *((given, RetryWindow(seconds)) for given, seconds in SECONDS),
            ({}, RetryWindow(5 * DAY)),
            ({"": "90"}, RetryWindow(90.0)),
            (
                {"code": 600, "": timedelta(days=2), "news": 5},
                RetryWindow(2 * DAY, {"code": 600.0, "news": 5.0}),
            ),
        ],
        NO_SECONDS,
    ),
    "OUTBOX_ON_UNKNOWN": _words("resend", "hold"),
    "OUTBOX_UNKNOWN_WAIT_SECONDS": (SECONDS, NO_SECONDS),
    "OUTBOX_KEEP_BODIES": (SECONDS, NO_SECONDS),
    "OUTBOX_KEEP_ROWS": (SECONDS, NO_SECONDS),
    "OUTBOX_KEEP_AUDIT": (SECONDS, NO_SECONDS),
    "OUTBOX_ONLY_TO": (
        [
            (["a@b.example", " @c.example "], ("a@b.example", "@c.example")),
            ("a@b.example, @c.example", ("a@b.example", "@c.example")),
        ],
        [[], "a@b.example,", [""], [5], 5, {"a@b.example": 1}],
    ),
    "OUTBOX_REDIRECT_TO": (TEXT, NO_TEXT),
    "OUTBOX_AUTO_SUPPRESS": (
        [
            (True, ("bounces", "soft_bounces", "complaints", "refusals")),
            ("no", ()),
            ([], ()),
            (False, ()),
            (["bounces", "complaints"], ("bounces", "complaints")),
            ("refusals, bounces", ("refusals", "bounces")),
        ],
        [["bounce"], "bounces,", 5, {"bounces": True}, [5]],
    ),
    "OUTBOX_SOFT_BOUNCE_COUNT": ([(1, 1), ("7", 7)], [0, -1, 1.5, "many", 1_001]),
    "OUTBOX_SOFT_BOUNCE_DAYS": ([(1, 1), ("30", 30)], [0, -1, 1.5, "many", 366]),
    "OUTBOX_TRACK_TAGS": (
        [
            (True, True),
            (False, False),
            ("yes", True),
            ((), False),
            (["news"], ("news",)),
            ("news, offers", ("news", "offers")),
        ],
        ["news,", [""], 5, {"news": True}],
    ),
    "OUTBOX_BOUNCE_ADDRESS": (
        [
            ("bounces@example.com", "bounces@example.com"),
            ("b-1_a.c@Example.COM", "b-1_a.c@example.com"),
            (f"{'b' * 21}@example.com", f"{'b' * 21}@example.com"),
        ],
        [
            5,
            "bounces",
            "Bounces <bounces@example.com>",
            "bounces+shop@example.com",
            '"b c"@example.com',
            "grüße@example.com",
            f"{'b' * 22}@example.com",
            "a@example.com, b@example.com",
        ],
    ),
    "OUTBOX_WEBHOOKS": ([({}, {})], [[], "crm", {"crm": {}}, {"": {}}, {7: {}}]),
    "OUTBOX_WEBHOOK_GIVE_UP_AFTER": (SECONDS, NO_SECONDS),
    "OUTBOX_BOUNCE_MAILBOX": (TEXT, NO_TEXT),
    "OUTBOX_UNSUBSCRIBE_PATH": PATH,
    "OUTBOX_EVENTS_PATH": PATH,
    "OUTBOX_HEALTH_PATH": PATH,
    "OUTBOX_ALERTS": (
        [
            (True, AlertLimits()),
            ("yes", AlertLimits()),
            (False, NO_LIMITS),
            ({}, AlertLimits()),
            (
                {"oldest_due_seconds": 60, "lane_down_seconds": None},
                AlertLimits(oldest_due_seconds=60.0, lane_down_seconds=None),
            ),
            (
                {"failed_messages": 5, "failed_share": 0},
                AlertLimits(failed_messages=5, failed_share=0.0),
            ),
            (
                {"failed_within_seconds": timedelta(hours=1)},
                AlertLimits(failed_within_seconds=3_600.0),
            ),
        ],
        ["often", 5.5, [60], {"due": 60}],
    ),
    "OUTBOX_ALERT_TO": (
        [
            ("ops@example.com", ("ops@example.com",)),
            ([], ()),
            (["a@example.com", "b@example.com"], ("a@example.com", "b@example.com")),
        ],
        ["ops", ["a@example.com", "b"], 5, [""]],
    ),
    "OUTBOX_ALERT_TRANSPORT": (TEXT, NO_TEXT),
    "OUTBOX_LOG": ([("text", "text"), ("json", "json")], [True, "JSON", "xml"]),
    "OUTBOX_TRACES": (FLAG, NO_FLAG),
    "OUTBOX_DASHBOARD": (
        [("local", "local"), (bool, bool)],
        [True, False, 1, "Local", "everyone", ["local"]],
    ),
    "OUTBOX_DASHBOARD_PATH": PATH,
    "OUTBOX_DASHBOARD_VIEWS": (
        [
            ({}, {}),
            (
                {"Failed today": "is=failed&last=24h", "All": ""},
                {"Failed today": {"is": "failed", "last": "24h"}, "All": {}},
            ),
        ],
        ["is=failed", ["is=failed"], {"": "is=failed"}, {"Failed": {"is": "failed"}}],
    ),
    "OUTBOX_AUDIT_USER": ([(str, str)], ["eva", 5]),
    "OUTBOX_METRICS": (
        [
            ("local", "local"),
            (bool, bool),
            ("x" * 16, ("x" * 16,)),
            (
                ["a-token-of-24-characters", "x" * 16],
                ("a-token-of-24-characters", "x" * 16),
            ),
        ],
        [True, 1, "Local", "x" * 15, "x" * 15 + " ", "é" * 16, ["x" * 16, "y"], [7]],
    ),
    "OUTBOX_METRICS_PATH": PATH,
}
"""For each key what it takes, with what becomes of it, and some of what it refuses."""

SECRET = {
    "MAIL_PORT",
    "MAIL_DKIM_KEYS",
    "MAIL_PASSWORD",
    "MAIL_API_KEY",
    "MAIL_EVENTS_SECRET",
    "MAIL_OAUTH_TOKEN",
    "OUTBOX_AUDIT_USER",
    "MAIL_URL",
    "MAIL_TRANSPORTS",
    "OUTBOX_URL",
    "OUTBOX_ENCRYPTION_KEYS",
    "OUTBOX_BOUNCE_MAILBOX",
    "OUTBOX_LISTEN_URL",
    "OUTBOX_METRICS",
    "OUTBOX_WEBHOOKS",
}
"""Keys whose value no error may show."""


def _key(name: str) -> Key:
    (key,) = [one for one in KEYS if one.name == name]
    return key


def _read(**config: Any) -> Settings:
    """The settings of a production app."""
    return Settings.read(config, default_url=URL)


def _smtp(**config: Any) -> SmtpSettings:
    smtp = _read(**config).default.adapter
    assert isinstance(smtp, SmtpSettings)
    return smtp


# ----------------------------------------------------------------- key by key


def test_each_key_has_test_cases():
    assert [key.name for key in KEYS] == list(CASES)


def test_each_key_accepts_its_values(subtests: pytest.Subtests):
    for name, (taken, _) in CASES.items():
        for given, wanted in taken:
            with subtests.test(key=name, given=given):
                value = _key(name).read({name: given})
                assert (value, type(value)) == (wanted, type(wanted))


def test_each_key_refuses_other_values_and_says_why(subtests: pytest.Subtests):
    for name, (_, refused) in CASES.items():
        for given in refused:
            with subtests.test(key=name, given=given):
                text = _refusal(name, given)
                assert text.startswith(name)
                assert "must be" in text or "which does not exist" in text
                if name not in SECRET:
                    assert _shown(given) in text


def _refusal(name: str, given: Any) -> str:
    with pytest.raises(ConfigError) as refused:
        _key(name).read({name: given})
    return str(refused.value)


def _shown(given: Any) -> str:
    return str(given.total_seconds() if isinstance(given, timedelta) else given)


def test_a_number_too_large_for_a_float_is_refused():
    with pytest.raises(ConfigError, match="OUTBOX_GRACE_SECONDS is 1000"):
        _key("OUTBOX_GRACE_SECONDS").read({"OUTBOX_GRACE_SECONDS": 10**400})


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"": 600, "code": 0}, "OUTBOX_GIVE_UP_AFTER['code'] is 0: it must be"),
        ({"": "soon"}, "OUTBOX_GIVE_UP_AFTER[''] is 'soon': it must be"),
        ({5: 600}, "OUTBOX_GIVE_UP_AFTER has the key 5: it must be a tag"),
        ({"news": 0}, "OUTBOX_TAG_CONCURRENCY['news'] is 0: it must be a whole"),
        ({5: 1}, "OUTBOX_TAG_CONCURRENCY has the key 5: it must be a tag"),
    ],
)
def test_a_refusal_names_the_tag(given: Any, told: str):
    name = told.partition(" ")[0].partition("[")[0]
    assert _refusal(name, given).startswith(told)


def test_a_refusal_shows_no_secret(subtests: pytest.Subtests):
    """A password of digits, for one, is a number when it comes as JSON."""
    for name in SECRET:
        for given in (31_415_926, [31_415_926], b"31415926"):
            with subtests.test(key=name, given=given):
                assert "31415926" not in _refusal(name, given)


def test_a_key_that_is_not_set_has_its_default(subtests: pytest.Subtests):
    for key in KEYS:
        with subtests.test(key=key.name):
            for config in ({}, *({key.name: unset} for unset in (None, "", "  "))):
                assert key.read(config) == key.default
            assert key.default_text
            assert key.doc.endswith(".")


def test_a_default_is_a_value_that_the_key_takes(subtests: pytest.Subtests):
    for key in KEYS:
        with subtests.test(key=key.name):
            if key.default is not None:
                assert key.read({key.name: key.default}) == key.default


# ------------------------------------------------------------------- as a whole


def test_an_app_that_sets_only_mail_url_has_the_defaults():
    settings = _read(MAIL_URL="smtp://mail.example.com")
    assert settings.url == URL
    assert (settings.engine, settings.durability) == ("thread", "full")
    assert (settings.on_unknown, settings.suppress) == ("resend", False)
    assert settings.give_up_after == RetryWindow(5 * DAY)
    assert settings.default_sender is None
    assert settings.default.adapter == SmtpSettings("mail.example.com", 25)


def test_strings_of_environment_variables_are_converted():
    """Every value a string, as ``from_prefixed_env`` leaves what is no JSON."""
    settings = _read(
        MAIL_SERVER="mail.example.com",
        MAIL_PORT="587",
        MAIL_USE_TLS="true",
        MAIL_USE_SSL="false",
        MAIL_MAX_EMAILS="50",
        MAIL_SUPPRESS_SEND="0",
        OUTBOX_CONCURRENCY="4",
        OUTBOX_GRACE_SECONDS="2.5",
        OUTBOX_GIVE_UP_AFTER="3600",
    )
    assert settings.default.adapter == SmtpSettings(
        "mail.example.com",
        587,
        security="starttls",
        max_messages_per_connection=50,
        max_connections=4,
    )
    assert (settings.concurrency, settings.grace_seconds) == (4, 2.5)
    assert settings.give_up_after == RetryWindow(3_600)


def test_settings_are_frozen():
    settings = _read(MAIL_URL="inbox://")
    with pytest.raises(AttributeError):
        settings.concurrency = 5  # type: ignore[misc]


def test_an_invalid_value_is_found_even_if_mail_stays_in_the_inbox():
    with pytest.raises(ConfigError, match="OUTBOX_CONCURRENCY is 0"):
        _read(MAIL_URL="inbox://", OUTBOX_CONCURRENCY=0)


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("OUTBOX_CONCURENCY", "OUTBOX_CONCURRENCY"),
        ("OUTBOX_GRACE", "OUTBOX_GRACE_SECONDS"),
        ("OUTBOX_URI", "OUTBOX_URL"),
        ("OUTBOX_KEEP_BODY", "OUTBOX_KEEP_BODIES"),
    ],
)
def test_an_unknown_key_suggests_the_nearest(name: str, nearest: str):
    with pytest.raises(ConfigError) as refused:
        _read(MAIL_URL="inbox://", **{name: 1})
    assert str(refused.value) == (
        f"{name} is not a setting of Flask-Outbox. Did you mean {nearest}?"
    )


def test_an_unknown_key_unlike_any_other_gets_no_suggestion():
    with pytest.raises(ConfigError) as refused:
        _read(MAIL_URL="inbox://", OUTBOX_XYZZYPLUGH=1)
    assert "Did you mean" not in str(refused.value)


def test_keys_of_other_extensions_are_ignored():
    settings = _read(MAIL_URL="inbox://", SECRET_KEY="x", MAIL_BACKEND="smtp", MAILX=1)
    assert settings.default.keeps_mail


# ---------------------------------------------------------------- where mail leaves

LOGIN: dict[str, Any] = {"username": "user", "password": "secret"}


@pytest.mark.parametrize(
    ("url", "wanted"),
    [
        ("smtp://mail.example.com", SmtpSettings("mail.example.com", 25)),
        ("SMTP://mail.example.com:2525/", SmtpSettings("mail.example.com", 2525)),
        ("smtp://127.0.0.1", SmtpSettings("127.0.0.1", 25)),
        ("smtp://[::1]:2525", SmtpSettings("::1", 2525)),
        (
            "smtp+starttls://user:secret@mail.example.com",
            SmtpSettings("mail.example.com", 587, "starttls", **LOGIN),
        ),
        (
            "smtps://user:secret@mail.example.com",
            SmtpSettings("mail.example.com", 465, "tls", **LOGIN),
        ),
        (
            "smtps://u%40example.com:p%2F%3F%23%40%25%C3%B6@mail.example.com:4650",
            SmtpSettings("mail.example.com", 4650, "tls", "u@example.com", "p/?#@%ö"),
        ),
    ],
)
def test_mail_url_sets_the_whole_server(url: str, wanted: SmtpSettings):
    assert _smtp(MAIL_URL=url) == wanted


@pytest.mark.parametrize(
    ("config", "wanted"),
    [
        ({"MAIL_SERVER": "m.example.com"}, SmtpSettings("m.example.com", 25)),
        ({"MAIL_PORT": 2525}, SmtpSettings("127.0.0.1", 2525)),
        (
            {"MAIL_SERVER": "m.example.com", "MAIL_USE_TLS": True, "MAIL_PORT": 587},
            SmtpSettings("m.example.com", 587, "starttls"),
        ),
        (
            {"MAIL_SERVER": "m.example.com", "MAIL_USE_SSL": True},
            SmtpSettings("m.example.com", 465, "tls"),
        ),
        (
            {
                "MAIL_SERVER": "m.example.com",
                "MAIL_USERNAME": "user",
                "MAIL_PASSWORD": "secret",
                "MAIL_USE_TLS": True,
            },
            SmtpSettings("m.example.com", 25, "starttls", **LOGIN),
        ),
    ],
)
def test_flask_mails_keys_have_the_same_meaning(
    config: dict[str, Any], wanted: SmtpSettings
):
    assert _smtp(**config) == wanted


def test_oauth_token_logs_in_without_a_password():
    settings = _smtp(MAIL_URL="smtps://ada%40b.org@a", MAIL_OAUTH_TOKEN=str)
    assert settings == SmtpSettings("a", 465, "tls", "ada@b.org", oauth_token=str)


def test_auth_unencrypted_allows_a_login_without_tls():
    settings = _smtp(MAIL_URL="smtp://user:secret@a", MAIL_AUTH_UNENCRYPTED=True)
    assert settings == SmtpSettings("a", 25, **LOGIN, auth_unencrypted=True)


def test_timeouts_and_tls_apply_to_url_and_keys():
    extras = {
        "MAIL_CONNECT_TIMEOUT_SECONDS": 1,
        "MAIL_COMMAND_TIMEOUT_SECONDS": 2,
        "MAIL_DATA_TIMEOUT_SECONDS": 3,
        "MAIL_DEADLINE_SECONDS": 4,
        "MAIL_LOCAL_HOSTNAME": "app.example.com",
        "MAIL_TLS_CA_FILE": HERE,
        "MAIL_TLS_VERIFY": False,
        "MAIL_TLS_CLIENT_CERT_FILE": HERE,
        "MAIL_TLS_CLIENT_KEY_FILE": HERE,
        "MAIL_MAX_EMAILS": 5,
        "OUTBOX_CONCURRENCY": 6,
    }
    by_url = _smtp(MAIL_URL="smtps://m.example.com", **extras)
    by_keys = _smtp(MAIL_SERVER="m.example.com", MAIL_USE_SSL=True, **extras)
    assert by_url == by_keys
    assert by_url == SmtpSettings(
        "m.example.com",
        465,
        "tls",
        ca_file=str(HERE),
        verify=False,
        client_cert_file=str(HERE),
        client_key_file=str(HERE),
        local_hostname="app.example.com",
        connect_timeout_seconds=1,
        command_timeout_seconds=2,
        data_timeout_seconds=3,
        deadline_seconds=4,
        max_messages_per_connection=5,
        max_connections=6,
    )


def test_certificates_are_verified_by_default():
    assert _smtp(MAIL_URL="smtps://m.example.com").verify is True


@pytest.mark.parametrize(
    ("url", "advice"),
    [
        ("mail.example.com:25", "it must begin with one of smtp://, smtp+starttls://"),
        ("mail.example.com", "it must begin with one of"),
        ("smtp://", "names no host. It looks like"),
        ("smtp://:25", "names no host"),
        ("smtp://m.example.com:99999", "port"),
        ("smtp://m.example.com:http", "port"),
        ("smtp://m.example.com/inbox", "something after the host and port"),
        ("smtp://m.example.com?tls=yes", "something after the host and port"),
        ("smtp://m.example.com#tls", "something after the host and port"),
        ("smtp://user@m.example.com", "has no password in its"),
        ("smtp://:hunter2@m.example.com", "has no user name"),
        ("smtp://[::1", "MAIL_URL"),
    ],
)
def test_an_invalid_mail_url_says_what_to_do(url: str, advice: str):
    with pytest.raises(ConfigError) as refused:
        _read(MAIL_URL=url)
    assert advice.lower() in str(refused.value).lower()


@pytest.mark.parametrize("sign", ["/", "?", "#", "[", "@@"])
def test_no_error_shows_a_password(sign: str):
    """A password that was not percent-encoded, in its first and in its second half."""
    url = f"smtps://user:hunter2{sign}swordfish@m.example.com"
    try:
        settings = _read(MAIL_URL=url)
    except ConfigError as refused:
        text = "".join(traceback.format_exception(refused)).replace(url, "")
    else:
        text = repr(settings)
    assert "hunter2" not in text
    assert "swordfish" not in text


@pytest.mark.parametrize("debug", [False, True])
def test_contradictory_keys_are_refused(debug: bool):
    for config, words in (
        ({"MAIL_URL": "smtp://a", "MAIL_SERVER": "b"}, "remove MAIL_SERVER"),
        ({"MAIL_URL": "smtp://a", "MAIL_PORT": 25}, "remove MAIL_PORT"),
        (
            {"MAIL_URL": "smtp://a", "MAIL_USERNAME": "b", "MAIL_PASSWORD": "c"},
            "remove MAIL_USERNAME and MAIL_PASSWORD",
        ),
        (
            {"MAIL_SERVER": "a", "MAIL_USE_TLS": True, "MAIL_USE_SSL": True},
            "Keep one",
        ),
        ({"MAIL_SERVER": "a:587"}, "must be 'a', and the port in MAIL_PORT = '587'"),
        ({"MAIL_URL": "smtp://b:c@a"}, "MAIL_AUTH_UNENCRYPTED"),
        (
            {"MAIL_SERVER": "a", "MAIL_USERNAME": "b", "MAIL_PASSWORD": "c"},
            "The login would go to a:25 unencrypted",
        ),
        ({"MAIL_URL": "smtps://a", "MAIL_OAUTH_TOKEN": str}, "no user name is set"),
        (
            {"MAIL_URL": "smtps://b:c@a", "MAIL_OAUTH_TOKEN": str},
            "a password is set too",
        ),
        ({"MAIL_URL": "smtp://b@a", "MAIL_OAUTH_TOKEN": str}, "unencrypted"),
        (
            {"MAIL_URL": "smtps://b:c@a", "MAIL_AUTH_MECHANISM": "XOAUTH2"},
            "set MAIL_OAUTH_TOKEN too",
        ),
        (
            {
                "MAIL_URL": "smtps://b@a",
                "MAIL_OAUTH_TOKEN": str,
                "MAIL_AUTH_MECHANISM": "PLAIN",
            },
            "must be 'XOAUTH2' or 'OAUTHBEARER'",
        ),
        (
            {"MAIL_URL": "smtps://a", "MAIL_TLS_CLIENT_KEY_FILE": HERE},
            "set MAIL_TLS_CLIENT_CERT_FILE too",
        ),
        (
            {"MAIL_URL": "smtp://a", "MAIL_TLS_CLIENT_CERT_FILE": HERE},
            "set MAIL_USE_TLS or MAIL_USE_SSL",
        ),
    ):
        with pytest.raises(ConfigError, match=words):
            Settings.read(config, default_url=URL, debug=debug)


LOGINS: list[dict[str, Any]] = [
    {"MAIL_USERNAME": "b"},
    {"MAIL_PASSWORD": "b"},
    {"MAIL_USERNAME": "b", "MAIL_PASSWORD": "c"},
    {"MAIL_USERNAME": "b", "MAIL_PASSWORD": "c", "MAIL_OAUTH_TOKEN": str},
    {"MAIL_TLS_CLIENT_KEY_FILE": HERE},
]


@pytest.mark.parametrize("login", LOGINS, ids=str)
@pytest.mark.parametrize("suppressed", ["testing", "MAIL_SUPPRESS_SEND"])
def test_a_login_is_not_checked_if_nothing_is_sent(
    login: dict[str, Any], suppressed: str
):
    config = {"MAIL_SERVER": "a", **login, "MAIL_TRANSPORTS": {"bulk": login}}
    if suppressed == "testing":
        settings = Settings.read(config, default_url=URL, testing=True)
    else:
        settings = _read(**config, MAIL_SUPPRESS_SEND=True)
    assert settings.default.keeps_mail


@pytest.mark.parametrize(
    ("half", "missing"), [("MAIL_USERNAME", "password"), ("MAIL_PASSWORD", "user name")]
)
def test_half_a_login_is_no_login(half: str, missing: str):
    """As in Flask-Mail: what an environment has for the other half is empty."""
    keys = {"MAIL_SERVER": "a", "MAIL_USERNAME": "", "MAIL_PASSWORD": "", half: "b"}
    assert _smtp(**keys) == SmtpSettings("a", 25, half_login=missing)


def test_max_emails_0_means_no_limit():
    smtp = _smtp(MAIL_SERVER="a", MAIL_MAX_EMAILS=0)
    assert smtp.max_messages_per_connection == sys.maxsize


def test_empty_environment_variables_count_as_unset():
    """As Compose hands over what is not set: each variable is there, and empty."""
    empty: dict[str, Any] = {key.name: "" for key in KEYS}
    with pytest.raises(ConfigError, match="set MAIL_URL"):
        _read(**empty)
    empty["MAIL_SERVER"] = "mail.example.com"
    assert _read(**empty) == _read(MAIL_SERVER="mail.example.com")
    bulk = {**_read(**empty).transports, "bulk": TransportSettings(_smtp(**empty))}
    empty["MAIL_TRANSPORTS"] = {"bulk": {"MAIL_URL": "", "MAIL_USERNAME": ""}}
    assert _read(**empty).transports == bulk


SLIPS = {
    "MAIL_USE_TSL": "MAIL_USE_TLS",
    "MAIL_USETLS": "MAIL_USE_TLS",
    "MAIL_TLS_USE": "MAIL_USE_TLS",
    "MAIL_USE_STARTTLS": "MAIL_USE_TLS",
    "MAIL_STARTTLS": "MAIL_USE_TLS",
    "MAIL_USE_SLL": "MAIL_USE_SSL",
    "MAIL_SEVER": "MAIL_SERVER",
    "MAIL_SERVEUR": "MAIL_SERVER",
    "MAIL_SERVRE": "MAIL_SERVER",
    "MAIL_USER_NAME": "MAIL_USERNAME",
    "MAIL_PASWORD": "MAIL_PASSWORD",
    "MAIL_PASSWORT": "MAIL_PASSWORD",
    "MAIL_PROT": "MAIL_PORT",
    "MAIL_URI": "MAIL_URL",
    "MAIL_DEFAULT_SENDR": "MAIL_DEFAULT_SENDER",
    "MAIL_SUPRESS_SEND": "MAIL_SUPPRESS_SEND",
    "MAIL_TLS_VERFIY": "MAIL_TLS_VERIFY",
    "MAIL_MAX_EMAIL": "MAIL_MAX_EMAILS",
}


def test_a_misspelt_mail_key_is_an_error(subtests: pytest.Subtests):
    for name, meant in SLIPS.items():
        told = f"^{name} is not .* Did you mean {meant}?"
        with subtests.test(key=name), pytest.raises(ConfigError, match=told):
            _read(MAIL_SUPPRESS_SEND=True, **{name: "x"})


OF_OTHERS = """
    ADMIN ADMINS BACKEND CATCH_ALL DATE DEFAULT_CHARSET DEFAULT_RECIPIENT
    DEFAULT_REPLY_TO DOMAIN ENABLED FAIL_SILENTLY FILE_PATH FOOTER FROM FROM_ADDRESS
    FROM_NAME HOST LOGO NOTIFICATIONS PATH POST RECIPIENTS REPLY_TO SENDER SENDER_NAME
    SENDFILE_MAX_SIZE SSL_CERTFILE SSL_KEYFILE SUBJECT_PREFIX TEMPLATES THROTTLE TIMEOUT
    TO TRANSPORT_CLASS USE_LOCALTIME USER WEBHOOK_URL
"""
"""What Flask-Mailman, Flask-User, Flask-Security, invenio, pgAdmin and apps of many
people call their own settings."""


def test_mail_keys_of_other_libraries_are_ignored():
    others = {f"MAIL_{name}": "x" for name in OF_OTHERS.split()}
    assert _read(MAIL_SUPPRESS_SEND=True, **others).default.keeps_mail
    both = {"MAIL_USE_TLS": True, "MAIL_STARTTLS": True, "MAIL_TLS": True}
    assert _smtp(MAIL_SERVER="a", **both).security == "starttls"


def test_production_without_a_server_is_refused():
    with pytest.raises(ConfigError, match=r"set MAIL_URL, .* or MAIL_SERVER"):
        _read()


@pytest.mark.parametrize("mode", ["debug", "testing"])
def test_without_a_server_debug_and_testing_use_the_inbox(mode: str):
    settings = Settings.read(
        {}, default_url=URL, debug=mode == "debug", testing=mode == "testing"
    )
    assert settings.default.keeps_mail


def test_under_testing_mail_stays_in_the_inbox_by_default():
    config = {"MAIL_URL": "smtp://m.example.com"}
    kept = Settings.read(config, default_url=URL, testing=True)
    assert (kept.default.keeps_mail, kept.suppress) == (True, True)
    config["MAIL_SUPPRESS_SEND"] = "false"
    sent = Settings.read(config, default_url=URL, testing=True)
    assert (sent.default.keeps_mail, sent.suppress) == (False, False)


@pytest.mark.parametrize(
    "config", [{"MAIL_URL": "inbox://"}, {"MAIL_SUPPRESS_SEND": True}]
)
def test_production_may_choose_the_inbox_explicitly(config: dict[str, Any]):
    assert _read(**config).default.keeps_mail


def test_an_invalid_mail_url_is_found_under_testing():
    with pytest.raises(ConfigError, match="MAIL_URL"):
        Settings.read({"MAIL_URL": "smtp:/a"}, default_url=URL, testing=True)


ALERT_MAIL: dict[str, Any] = {
    "MAIL_URL": "smtp://mail.example.com",
    "MAIL_TRANSPORTS": {"ops": "smtp://ops.example.com"},
    "MAIL_DEFAULT_SENDER": "shop@example.com",
    "OUTBOX_ALERT_TO": "ops@example.com",
    "OUTBOX_ALERT_TRANSPORT": "ops",
}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"OUTBOX_ALERT_TRANSPORT": "opps"},
            "OUTBOX_ALERT_TRANSPORT is 'opps', which is not a transport: this app has "
            "'default', 'ops'.",
        ),
        ({"OUTBOX_ALERT_TRANSPORT": None}, "OUTBOX_ALERT_TO needs OUTBOX_ALERT_TRA"),
        (
            {"OUTBOX_ALERT_TRANSPORT": "default", "MAIL_TRANSPORTS": {}},
            "OUTBOX_ALERT_TRANSPORT is 'default', the app's only transport",
        ),
        ({"MAIL_DEFAULT_SENDER": None}, "OUTBOX_ALERT_TO needs MAIL_DEFAULT_SENDER"),
        ({"OUTBOX_ALERT_TO": None}, "OUTBOX_ALERT_TRANSPORT has no effect"),
    ],
)
def test_mail_about_alerts_that_could_not_leave_is_refused(
    changes: dict[str, Any], words: str
):
    assert _read(**ALERT_MAIL).alert_to == ("ops@example.com",)
    with pytest.raises(ConfigError) as refused:
        _read(**{**ALERT_MAIL, **changes})
    assert str(refused.value).startswith(words)


def test_alerts_are_on_where_something_is_told_of_them():
    secret = "whsec_" + "A" * 32
    plain = {"url": "https://ops.example.com/", "secrets": secret}
    asking = {**plain, "events": ["alert_raised"]}
    url = {"MAIL_URL": "smtp://mail.example.com"}
    for config, limits in (
        ({}, NO_LIMITS),
        ({"OUTBOX_WEBHOOKS": {"crm": plain}}, NO_LIMITS),
        ({"OUTBOX_WEBHOOKS": {"ops": asking}}, AlertLimits()),
        (ALERT_MAIL, AlertLimits()),
        ({**ALERT_MAIL, "OUTBOX_ALERTS": False}, NO_LIMITS),
        ({"OUTBOX_ALERTS": True}, AlertLimits()),
        ({"OUTBOX_ALERTS": {"failed_messages": 3}}, AlertLimits(failed_messages=3)),
    ):
        found = _read(**{**url, **config}).alert_limits
        assert (found, bool(found)) == (limits, limits is not NO_LIMITS)


@pytest.mark.parametrize(
    ("limit", "words"),
    [
        ({"oldest_due_seconds": 0}, "['oldest_due_seconds'] is 0: it must be"),
        ({"failed_messages": 0}, "['failed_messages'] is 0: it must be a whole number"),
        ({"failed_share": 2}, "['failed_share'] is 2: it must be a number from 0 to 1"),
        ({"failed_share": "ten"}, "['failed_share'] is 'ten': it must be a number"),
        ({"failed_within_seconds": 5}, "['failed_within_seconds'] is 5: it must be"),
    ],
)
def test_a_limit_of_alerts_that_makes_no_sense_is_refused(
    limit: dict[str, Any], words: str
):
    assert _refusal("OUTBOX_ALERTS", limit).startswith(f"OUTBOX_ALERTS{words}")
