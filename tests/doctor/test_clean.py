"""A set-up that is well is clean, and nothing is touched."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from tests.doctor.conftest import MakeShop, Serve
from tests.doctor.patient import DOMAIN, examined, ids, seen
from tests.servers import Authority, JournalSmtp

PASSWORD = "hunter2-hunter2"


def test_nothing_is_found(
    make_shop: MakeShop, serve: Serve, server: JournalSmtp
) -> None:
    dns = serve()
    result = make_shop().run("doctor", "--nameserver", dns.place)
    assert result.stdout.endswith(
        "Bulk senders' rules, example.com – follows all 7 rules.\n\nNothing found.\n"
    )
    assert server.mails == []


def test_every_step_is_shown(make_shop: MakeShop, serve: Serve) -> None:
    document = make_shop().document("doctor", "--nameserver", serve().place)
    assert document["clean"] is True
    assert ids(document) == set()
    transport = seen(document, "transport")
    steps = ["Server", "DNS", "TCP", "Greeting", "EHLO", "SIZE", "NOOP"]
    assert list(transport) == steps
    assert "SMTPUTF8" in transport["EHLO"]
    domain = seen(document, "domain")
    assert domain["SPF"] == "v=spf1 ip4:192.0.2.10 -all (0 look-ups)"
    assert domain["DKIM"] == f"s1._domainkey.{DOMAIN} has our key (rsa)"
    assert domain["Alignment"] == "by SPF and DKIM"
    assert domain["PTR"] == "192.0.2.10 is mail.example.com"
    (verdict,) = document["verdicts"]
    assert [rule["kept"] for rule in verdict["rules"]] == [True] * 7


def test_an_encrypted_login_is_clean_and_not_shown(
    make_shop: MakeShop, serve: Serve, tmp_path: Path, authority: Authority
) -> None:
    context = authority.context("127.0.0.1")
    users = {"ada": PASSWORD}
    with JournalSmtp(tmp_path / "tls", users=users, tls=context) as server:
        shop = make_shop(
            MAIL_URL=f"smtp+starttls://ada:{PASSWORD}@127.0.0.1:{server.port}",
            MAIL_TLS_CA_FILE=authority.ca_file,
        )
        result = shop.run("doctor", "--nameserver", serve().place, "--json")
        assert '"step": "Login"' in result.stdout
        assert "days left" in result.stdout
        assert PASSWORD not in result.output


def test_no_courier_starts_and_no_file_is_made(
    make_shop: MakeShop, serve: Serve, tmp_path: Path
) -> None:
    file = tmp_path / "later" / "outbox.db"
    file.parent.mkdir()
    before = {one.name for one in threading.enumerate()}
    shop = make_shop(OUTBOX_URL=f"sqlite:///{file}")
    dns = serve()
    shop.run("doctor", "--nameserver", dns.place)
    started = {one.name for one in threading.enumerate()} - before
    assert not [name for name in started if "outbox" in name]
    assert list(file.parent.iterdir()) == []


@pytest.mark.parametrize("engine", ["external", "thread"])
def test_mail_that_waits_is_not_sent(
    make_shop: MakeShop, serve: Serve, server: JournalSmtp, engine: str
) -> None:
    shop = make_shop(OUTBOX_ENGINE="external")
    id = shop.send()
    other = make_shop(OUTBOX_ENGINE=engine)
    examined(other, "--nameserver", serve().place)
    assert shop.get(id).state == "pending"
    assert server.mails == []


def test_a_test_mail_is_sent_if_it_is_asked_for(
    make_shop: MakeShop, serve: Serve, server: JournalSmtp
) -> None:
    arrived = len(server.mails)
    shop = make_shop(MAIL_TRANSPORTS={"bulk": f"smtp://{server.host}:{server.port}"})
    document = examined(
        shop, "--nameserver", serve().place, "--send-to", "ada@example.org",
        "--transport", "bulk",
    )  # fmt: skip
    assert seen(document, "transport")["Test mail"].startswith(
        "ada@example.org: accepted, 250"
    )
    (mail,) = server.mails[arrived:]
    assert mail.recipients == ("ada@example.org",)
    (line,) = shop.outbox.trail.find().lines
    told = (line.act, line.target, line.note, line.face)
    assert told == ("test mail", "a…@e….org", "bulk", "cli")
    server.mails.clear()


def test_another_domain_is_examined(make_shop: MakeShop, serve: Serve) -> None:
    document = examined(
        make_shop(), "--nameserver", serve().place, "--domain", "example.net"
    )
    assert ids(document) == {"domain-missing"}
    (verdict,) = document["verdicts"]
    assert verdict["domain"] == "example.net"
    assert verdict["kept"] is False


def test_a_section_of_which_nothing_was_seen_is_shown(
    make_shop: MakeShop, serve: Serve
) -> None:
    shop, dns = make_shop(), serve()
    result = shop.run(
        "doctor", "--nameserver", dns.place, "--domain", "example.net", code=1
    )
    title = "Domain example.net\n==================\n\nbroken: domain-missing\n"
    assert title in result.stdout


def test_an_unknown_transport_is_an_error(make_shop: MakeShop) -> None:
    result = make_shop().run("doctor", "--transport", "bluk", code=1)
    assert "There is no transport 'bluk'" in result.stderr


def test_a_name_is_no_name_server(make_shop: MakeShop) -> None:
    result = make_shop().run("doctor", "--nameserver", "dns.example.com", code=1)
    assert "is not a name server" in result.stderr


def test_long_answers_are_read_by_tcp(make_shop: MakeShop, serve: Serve) -> None:
    padding = [("TXT", "x" * 250)] * 4
    spf = [("TXT", "v=spf1 ip4:192.0.2.10 -all"), ("MX", "10 mail.example.com.")]
    dns = serve({DOMAIN: [*padding, *spf]})
    assert ids(examined(make_shop(), "--nameserver", dns.place)) == set()
