"""Several messages in flight on one connection: one's fate never hangs on another's.

Read the table as: when the server answers that step of one message with what stands
above, the other message ends as the letter says. ``A`` accepted on the same connection,
``a`` accepted on another one, untouched by the trouble; ``U`` unknown, because the
server may have it whole and only its answer is missing; ``AU`` one or the other, as a
reset destroys what the server had said and we had not read.
"""

from __future__ import annotations

import pytest

from flask_outbox.delivery import Outcome
from tests.servers import Step
from tests.servers.scripted_smtp import CHUNK, CONTENT

from .talk import (
    ANSWERS,
    COPING,
    DATA,
    HASTY_SECONDS,
    MAIL,
    ONE_MAIL,
    QUIT,
    RCPT,
    REFUSED,
    RSET,
    at_once,
    ehlo,
)

TABLE = """
trouble in                4xx  5xx  421  nonsense  malformed  closed  reset  stalled
pipelined before MAIL     A    A    a    a         a          a       a      a
pipelined before RCPT     A    A    a    a         a          a       a      a
pipelined before DATA     A    A    a    a         a          a       a      a
pipelined before verdict  A    A    a    a         a          a       a      a
pipelined before RSET     a    a    a    a         a          a       a      a
pipelined after MAIL      A    A    A    A         A          A       A      A
pipelined after RCPT      A    A    A    A         A          A       A      A
pipelined after DATA      A    A    A    A         A          A       A      A
pipelined after verdict   A    A    A    A         A          A       A      A
streamed before MAIL      A    A    a    U         U          U       U      U
streamed before RCPT      A    A    a    U         U          U       U      U
streamed before verdict   A    A    a    U         U          U       U      U
streamed after RSET       A    A    A    A         A          A       AU     A
streamed after MAIL       A    A    A    A         A          A       AU     A
streamed after RCPT       A    A    A    A         A          A       AU     A
streamed after verdict    A    A    A    A         A          A       AU     A
"""
"""*before*: the trouble is in the message before; *after*: in the one after."""

PIPELINING = ehlo("PIPELINING")
CHUNKING = ehlo("PIPELINING", "CHUNKING")
VERDICT = Step(CHUNK, b"250 2.0.0 kept\r\n")
OUT_OF_ORDER = b"503 5.5.1 out of order\r\n"
LETTERS = {Outcome.ACCEPTED: "A", Outcome.UNKNOWN: "U"}


def cells() -> list[tuple[str, str, str, str, str]]:
    head, *rows = (line.split() for line in TABLE.strip().splitlines())
    return [
        (mode, place, step, answer, cell)
        for mode, place, step, *row in rows
        for answer, cell in zip(head[2:], row, strict=True)
    ]


def test_the_table_of_cases_is_complete() -> None:
    assert len(cells()) == 16 * 8


def pipelined(step: str, answer: str) -> list[Step]:
    """One message in one flight, with that answer at that step."""
    said = ANSWERS[answer]
    if step == "DATA" and answer == "nonsense":
        said = b"250 ok\r\n"
    goes_on = answer in ("4xx", "5xx")
    match step:
        case "MAIL":
            rest = [Step("RCPT", OUT_OF_ORDER), Step("DATA", OUT_OF_ORDER)]
            return [Step("MAIL", said), *(rest if goes_on else [])]
        case "RCPT":
            rest = [Step("DATA", b"554 5.5.1 no valid recipients\r\n"), RSET]
            return [MAIL, Step("RCPT", said), *(rest if goes_on else [])]
        case "DATA":
            return [MAIL, RCPT, Step("DATA", said), *([RSET] if goes_on else [])]
        case "RSET":
            return [MAIL, REFUSED, Step("DATA", OUT_OF_ORDER), Step("RSET", said)]
    return [MAIL, RCPT, DATA, Step(CONTENT, said)]


def streamed(step: str, answer: str) -> list[Step]:
    """One message in a stream, with that answer at that step."""
    said = ANSWERS[answer]
    goes_on = answer in ("4xx", "5xx")
    not_taken = Step(CHUNK, OUT_OF_ORDER)
    match step:
        case "RSET":
            return [Step("RSET", said)]
        case "MAIL":
            rest = [Step("RCPT", OUT_OF_ORDER), not_taken]
            return [Step("MAIL", said), *(rest if goes_on else [])]
        case "RCPT":
            return [MAIL, Step("RCPT", said), *([not_taken] if goes_on else [])]
    return [MAIL, RCPT, Step(CHUNK, said)]


def script_of(mode: str, place: str, step: str, answer: str) -> list[Step]:
    """The whole connection: two messages; streamed ones need one that leads the way.

    Whatever is said behind another message begins with RSET.
    """
    ends = answer not in ("4xx", "5xx") or step == "RSET"
    if mode == "pipelined":
        bad, good, hello = pipelined(step, answer), ONE_MAIL, [COPING, PIPELINING]
    else:
        bad, good = streamed(step, answer), [MAIL, RCPT, VERDICT]
        hello = [COPING, CHUNKING, *ONE_MAIL, RSET]
    if place == "after":
        clear = [RSET] if (mode, step) != ("streamed", "RSET") else []
        return [*hello, *good, *clear, *bad, *([] if ends else [QUIT])]
    return [*hello, *bad, *([] if ends else [RSET, *good, QUIT])]


def is_put_back(mode: str, place: str, step: str, answer: str) -> bool:
    """Whether what the server says is no verdict, and the message goes elsewhere."""
    served = mode == "streamed" or place == "after"
    at_the_door = step in ("RSET", "MAIL")
    said_no = answer in ("4xx", "5xx") or mode == "pipelined"
    return served and (answer == "421" or (at_the_door and said_no))


@pytest.mark.parametrize(("mode", "place", "step", "answer", "cell"), cells())
def test_a_fault_of_one_message_never_harms_its_neighbour(
    mode: str, place: str, step: str, answer: str, cell: str
) -> None:
    changes = {}
    if answer == "stalled":
        kind = "data" if step == "verdict" else "command"
        changes[f"{kind}_timeout_seconds"] = HASTY_SECONDS
    mails = [cell == "a", is_put_back(mode, place, step, answer)].count(True)
    other = [COPING, PIPELINING, *[*ONE_MAIL, RSET] * max(mails, 1)]
    other[-1:] = [QUIT]
    scripts = [script_of(mode, place, step, answer), other]
    made, server = at_once(*scripts, count=3 if mode == "streamed" else 2, **changes)
    neighbour = made[-1] if place == "before" else made[-2]

    assert LETTERS[neighbour.outcomes[0]] in cell.upper()
    assert neighbour.progress.final_dot_sent
    if answer != "reset":
        assert server.connections_made == (2 if mails else 1)
    if cell == "a" and mails == 1:
        assert f"us: connected to 127.0.0.1:{server.port}" in neighbour.dialogue
