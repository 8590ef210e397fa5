"""Replies that concern the connection: no message uses an attempt for them."""

from __future__ import annotations

import pytest

from flask_outbox.delivery import Outcome
from flask_outbox.transports.smtp.capabilities import Offer
from tests.servers import CLOSE, STALL, ScriptedSmtp, Step
from tests.servers.scripted_smtp import CONTENT, Action

from .talk import (
    COPING,
    DATA,
    DOT,
    GREETING,
    HASTY_SECONDS,
    HELLO,
    MAIL,
    ONE_MAIL,
    QUIT,
    RCPT,
    RSET,
    at_once,
    deliver_once,
    ehlo,
    in_turn,
    settings_for,
)

ACCEPTED = [Outcome.ACCEPTED]
DEFERRED = [Outcome.DEFERRED]
PIPELINING = [COPING, ehlo("PIPELINING")]
RIDER = [RSET, *ONE_MAIL]
NESTED = b"503 5.5.1 Error: nested MAIL command\r\n"
LATER = b"450 4.7.1 quota exceeded\r\n"
PEOPLE = [f"{name}@example.org" for name in "abcd"]


# ------------------------------------------------------------ what a server keeps open


@pytest.mark.parametrize("offer", [["8BITMIME"], ["PIPELINING"]])
@pytest.mark.parametrize("verdict", [LATER, b"554 5.7.1 never\r\n"])
def test_the_transaction_is_reset_after_refused_content(
    offer: list[str], verdict: bytes
) -> None:
    refused = [*ONE_MAIL[:3], Step(CONTENT, verdict)]
    script = [COPING, ehlo(*offer), *refused, RSET, *ONE_MAIL, QUIT]
    made, server = in_turn(script, count=2)
    assert made[0].outcomes != ACCEPTED
    assert made[1].outcomes == ACCEPTED
    assert server.connections_made == 1


def test_the_transaction_is_reset_after_a_refused_sender() -> None:
    refused = Step("MAIL", b"550 5.7.1 never\r\n")
    made, _ = in_turn([*HELLO, refused, RSET, *ONE_MAIL, QUIT], count=2)
    assert [one.outcomes for one in made] == [[Outcome.REFUSED], ACCEPTED]


def test_a_rider_clears_what_a_refused_content_may_leave() -> None:
    refused = [*ONE_MAIL[:3], Step(CONTENT, LATER)]
    made, server = at_once([*PIPELINING, *refused, *RIDER, QUIT], count=2)
    assert [one.outcomes for one in made] == [DEFERRED, ACCEPTED]
    assert server.connections_made == 1


def test_a_content_taken_after_a_refused_sender_is_unknown() -> None:
    """It may have gone out under the envelope before."""
    offer = ehlo("PIPELINING", "CHUNKING")
    nested = [Step("MAIL", NESTED), RCPT, Step("BDAT", b"250 2.0.0 kept\r\n")]
    made, _ = at_once([COPING, offer, *ONE_MAIL, RSET, *nested], count=2)
    assert made[1].outcomes == [Outcome.UNKNOWN]
    assert "after its envelope had been refused" in made[1].replies[0]


# ------------------------------------------------------- no verdict, and a fresh try

SERVED = {
    "503 to MAIL": [Step("MAIL", NESTED)],
    "503 to RCPT": [MAIL, Step("RCPT", NESTED)],
    "503 to DATA": [MAIL, RCPT, Step("DATA", NESTED)],
    "503 to the dot": [MAIL, RCPT, DATA, Step(CONTENT, NESTED)],
    "421 to RCPT": [MAIL, Step("RCPT", b"421 4.7.0 too many errors\r\n")],
    "421 to DATA": [MAIL, RCPT, Step("DATA", b"421 4.3.2 bye\r\n", CLOSE)],
    "421 to the dot": [MAIL, RCPT, DATA, Step(CONTENT, b"421 4.3.2 bye\r\n")],
    "452 to MAIL": [Step("MAIL", b"452 4.5.3 Too many messages\r\n")],
    "550 to MAIL": [Step("MAIL", b"550 5.7.0 Too many messages\r\n")],
    "452 to RCPT": [MAIL, Step("RCPT", b"452 4.5.3 Too many recipients\r\n")],
    "no to RSET": [*ONE_MAIL[:3], Step(CONTENT, LATER), Step("RSET", b"500 no\r\n")],
}


