"""TLS: which servers are trusted, and that no other gets a login or an envelope."""

from __future__ import annotations

import asyncio
import ssl
import warnings
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
)

from flask_outbox.delivery import Outcome
from flask_outbox.transports.smtp import SmtpTransport
from flask_outbox.transports.smtp.connect import tls_context
from tests.servers import STALL, Authority, JournalSmtp, ScriptedSmtp, StartTls, Step
from tests.servers.scripted_smtp import ANYTHING, Action

from .talk import (
    GREETING,
    HASTY_SECONDS,
    HELLO,
    ONE_MAIL,
    PATIENT_SECONDS,
    QUIT,
    Attempt,
    attempt,
    deliver_once,
    ehlo,
    settings_for,
)

HOST = "127.0.0.1"
LOGIN = {"username": "ada", "password": "secret"}
MODES = ["starttls", "tls"]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("stranger"))


def tls_script(mode: str, context: ssl.SSLContext, *then: Step) -> list[Step]:
    """A dialogue that becomes secure, and then goes on like this."""
    if mode == "tls":
        return [GREETING, *then]
    start = Step("STARTTLS", b"220 go\r\n", StartTls(context))
    return [GREETING, ehlo("STARTTLS", "AUTH PLAIN"), start, *then]


def deliver_to(
    mode: str, context: ssl.SSLContext, *then: Step, **settings: object
) -> tuple[Attempt, list[str]]:
    """One attempt with a login at such a server, and what the server was told."""
    implicit_tls = context if mode == "tls" else None
    script = tls_script(mode, context, *then)
    with ScriptedSmtp(script, implicit_tls=implicit_tls) as server:
        made = deliver_once(settings_for(server, security=mode, **LOGIN, **settings))
        server.wait_for_end()
    return made, server.commands()


SECRET_TALK = [
    ehlo("AUTH PLAIN"),
    Step("AUTH PLAIN", b"235 welcome\r\n"),
    *ONE_MAIL,
    QUIT,
]


@pytest.mark.parametrize("mode", MODES)
def test_a_trusted_server_gets_the_mail(mode: str, authority: Authority) -> None:
    context = authority.context(HOST)
    made, commands = deliver_to(mode, context, *SECRET_TALK, ca_file=authority.ca_file)
    assert made.outcomes == [Outcome.ACCEPTED]
    assert "us: TLSv1.3, certificate verified" in made.dialogue
    if mode == "starttls":
        assert commands[:3] == ["EHLO client.test", "STARTTLS", "EHLO client.test"]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("self-signed", "it is self-signed"),
        ("unknown", "issuer is not known here"),
        ("expired", "it has expired"),
        ("other name", "it was issued for another"),
    ],
)
def test_an_untrusted_server_gets_nothing(
    mode: str, fault: str, words: str, authority: Authority, stranger: Authority
) -> None:
    context = {
        "self-signed": stranger.self_signed_context,
        "unknown": lambda: stranger.context(HOST),
        "expired": lambda: authority.context(HOST, expired=True),
        "other name": lambda: authority.context("mail.example.org"),
    }[fault]()
    made, commands = deliver_to(mode, context, *SECRET_TALK, ca_file=authority.ca_file)
    assert words in made.reason
    assert "MAIL_TLS_CA_FILE" in made.reason
    assert commands == (["EHLO client.test", "STARTTLS"] if mode == "starttls" else [])


@pytest.mark.parametrize("mode", MODES)
def test_by_default_only_the_systems_authorities_are_trusted(
    mode: str, authority: Authority
) -> None:
    made, _ = deliver_to(mode, authority.context(HOST), *SECRET_TALK)
    assert "cannot be trusted: it" in made.reason


@pytest.mark.parametrize("mode", MODES)
def test_verification_can_be_turned_off(mode: str, stranger: Authority) -> None:
    context = stranger.context("mail.example.org", expired=True)
    made, _ = deliver_to(mode, context, *SECRET_TALK, verify=False)
    assert made.outcomes == [Outcome.ACCEPTED]
    assert "us: TLSv1.3, certificate NOT verified" in made.dialogue


@pytest.mark.parametrize("mode", MODES)
def test_tls_and_login_work_with_a_real_server(
    mode: str, authority: Authority, tmp_path: Path
) -> None:
    with JournalSmtp(
        tmp_path / "journal",
        users={"ada": "secret"},
        tls=authority.context(HOST),
        implicit_tls=mode == "tls",
        auth_require_tls=mode == "starttls",
    ) as server:
        made = deliver_once(
            settings_for(server, security=mode, ca_file=authority.ca_file, **LOGIN)
        )
        (mail,) = server.wait_for(1)
    assert made.outcomes == [Outcome.ACCEPTED]
    assert mail.login == "ada"


