"""The commands for each message: their parameters, our refusals, the history."""

from __future__ import annotations

from pathlib import Path

import pytest

from flask_outbox.delivery import Outcome
from flask_outbox.transports.smtp.capabilities import Offer, command_line
from tests.servers import Behaviour, JournalSmtp, ScriptedSmtp, Step

from .talk import (
    CONTENT_BYTES,
    DATA,
    DOT,
    GREETING,
    HELLO,
    MAIL,
    ONE,
    ONE_MAIL,
    QUIT,
    RCPT,
    SENDER,
    TWO,
    deliver_once,
    ehlo,
    settings_for,
)

UTF8 = "jörg@example.org"
EIGHT_BIT = "Subject: x\r\n\r\ngrün\r\n".encode()


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    return tmp_path / "journal"


def said(offer: Step, *recipients: str, **message: object) -> list[str]:
    """What we say to a server that offers this and takes everything."""
    rcpts = [RCPT] * (len(recipients) or 1)
    with ScriptedSmtp([GREETING, offer, MAIL, *rcpts, DATA, DOT, QUIT]) as server:
        made = deliver_once(settings_for(server), *recipients, **message)
        server.wait_for_end()
    assert made.report is not None
    assert made.report.accepted
    return server.commands()


def mail_said(offer: Step, *recipients: str, **message: object) -> str:
    """The MAIL command that we say."""
    (command,) = (
        line
        for line in said(offer, *recipients, **message)
        if line.startswith("MAIL FROM")
    )
    return command


# ------------------------------------------------------------------------ the dialogue


def test_the_whole_dialogue_is_in_the_progress() -> None:
    with ScriptedSmtp([*HELLO, *ONE_MAIL, QUIT]) as server:
        made = deliver_once(settings_for(server))
    assert made.dialogue == [
        f"us: connected to 127.0.0.1:{server.port}",
        "them: 220 scripted.test ready",
        "us: EHLO client.test",
        "them: 250 scripted.test 8BITMIME",
        f"us: MAIL FROM:<{SENDER}>",
        "them: 250 2.1.0 sender ok",
        f"us: RCPT TO:<{ONE}>",
        "them: 250 2.1.5 recipient ok",
        "us: DATA",
        "them: 354 go on",
        f"us: ({len(CONTENT_BYTES)} bytes of content)",
        "them: 250 2.0.0 kept",
    ]
    assert made.progress.final_dot_sent


def test_every_recipient_keeps_its_own_reply(journal: Path) -> None:
    people = [f"{name}@example.org" for name in "abcd"]
    with JournalSmtp(journal) as server:
        server.behaviour = Behaviour(
            recipients={
                people[1]: "550 5.1.1 no such user",
                people[2]: "452 4.2.2 mailbox full",
            }
        )
        made = deliver_once(settings_for(server), *people)
        (mail,) = server.wait_for(1)
    assert made.replies == [
        "250 2.0.0 journaled as 1",
        "550 5.1.1 no such user",
        "452 4.2.2 mailbox full",
        "250 2.0.0 journaled as 1",
    ]
    assert mail.recipients == (people[0], people[3])


@pytest.mark.parametrize(
    ("behaviour", "outcome"),
    [
        (Behaviour(at_mail="451 4.3.0 later"), Outcome.DEFERRED),
        (Behaviour(at_mail="550 5.7.1 never"), Outcome.REFUSED),
        (Behaviour(at_rcpt="451 4.3.0 later"), Outcome.DEFERRED),
        (Behaviour(at_rcpt="550 5.7.1 never"), Outcome.REFUSED),
        (Behaviour(at_data="451 4.3.0 later"), Outcome.DEFERRED),
        (Behaviour(at_data="550 5.7.1 never"), Outcome.REFUSED),
        (Behaviour(drop="unjournaled"), Outcome.UNKNOWN),
        (Behaviour(drop="journaled"), Outcome.UNKNOWN),
    ],
)
def test_a_real_servers_refusal_is_reported(
    behaviour: Behaviour, outcome: Outcome, journal: Path
) -> None:
    with JournalSmtp(journal) as server:
        server.behaviour = behaviour
        made = deliver_once(settings_for(server), ONE, TWO)
    assert made.outcomes == [outcome, outcome]
    assert len(server.mails) == (1 if behaviour.drop == "journaled" else 0)


def test_the_same_address_twice_is_one_recipient() -> None:
    assert said(ehlo("X"), ONE, TWO)[2:4] == [f"RCPT TO:<{ONE}>", f"RCPT TO:<{TWO}>"]
    with ScriptedSmtp([*HELLO, *ONE_MAIL, QUIT]) as server:
        made = deliver_once(settings_for(server), ONE, ONE)
        server.wait_for_end()
    assert made.outcomes == [Outcome.ACCEPTED]


