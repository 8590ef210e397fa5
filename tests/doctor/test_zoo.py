"""Set-ups that are ill on purpose: each fault is found, named, and nothing else is."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from flask_outbox.config import SmtpSettings
from flask_outbox.doctor import FAULTS, Section
from flask_outbox.doctor.configuration import examine_configuration
from flask_outbox.doctor.database import examine_database
from flask_outbox.doctor.smtp import examine_smtp
from flask_outbox.outbox.survey import SYNCED
from tests.dkim.keyring import ed25519_key, pem, rsa_key
from tests.doctor.accounts import PROVIDERS
from tests.doctor.conftest import MakeShop, Serve
from tests.doctor.patient import (
    CONFIG,
    DOMAIN,
    KEY,
    RECORD,
    Records,
    advice,
    examined,
    finding,
    ids,
    spf,
)
from tests.outbox.databases import SERVERS, FindHome
from tests.servers import CLOSE, STALL, Authority, ScriptedSmtp, StartTls, Step
from tests.servers.ports import free_port

HASTY_SECONDS = 0.5
"""For what never comes."""

PASSWORD = "hunter2-hunter2"


@dataclass(frozen=True)
class Ill:
    """A fault made on purpose."""

    id: str
    zone: Mapping[str, Records] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)
    also: Sequence[str] = ()
    """What follows from it, or cannot be kept apart from it."""
    todo: str = ""
    """What the advice has in it."""
    silent: Sequence[str] = ()


def numbered(table: Sequence[Any]) -> list[str]:
    """The tests' names: the faults in the table, numbered where one is repeated."""
    names = [one.id for one in table]
    return [f"{one}-{names[:at].count(one) + 1}" for at, one in enumerate(names)]


DMARC = "_dmarc.example.com"
S1 = "s1._domainkey.example.com"
MAIL = "mail.example.com"
POINTER = "10.2.0.192.in-addr.arpa"
US = "ip4:192.0.2.10"

LONG = " ".join(f"ip4:198.51.100.{one}" for one in range(20))
"""Longer than one string of a TXT record."""

MANY = " ".join(f"a:h{one}.example.net" for one in range(11))
HOSTS: dict[str, Records] = {
    f"h{one}.example.net": [("A", "198.51.100.1")] for one in range(11)
}

UNSUBSCRIBE = {
    "OUTBOX_UNSUBSCRIBE_PATH": "/unsubscribe",
    "SERVER_NAME": "shop.example.com",
    "PREFERRED_URL_SCHEME": "https",
}

