"""Every setting: what it takes, what it refuses and how, and its default."""

from __future__ import annotations

import sys
import traceback
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from flask_outbox import ConfigError
from flask_outbox.config import (
    KEYS,
    DkimKey,
    Key,
    Settings,
    SmtpSettings,
    TransportSettings,
)
from flask_outbox.patience import Patience
from flask_outbox.rate import Limit

URL = "sqlite:////srv/app/outbox.db"
HERE = Path(__file__)
DAY = 86_400.0

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
    "MAIL_OAUTH_TOKEN": ([(str, str), (repr, repr)], ["token", 5, b"token"]),
    "MAIL_AUTH_MECHANISM": (
        [("PLAIN", "PLAIN"), ("LOGIN", "LOGIN"), ("CRAM-MD5", "CRAM-MD5")],
        ["plain", "XOAUTH2", 5],
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
    "OUTBOX_GIVE_UP_AFTER": (
        [
            *((given, Patience(seconds)) for given, seconds in SECONDS),
            ({}, Patience(5 * DAY)),
            ({"": "90"}, Patience(90.0)),
            (
                {"code": 600, "": timedelta(days=2), "news": 5},
                Patience(2 * DAY, {"code": 600.0, "news": 5.0}),
            ),
        ],
        NO_SECONDS,
    ),
    "OUTBOX_ON_UNKNOWN": _words("resend", "hold"),
    "OUTBOX_UNKNOWN_WAIT_SECONDS": (SECONDS, NO_SECONDS),
    "OUTBOX_KEEP_BODIES": (SECONDS, NO_SECONDS),
    "OUTBOX_KEEP_ROWS": (SECONDS, NO_SECONDS),
    "OUTBOX_ONLY_TO": (
        [
            (["a@b.example", " @c.example "], ("a@b.example", "@c.example")),
            ("a@b.example, @c.example", ("a@b.example", "@c.example")),
        ],
        [[], "a@b.example,", [""], [5], 5, {"a@b.example": 1}],
    ),
    "OUTBOX_REDIRECT_TO": (TEXT, NO_TEXT),
    "OUTBOX_UNSUBSCRIBE_PATH": PATH,
    "OUTBOX_DASHBOARD": (
        [("local", "local"), (bool, bool)],
        [True, False, 1, "Local", "everyone", ["local"]],
    ),
    "OUTBOX_DASHBOARD_PATH": PATH,
}
"""For each key what it takes, with what becomes of it, and some of what it refuses."""

SECRET = {
    "MAIL_PORT",
    "MAIL_DKIM_KEYS",
    "MAIL_PASSWORD",
    "MAIL_OAUTH_TOKEN",
    "MAIL_URL",
    "MAIL_TRANSPORTS",
    "OUTBOX_URL",
    "OUTBOX_LISTEN_URL",
}
"""Keys whose value no error may show."""


def _key(name: str) -> Key:
    (key,) = [one for one in KEYS if one.name == name]
    return key


def _read(**config: Any) -> Settings:
    """The settings of a production app."""
    return Settings.read(config, default_url=URL)


def _smtp(**config: Any) -> SmtpSettings:
    smtp = _read(**config).smtp
    assert smtp is not None
    return smtp


# ----------------------------------------------------------------- key by key


def test_there_are_cases_for_each_key():
    assert [key.name for key in KEYS] == list(CASES)


@pytest.mark.parametrize("name", CASES)
def test_what_a_key_takes(name: str):
    for given, wanted in CASES[name][0]:
        value = _key(name).read({name: given})
        assert (value, type(value)) == (wanted, type(wanted)), given


@pytest.mark.parametrize("name", CASES)
def test_what_a_key_refuses(name: str):
    for given in CASES[name][1]:
        with pytest.raises(ConfigError) as refused:
            print(name, given, "→", _key(name).read({name: given}))
        text = str(refused.value)
        assert text.startswith(name)
        assert "must be" in text or "there is no such file" in text