# --------------------------------------------------------------------- hostile STARTTLS


def test_without_starttls_no_login_is_made() -> None:
    """Someone on the path may have removed the offer."""
    with ScriptedSmtp([GREETING, ehlo("AUTH PLAIN")]) as server:
        made = deliver_once(settings_for(server, security="starttls", **LOGIN))
        server.wait_for_end()
    assert "offers no STARTTLS, which MAIL_USE_TLS" in made.reason
    assert server.commands() == ["EHLO client.test"]


@pytest.mark.parametrize(
    ("answer", "words", "bound_seconds"),
    [
        (
            [b"454 4.7.0 not now\r\n"],
            "did not go on after STARTTLS (454 4.7.0 not now",
            PATIENT_SECONDS,
        ),
        (
            [b"220 go\r\n", b"not TLS at all\r\n", STALL],
            "The TLS handshake with",
            PATIENT_SECONDS,
        ),
        ([b"220 go\r\n", STALL], "it fell silent after STARTTLS", HASTY_SECONDS),
    ],
    ids=["454", "plaintext", "stall"],
)
def test_a_failed_starttls_ends_the_connection(
    answer: list[Action], words: str, bound_seconds: float
) -> None:
    script = [GREETING, ehlo("STARTTLS", "AUTH PLAIN"), Step("STARTTLS", *answer)]
    with ScriptedSmtp(script) as server:
        made = deliver_once(
            settings_for(
                server,
                security="starttls",
                connect_timeout_seconds=bound_seconds,
                **LOGIN,
            )
        )
    assert words in made.reason
    assert server.commands()[:2] == ["EHLO client.test", "STARTTLS"]
    assert b"AUTH" not in b"".join(server.received[0])
    assert b"MAIL" not in b"".join(server.received[0])


@pytest.mark.parametrize(
    "injected",
    [
        b"250-evil\r\n250 SIZE 1\r\n",
        b"235 welcome\r\n",
        b"421 go away\r\n",
        b"250 half a li",
    ],
)
def test_plaintext_injected_before_tls_is_ignored(
    injected: bytes, authority: Authority
) -> None:
    """Here it comes with the 220, where it could be taken for the first secure reply
    (CVE-2011-0411 and its kin)."""
    context = authority.context(HOST)
    start = Step("STARTTLS", b"220 go\r\n" + injected, StartTls(context))
    script = [GREETING, ehlo("STARTTLS"), start, *SECRET_TALK]
    with ScriptedSmtp(script) as server:
        made = deliver_once(
            settings_for(
                server, security="starttls", ca_file=authority.ca_file, **LOGIN
            )
        )
    assert made.outcomes == [Outcome.ACCEPTED]
    assert not any("SIZE" in line for line in server.commands())
    assert not any("evil" in line for line in made.dialogue)


def test_capabilities_offered_before_tls_are_forgotten(authority: Authority) -> None:
    start = Step("STARTTLS", b"220 go\r\n", StartTls(authority.context(HOST)))
    offer = ehlo("STARTTLS", "SIZE 10", "SMTPUTF8", "AUTH PLAIN")
    with ScriptedSmtp([GREETING, offer, start, ehlo(), *ONE_MAIL, QUIT]) as server:
        made = deliver_once(
            settings_for(server, security="starttls", ca_file=authority.ca_file)
        )
        server.wait_for_end()
    assert made.outcomes == [Outcome.ACCEPTED]
    assert not any("SIZE" in line for line in server.commands())


def test_a_secure_server_that_falls_silent_is_cut_off(authority: Authority) -> None:
    """No farewell of TLS keeps the connection until that server answers it."""

    async def run(server: ScriptedSmtp) -> None:
        settings = settings_for(
            server,
            security="tls",
            ca_file=authority.ca_file,
            connect_timeout_seconds=HASTY_SECONDS,
        )
        made = await attempt(SmtpTransport(settings))
        assert "sent no greeting" in made.reason
        await asyncio.to_thread(server.wait_for_end)

    context = authority.context(HOST)
    with ScriptedSmtp([Step("", STALL)], implicit_tls=context) as server:
        asyncio.run(run(server))


