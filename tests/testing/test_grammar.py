"""How a script for a mail server is read."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from flask_outbox.errors import ScriptError
from flask_outbox.testing.smtp_script import (
    GRAMMAR,
    Accept,
    Action,
    Answer,
    Close,
    Die,
    Moment,
    Phase,
    Refuse,
    Script,
    Stall,
    Step,
    parse,
)

DOT = frozenset({Step.FINAL_DOT})
RCPT = frozenset({Step.RCPT})
COMMANDS = frozenset(Step) - {Step.GREETING}
LATER = Answer("451 4.0.0 Not now, says the script")
NEVER = Answer("550 5.0.0 No, says the script")

SINGLE = {
    "451": Phase(LATER, DOT),
    "451 on the final dot": Phase(LATER, DOT),
    '451 "4.7.1 Greylisted, on purpose" on RCPT': Phase(
        Answer("451 4.7.1 Greylisted, on purpose"), RCPT
    ),
    "451 on the second RCPT": Phase(LATER, RCPT, number=2),
    "451 on the 12th RCPT": Phase(LATER, RCPT, number=12),
    "451 on every RCPT": Phase(LATER, RCPT),
    "550 on RCPT bob@example.org": Phase(NEVER, RCPT, address="bob@example.org"),
    "550 on RCPT <Bob@Example.org>": Phase(NEVER, RCPT, address="bob@example.org"),
    "451 on the second RCPT of the first message": Phase(
        LATER, RCPT, number=2, message=1
    ),
    "451 on the first message": Phase(LATER, DOT, message=1),
    "421 at the greeting": Phase(
        Answer("421 4.0.0 Not now, says the script"), frozenset({Step.GREETING})
    ),
    "535 on AUTH twice": Phase(
        Answer("535 5.0.0 No, says the script"), frozenset({Step.AUTH}), times=2
    ),
    "Close After The Final Dot": Phase(Close(), DOT),
    "close at data once": Phase(Close(), frozenset({Step.DATA}), times=1),
    "stall 30 s": Phase(Stall(30.0), DOT),
    "stall 1.5s on MAIL 3 times": Phase(Stall(1.5), frozenset({Step.MAIL}), times=3),
    "slow 200 ms": Phase(Stall(0.2), COMMANDS),
    "stall 200ms on every command": Phase(Stall(0.2), COMMANDS),
    "die between accept and record": Phase(Die(), DOT),
    "die between accept and record on the 2nd message": Phase(Die(), DOT, message=2),
    "refuse connections": Phase(Refuse(), frozenset()),
    "250 on EHLO": Phase(Accept(), frozenset({Step.EHLO})),
}


@pytest.mark.parametrize("text", SINGLE)
def test_a_phase_is_parsed(text: str):
    (rule,) = parse(text).rules
    assert rule.phases == [SINGLE[text]]


def test_then_separates_phases():
    (rule,) = parse("451 twice, then close then accept").rules
    assert rule.phases == [
        Phase(LATER, DOT, times=2),
        Phase(Close(), DOT, times=1),
        Phase(Accept(), DOT),
    ]


def test_a_semicolon_separates_rules():
    script = parse(" 451 on RCPT ada@example.org;\n\n  550 on the final dot ;")
    assert [one.text for one in script.rules] == [
        "451 on RCPT ada@example.org",
        "550 on the final dot",
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "it is empty"),
        (" ; ", "it is empty"),
        (
            "451 on the sceond RCPT",
            "'sceond' is not understood there; did you mean 'se",
        ),
        ("451 on the second", "something is missing at the end of a phase"),
        ("451 on RSET", "'RSET' is not understood there"),
        ("351", "'351' is not understood there"),
        ("451 later", "'later' is not understood there"),
        ('451 "no end', "'\"' is not understood there"),
        ("stall 30", "something is missing at the end of a phase"),
        ("stall 30 min", "'min' is not understood there"),
        ("accept 3", "something is missing at the end of a phase"),
        ("451 on the second RCPT of the message", "'message' is not understood there"),
        ("451 on MAIL bob@example.org", "'bob@example.org' is not understood there"),
        ("451 then", "something is missing at the end of a phase"),
        ("die", "'die' is not understood there"),
        (
            "die between accept and record on RCPT",
            "a worker can be killed at the final dot only",
        ),
        (
            "refuse connections, then accept",
            "'refuse connections' must be the only rule; set another script to accept "
            "connections again",
        ),
        (
            "refuse connections; 451",
            "'refuse connections' must be the only rule; set another script to accept "
            "connections again",
        ),
        ("refuse connections at the greeting", "'at' is not understood there"),
        ("refuse connections once", "'once' is not understood there"),
        ("451 on the second command", "'command' cannot be counted; name one"),
    ],
)
def test_an_error_names_what_is_not_understood(text: str, problem: str):
    with pytest.raises(ScriptError) as raised:
        parse(text)
    assert str(raised.value).startswith(f"The script {text!r}: {problem}")
    assert str(raised.value).endswith(GRAMMAR)


def _played(script: Script, *addresses: str) -> list[Action]:
    """What is done on each RCPT of a message, and on its final dot."""
    message = script.count(Step.MAIL)
    actions = [
        script.action_at(Moment(Step.RCPT, number, message, address))
        for number, address in enumerate(addresses, 1)
    ]
    dots = script.count(Step.FINAL_DOT)
    return [*actions, script.action_at(Moment(Step.FINAL_DOT, dots, message))]


def test_recipients_are_counted_within_their_message():
    script = parse("451 on the second RCPT")
    for _ in range(2):
        assert _played(script, "a@b", "c@d", "e@f") == [
            Accept(),
            LATER,
            Accept(),
            Accept(),
        ]


def test_a_phase_is_followed_by_the_next():
    script = parse("451, then close twice, then accept")
    assert [_played(script) for _ in range(5)] == [
        [LATER],
        [Close()],
        [Close()],
        [Accept()],
        [Accept()],
    ]


def test_a_phase_applies_only_at_its_step():
    script = parse("550 on RCPT bob@example.org once; 451 on the second message")
    assert _played(script, "ada@example.org") == [Accept(), Accept()]
    assert _played(script, "Bob@example.org") == [NEVER, LATER]
    assert _played(script, "bob@example.org") == [Accept(), Accept()]
    assert script.unused_rules == []


def test_an_unused_rule_is_reported():
    script = parse("451 on the third RCPT; accept")
    _played(script, "a@b")
    assert script.unused_rules == ["451 on the third RCPT"]
    assert parse("refuse connections").unused_rules == []


def test_each_script_in_the_documentation_is_valid():
    page = (Path(__file__).parents[2] / "docs" / "testing.rst").read_text()
    table = page.partition(".. list-table:: Scripts")[2].partition("\n\n\n")[0]
    scripts = re.findall(r"^   \* - ``(.*)``$", table, re.MULTILINE)
    assert len(scripts) > 10
    for text in scripts:
        parse(text)