@pytest.mark.parametrize("name", sorted(set(CASES) - SECRET))
def test_a_refusal_shows_the_value(name: str):
    for given in CASES[name][1]:
        with pytest.raises(ConfigError) as refused:
            _key(name).read({name: given})
        number = given.total_seconds() if isinstance(given, timedelta) else given
        assert str(number) in str(refused.value)


def test_a_number_beyond_all_floats():
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
    with pytest.raises(ConfigError) as refused:
        _key(name).read({name: given})
    assert str(refused.value).startswith(told)


@pytest.mark.parametrize("name", sorted(SECRET))
def test_a_refusal_shows_no_secret(name: str):
    """A password of digits, for one, is a number when it comes as JSON."""
    for given in (31_415_926, ["31415926"], b"31415926"):
        with pytest.raises(ConfigError) as refused:
            _key(name).read({name: given})
        assert "31415926" not in str(refused.value)


@pytest.mark.parametrize("key", KEYS, ids=lambda key: key.name)
def test_a_key_that_is_not_set_has_its_default(key: Key):
    assert key.read({}) == key.read({key.name: None}) == key.default
    assert key.read({key.name: ""}) == key.read({key.name: "  "}) == key.default
    assert key.default_text
    assert key.doc.endswith(".")


@pytest.mark.parametrize("key", KEYS, ids=lambda key: key.name)
def test_a_default_is_a_value_that_the_key_takes(key: Key):
    if key.default is not None:
        assert key.read({key.name: key.default}) == key.default


# ------------------------------------------------------------------- as a whole


def test_the_defaults_of_an_app_that_only_says_where_mail_leaves():
    settings = _read(MAIL_URL="smtp://mail.example.com")
    assert settings.url == URL
    assert (settings.engine, settings.durability) == ("thread", "full")
    assert (settings.on_unknown, settings.suppress) == ("resend", False)
    assert settings.give_up_after == Patience(5 * DAY)
    assert settings.default_sender is None
    assert settings.smtp == SmtpSettings("mail.example.com", 25)


def test_what_environment_variables_hold():
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
    assert settings.smtp == SmtpSettings(
        "mail.example.com",
        587,
        security="starttls",
        max_messages_per_connection=50,
        max_connections=4,
    )
    assert (settings.concurrency, settings.grace_seconds) == (4, 2.5)
    assert settings.give_up_after == Patience(3_600)


def test_settings_are_frozen():
    settings = _read(MAIL_URL="inbox://")
    with pytest.raises(AttributeError):
        settings.concurrency = 5  # type: ignore[misc]


def test_a_bad_value_is_found_wherever_mail_goes():
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


def test_an_unknown_key_that_is_near_to_nothing():
    with pytest.raises(ConfigError) as refused:
        _read(MAIL_URL="inbox://", OUTBOX_XYZZYPLUGH=1)
    assert "Did you mean" not in str(refused.value)


def test_other_peoples_keys_are_left_alone():
    settings = _read(MAIL_URL="inbox://", SECRET_KEY="x", MAIL_BACKEND="smtp", MAILX=1)
    assert settings.smtp is None


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
def test_a_url_says_all_of_it(url: str, wanted: SmtpSettings):
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
def test_flask_mails_keys_mean_what_they_mean_there(
    config: dict[str, Any], wanted: SmtpSettings
):
    assert _smtp(**config) == wanted


def test_a_login_by_token():
    settings = _smtp(MAIL_URL="smtps://ada%40b.org@a", MAIL_OAUTH_TOKEN=str)
    assert settings == SmtpSettings("a", 465, "tls", "ada@b.org", oauth_token=str)


def test_a_login_over_a_link_that_is_safe_without_tls():
    settings = _smtp(MAIL_URL="smtp://user:secret@a", MAIL_AUTH_UNENCRYPTED=True)
    assert settings == SmtpSettings("a", 25, **LOGIN, auth_unencrypted=True)


