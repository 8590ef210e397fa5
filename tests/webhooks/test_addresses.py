"""Where webhooks may go: public addresses, however another one is spelled."""

from __future__ import annotations

import asyncio
import socket

import pytest

from flask_outbox.config import WebhookEndpoint
from flask_outbox.config.webhooks import as_webhooks
from flask_outbox.errors import ConfigError
from flask_outbox.transports.http.webhook_client import NoAnswer, WebhookClient
from flask_outbox.webhooks.addresses import is_public
from tests.servers.webhook_receiver import SECRET, WebhookReceiver

PUBLIC = [
    "8.8.8.8", "93.184.215.14", "2606:4700::1111", "2001:4860:4860::8888",
    "::ffff:8.8.8.8", "64:ff9b::8.8.8.8", "2002:808:808::1",
]  # fmt: skip

NOT_PUBLIC = [
    # this machine and its networks
    "0.0.0.0", "0.1.2.3", "127.0.0.1", "127.255.0.9", "10.1.2.3", "172.16.0.1",
    "172.31.255.255", "192.168.1.1", "169.254.169.254", "100.64.0.1", "192.0.0.8",
    "::", "::1", "fe80::1", "fe80::1%eth0", "fc00::1", "fd00:ec2::254", "fec0::1",
    # documentation, benchmarks, multicast, reserved
    "192.0.2.1", "198.18.0.1", "198.51.100.7", "203.0.113.9", "224.0.0.1",
    "239.255.255.250", "240.0.0.1", "255.255.255.255", "2001:db8::1", "ff02::1",
    # an IPv4 address inside an IPv6 address
    "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:7f00:1", "::127.0.0.1",
    "64:ff9b::127.0.0.1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::1", "2002:7f00:1::1",
    "2002:a9fe:a9fe::1", "2001:0:7f00:1::1",
    # no addresses
    "", "localhost", "127.1", "8.8.8.8:80",
]  # fmt: skip


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_addresses_that_are_not_public(address: str) -> None:
    assert not is_public(address)


LOCAL_HOSTS = [
    "127.0.0.1", "localhost", "LOCALHOST", "localhost.", "127.1", "127.0.1",
    "2130706433", "0x7f000001", "0x7f.0.0.1", "0177.0.0.1", "0177.0x0.0.1", "0",
    "0.0.0.0",
    "[::1]", "[::]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::127.0.0.1]",
    "[64:ff9b::127.0.0.1]", "[2002:7f00:1::1]", "169.254.169.254", "10.0.0.1",
    "[fe80::1]", "[fd00::1]", "0xa9fea9fe",
]  # fmt: skip
"""Spellings of hosts that are not public; `socket.getaddrinfo` reads most of them."""


@pytest.mark.parametrize("host", LOCAL_HOSTS)
def test_a_url_with_such_a_host_is_refused_at_the_start(host: str) -> None:
    entry = {"url": f"https://{host}:8443/hooks/t0ken", "secrets": SECRET}
    with pytest.raises(ConfigError, match="not a public address") as caught:
        as_webhooks("OUTBOX_WEBHOOKS", {"crm": entry})
    assert "OUTBOX_WEBHOOKS['crm']['url']" in str(caught.value)
    assert "t0ken" not in str(caught.value)


def _call(url: str) -> int:
    """Call ``url`` as a name that has come to lead there since the start would be."""
    key = (b"k" * 32,)
    public = WebhookEndpoint("crm", url, lambda: key, frozenset({"sent"}))

    async def call() -> int:
        client = WebhookClient(public)
        try:
            return await client.post("id", b"{}", key)
        finally:
            await client.close()

    return asyncio.run(call())


@pytest.mark.parametrize("host", LOCAL_HOSTS)
def test_no_connection_is_made_to_such_a_host(
    receiver: WebhookReceiver, host: str
) -> None:
    with pytest.raises(NoAnswer):
        _call(f"http://{host}:{receiver.port}/hooks")
    assert (receiver.received, receiver.refused) == ([], [])


def test_these_spellings_do_lead_here(receiver: WebhookReceiver) -> None:
    """Else the test before could not fail."""
    for host in ("localhost", "127.1", "2130706433", "0x7f.0.0.1", "0177.0.0.1", "0"):
        with socket.create_connection((host, receiver.port)):
            pass


def test_a_name_that_leads_elsewhere_than_it_did_is_not_followed(
    receiver: WebhookReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DNS rebinding: the name's answers change between two looks."""
    real = socket.getaddrinfo
    answers = iter(["8.8.8.8"])

    def rebound(host: object, port: object, *args: object, **options: object) -> object:
        if host == "rebound.example.com":
            host = next(answers, "127.0.0.1")
        return real(host, port, *args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(socket, "getaddrinfo", rebound)
    assert socket.getaddrinfo("rebound.example.com", 443)[0][4][0] == "8.8.8.8"
    with pytest.raises(NoAnswer, match=r"127\.0\.0\.1 is not a public address"):
        _call(f"http://rebound.example.com:{receiver.port}/hooks")
    assert (receiver.received, receiver.refused) == ([], [])


def test_a_proxy_of_the_environment_is_not_used(
    receiver: WebhookReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would look for the host's address itself."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "all_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{receiver.port}")
    with pytest.raises(NoAnswer, match="not a public address"):
        _call("http://localhost:9/hooks")
    assert (receiver.received, receiver.refused) == ([], [])
