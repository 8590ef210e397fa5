"""Access tokens: how they are asked for, kept, renewed, and what goes wrong."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import subprocess
import sys
import threading
import traceback
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import NameOID

from flask_outbox import AccountTrouble, ConfigError, Throttled, TransportDown, oauth
from tests.servers.token_endpoint import (
    TokenEndpoint,
    TokenReply,
    granted,
    refused,
)
from tests.waiting import WAIT_SECONDS

SECRET = "s3cret-that-nobody-may-see"
KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
PEM = KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


@pytest.fixture
def endpoint() -> Iterator[TokenEndpoint]:
    with TokenEndpoint() as endpoint:
        yield endpoint


def microsoft(endpoint: TokenEndpoint, **more: Any) -> oauth.AccessTokens:
    given = {"client_secret": SECRET, **more}
    return oauth.microsoft(
        tenant="contoso.com", client_id="app-1", authority=endpoint.url, **given
    )


def account(endpoint: TokenEndpoint) -> dict[str, str]:
    """What Google's console writes into the file of a key."""
    return {
        "type": "service_account",
        "client_email": "mailer@project.iam.gserviceaccount.com",
        "private_key_id": "key-1",
        "private_key": PEM.decode(),
        "token_uri": f"{endpoint.url}/token",
    }


def certificate(folder: Path) -> tuple[Path, x509.Certificate]:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "shop")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(KEY.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(KEY, hashes.SHA256())
    )
    path = folder / "app.pem"
    path.write_bytes(PEM + made.public_bytes(Encoding.PEM))
    return path, made


# ------------------------------------------------------------------ what is asked for


def test_microsoft_gives_a_token_for_a_client_secret(endpoint: TokenEndpoint) -> None:
    assert microsoft(endpoint)() == "token-1"
    assert endpoint.paths == ["/contoso.com/oauth2/v2.0/token"]
    assert endpoint.forms == [
        {
            "grant_type": "client_credentials",
            "scope": "https://graph.microsoft.com/.default",
            "client_id": "app-1",
            "client_secret": SECRET,
        }
    ]


def test_microsoft_takes_another_scope_and_a_fetched_secret(
    endpoint: TokenEndpoint,
) -> None:
    tokens = microsoft(endpoint, client_secret=lambda: SECRET, scope=oauth.OUTLOOK_SMTP)
    assert tokens() == "token-1"
    (form,) = endpoint.forms
    assert form["scope"] == "https://outlook.office365.com/.default"
    assert form["client_secret"] == SECRET


def test_microsoft_gives_a_token_for_a_certificate(
    endpoint: TokenEndpoint, tmp_path: Path
) -> None:
    path, made = certificate(tmp_path)
    assert microsoft(endpoint, client_secret=None, certificate_file=path)()
    (form,) = endpoint.forms
    assert "client_secret" not in form
    assert form["client_assertion_type"] == (
        "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
    )
    assertion = form["client_assertion"]
    url = f"{endpoint.url}/contoso.com/oauth2/v2.0/token"
    claims = jwt.decode(assertion, KEY.public_key(), ["PS256"], audience=url)
    assert claims["iss"] == claims["sub"] == "app-1"
    assert claims["jti"]
    assert claims["exp"] - claims["nbf"] <= 600
    digest = hashlib.sha256(made.public_bytes(Encoding.DER)).digest()
    thumbprint = urlsafe_b64encode(digest).rstrip(b"=").decode()
    headers = jwt.get_unverified_header(assertion)
    assert headers["x5t#S256"] == thumbprint


def test_a_newer_refresh_token_replaces_the_given_one(
    endpoint: TokenEndpoint,
) -> None:
    endpoint.answer = lambda form: granted(
        f"for-{form['refresh_token']}", 0, refresh_token="r-2"
    )
    tokens = microsoft(endpoint, refresh_token="r-1")
    assert [tokens(), tokens()] == ["for-r-1", "for-r-2"]
    assert endpoint.forms[0] == {
        "grant_type": "refresh_token",
        "refresh_token": "r-1",
        "client_id": "app-1",
        "client_secret": SECRET,
    }


