"""Complaints (RFC 5965, RFC 9477), and feedback that is none."""

from __future__ import annotations

from typing import Any

from flask_outbox.feedback import Fate
from flask_outbox.feedback.reading import MailKind

from .writing import ID, RCPT, RETURN_PATH, RETURNED, Sample, multipart

_FIELDS = {
    "Feedback-Type": "abuse",
    "User-Agent": "SomeGenerator/1.0",
    "Version": "1",
    "Original-Mail-From": f"<{RETURN_PATH}>",
    "Original-Rcpt-To": f"<{RCPT}>",
    "Arrival-Date": "Mon, 3 Nov 2025 09:00:00 +0000",
    "Source-IP": "192.0.2.10",
    "Reported-Domain": "example.com",
}
_SECRET = "".join(
    line for line in RETURNED.splitlines(True) if not line.startswith("Return-Path")
).replace(RCPT, "redacted")
"""A returned mail in which the provider has removed who got it."""


def _complaint(
    name: str,
    fate: Fate | None = Fate.COMPLAINED,
    returned: str = RETURNED,
    kind: str = "message/rfc822",
    address: str | None = RCPT,
    head: dict[str, str] | None = None,
    **fields: str | None,
) -> Sample:
    changed = {key.replace("_", "-"): value for key, value in fields.items()}
    written = {**_FIELDS, **changed}.items()
    text = "".join(f"{key}: {value}\n" for key, value in written if value is not None)
    content = multipart(
        "multipart/report; report-type=feedback-report",
        ("text/plain; charset=us-ascii", "This is an email abuse report.\n"),
        ("message/feedback-report", text),
        (kind, returned),
        **{
            "From": "feedback@provider.example",
            "To": "fbl@example.com",
            **(head or {}),
        },
    )
    kind_of_mail = MailKind.COMPLAINT
    return Sample(
        f"complaint-{name}-{fate}", content, fate, kind=kind_of_mail, address=address
    )


_NO_PATH: dict[str, Any] = {"Original_Mail_From": None, "Original_Rcpt_To": None}

COMPLAINTS = (
    _complaint("abuse"),
    _complaint("fraud", Feedback_Type="fraud"),
    _complaint("upper-case", Feedback_Type="ABUSE"),
    _complaint("yahoo", head={"From": "Yahoo! Mail AntiSpam Feedback <feedback@arf.mail.yahoo.com>", "Subject": "FW: Your order"}, User_Agent="Yahoo!-Mail-Feedback/2.0"),
    _complaint("comcast", head={"From": "feedbackloop@comcastfbl.senderscore.net"}, User_Agent="ReturnPathFBL/1.0"),
    _complaint("validity", address=None, **_NO_PATH, User_Agent="Validity-FBL/2.0"),
    _complaint("redacted-rcpt", address=None, Original_Rcpt_To="<redacted>"),
    _complaint("only-header", address=None, returned=_SECRET, **_NO_PATH),
    _complaint("only-headers-returned", returned=_SECRET.partition("\n\n")[0], kind="text/rfc822-headers", address=None, **_NO_PATH),
    _complaint("only-original-mail-from", returned="Subject: x\n\nx\n"),
    _complaint("no-type", Feedback_Type=None),
    _complaint("cfbl", head={"To": RETURN_PATH, "Subject": "Report for your mail"}, returned=_SECRET, kind="text/rfc822-headers", **_NO_PATH, address=None),
    _complaint("with-spaces", Original_Rcpt_To=f"  {RCPT} "),
    _complaint("version-0.1", Version="0.1"),
    _complaint("auto-submitted", head={"Auto-Submitted": "auto-generated"}),
    _complaint("opt-out", Fate.UNSUBSCRIBED, Feedback_Type="opt-out"),
    _complaint("opt-out-list", Fate.UNSUBSCRIBED, Feedback_Type="opt-out-list"),
    _complaint("not-spam", None, Feedback_Type="not-spam"),
    _complaint("auth-failure", None, Feedback_Type="auth-failure", Auth_Failure="dmarc"),
    _complaint("virus", None, Feedback_Type="virus"),
    _complaint("other", None, Feedback_Type="other"),
    Sample("complaint-in-mixed-complained", multipart("multipart/mixed", ("text/plain", "A report."), ("message/feedback-report", f"Feedback-Type: abuse\nOriginal-Rcpt-To: {RCPT}\n"), ("message/rfc822", RETURNED)), Fate.COMPLAINED, kind=MailKind.COMPLAINT),
    Sample("complaint-hotmail-complained", multipart("multipart/mixed", ("message/rfc822", f"X-HmXmrOriginalRecipient: {RCPT}\n{RETURNED}"), From="staff@hotmail.com", Subject="complaint about message from 192.0.2.10"), Fate.COMPLAINED, kind=MailKind.COMPLAINT),
    Sample("complaint-without-token-none", multipart("multipart/report; report-type=feedback-report", ("text/plain", "A report."), ("message/feedback-report", f"Feedback-Type: abuse\nOriginal-Rcpt-To: {RCPT}\n"), ("message/rfc822", f"Message-ID: <{ID}@example.com>\n\nHello\n"), To="fbl@example.com"), None, kind=MailKind.UNSIGNED),
)  # fmt: skip