IN_THE_DNS = [
    Ill("domain-missing", config={"MAIL_DEFAULT_SENDER": "shop@example.net"}),
    Ill(
        "dns-no-answer",
        silent=["_dmarc.example.com"],
        todo="--nameserver",
    ),
    Ill(
        "spf-missing",
        {DOMAIN: [("MX", "10 mail.example.com.")]},
        todo='example.com. TXT "v=spf1 ip4:192.0.2.10 ~all"',
    ),
    Ill("spf-several", {DOMAIN: [*spf(f"v=spf1 {US} -all"), ("TXT", "v=spf1 -all")]}),
    Ill("spf-syntax", {DOMAIN: spf(f"v=spf1 {US} ipv4:198.51.100.1 -all")}),
    Ill("spf-syntax", {DOMAIN: spf(f"v=spf1 {US} ip4:198.51.100.300 -all")}),
    Ill("spf-syntax", {DOMAIN: spf(f"v=spf1 {US} a:mail.example.com/99 -all")}),
    Ill("spf-include-missing", {DOMAIN: spf(f"v=spf1 {US} include:a..b -all")}),
    Ill(
        "spf-too-many-lookups",
        {DOMAIN: spf(f"v=spf1 {US} {MANY} -all"), **HOSTS},
        todo="at most 10",
    ),
    Ill(
        "spf-too-many-lookups",
        {
            DOMAIN: spf(f"v=spf1 {US} include:one.example.net -all"),
            "one.example.net": [("TXT", f"v=spf1 {MANY} -all")],
            **HOSTS,
        },
    ),
    Ill(
        "spf-void-lookups",
        {
            DOMAIN: spf(
                f"v=spf1 {US} a:x.example.net a:y.example.net mx:z.example.net -all"
            )
        },
    ),
    Ill(
        "spf-include-missing",
        {DOMAIN: spf(f"v=spf1 {US} include:none.example.net -all")},
    ),
    Ill(
        "spf-loop",
        {
            DOMAIN: spf(f"v=spf1 {US} include:one.example.net -all"),
            "one.example.net": [("TXT", "v=spf1 include:example.com -all")],
        },
    ),
    Ill(
        "spf-allows-all",
        {DOMAIN: spf(f"v=spf1 {US} +all")},
        todo=f'example.com. TXT "v=spf1 {US} ~all"',
    ),
    Ill("spf-open-end", {DOMAIN: spf(f"v=spf1 {US} ?all")}, todo=f"{US} ~all"),
    Ill("spf-open-end", {DOMAIN: spf(f"v=spf1 {US}")}, todo=f"{US} ~all"),
    Ill(
        "spf-open-end",
        {DOMAIN: spf(f"v=spf1 {US} {LONG}")},
        todo=f'"v=spf1 {US} {LONG} ~all'[:256] + '" "',
    ),
    Ill("spf-ptr", {DOMAIN: spf(f"v=spf1 {US} ptr -all")}),
    Ill(
        "spf-excludes-us",
        {DOMAIN: spf("v=spf1 ip4:198.51.100.0/24 -all")},
        todo=f'"v=spf1 {US} ip4:198.51.100.0/24 -all"',
    ),
    Ill("spf-excludes-us", {DOMAIN: spf(f"v=spf1 -{US} ~all")}),
    Ill(
        "dkim-unsigned",
        config={"MAIL_DKIM_KEYS": [{**KEY, "domain": "example.org"}]},
        zone={
            "example.org": spf(f"v=spf1 {US} -all"),
            "s1._domainkey.example.org": [("TXT", RECORD)],
            "_dmarc.example.org": [
                ("TXT", "v=DMARC1; p=reject; rua=mailto:r@example.org")
            ],
        },
        todo='"domain": "example.com"',
    ),
    Ill("dkim-elsewhere", config={"MAIL_DKIM_KEYS": None}),
    Ill("dkim-record-missing", {S1: []}, todo='"v=DKIM1; k=rsa; p='),
    Ill("dkim-record-several", {S1: [("TXT", RECORD), ("TXT", "v=DKIM1; p=AAAA")]}),
    Ill("dkim-record-syntax", {S1: [("TXT", "v=DKIM1 k=rsa p")]}),
    Ill("dkim-record-syntax", {S1: [("TXT", "v=DKIM2; p=AAAA")]}),
    Ill("dkim-revoked", {S1: [("TXT", "v=DKIM1; k=rsa; p=")]}),
    Ill("dkim-other-key", {S1: [("TXT", "v=DKIM1; k=rsa; p=AAAA")]}),
    Ill("dkim-testing", {S1: [("TXT", f"{RECORD}; t=y:s")]}),
    Ill(
        "dkim-short-key",
        config={"MAIL_DKIM_KEYS": [{**KEY, "key": pem(rsa_key(1024))}]},
        also=["dkim-other-key"],
    ),
    Ill(
        "dkim-other-key",
        config={"MAIL_DKIM_KEYS": [{**KEY, "key": pem(ed25519_key())}]},
        todo="k=ed25519; p=",
    ),
    Ill("dmarc-missing", {DMARC: []}, todo='_dmarc.example.com. TXT "v=DMARC1; p=none'),
    Ill(
        "dmarc-several",
        {DMARC: [("TXT", "v=DMARC1; p=none"), ("TXT", "v=DMARC1; p=reject")]},
    ),
    Ill("dmarc-syntax", {DMARC: [("TXT", "v=DMARC1; p=refuse")]}),
    Ill("dmarc-syntax", {DMARC: [("TXT", "v=DMARC1; reject")]}),
    Ill(
        "dmarc-none",
        {DMARC: [("TXT", "v=DMARC1; p=none; rua=mailto:r@example.com")]},
        todo='"v=DMARC1; p=quarantine; rua=mailto:r@example.com"',
    ),
    Ill(
        "dmarc-none",
        {DMARC: [("TXT", 'v=DMARC1; p=none; rua=mailto:r@example.com; fo="1"')]},
        todo=r'"v=DMARC1; p=quarantine; rua=mailto:r@example.com; fo=\"1\""',
    ),
    Ill(
        "dmarc-no-reports",
        {DMARC: [("TXT", "v=DMARC1; p=reject;")]},
        todo='"v=DMARC1; p=reject; rua=mailto:',
    ),
    Ill(
        "dmarc-reports-not-taken",
        {DMARC: [("TXT", "v=DMARC1; p=reject; rua=mailto:r@example.net")]},
        todo='example.com._report._dmarc.example.net. TXT "v=DMARC1"',
    ),
    Ill(
        "dmarc-unaligned",
        {
            DMARC: [
                ("TXT", "v=DMARC1; p=reject; adkim=s; aspf=s; rua=mailto:r@example.com")
            ],
            "news.example.com": [("MX", "10 mail.example.com.")],
        },
        config={
            "MAIL_DEFAULT_SENDER": "shop@news.example.com",
            "OUTBOX_BOUNCE_ADDRESS": "bounces@example.com",
        },
    ),
    Ill("mx-missing", {DOMAIN: [("TXT", f"v=spf1 {US} -all")]}),
    Ill("mx-missing", {DOMAIN: [("TXT", f"v=spf1 {US} -all"), ("MX", "0 .")]}),
    Ill(
        "mx-unresolved",
        {DOMAIN: [("TXT", f"v=spf1 {US} -all"), ("MX", "10 mx.example.com.")]},
    ),
    Ill(
        "mx-address",
        {DOMAIN: [("TXT", f"v=spf1 {US} -all"), ("MX", "10 192.0.2.10.")]},
        todo="example.com. MX 10 mail.example.com.",
    ),
    Ill("relay-unresolved", config={"MAIL_LOCAL_HOSTNAME": "shop.example.com"}),
    Ill("ptr-missing", {POINTER: []}),
    Ill(
        "ptr-other-name",
        {POINTER: [("PTR", "host-10.example.net.")]},
        todo="MAIL_LOCAL_HOSTNAME = 'host-10.example.net'",
    ),
]