def test_google_gives_a_token_for_a_refresh_token(endpoint: TokenEndpoint) -> None:
    tokens = oauth.google(
        client_id="app-1",
        client_secret=SECRET,
        refresh_token="r-1",
        token_url=f"{endpoint.url}/token",
    )
    assert tokens() == "token-1"
    assert endpoint.paths == ["/token"]
    assert endpoint.forms[0]["grant_type"] == "refresh_token"
    assert endpoint.forms[0]["refresh_token"] == "r-1"


@pytest.mark.parametrize("as_file", [True, False])
def test_google_gives_a_token_for_a_service_account(
    as_file: bool, endpoint: TokenEndpoint, tmp_path: Path
) -> None:
    given: Any = account(endpoint)
    if as_file:
        given = tmp_path / "account.json"
        given.write_text(json.dumps(account(endpoint)))
    tokens = oauth.google(service_account=given, mailbox="shop@example.com")
    assert tokens() == "token-1"
    (form,) = endpoint.forms
    assert form["grant_type"] == "urn:ietf:params:oauth:grant-type:jwt-bearer"
    claims = jwt.decode(
        form["assertion"], KEY.public_key(), ["RS256"], audience=f"{endpoint.url}/token"
    )
    assert claims["iss"] == "mailer@project.iam.gserviceaccount.com"
    assert claims["sub"] == "shop@example.com"
    assert claims["scope"] == "https://www.googleapis.com/auth/gmail.send"
    assert claims["exp"] - claims["iat"] <= 3600
    assert jwt.get_unverified_header(form["assertion"])["kid"] == "key-1"


# ------------------------------------------------------------------ kept, and renewed


def test_a_token_is_reused_while_it_is_valid(endpoint: TokenEndpoint) -> None:
    tokens = microsoft(endpoint)
    assert [tokens(), tokens()] == ["token-1", "token-1"]
    assert len(endpoint.forms) == 1


def test_an_expired_token_is_renewed(endpoint: TokenEndpoint) -> None:
    endpoint.answer = lambda _: granted(f"token-{len(endpoint.forms)}", 0)
    tokens = microsoft(endpoint)
    assert [tokens(), tokens()] == ["token-1", "token-2"]


def test_a_rejected_token_is_renewed_once_for_all_who_had_it(
    endpoint: TokenEndpoint,
) -> None:
    tokens = microsoft(endpoint)
    assert tokens() == "token-1"
    assert [tokens.renew("token-1") for _ in range(3)] == ["token-2"] * 3
    assert tokens() == "token-2"
    assert len(endpoint.forms) == 2


def together(
    endpoint: TokenEndpoint, call: Callable[[], Any], reply: TokenReply
) -> Any:
    """Ten results of a call, whose first request is answered when all ten wait."""
    begun = threading.Barrier(11)
    go = threading.Event()

    def answer(_: object) -> TokenReply:
        go.wait(WAIT_SECONDS)
        return reply

    def one() -> Any:
        begun.wait(WAIT_SECONDS)
        try:
            return call()
        except TransportDown as error:
            return error

    endpoint.answer = answer
    with ThreadPoolExecutor(10) as pool:
        results = [pool.submit(one) for _ in range(10)]
        begun.wait(WAIT_SECONDS)
        go.set()
        return [one.result(WAIT_SECONDS) for one in results]


def test_one_renewal_serves_all_threads(endpoint: TokenEndpoint) -> None:
    tokens = microsoft(endpoint)
    assert together(endpoint, tokens, granted("new")) == ["new"] * 10
    assert len(endpoint.forms) == 1
    assert together(endpoint, lambda: tokens.renew("new"), granted("newer")) == (
        ["newer"] * 10
    )
    assert len(endpoint.forms) == 2


