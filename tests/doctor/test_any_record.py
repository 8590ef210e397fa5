"""Whatever stands in the DNS, the examination of a domain ends, with findings."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flask_outbox.config.dkim import as_dkim_keys
from flask_outbox.doctor.domains import Way, examine_domain
from flask_outbox.doctor.lookups import Lookups
from tests.doctor.patient import DOMAIN, KEY, RECORD, ZONE, Records
from tests.servers.dns import NameServer

WAY = Way(as_dkim_keys("KEYS", [KEY]), None, ("_spf.google.com",), "mail.example.com")

words = st.sampled_from(
    ["all", "-all", "a", "mx", "ptr", "exists:%{i}.x", "include:", "redirect=", "ip4:",
     "192.0.2.1", "/33", "//129", "a/99", "example.com", "include:example.com", "=",
     ":", "redirect=example.com", "ip6:::1", "include:a..b", "+", "?", "a:" + "x" * 70]
)  # fmt: skip
texts = st.one_of(
    st.lists(words, max_size=8).map(" ".join),
    st.text(st.characters(codec="utf-8"), max_size=60),
)
dmarc = st.one_of(
    texts,
    st.lists(
        st.sampled_from(
            ["p=none", "p=reject", "rua=mailto:a@example.net", "rua=,@,", "sp", "=",
             "aspf=s", "pct=1000", "rua=mailto:" + "a." * 100 + "b"]
        ),
        max_size=5,
    ).map(";".join),
)  # fmt: skip


@pytest.fixture(scope="module")
def zone() -> dict[str, Records]:
    """What the server knows; examples change it."""
    return dict(ZONE)


@pytest.fixture(scope="module")
def server(zone: dict[str, Records]) -> Iterator[NameServer]:
    with NameServer(zone) as server:
        yield server


@given(spf=texts, key=texts, policy=dmarc)
def test_any_record(
    server: NameServer, zone: dict[str, Records], spf: str, key: str, policy: str
) -> None:
    zone[DOMAIN] = [("TXT", f"v=spf1 {spf}"), ("MX", "10 mail.example.com.")]
    zone["s1._domainkey.example.com"] = [("TXT", key)]
    zone["_dmarc.example.com"] = [("TXT", f"v=DMARC1; {policy}")]
    section = examine_domain(DOMAIN, WAY, Lookups(server.place))
    found = {one.id for one in section.findings}
    assert "dns-no-answer" not in found
    assert "spf-missing" not in found
    assert key == RECORD or any(id.startswith("dkim-") for id in found)