@pytest.mark.parametrize("ill", IN_THE_DNS, ids=numbered(IN_THE_DNS))
def test_in_the_dns(make_shop: MakeShop, serve: Serve, ill: Ill) -> None:
    dns = serve(ill.zone, silent=ill.silent)
    shop = make_shop(**ill.config)
    domain = shop.runtime.settings.default_sender
    assert isinstance(domain, str)
    document = examined(
        shop, "--nameserver", dns.place, "--domain", domain.rpartition("@")[2]
    )
    assert ids(document) == {ill.id, *ill.also}
    assert ill.todo in advice(document, ill.id)
    (verdict,) = document["verdicts"]
    if finding(document, ill.id)["severity"] == "advice" and not ill.also:
        assert verdict["kept"] is not False


IN_THE_CONFIGURATION = [
    Ill("secret-key-missing", config={**UNSUBSCRIBE, "SECRET_KEY": None}),
    Ill("secret-key-weak", config={"SECRET_KEY": "dev"}),
    Ill("server-name-missing", config={**UNSUBSCRIBE, "SERVER_NAME": None}),
    Ill("server-name-local", config={**UNSUBSCRIBE, "SERVER_NAME": "localhost:5000"}),
    Ill("links-not-https", config={**UNSUBSCRIBE, "PREFERRED_URL_SCHEME": "http"}),
    Ill("durability-process", config={"OUTBOX_DURABILITY": "process"}),
    Ill("grace-too-long", config={"OUTBOX_GRACE_SECONDS": 60}, todo="= 20"),
    Ill("mail-stays-here", config={"MAIL_SUPPRESS_SEND": True}),
    Ill("mail-stays-here", config={"MAIL_URL": "inbox://"}),
    Ill("guard-on", config={"OUTBOX_ONLY_TO": "@example.com"}),
    Ill("sender-missing", config={"MAIL_DEFAULT_SENDER": None}),
]


@pytest.mark.parametrize(
    "ill", IN_THE_CONFIGURATION, ids=numbered(IN_THE_CONFIGURATION)
)
def test_in_the_configuration(make_shop: MakeShop, serve: Serve, ill: Ill) -> None:
    document = examined(make_shop(**ill.config), "--nameserver", serve().place)
    assert ids(document) == {ill.id, *ill.also}
    assert ill.todo in advice(document, ill.id)