@pytest.mark.parametrize("case", SERVED)
def test_a_refusal_on_a_used_connection_is_tried_on_a_fresh_one(
    case: str,
) -> None:
    served = SERVED[case] if case == "no to RSET" else [*ONE_MAIL, *SERVED[case]]
    made, server = in_turn([*HELLO, *served], [*HELLO, *ONE_MAIL, QUIT], count=2)
    assert made[1].outcomes == ACCEPTED
    assert server.connections_made == 2


def test_silence_of_a_used_connection_is_not_an_attempt() -> None:
    """As where a firewall has forgotten it."""
    silent = [*HELLO, *ONE_MAIL, Step("MAIL", STALL)]
    made, _ = in_turn(
        silent,
        [*HELLO, *ONE_MAIL, QUIT],
        count=2,
        command_timeout_seconds=HASTY_SECONDS,
    )
    assert made[1].outcomes == ACCEPTED


@pytest.mark.parametrize(
    "case", [one for one in SERVED if one[:3] in ("503", "421") or "421" in one]
)
def test_a_refusal_on_a_fresh_connection_is_the_transports_fault(case: str) -> None:
    with ScriptedSmtp([*HELLO, *SERVED[case]]) as server:
        made = deliver_once(settings_for(server))
    assert server.host in made.reason


@pytest.mark.parametrize(
    ("reply", "outcome"),
    [
        (b"452 4.5.3 Too many messages\r\n", Outcome.DEFERRED),
        (b"550 5.1.8 no such sender\r\n", Outcome.REFUSED),
    ],
)
def test_a_reply_to_mail_on_a_fresh_connection_is_final(
    reply: bytes, outcome: Outcome
) -> None:
    said = Step("MAIL", reply)
    made, server = in_turn([*HELLO, *ONE_MAIL, said], [*HELLO, said, QUIT], count=2)
    assert made[1].outcomes == [outcome]
    assert server.connections_made == 2


def test_a_used_up_connection_does_not_draw_all_mail() -> None:
    """The quickest is the one that refuses; all others wait behind it."""
    used_up = [*HELLO, *ONE_MAIL, Step("MAIL", b"452 4.5.3 Too many messages\r\n")]
    made, server = at_once(used_up, used_up, used_up, [*HELLO, *ONE_MAIL], count=4)
    assert [one.outcomes for one in made] == [ACCEPTED] * 4
    assert server.connections_made == 4


# ------------------------------------------------------------------ behind a content


@pytest.mark.parametrize(
    ("greeting", "copes"),
    [
        ("mx.test ESMTP Postfix (Debian/GNU)", True),
        ("mx.test ESMTP Exim 4.96 Sun, 29 Nov 2026 11:00:00 +0000", True),
        ("mx.test ESMTP Sendmail 8.17.1/8.17.1; Sun, 29 Nov 2026", True),
        ("mx.test ESMTP OpenSMTPD", True),
        ("mx.test ESMTP nodemailer", True),
        ("mx.test\nmx.test ESMTP Postfix", True),
        ("mx.test ESMTP Haraka/3.0.3 ready", False),
        ("mx.test Dovecot (Debian) ready.", False),
        ("mx.test ESMTP", False),
        ("postfix.test ESMTP Haraka/3.0.3 ready", False),
        ("", False),
    ],
)
def test_servers_that_take_commands_behind_content_are_known_by_their_greeting(
    greeting: str, copes: bool
) -> None:
    assert Offer.read({"PIPELINING": ""}, greeting).copes_with_riders == copes


@pytest.mark.parametrize(
    ("greeting", "wanted", "rides"),
    [
        (GREETING, None, False),
        (GREETING, True, True),
        (COPING, None, True),
        (COPING, False, False),
    ],
)
def test_commands_follow_content_at_once_by_greeting_or_by_setting(
    greeting: Step, wanted: bool | None, rides: bool
) -> None:
    second = RIDER if rides else ONE_MAIL
    script = [greeting, ehlo("PIPELINING"), *ONE_MAIL, *second, QUIT]
    made, _ = at_once(script, count=2, pipeline_after_content=wanted)
    assert [one.outcomes for one in made] == [ACCEPTED] * 2


HARAKA: Action = b"250 2.0.0 queued\r\n" + b"503 pipelined after end of DATA\r\n" * 4


