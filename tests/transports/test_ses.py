"""SES: its signature is botocore's own, and so are the credentials that it finds."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import botocore.auth
import pytest
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from flask import Flask

from flask_outbox import ConfigError, Mail, TransportDown
from flask_outbox.config import UrlSettings
from flask_outbox.transports.ses import AwsCredentials, AwsKeys, signature

URL = "https://email.eu-west-1.amazonaws.com/v2/email/outbound-emails"
LIST = "https://email.eu-west-1.amazonaws.com/v2/email/suppression/addresses"
SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
NOW = datetime(2026, 11, 29, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize("token", [None, "a/session+token=="])
@pytest.mark.parametrize(
    ("method", "url", "body"),
    [
        ("POST", URL, b"{}"),
        ("POST", URL, '{"Subject": "Żołądź"}'.encode() * 1000),
        ("GET", f"{LIST}?NextToken=a%2Fb%2B%3D%3D&PageSize=100", b""),
        ("DELETE", f"{LIST}/bob%2Bnews%2Fa%26b%3Dc%7E%40example.org", b""),
    ],
)
def test_the_signature_is_botocores(
    method: str,
    url: str,
    body: bytes,
    token: str | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        botocore.auth, "get_current_datetime", lambda: NOW.replace(tzinfo=None)
    )
    request = AWSRequest(
        method, url, headers={"Content-Type": "application/json"}, data=body
    )
    credentials = Credentials("AKIDEXAMPLE", SECRET, token)
    botocore.auth.SigV4Auth(credentials, "ses", "eu-west-1").add_auth(request)
    key = AwsKeys("AKIDEXAMPLE", SECRET, token)
    ours = signature(method, url, body, key, "eu-west-1", NOW)
    assert ours["authorization"] == request.headers["Authorization"]
    assert ours["x-amz-date"] == request.headers["X-Amz-Date"]
    assert ours.get("x-amz-security-token") == token


def test_credentials_are_found_as_awss_tools_find_them(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    with pytest.raises(TransportDown, match="set AWS_ACCESS_KEY_ID"):
        asyncio.run(AwsCredentials(UrlSettings("ses")).get())
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    found = asyncio.run(AwsCredentials(UrlSettings("ses")).get())
    assert found == AwsKeys("AKIDEXAMPLE", SECRET)
    assert SECRET not in repr(found)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("ses://", 'write "ses://?region=eu-west-1"'),
        ("ses://AKID@?region=eu-west-1", "half of its keys"),
        ("mailgun://key@", "names no sending domain"),
        ("mailgun://key@/a/b", "names no sending domain"),
    ],
)
def test_an_invalid_url_is_refused(tmp_path: Path, url: str, words: str) -> None:
    app = Flask("shop", instance_path=str(tmp_path))
    app.config["MAIL_URL"] = url
    with pytest.raises(ConfigError) as refused:
        Mail(app)
    assert words in str(refused.value)


def test_a_url_has_the_keys_with_what_must_be_encoded(tmp_path: Path) -> None:
    app = Flask("shop", instance_path=str(tmp_path))
    encoded = SECRET.replace("/", "%2F")
    app.config["MAIL_URL"] = f"ses://AKIDEXAMPLE:{encoded}@?region=eu-west-1"
    Mail(app)
    settings = app.extensions["outbox"].settings.default.adapter
    assert asyncio.run(AwsCredentials(settings).get()).secret_key == SECRET