def test_gunicorns_options_count(make_shop: MakeShop) -> None:
    shop = make_shop(OUTBOX_GRACE_SECONDS=25)

    def found(options: str) -> list[str]:
        environment = {"GUNICORN_CMD_ARGS": options}
        section = examine_configuration(
            shop.runtime.settings, shop.app.config, environment, developing=False
        )
        return [one.id for one in section.findings]

    assert found("--graceful-timeout=20 --workers=2") == ["grace-too-long"]
    assert found("--graceful-timeout 20") == ["grace-too-long"]
    assert found("--graceful-timeout 40") == []
    assert found("--graceful-timeout") == []
    assert found("--graceful-timeout soon") == []


# ------------------------------------------------------------------- mail servers

GREETING = Step("", b"220 scripted.test ready\r\n")
QUIT = Step("QUIT", b"221 bye\r\n", CLOSE)
NOOP = Step("NOOP", b"250 ok\r\n")
LOGIN = f"ada:{PASSWORD}@"


def ehlo(*extensions: str) -> Step:
    lines = ["scripted.test", *extensions]
    reply = "".join(f"250-{line}\r\n" for line in lines[:-1]) + f"250 {lines[-1]}\r\n"
    return Step("EHLO", reply.encode())


@dataclass(frozen=True)
class IllServer:
    """A mail server with a fault: what it says, and how we are to talk with it."""

    id: str
    script: Callable[[Authority], list[Step]]
    url: str = "smtp://127.0.0.1"
    config: Mapping[str, Any] = field(default_factory=dict)
    also: Sequence[str] = ()


def goes_on(*offer: str) -> list[Step]:
    return [GREETING, ehlo(*offer), NOOP, QUIT]


def secured(authority: Authority, *names: str, **how: bool) -> list[Step]:
    start = Step("STARTTLS", b"220 go\r\n", StartTls(authority.context(*names, **how)))
    return [GREETING, ehlo("STARTTLS", "8BITMIME"), start]


PLAIN_LOGIN = {"MAIL_AUTH_UNENCRYPTED": True}
STARTTLS = "smtp+starttls://127.0.0.1"
OFFER = ("AUTH PLAIN", "8BITMIME")

AT_THE_SERVER = [
    IllServer(
        "smtp-silent",
        lambda _: [Step("", STALL)],
        config={"MAIL_CONNECT_TIMEOUT_SECONDS": HASTY_SECONDS},
    ),
    IllServer("smtp-greeting", lambda _: [Step("", b"554 no service\r\n", CLOSE)]),
    IllServer(
        "smtp-greeting", lambda _: [Step("", b"HTTP/1.1 400 Bad\r\n\r\n", CLOSE)]
    ),
    IllServer("smtp-greeting", lambda _: [Step("", CLOSE)]),
    IllServer(
        "smtp-ehlo",
        lambda _: [
            GREETING,
            Step("EHLO", b"550 your name\r\n"),
            Step("HELO", b"550 your name\r\n"),
        ],
    ),
    IllServer("starttls-missing", lambda _: [GREETING, ehlo("8BITMIME")], STARTTLS),
    IllServer(
        "starttls-failed",
        lambda _: [GREETING, ehlo("STARTTLS"), Step("STARTTLS", b"454 not now\r\n")],
        STARTTLS,
    ),
    IllServer("starttls-failed", lambda _: [GREETING], "smtps://127.0.0.1"),
    IllServer(
        "certificate-expired",
        lambda ca: secured(ca, "127.0.0.1", expired=True),
        STARTTLS,
    ),
    IllServer("certificate-name", lambda ca: secured(ca, "mail.example.net"), STARTTLS),
    IllServer(
        "certificate-unknown",
        lambda ca: secured(ca, "127.0.0.1"),
        STARTTLS,
        {"MAIL_TLS_CA_FILE": None},
    ),
    IllServer(
        "certificate-not-verified",
        lambda ca: [*secured(ca, "127.0.0.1"), *goes_on("8BITMIME")[1:]],
        STARTTLS,
        {"MAIL_TLS_VERIFY": False},
    ),
    IllServer("smtp-not-encrypted", lambda _: goes_on("8BITMIME"), "smtp://127.1"),
    IllServer(
        "password-not-encrypted",
        lambda _: [GREETING, ehlo(*OFFER), Step("AUTH", b"235 ok\r\n"), NOOP, QUIT],
        f"smtp://{LOGIN}127.1",
        PLAIN_LOGIN,
    ),
    IllServer(
        "login-missing",
        lambda _: [GREETING, ehlo("8BITMIME")],
        f"smtp://{LOGIN}127.0.0.1",
        PLAIN_LOGIN,
    ),
    IllServer(
        "login-mechanism",
        lambda _: [GREETING, ehlo("AUTH NTLM")],
        f"smtp://{LOGIN}127.0.0.1",
        PLAIN_LOGIN,
    ),
    IllServer(
        "login-rejected",
        lambda _: [
            GREETING,
            ehlo(*OFFER),
            Step("AUTH", f"535 5.7.8 not {PASSWORD}\r\n".encode()),
        ],
        f"smtp://{LOGIN}127.0.0.1",
        PLAIN_LOGIN,
    ),
    IllServer("login-not-used", lambda _: goes_on(*OFFER)),
    IllServer("size-small", lambda _: goes_on("8BITMIME", "SIZE 1000000")),
    IllServer("extensions-missing", lambda _: goes_on("HELP")),
]