def test_timeouts_and_tls_go_with_either():
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


def test_certificates_are_verified_unless_it_says_otherwise():
    assert _smtp(MAIL_URL="smtps://m.example.com").verify is True


@pytest.mark.parametrize(
    ("url", "advice"),
    [
        (
            "http://m.example.com",
            "begins with 'http': it must begin with one of smtp://",
        ),
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
def test_a_url_that_cannot_be_says_what_to_do(url: str, advice: str):
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
def test_keys_that_contradict_each_other(debug: bool):
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
def test_a_login_is_not_looked_at_where_nothing_leaves(
    login: dict[str, Any], suppressed: str
):
    config = {"MAIL_SERVER": "a", **login, "MAIL_TRANSPORTS": {"bulk": login}}
    if suppressed == "testing":
        settings = Settings.read(config, default_url=URL, testing=True)
    else:
        settings = _read(**config, MAIL_SUPPRESS_SEND=True)
    assert settings.smtp is None


@pytest.mark.parametrize(
    ("half", "missing"), [("MAIL_USERNAME", "password"), ("MAIL_PASSWORD", "user name")]
)
def test_half_a_login_is_none(half: str, missing: str):
    """As in Flask-Mail: what an environment has for the other half is empty."""
    keys = {"MAIL_SERVER": "a", "MAIL_USERNAME": "", "MAIL_PASSWORD": "", half: "b"}
    assert _smtp(**keys) == SmtpSettings("a", 25, half_login=missing)


def test_no_limit_of_mails_by_one_connection():
    smtp = _smtp(MAIL_SERVER="a", MAIL_MAX_EMAILS=0)
    assert smtp.max_messages_per_connection == sys.maxsize


def test_an_environment_without_any_value():
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


@pytest.mark.parametrize(("name", "meant"), SLIPS.items())
def test_a_slip_in_a_mail_key_is_an_error(name: str, meant: str):
    with pytest.raises(ConfigError, match=f"^{name} is not .* Did you mean {meant}?"):
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


def test_mail_keys_of_others_pass():
    others = {f"MAIL_{name}": "x" for name in OF_OTHERS.split()}
    assert _read(MAIL_SUPPRESS_SEND=True, **others).smtp is None
    both = {"MAIL_USE_TLS": True, "MAIL_STARTTLS": True, "MAIL_TLS": True}
    assert _smtp(MAIL_SERVER="a", **both).security == "starttls"


def test_production_says_how_mail_leaves_or_does_not_start():
    with pytest.raises(ConfigError, match=r"set MAIL_URL, .* or MAIL_SERVER"):
        _read()


@pytest.mark.parametrize("mode", ["debug", "testing"])
def test_without_any_server_mail_stays_in_debug_and_testing(mode: str):
    settings = Settings.read(
        {}, default_url=URL, debug=mode == "debug", testing=mode == "testing"
    )
    assert settings.smtp is None


def test_testing_keeps_all_mail_unless_it_says_otherwise():
    config = {"MAIL_URL": "smtp://m.example.com"}
    kept = Settings.read(config, default_url=URL, testing=True)
    assert (kept.smtp, kept.suppress) == (None, True)
    config["MAIL_SUPPRESS_SEND"] = "false"
    sent = Settings.read(config, default_url=URL, testing=True)
    assert (sent.smtp is not None, sent.suppress) == (True, False)


@pytest.mark.parametrize(
    "config", [{"MAIL_URL": "inbox://"}, {"MAIL_SUPPRESS_SEND": True}]
)
def test_production_may_keep_its_mail_in_so_many_words(config: dict[str, Any]):
    assert _read(**config).smtp is None


def test_a_wrong_url_is_found_under_testing_too():
    with pytest.raises(ConfigError, match="MAIL_URL"):
        Settings.read({"MAIL_URL": "smpt://a"}, default_url=URL, testing=True)
