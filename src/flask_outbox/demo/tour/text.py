"""The texts of the lesson, for any mail."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Loss:
    """What a crash at a step loses."""

    with_thread: str
    with_outbox: str


@dataclass(frozen=True, slots=True)
class Step:
    """One row of the execution table: the state after the step."""

    number: int
    action: str
    background: str
    app: str
    output: str
    flow: tuple[int, ...]
    """The stages of `FLOW` that the step lights up."""
    crash: Loss


@dataclass(frozen=True, slots=True)
class Moment:
    """A key moment: a question, its answer, and the steps that it is about."""

    question: str
    answer: str
    steps: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Choice:
    """A possible answer, and the response to it."""

    value: str
    text: str
    verdict: str


@dataclass(frozen=True, slots=True)
class Question:
    """A question of the quiz. ``right`` is the value of the correct choice."""

    name: str
    text: str
    hint: str
    right: str
    choices: tuple[Choice, ...]


FLOW = (
    ("The user triggers the sending", "A request comes to /send-email."),
    ("The background work starts", "The mail is in the outbox; a courier is woken."),
    ("The sending runs in the background", "The courier talks to the SMTP server."),
    ("The main app continues", "It has answered, and serves others."),
    ("Sent, or the error is handled", "The server's reply is recorded."),
    ("The background work ends", "The courier waits for the next mail."),
)
"""The stages of a sending, from top to bottom: name and explanation."""

STEPS = (
    Step(
        1,
        "The user calls /send-email",
        background="not started",
        app="waiting for the response",
        output="none yet",
        flow=(0,),
        crash=Loss(
            "The request. The browser shows an error, and nobody was told that a mail "
            "is on its way.",
            "The same: only what send() has returned for is promised.",
        ),
    ),
    Step(
        2,
        "The background work starts",
        background="started",
        app="returns the response at once",
        output="none yet",
        flow=(1,),
        crash=Loss(
            "The mail. “Email sending started!” has been read, and the mail was in "
            "memory only.",
            "Nothing. The mail is on disk, and the next start delivers it.",
        ),
    ),
    Step(
        3,
        "The main app processes other requests",
        background="running",
        app="ready for new requests",
        output="none yet",
        flow=(2, 3),
        crash=Loss(
            "The mail, and every other one that a slow server keeps waiting in memory.",
            "Nothing. The dead courier's lease runs out, and the mail is rescued. It "
            "may arrive twice if the server had it all and not yet answered.",
        ),
    ),
    Step(
        4,
        "send_email runs: the server takes the mail",
        background="running",
        app="independent",
        output="Email sent!",
        flow=(2, 3),
        crash=Loss(
            "The result. The mail has arrived, and nobody will ever know.",
            "Nothing, but the mail arrives twice: the server's reply was not yet "
            "recorded, so it is sent again, with the same Message-ID. That is what “at "
            "least once” means.",
        ),
    ),
    Step(
        5,
        "send_email completes",
        background="finished",
        app="unaffected",
        output="it is known that the mail was sent",
        flow=(4,),
        crash=Loss(
            "The result: “Email sent!” was printed, but stored nowhere.",
            "Nothing. The state is sent, with the server's reply, and stays so.",
        ),
    ),
    Step(
        6,
        "The background work ends",
        background="stopped",
        app="still running",
        output="none further",
        flow=(5,),
        crash=Loss(
            "Nothing more. The result was never stored.",
            "Nothing.",
        ),
    ),
)

TRACKED_AFTER = (("Start", 0), ("After step 2", 2), ("After step 4", 4), ("Final", 6))
"""The moments at which the variables are shown: a heading, and the step before it."""

VARIABLES = (
    ("Background work", ("none", "started", "running", "finished")),
    ("Main app", ("running", "running", "running", "running")),
)

MOMENTS = (
    Moment(
        "Why does the main app not wait until the mail is sent?",
        "Because the sending is done elsewhere. send() returns once the mail is stored "
        "in the outbox, and the response goes out at once, before the SMTP server is "
        "contacted.",
        (2, 3),
    ),
    Moment(
        "What happens if the sending takes long?",
        "Nothing that a user would notice: other requests are served all the same. "
        "Only the mail itself waits.",
        (3,),
    ),
    Moment(
        "How do we know that the mail was sent?",
        "The background work says so: the courier gets the server's reply, and it "
        "goes into the mail's record. mail.get(id).state is then sent, also after a "
        "restart.",
        (4, 5),
    ),
)

QUIZ = (
    Question(
        "response",
        "At which step does the main app return its response?",
        hint="Look at the column of the main app.",
        right="2",
        choices=(
            Choice("1", "Step 1", "At step 1 it is still waiting for the response."),
            Choice(
                "2",
                "Step 2",
                "The mail is in the outbox, so the response goes out at once.",
            ),
            Choice(
                "4",
                "Step 4",
                "By then the response has long gone out; this is the courier's work.",
            ),
            Choice("6", "Step 6", "That is the end of the background work alone."),
        ),
    ),
    Question(
        "done",
        "At which step does the sending say that it is done?",
        hint="Look for “Email sent!” in the column of the output.",
        right="4",
        choices=(
            Choice("2", "Step 2", "At step 2 it has only been started."),
            Choice(
                "3",
                "Step 3",
                "At step 3 the server still has to answer, and others are served.",
            ),
            Choice("4", "Step 4", "The server took the mail: “Email sent!”"),
            Choice("6", "Step 6", "At step 6 there is no further output."),
        ),
    ),
    Question(
        "without",
        "What would happen without the background work?",
        hint="Who would then have to talk to the SMTP server?",
        right="wait",
        choices=(
            Choice(
                "wait",
                "The app would wait until the sending has finished",
                "The view itself would talk to the server, and the user would wait for "
                "both.",
            ),
            Choice(
                "same",
                "Nothing would be different",
                "It would: the response could not go out before the mail.",
            ),
            Choice(
                "lost",
                "The mail would not be sent",
                "It would be sent, while the user waits for it.",
            ),
        ),
    ),
)

SNAPSHOT = """\
Sending mail in the background, in short
- Background work sends the mail: a courier takes it from the outbox.
- The response is immediate.
- The sending is independent of the request.
- The user's request is never blocked.
- What is in the outbox survives a crash; a thread's mail does not.
The one call that does it:
    mail.send(Message("Hello", recipients=["ada@example.org"], body="…"))
"""

TRANSCRIPT = (
    "A user calls /send-email. The app creates the mail and calls mail.send(). No "
    "background work has started for it yet, and the user waits for the response.",
    "send() stores the mail in the outbox, on disk, and wakes the courier: the "
    "background work has started. The app returns “Email sending started!” at once, "
    "before it contacts any mail server.",
    "While the courier talks to the SMTP server, the main app processes other "
    "requests. How long the server takes makes no difference to them.",
    "In the background the sending runs on, independent of the app. When the server "
    "has taken the mail, the output is “Email sent!”.",
    "The sending is complete. The courier records the server's reply, so that it is "
    "known that the mail was sent. The app was not affected by any of it.",
    "The background work for this mail ends, and the app is still running. Had the "
    "server refused, the courier would have tried again later, or given up and said "
    "why.",
)
"""The tour as text, a paragraph for each step."""