@pytest.mark.parametrize("ill", AT_THE_SERVER, ids=numbered(AT_THE_SERVER))
def test_at_the_server(
    make_shop: MakeShop, serve: Serve, authority: Authority, ill: IllServer
) -> None:
    with ScriptedSmtp(ill.script(authority)) as server:
        tls = (
            {}
            if ill.url.startswith("smtp:")
            else {"MAIL_TLS_CA_FILE": authority.ca_file}
        )
        shop = make_shop(
            **{"MAIL_URL": f"{ill.url}:{server.port}", **tls, **ill.config}
        )
        document = examined(shop, "--nameserver", serve().place)
        assert ids(document) == {ill.id, *ill.also}
        found = finding(document, ill.id)
        assert found["saw"]
        assert found["todo"] or found["write"]
        assert PASSWORD not in str(document)


def test_an_authority_that_cannot_be_read(
    make_shop: MakeShop, serve: Serve, tmp_path: Path
) -> None:
    (tmp_path / "ca.pem").write_text("no certificate")
    shop = make_shop(
        MAIL_URL=f"{STARTTLS}:{free_port()}", MAIL_TLS_CA_FILE=str(tmp_path / "ca.pem")
    )
    assert ids(examined(shop, "--nameserver", serve().place)) == {"tls-files"}


def test_a_token_that_is_none(make_shop: MakeShop, serve: Serve) -> None:
    with ScriptedSmtp([GREETING, ehlo("AUTH XOAUTH2")]) as server:
        shop = make_shop(
            MAIL_URL=f"smtp://ada@127.0.0.1:{server.port}",
            MAIL_OAUTH_TOKEN=lambda: None,
            **PLAIN_LOGIN,
        )
        assert ids(examined(shop, "--nameserver", serve().place)) == {"login-token"}


def test_a_server_that_is_not_there(make_shop: MakeShop, serve: Serve) -> None:
    shop = make_shop(MAIL_URL=f"smtp://127.0.0.1:{free_port()}")
    assert ids(examined(shop, "--nameserver", serve().place)) == {"smtp-refused"}


def test_a_server_without_a_name(make_shop: MakeShop, serve: Serve) -> None:
    shop = make_shop(MAIL_URL="smtp+starttls://mail.invalid")
    assert ids(examined(shop, "--nameserver", serve().place)) == {"smtp-name"}


def test_half_a_login(make_shop: MakeShop, serve: Serve) -> None:
    with ScriptedSmtp(goes_on("8BITMIME")) as server:
        shop = make_shop(
            MAIL_URL=None,
            MAIL_SERVER="127.0.0.1",
            MAIL_PORT=server.port,
            MAIL_USERNAME="ada",
        )
        assert ids(examined(shop, "--nameserver", serve().place)) == {"login-half"}


def test_one_bad_server_hides_no_other(
    make_shop: MakeShop, serve: Serve, tmp_path: Path
) -> None:
    shop = make_shop(
        MAIL_TRANSPORTS={"bulk": f"smtp://127.0.0.1:{free_port()}"},
    )
    document = examined(shop, "--nameserver", serve().place)
    assert ids(document) == {"smtp-refused"}
    sections = {one["name"]: one for one in document["sections"]}
    assert sections["default"]["findings"] == []
    assert sections["default"]["seen"][-1]["step"] == "NOOP"