@pytest.mark.skipif(sys.platform == "win32", reason="it has no fork")
def test_a_forked_child_does_not_wait_for_its_parents_renewal(
    endpoint: TokenEndpoint,
) -> None:
    asked, go = threading.Event(), threading.Event()
    code = """
import os, sys, threading
from flask_outbox import oauth
tokens = oauth.microsoft(
    tenant="t", client_id="c", client_secret="s", authority=sys.argv[1]
)
renewing = threading.Thread(target=tokens)
renewing.start()
input()
child = os.fork()
if not child:
    os._exit(0 if tokens() == "child" else 1)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""

    def answer(_: object) -> TokenReply:
        if len(endpoint.forms) > 1:
            go.set()
            return granted("child")
        asked.set()
        go.wait(WAIT_SECONDS)
        return granted("parent")

    endpoint.answer = answer
    with subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", code, endpoint.url],
        stdin=subprocess.PIPE,
    ) as process:
        assert asked.wait(WAIT_SECONDS)
        process.communicate(b"\n", 30)
    assert process.returncode == 0


# ------------------------------------------------------------------- what goes wrong


@pytest.mark.parametrize(
    ("reply", "kind", "words"),
    [
        (refused(401, "invalid_client"), AccountTrouble, "secret or certificate"),
        (refused(400, "invalid_grant"), AccountTrouble, "give consent again"),
        (refused(400, "unauthorized_client"), AccountTrouble, "allowed this scope"),
        (refused(400, "invalid_scope"), AccountTrouble, "Check the scope"),
        (refused(403, "access_denied"), AccountTrouble, "access_denied"),
        (TokenReply(404, b"<html>"), AccountTrouble, "404"),
        (TokenReply(200, b"<html>"), AccountTrouble, "200"),
        (TokenReply(302, b"", {"Location": "/elsewhere"}), AccountTrouble, "302"),
        (refused(429, "slow_down", Retry_After="7"), Throttled, "429"),
        (refused(503, "temporarily_unavailable", Retry_After="7"), Throttled, "503"),
        (TokenReply(503, b""), TransportDown, "503"),
        (TokenReply(500, b"<html>"), TransportDown, "500"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_a_refused_token_raises_the_error_that_fits_the_reply(
    reply: TokenReply,
    kind: type[TransportDown],
    words: str,
    endpoint: TokenEndpoint,
) -> None:
    endpoint.answer = lambda _: reply
    with pytest.raises(TransportDown, match=words) as down:
        microsoft(endpoint)()
    assert type(down.value) is kind
    assert "127.0.0.1" in str(down.value)
    if isinstance(down.value, Throttled):
        assert down.value.wait_seconds == 7
    assert len(endpoint.forms) == 1


def test_an_unreachable_endpoint_is_transport_down(endpoint: TokenEndpoint) -> None:
    tokens = microsoft(endpoint)
    endpoint.__exit__()
    with pytest.raises(TransportDown, match="cannot be reached"):
        tokens()


def test_a_failure_is_shared_and_the_next_call_retries(
    endpoint: TokenEndpoint,
) -> None:
    """Those who wait meanwhile do not try a wrong secret once each."""
    tokens = microsoft(endpoint)
    waiting = threading.Event()
    results: list[Any] = []

    def call() -> None:
        try:
            results.append(tokens())
        except AccountTrouble as error:
            results.append(error)

    class Lock:
        """Says that a second one waits."""

        def __init__(self) -> None:
            self._lock = threading.Lock()

        def __enter__(self) -> None:
            if not self._lock.acquire(blocking=False):
                waiting.set()
                self._lock.acquire()

        def __exit__(self, *_: object) -> None:
            self._lock.release()

    def answer(_: object) -> TokenReply:
        waiting.wait(WAIT_SECONDS)
        return refused(401, "invalid_client")

    endpoint.answer = answer
    tokens._lock = Lock()  # type: ignore[assignment]
    threads = [threading.Thread(target=call) for _ in range(2)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert [type(one) for one in results] == [AccountTrouble] * 2
    assert len(endpoint.forms) == 1
    endpoint.answer = lambda _: granted("new")
    assert tokens() == "new"


def test_no_secret_is_shown(endpoint: TokenEndpoint, tmp_path: Path) -> None:
    endpoint.answer = lambda form: refused(
        401, "invalid_client", " ".join(form.values())
    )
    path, _ = certificate(tmp_path)
    refresh = "r3fresh-that-nobody-may-see"
    for tokens in (
        microsoft(endpoint),
        microsoft(endpoint, refresh_token=refresh),
        microsoft(endpoint, client_secret=None, certificate_file=path),
        oauth.google(service_account=account(endpoint), mailbox="a@example.com"),
    ):
        with pytest.raises(AccountTrouble) as down:
            tokens()
        shown = f"{down.value!r} {tokens!r} {vars(tokens)!r} {tokens._grant!r}"
        form = endpoint.forms[-1]
        for secret in (SECRET, refresh, form.get("assertion"), "BEGIN"):
            assert secret is None or secret not in shown
        assert form.get("client_assertion", SECRET) not in shown


def test_a_token_is_not_in_the_repr(endpoint: TokenEndpoint) -> None:
    tokens = microsoft(endpoint)
    token = tokens()
    assert token not in f"{tokens!r} {vars(tokens)!r}"


def test_a_secret_that_cannot_be_fetched_is_transport_down(
    endpoint: TokenEndpoint,
) -> None:
    def fails() -> str:
        raise KeyError(SECRET)

    with pytest.raises(TransportDown, match="it raised KeyError") as down:
        microsoft(endpoint, client_secret=fails)()
    assert SECRET not in str(down.value)
    with pytest.raises(TransportDown, match="of type NoneType"):
        microsoft(endpoint, client_secret=lambda: None)()
    assert endpoint.forms == []


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (
            lambda: oauth.microsoft(tenant="t", client_id="c"),
            "no proof of the app's identity",
        ),
        (
            lambda: oauth.microsoft(
                tenant="t", client_id="c", client_secret="a", certificate_file="b"
            ),
            "keep one",
        ),
        (
            lambda: oauth.microsoft(
                tenant="t", client_id="c", certificate_file=__file__
            ),
            "must be PEM with a certificate",
        ),
        (
            lambda: oauth.microsoft(
                tenant="t", client_id="c", client_secret="s", authority="http://a.test"
            ),
            "must begin with https://",
        ),
        (oauth.google, "needs a service_account and a mailbox"),
        (lambda: oauth.google(service_account={}), "needs the mailbox"),
        (
            lambda: oauth.google(service_account={}, mailbox="a@b.c"),
            "service_account cannot be read",
        ),
    ],
)
def test_contradictory_arguments_are_refused_at_once(
    make: Callable[[], object], words: str
) -> None:
    with pytest.raises(ConfigError, match=words):
        make()


def test_a_key_passed_as_a_file_name_is_not_shown() -> None:
    with pytest.raises(ConfigError) as told:
        oauth.microsoft(tenant="t", client_id="c", certificate_file=PEM.decode())
    with pytest.raises(ConfigError) as told_too:
        oauth.google(service_account=PEM.decode(), mailbox="shop@example.com")
    secret = PEM.decode().splitlines()[1]
    for one in (told, told_too):
        assert secret not in "".join(traceback.format_exception(one.value))


def test_a_key_that_is_not_rsa_is_refused_at_once(endpoint: TokenEndpoint) -> None:
    pem = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
    )
    given = {**account(endpoint), "private_key": pem.decode()}
    with pytest.raises(ConfigError, match="service_account cannot be read"):
        oauth.google(service_account=given, mailbox="shop@example.com")


@pytest.mark.parametrize("absent", ["jwt", "cryptography"])
def test_a_missing_package_is_named(
    absent: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == absent else find(name)
    )
    with pytest.raises(ConfigError, match=r'pip install "flask-outbox\[oauth\]"'):
        oauth.google(
            service_account={
                "client_email": "a@b.c",
                "private_key": PEM.decode(),
                "private_key_id": "k",
                "token_uri": "https://oauth2.googleapis.com/token",
            },
            mailbox="a@example.com",
        )