# ------------------------------------------------------------------------ old versions


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("verify", [True, False])
def test_a_server_with_tls_1_1_only_is_refused(
    mode: str, verify: bool, authority: Authority
) -> None:
    """Refused even where certificates are not verified."""
    context = authority.context(HOST)
    context.set_ciphers("ALL:@SECLEVEL=0")  # or OpenSSL 3 would not serve it at all
    context.options &= ~(ssl.OP_NO_TLSv1 | ssl.OP_NO_TLSv1_1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    made, commands = deliver_to(
        mode, context, *SECRET_TALK, ca_file=authority.ca_file, verify=verify
    )
    assert "The TLS handshake with" in made.reason
    assert "no TLS version from 1.2 on" in made.reason
    assert not any("AUTH" in line or "MAIL" in line for line in commands)


# ------------------------------------------------------------------ client certificates


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_client_certificate_is_presented(
    mode: str, version: ssl.TLSVersion, authority: Authority
) -> None:
    context = authority.context(HOST, demanding=True)
    context.maximum_version = version
    files = authority.client_files("app.example.com")
    made, _ = deliver_to(
        mode, context, *SECRET_TALK, ca_file=authority.ca_file, **files
    )
    assert made.outcomes == [Outcome.ACCEPTED]


def test_certificate_and_key_can_be_in_one_file(
    authority: Authority, tmp_path: Path
) -> None:
    files = authority.client_files("app.example.com")
    both = tmp_path / "both.pem"
    both.write_text("".join(Path(one).read_text() for one in files.values()))
    context = authority.context(HOST, demanding=True)
    made, _ = deliver_to(
        "tls",
        context,
        *SECRET_TALK,
        ca_file=authority.ca_file,
        client_cert_file=str(both),
    )
    assert made.outcomes == [Outcome.ACCEPTED]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("shown", ["none", "a stranger's"])
def test_a_rejected_client_certificate_is_explained(
    mode: str,
    version: ssl.TLSVersion,
    shown: str,
    authority: Authority,
    stranger: Authority,
) -> None:
    context = authority.context(HOST, demanding=True)
    context.maximum_version = version
    files = {} if shown == "none" else stranger.client_files("app.example.com")
    made, commands = deliver_to(
        mode, context, *SECRET_TALK, ca_file=authority.ca_file, **files
    )
    assert "MAIL_TLS_CLIENT_CERT_FILE" in made.reason
    assert not any("AUTH" in line or "MAIL" in line for line in commands)


def test_a_client_certificate_that_cannot_be_loaded_is_an_error(
    authority: Authority, stranger: Authority, tmp_path: Path
) -> None:
    good = authority.client_files("app.example.com")
    locked = tmp_path / "locked.pem"
    locked.write_bytes(locked_key())
    no_pem = tmp_path / "no.pem"
    no_pem.write_text("no certificate")
    other = stranger.client_files("app.example.com")["client_key_file"]
    for files, words in (
        ({**good, "client_key_file": str(locked)}, "the key has a passphrase"),
        ({**good, "client_key_file": other}, "KEY_VALUES_MISMATCH"),
        ({**good, "client_key_file": str(no_pem)}, str(no_pem)),
        ({"client_cert_file": str(no_pem)}, str(no_pem)),
        ({"client_cert_file": str(tmp_path / "gone.pem")}, "No such file"),
    ):
        with ScriptedSmtp() as server:
            made = deliver_once(settings_for(server, security="tls", **files))
        assert "MAIL_TLS_CLIENT_CERT_FILE" in made.reason
        assert words in made.reason
        assert server.connections_made == 0


def locked_key() -> bytes:
    return ec.generate_private_key(ec.SECP256R1()).private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"passphrase")
    )


# --------------------------------------------------------------------- the wrong port


def test_tls_to_a_plaintext_port_is_explained() -> None:
    with ScriptedSmtp([GREETING, Step(ANYTHING)]) as server:
        made = deliver_once(settings_for(server, security="tls"))
    assert "The TLS handshake with" in made.reason
    assert "MAIL_USE_TLS" in made.reason


def test_plaintext_to_a_tls_port_is_explained(authority: Authority) -> None:
    with ScriptedSmtp(HELLO, implicit_tls=authority.context(HOST)) as server:
        made = deliver_once(settings_for(server, connect_timeout_seconds=HASTY_SECONDS))
    assert "sent no greeting" in made.reason
    assert "MAIL_USE_SSL" in made.reason


# ------------------------------------------------------------------------ the context


def test_the_tls_context_is_strict() -> None:
    with ScriptedSmtp() as server:
        context = tls_context(settings_for(server))
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert context.check_hostname
    assert context.verify_mode is ssl.CERT_REQUIRED


@pytest.mark.parametrize("text", [None, "no certificate", ""])
def test_an_invalid_ca_file_is_an_error(text: str | None, tmp_path: Path) -> None:
    path = tmp_path / "ca.pem"
    if text is not None:
        path.write_text(text)
    with ScriptedSmtp() as server:
        made = deliver_once(
            settings_for(server, security="starttls", ca_file=str(path))
        )
    assert f"MAIL_TLS_CA_FILE ({path}) cannot be loaded" in made.reason
    assert server.connections_made == 0