def test_the_null_return_path_is_sent() -> None:
    assert mail_said(ehlo("X"), return_path="") == "MAIL FROM:<>"


def test_no_connection_is_opened_without_recipients() -> None:
    with ScriptedSmtp([*HELLO, QUIT]) as server:
        made = deliver_once(settings_for(server), UTF8)
        server.wait_for_end()
    assert made.outcomes == [Outcome.REFUSED]


# ------------------------------------------------------------------------- parameters


def test_options_are_passed_on() -> None:
    commands = said(
        ehlo("DSN"),
        mail_options=("RET=HDRS", "ENVID=7"),
        rcpt_options=("NOTIFY=FAILURE,DELAY",),
    )
    assert commands[1] == f"MAIL FROM:<{SENDER}> RET=HDRS ENVID=7"
    assert commands[2] == f"RCPT TO:<{ONE}> NOTIFY=FAILURE,DELAY"


TOKEN = "01jx3m5v8q2w4e6r8t0y1a3b5dabcdefghijklmnop"
OURS = f"bounces+{TOKEN}@example.com"


@pytest.mark.parametrize(
    ("recipient", "original"),
    [
        (ONE, f"rfc822;{ONE}"),
        ("a+b=c@example.org", "rfc822;a+2Bb+3Dc@example.org"),
        ('"a b"@example.org', 'rfc822;"a+20b"@example.org'),
        ("grüße+x@example.org", "utf-8;grüße\\x{2B}x@example.org"),
    ],
)
def test_reports_are_asked_for_where_they_come_back_to_us(
    recipient: str, original: str
) -> None:
    commands = said(ehlo("DSN", "SMTPUTF8"), recipient, return_path=OURS)
    mail, rcpt = commands[1:3]
    asked = mail.replace(" SMTPUTF8", "")
    assert asked == f"MAIL FROM:<{OURS}> RET=HDRS ENVID={TOKEN}"
    assert rcpt == f"RCPT TO:<{recipient}> NOTIFY=FAILURE,DELAY ORCPT={original}"


def test_the_users_own_wishes_for_reports_count() -> None:
    commands = said(
        ehlo("DSN"),
        return_path=OURS,
        mail_options=("ret=FULL", "ENVID=7"),
        rcpt_options=("notify=NEVER",),
    )
    assert commands[1] == f"MAIL FROM:<{OURS}> ret=FULL ENVID=7"
    assert commands[2] == f"RCPT TO:<{ONE}> notify=NEVER ORCPT=rfc822;{ONE}"


@pytest.mark.parametrize(
    ("offer", "return_path"),
    [([], OURS), (["DSN"], SENDER), (["DSN"], f"bounces+{TOKEN[1:]}@example.com")],
)
def test_no_reports_are_asked_for_otherwise(offer: list[str], return_path: str) -> None:
    commands = said(ehlo(*offer), return_path=return_path)
    assert commands[1] == f"MAIL FROM:<{return_path}>"
    assert commands[2] == f"RCPT TO:<{ONE}>"


@pytest.mark.parametrize(
    ("offer", "message", "parameters"),
    [
        ([], {}, ""),
        (["SIZE"], {}, f" SIZE={len(CONTENT_BYTES)}"),
        (["size 0"], {}, f" SIZE={len(CONTENT_BYTES)}"),
        (["SIZE 1000"], {}, f" SIZE={len(CONTENT_BYTES)}"),
        (["SIZE 1000"], {"mail_options": ("size=9",)}, " size=9"),
        (["SIZE"], {"content": b"\r\n\r\n.x"}, " SIZE=8"),
        (["8BITMIME"], {}, ""),
        (["8BITMIME"], {"content": EIGHT_BIT}, " BODY=8BITMIME"),
        ([], {"content": EIGHT_BIT}, ""),
        (
            ["8BITMIME"],
            {"content": EIGHT_BIT, "mail_options": ("body=8bitmime",)},
            " body=8bitmime",
        ),
        (["SMTPUTF8"], {}, ""),
        (["SMTPUTF8"], {"utf8_headers": True}, " SMTPUTF8"),
        (
            ["SMTPUTF8"],
            {"utf8_headers": True, "mail_options": ("smtputf8",)},
            " smtputf8",
        ),
        (
            ["8BITMIME", "SMTPUTF8", "SIZE 9999"],
            {"content": EIGHT_BIT, "utf8_headers": True},
            f" SIZE={len(EIGHT_BIT)} BODY=8BITMIME SMTPUTF8",
        ),
    ],
)
def test_mail_from_has_the_options_that_message_and_server_share(
    offer: list[str], message: dict[str, object], parameters: str
) -> None:
    assert mail_said(ehlo(*offer), **message) == f"MAIL FROM:<{SENDER}>{parameters}"


