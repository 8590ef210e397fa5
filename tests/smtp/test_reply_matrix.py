"""Each step of the dialogue × each kind of answer: what becomes of two recipients.

Read the table as: when the server answers the step on the left with what stands above,
the two recipients end as the two letters say. ``A`` accepted, ``D`` deferred (4xx, or
trouble before the final dot), ``R`` refused, ``U`` unknown; ``down`` is
`TransportDown`, with nothing decided for anyone.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.servers import Authority, ScriptedSmtp, StartTls, Step
from tests.servers.scripted_smtp import CONTENT, Action

from .talk import (
    ANSWERS,
    DATA,
    DOT,
    GREETING,
    HASTY_SECONDS,
    HELLO,
    MAIL,
    ONE,
    QUIT,
    RCPT,
    REFUSED,
    RSET,
    TWO,
    deliver_once,
    ehlo,
    settings_for,
)

TABLE = """
step      ok    4xx   5xx   421   nonsense  malformed  closed  reset  stalled
greeting  AA    down  down  down  down      down       down    down   down
EHLO      AA    down  down  down  down      down       down    down   down
STARTTLS  AA    down  down  down  down      down       down    down   down
AUTH      AA    down  down  down  down      down       down    down   down
MAIL      AA    DD    RR    down  DD        DD         DD      DD     DD
RCPT-1    AA    DA    RA    down  DD        DD         DD      DD     DD
RCPT-2    AA    AD    AR    down  DD        DD         DD      DD     DD
RCPT-2*   RA    RD    RR    RD    RD        RD         RD      RD     RD
DATA      AA    DD    RR    down  DD        DD         DD      DD     DD
DATA*     RA    RD    RR    RD    RD        RD         RD      RD     RD
dot       AA    DD    RR    down  UU        UU         UU      UU     UU
dot*      RA    RD    RR    RD    RU        RU         RU      RU     RU
RSET      RR    RR    RR    RR    RR        RR         RR      RR     RR
QUIT      AA    AA    AA    AA    AA        AA         AA      AA     AA
"""
"""``*``: the first recipient was refused (550) before. *nonsense*: a good reply, but
not to this. *malformed*: no reply at all."""

NO_DATA = Step("DATA", b"554 5.5.1 no valid recipients\r\n")
CONNECTING = ("greeting", "EHLO", "STARTTLS", "AUTH")
LETTERS = {"accepted": "A", "deferred": "D", "refused": "R", "unknown": "U"}


def cells() -> list[tuple[str, str, str]]:
    head, *rows = (line.split() for line in TABLE.strip().splitlines())
    return [
        (step, answer, cell)
        for step, *row in rows
        for answer, cell in zip(head[1:], row, strict=True)
    ]


def is_of_one_flight(step: str, answer: str, _: str) -> bool:
    """Not a reset: it destroys what the server had said to the commands before."""
    earlier = step.endswith(("*", "RSET")) and answer == "reset"
    return step not in (*CONNECTING, "QUIT") and not earlier


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


def usual(step: str, authority: Authority, *offer: str) -> list[Step]:
    """A dialogue that has this step, and in which all goes well."""
    hello, rcpts, end = HELLO, [RCPT, RCPT], [DATA, DOT, QUIT]
    if offer:
        hello = [GREETING, ehlo(*offer)]
    if step == "STARTTLS":
        tls = StartTls(authority.context("127.0.0.1"))
        secured = Step("STARTTLS", b"220 go\r\n", tls)
        hello = [GREETING, ehlo("STARTTLS"), secured, ehlo()]
    elif step == "AUTH":
        hello = [GREETING, ehlo("AUTH PLAIN"), Step("AUTH", b"235 welcome\r\n")]
    elif step == "RSET":
        rcpts, end = [REFUSED, REFUSED], [*([NO_DATA] if offer else []), RSET, QUIT]
    elif step.endswith("*"):
        rcpts = [REFUSED, RCPT]
    return [*hello, MAIL, *rcpts, *end]


def spoiled(
    step: str, answer: str, steps: list[Step], *, in_one_flight: bool = False
) -> list[Step]:
    """The dialogue with that answer at that step, as it then goes on."""
    at = position(step, steps)
    said = Step(steps[at].expected, answered(step, answer))
    if answer not in ("4xx", "5xx", "nonsense"):
        return [*steps[:at], said]
    if step == "EHLO":
        return [*steps[:at], said, Step("HELO", answered(step, answer))]
    return [*steps[:at], said, *after(step, steps[at + 1 :], in_one_flight)]


def after(step: str, rest: list[Step], in_one_flight: bool) -> list[Step]:
    """What is still said after a no to this step."""
    if step in ("RCPT-1", "RCPT-2"):
        return rest
    if in_one_flight and step == "MAIL":
        no = b"503 5.5.1 out of order\r\n"
        return [Step("RCPT", no), Step("RCPT", no), Step("DATA", no), QUIT]
    if in_one_flight and step == "RCPT-2*":
        return [NO_DATA, RSET, QUIT]
    return [RSET, QUIT] if step.startswith(("DATA", "RCPT-2*")) else [QUIT]


def position(step: str, steps: list[Step]) -> int:
    name = step.rstrip("*").removesuffix("-1").removesuffix("-2")
    expected = {"greeting": "", "dot": CONTENT}.get(name, name)
    found = [at for at, one in enumerate(steps) if one.expected == expected]
    return found[step.startswith("RCPT-2")]


def answered(step: str, answer: str) -> Action:
    if answer == "nonsense" and step.startswith("DATA"):
        return b"250 ok\r\n"
    return ANSWERS[answer]


def settings_changes(step: str, answer: str, authority: Authority) -> dict[str, Any]:
    """What this cell needs of the settings: little patience, TLS, a login."""
    changes: dict[str, Any] = {}
    if answer == "stalled":
        kind = {"dot": "data", "dot*": "data"}.get(step, "command")
        kind = "connect" if step in CONNECTING else kind
        changes[f"{kind}_timeout_seconds"] = HASTY_SECONDS
    if step == "STARTTLS":
        changes.update(security="starttls", ca_file=authority.ca_file)
    if step == "AUTH":
        changes.update(username="ada", password="secret", auth_unencrypted=True)
    return changes


@pytest.mark.parametrize(("step", "answer", "cell"), cells())
def test_each_pair_of_replies_has_its_outcomes(
    step: str, answer: str, cell: str, authority: Authority
) -> None:
    steps = usual(step, authority)
    if answer != "ok":
        steps = spoiled(step, answer, steps)
    check(steps, step, answer, cell, authority)


@pytest.mark.parametrize(
    ("step", "answer", "cell"),
    [one for one in cells() if is_of_one_flight(*one)],
)
def test_each_pair_of_replies_has_the_same_outcomes_with_pipelining(
    step: str, answer: str, cell: str, authority: Authority
) -> None:
    steps = usual(step, authority, "PIPELINING", "CHUNKING")
    if answer != "ok":
        steps = spoiled(step, answer, steps, in_one_flight=True)
    check(steps, step, answer, cell, authority)


def check(
    steps: list[Step], step: str, answer: str, cell: str, authority: Authority
) -> None:
    changes = settings_changes(step, answer, authority)

    with ScriptedSmtp(steps) as server:
        made = deliver_once(settings_for(server, **changes), ONE, TWO)
        server.wait_for_end()

    if cell == "down":
        assert f"127.0.0.1:{server.port}" in made.reason
        assert made.down is not None
        assert made.down.__cause__ is not None
    else:
        assert "".join(LETTERS[one] for one in made.outcomes) == cell
    got_to_the_dot = step.startswith("dot") or "A" in cell
    assert made.progress.final_dot_sent == got_to_the_dot


def test_the_table_of_cases_is_complete() -> None:
    assert len(cells()) == 14 * 9