def test_a_test_mail_that_is_refused(make_shop: MakeShop, serve: Serve) -> None:
    refuses = [
        GREETING,
        ehlo("8BITMIME"),
        Step("MAIL", b"250 ok\r\n"),
        Step("RCPT", b"550 5.7.1 not from you\r\n"),
        Step("RSET", b"250 ok\r\n"),
        Step("QUIT", b"221 bye\r\n", CLOSE),
    ]
    with ScriptedSmtp(goes_on("8BITMIME"), refuses) as server:
        shop = make_shop(MAIL_URL=f"smtp://127.0.0.1:{server.port}")
        document = examined(
            shop, "--nameserver", serve().place, "--send-to", "ada@example.org"
        )
        assert ids(document) == {"test-mail-failed"}
        assert "550 5.7.1 not from you" in finding(document, "test-mail-failed")["saw"]


# --------------------------------------------------------------------------- APIs


def test_an_api_that_is_not_there(make_shop: MakeShop, serve: Serve) -> None:
    shop = make_shop(MAIL_URL=f"postmark://key@127.0.0.1:{free_port()}?tls=no")
    assert ids(examined(shop, "--nameserver", serve().place)) == {"api-unreachable"}


# ----------------------------------------------------------------------- databases


def test_a_database_that_is_none(
    make_shop: MakeShop, serve: Serve, tmp_path: Path
) -> None:
    (tmp_path / "broken.db").write_text("this is no database " * 1000)
    (tmp_path / "broken.db").chmod(0o600)
    shop = make_shop(OUTBOX_URL=f"sqlite:///{tmp_path}/broken.db")
    document = examined(shop, "--nameserver", serve().place)
    assert ids(document) == {"outbox-unavailable"}
    assert document["verdicts"][0]["kept"] is True
    shop.run("doctor", "--nameserver", serve().place, code=2)