def test_smtputf8_is_asked_for_if_a_recipient_needs_it() -> None:
    commands = said(ehlo("SMTPUTF8"), ONE, UTF8)
    assert commands[1] == f"MAIL FROM:<{SENDER}> SMTPUTF8"
    assert commands[3] == f"RCPT TO:<{UTF8}>"


def test_smtputf8_is_asked_for_if_the_return_path_needs_it() -> None:
    command = mail_said(ehlo("SMTPUTF8"), return_path=UTF8)
    assert command == f"MAIL FROM:<{UTF8}> SMTPUTF8"


def test_smtputf8_works_with_a_real_server(journal: Path) -> None:
    with JournalSmtp(journal) as server:
        deliver_once(settings_for(server), UTF8, utf8_headers=True)
        (mail,) = server.wait_for(1)
    assert mail.recipients == (UTF8,)
    assert "SMTPUTF8" in mail.mail_options


# ------------------------------------------------------- what is refused without asking


def test_without_smtputf8_only_the_non_ascii_recipient_is_refused() -> None:
    with ScriptedSmtp([*HELLO, *ONE_MAIL, QUIT]) as server:
        made = deliver_once(settings_for(server), UTF8, ONE)
        server.wait_for_end()
    assert made.outcomes == [Outcome.REFUSED, Outcome.ACCEPTED]
    assert made.replies[0].startswith("5.6.7 the server does not take non-ASCII")
    assert server.commands()[1:3] == [f"MAIL FROM:<{SENDER}>", f"RCPT TO:<{ONE}>"]


@pytest.mark.parametrize("message", [{"utf8_headers": True}, {"return_path": UTF8}])
def test_without_smtputf8_all_are_refused_if_the_message_needs_it(
    message: dict[str, object],
) -> None:
    with ScriptedSmtp([*HELLO, QUIT]) as server:
        made = deliver_once(settings_for(server), ONE, TWO, **message)
        server.wait_for_end()
    assert made.outcomes == [Outcome.REFUSED, Outcome.REFUSED]
    assert not made.progress.final_dot_sent


@pytest.mark.parametrize(("limit", "taken"), [(99, False), (100, True), (0, True)])
def test_a_message_larger_than_the_servers_limit_is_not_begun(
    limit: int, taken: bool
) -> None:
    script = [GREETING, ehlo(f"SIZE {limit}"), *(ONE_MAIL if taken else []), QUIT]
    with ScriptedSmtp(script) as server:
        made = deliver_once(settings_for(server), content=b"x" * 98 + b"\r\n")
        server.wait_for_end()
    if taken:
        assert made.outcomes == [Outcome.ACCEPTED]
    else:
        assert made.outcomes == [Outcome.REFUSED]
        assert made.replies == [
            "5.3.4 message too large: it has 100 bytes, and the server takes 99 at most"
        ]


@pytest.mark.parametrize(
    ("said", "limit"),
    [
        ("", None),
        ("0", None),
        ("12", 12),
        ("-1", None),
        ("1e9", None),
        ("9" * 99, None),
    ],
)
def test_the_size_limit_is_read_from_ehlo(said: str, limit: int | None) -> None:
    assert Offer.read({"SIZE": said}) == Offer(size=True, size_limit_bytes=limit)


# --------------------------------------------------------------------------- injection


@pytest.mark.parametrize("bad", ["\r", "\n", "\0", "\x1b", "\x7f", "\t"])
def test_a_command_with_a_line_break_is_refused(bad: str) -> None:
    with pytest.raises(ValueError, match="control character"):
        command_line(f"RCPT TO:<a@b{bad}RCPT TO:<c@d>")


@pytest.mark.parametrize(
    "message",
    [
        {"return_path": "a@b>\r\nRCPT TO:<c@d"},
        {"mail_options": ("SIZE=1\r\nRCPT TO:<c@d>",)},
        {"rcpt_options": ("X\nDATA",)},
        {"return_path": "a\ud800@b"},
    ],
)
def test_an_envelope_that_would_inject_commands_sends_nothing(
    message: dict[str, object],
) -> None:
    with ScriptedSmtp([GREETING, ehlo("SMTPUTF8"), QUIT]) as server:
        settings = settings_for(server)
        with pytest.raises(ValueError, match=r"control character|surrogates"):
            deliver_once(settings, **message)
        server.wait_for_end()
    assert server.commands() == ["EHLO client.test"]