@pytest.mark.parametrize(
    ("dot", "first", "said"),
    [
        (HARAKA, Outcome.ACCEPTED, "answered 503 to"),
        (b"250 2.0.0 queued\r\n", Outcome.ACCEPTED, "fell silent at"),
        (CLOSE, Outcome.UNKNOWN, "broke off at"),
    ],
    ids=["503", "swallowed", "fatal"],
)
def test_commands_behind_content_are_tried_once_with_a_server_that_refuses_them(
    dot: Action, first: Outcome, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    flight = [Step(CONTENT), Step("RSET"), Step("MAIL"), Step("RCPT")]
    did = [*ONE_MAIL[:3], *flight, Step("DATA", dot, STALL)]
    after = [*PIPELINING, *ONE_MAIL, *ONE_MAIL, QUIT]
    made, _ = at_once(
        [*PIPELINING, *did], after, count=3, command_timeout_seconds=HASTY_SECONDS
    )
    assert [one.outcomes for one in made] == [[first], ACCEPTED, ACCEPTED]
    (line,) = [one.getMessage() for one in caplog.records]
    assert f"{said} commands that came directly behind a message's content" in line


# ------------------------------------------------------------- too many recipients


@pytest.mark.parametrize("offer", [["8BITMIME"], ["PIPELINING"]])
@pytest.mark.parametrize(
    "reply",
    [
        b"452 4.5.3 Error: too many recipients\r\n",
        b"452 too many recipients\r\n",
        b"552 5.5.3 too many recipients\r\n",
        b"552 too many recipients\r\n",
        b"550 5.5.3 too many recipients\r\n",
    ],
)
def test_recipients_beyond_the_limit_get_a_transaction_of_their_own(
    offer: list[str], reply: bytes
) -> None:
    no = Step("RCPT", reply)
    full = [MAIL, RCPT, RCPT, no, no, DATA, DOT]
    script = [GREETING, ehlo(*offer), *full, MAIL, RCPT, RCPT, DATA, DOT, QUIT]
    with ScriptedSmtp(script) as server:
        made = deliver_once(settings_for(server), *PEOPLE)
        server.wait_for_end()
    assert made.outcomes == ACCEPTED * 4
    said = [one for one in server.commands() if one.startswith("RCPT")]
    assert [one[9:-1] for one in said] == [*PEOPLE, *PEOPLE[2:]]


@pytest.mark.parametrize(
    ("reply", "outcome"),
    [
        (b"552 5.2.2 mailbox full\r\n", Outcome.REFUSED),
        (b"452 4.2.2 mailbox full\r\n", Outcome.DEFERRED),
        (b"452 4.3.1 no room\r\n", Outcome.DEFERRED),
    ],
)
def test_a_full_mailbox_is_not_taken_for_a_limit_of_recipients(
    reply: bytes, outcome: Outcome
) -> None:
    full = [MAIL, RCPT, Step("RCPT", reply), DATA, DOT]
    with ScriptedSmtp([*HELLO, *full, QUIT]) as server:
        made = deliver_once(settings_for(server), *PEOPLE[:2])
    assert made.outcomes == [Outcome.ACCEPTED, outcome]


@pytest.mark.parametrize(
    ("code", "outcome"), [(452, Outcome.DEFERRED), (552, Outcome.REFUSED)]
)
def test_a_refusal_of_a_single_recipient_is_final(code: int, outcome: Outcome) -> None:
    no = Step("RCPT", b"%d storage exceeded\r\n" % code)
    first = [MAIL, RCPT, no, no, DATA, DOT]
    alone = [MAIL, no, RSET]
    with ScriptedSmtp([*HELLO, *first, *alone, *alone, QUIT]) as server:
        made = deliver_once(settings_for(server), *PEOPLE[:3])
        server.wait_for_end()
    assert made.outcomes == [Outcome.ACCEPTED, outcome, outcome]


def test_remaining_recipients_are_tried_after_a_refusal() -> None:
    no = Step("RCPT", b"452 4.5.3 too many\r\n")
    first = [MAIL, RCPT, no, DATA, Step(CONTENT, b"554 5.7.1 never\r\n"), RSET]
    with ScriptedSmtp([*HELLO, *first, *ONE_MAIL, QUIT]) as server:
        made = deliver_once(settings_for(server), *PEOPLE[:2])
    assert made.outcomes == [Outcome.REFUSED, Outcome.ACCEPTED]


def test_accepted_recipients_stay_accepted_if_the_server_goes_down() -> None:
    no = Step("RCPT", b"452 4.5.3 too many\r\n")
    first = [MAIL, RCPT, no, DATA, DOT, Step("MAIL", b"421 4.3.2 bye\r\n")]
    with ScriptedSmtp([*HELLO, *first]) as server:
        made = deliver_once(settings_for(server), *PEOPLE[:2])
    assert made.outcomes == [Outcome.ACCEPTED, Outcome.DEFERRED]
    assert "closed the connection before its greeting" in made.replies[1]
    assert made.progress.final_dot_sent