def test_a_folder_that_cannot_be(
    make_shop: MakeShop, serve: Serve, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    shop = make_shop(OUTBOX_URL=f"sqlite:///{tmp_path}/file/outbox.db")
    assert ids(examined(shop, "--nameserver", serve().place)) == {
        "outbox-folder-missing"
    }


def test_files_that_all_may_read(
    make_shop: MakeShop, serve: Serve, tmp_path: Path
) -> None:
    shop = make_shop()
    (tmp_path / "outbox.db").chmod(0o644)
    tmp_path.chmod(0o755)
    dns = serve()
    document = examined(shop, "--nameserver", dns.place)
    assert ids(document) == {"files-open-to-others"}
    command = finding(document, "files-open-to-others")["write"]
    subprocess.run(["/bin/sh", "-c", command], check=True)
    assert ids(examined(shop, "--nameserver", dns.place)) == set()


def test_another_secret_key(make_shop: MakeShop, serve: Serve) -> None:
    shop = make_shop()
    shop.run("person", "erase", "ada@example.org", "--suppress", "--yes")
    former = shop.app.config["SECRET_KEY"]
    changed = {"SECRET_KEY": "f" * 32}
    nameserver = serve().place
    other = make_shop(**changed)
    document = examined(other, "--nameserver", nameserver)
    assert ids(document) == {"erased-not-suppressed"}
    assert "1 suppression" in finding(document, "erased-not-suppressed")["saw"]

    for well in (
        shop,
        make_shop(**changed, SECRET_KEY_FALLBACKS=[former]),
    ):
        assert ids(examined(well, "--nameserver", nameserver)) == set()

    (digest,) = other.outbox.suppressions()
    other.run("unsuppress", digest.address)
    assert ids(examined(other, "--nameserver", nameserver)) == set()


def test_nobody_delivers(make_shop: MakeShop, serve: Serve) -> None:
    shop = make_shop(OUTBOX_ENGINE="external")
    document = examined(shop, "--nameserver", serve().place)
    assert ids(document) == {"no-worker"}


def test_no_celery_worker_delivers(
    make_shop: MakeShop, serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    well = make_shop()
    pytest.importorskip("celery")
    monkeypatch.chdir(tmp_path)
    from tests.engines.app import create_app

    names = (*CONFIG, "MAIL_URL", "OUTBOX_URL")
    config = {name: well.app.config[name] for name in names}
    app = create_app(
        {**config, "OUTBOX_ENGINE": "celery", "CELERY": {"broker_url": "memory://"}}
    )
    result = app.test_cli_runner().invoke(
        args=["outbox", "doctor", "--nameserver", serve().place, "--json"]
    )
    app.extensions["outbox"].runtime.close()
    assert result.exit_code == 1, result.output
    document = json.loads(result.stdout)
    assert ids(document) == {"no-worker"}
    assert "Celery" in finding(document, "no-worker")["todo"]


def test_a_slow_database(make_shop: MakeShop) -> None:
    ticks = iter([0.0, 0.1, 1.0, 99.5, 100.0, 100.1])
    section = examine_database(make_shop().runtime, tick=lambda: next(ticks))
    assert [one.id for one in section.findings] == ["outbox-slow"]
    assert "1 min 38 s" in section.findings[0].saw


@pytest.mark.parametrize("name", SERVERS)
def test_a_server_without_tables_and_with_another_time(
    make_shop: MakeShop, serve: Serve, find_home: FindHome, tmp_path: Path, name: str
) -> None:
    with find_home(name).bare(tmp_path) as url:
        shop = make_shop(OUTBOX_URL=url)
        document = examined(shop, "--nameserver", serve().place)
        assert ids(document) == {"outbox-tables"}
        shop.run("init")
        assert ids(examined(shop, "--nameserver", serve().place)) == set()
        section = examine_database(shop.runtime, clock=lambda: 1_000_000.0)
        assert [one.id for one in section.findings] == ["clock-off"]
        shop.close()


@pytest.mark.parametrize("name", SERVERS)
def test_a_server_that_does_not_sync(
    make_shop: MakeShop,
    find_home: FindHome,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
) -> None:
    with find_home(name).bare(tmp_path) as url:
        shop = make_shop(OUTBOX_URL=url)
        shop.run("init")
        backend = shop.runtime.outbox.database.url.get_backend_name()
        setting, real = SYNCED[backend]
        assert examine_database(shop.runtime).findings == []
        monkeypatch.setitem(SYNCED, backend, (setting, "as it is not here"))
        (found,) = examine_database(shop.runtime).findings
        assert found.id == "database-not-synced"
        assert found.saw == f"The server has {setting} = {real}."
        assert found.write == f"{setting} = as it is not here"
        shop.close()
        hasty = make_shop(OUTBOX_URL=url, OUTBOX_DURABILITY="process")
        assert examine_database(hasty.runtime).findings == []
        hasty.close()


def test_without_dnspython(
    make_shop: MakeShop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "dns.resolver", None)
    document = examined(make_shop())
    assert ids(document) == {"dns-extra-missing"}
    assert 'pip install "flask-outbox[doctor]"' in str(document)


def test_a_certificate_that_ends_soon(
    make_shop: MakeShop, authority: Authority
) -> None:
    script = [*secured(authority, "127.0.0.1"), *goes_on("8BITMIME")[1:]]
    with ScriptedSmtp(script, script) as server:
        shop = make_shop(
            MAIL_URL=f"{STARTTLS}:{server.port}", MAIL_TLS_CA_FILE=authority.ca_file
        )
        adapter = shop.runtime.settings.default.adapter
        assert isinstance(adapter, SmtpSettings)

        def seen_at(clock: Callable[[], float]) -> Section:
            section = Section("transport", "default")
            asyncio.run(examine_smtp(section, adapter, 20, clock))
            return section

        now = seen_at(time.time)
        assert now.findings == []
        words = next(one.words for one in now.seen if one.step == "Certificate")
        days = int(words.removeprefix("verified, ").removesuffix(" days left"))
        later = seen_at(lambda: time.time() + (days - 3) * 86_400)
        assert [one.id for one in later.findings] == ["certificate-ends-soon"]


NOT_MADE = {
    "smtp-unreachable": "a network without a route cannot be had on loopback",
    "pooler-in-between": "in tests/outbox/test_pgbouncer.py",
}
"""Faults that are not made here, and why."""

MADE_ABOVE = {
    "tls-files", "login-token",
    "smtp-refused", "smtp-name", "login-half", "test-mail-failed",
    "api-unreachable", "outbox-unavailable", "outbox-folder-missing", "outbox-slow",
    "files-open-to-others", "database-not-synced", "no-worker", "outbox-tables",
    "clock-off", "dns-extra-missing", "certificate-ends-soon", "erased-not-suppressed",
}  # fmt: skip


def test_every_fault_is_made() -> None:
    made = {one.id for one in (*IN_THE_DNS, *IN_THE_CONFIGURATION)}
    made |= {one.id for one in AT_THE_SERVER} | MADE_ABOVE
    made |= {ill.id for one in PROVIDERS for ill in one.ill if ill.id}
    assert made | set(NOT_MADE) == set(FAULTS)
