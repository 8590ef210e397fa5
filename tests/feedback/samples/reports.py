"""Reports that servers can read (RFC 3464, RFC 6533)."""

from __future__ import annotations

from flask_outbox.feedback import Fate

from .writing import HARD, LATE, RCPT, RETURN_PATH, RETURNED, SOFT, Sample, multipart

_SMTP = (
    ("unknown", "5.1.1", "550 5.1.1 <{to}>: Recipient address rejected: User unknown in virtual mailbox table", HARD, False),
    ("unknown-local", "5.1.1", "550 5.1.1 <{to}>... User unknown", HARD, False),
    ("bad-system", "5.1.2", "550 5.1.2 Host unknown (Name server: example.org: host not found)", HARD, False),
    ("bad-syntax", "5.1.3", "501 5.1.3 Bad recipient address syntax", HARD, False),
    ("ambiguous", "5.1.4", "550 5.1.4 Ambiguous address", HARD, False),
    ("moved", "5.1.6", "551 5.1.6 recipient no longer on server", HARD, False),
    ("null-mx", "5.1.10", "556 5.1.10 Recipient domain does not accept mail (nullMX)", HARD, False),
    ("bad-sender", "5.1.8", "553 5.1.8 <shop@example.com>... Domain of sender address does not exist", HARD, True),
    ("disabled", "5.2.1", "550 5.2.1 The email account that you tried to reach is disabled", HARD, False),
    ("full", "5.2.2", "552 5.2.2 <{to}>: user is over quota", SOFT, False),
    ("full-for-days", "4.2.2", "452 4.2.2 mailbox full", SOFT, False),
    ("too-long-for-it", "5.2.3", "552 5.2.3 Message length exceeds administrative limit", SOFT, False),
    ("system-full", "4.3.1", "452 4.3.1 Insufficient system storage", SOFT, True),
    ("not-accepting", "5.3.2", "521 5.3.2 system not accepting network messages", HARD, True),
    ("too-big", "5.3.4", "552 5.3.4 Message size exceeds fixed limit", HARD, True),
    ("refused-connection", "4.4.1", "connect to example.org[203.0.113.9]:25: Connection refused", SOFT, False),
    ("expired", "4.4.7", "delivery time expired", SOFT, False),
    ("expired-for-good", "5.4.7", "delivery time expired", SOFT, False),
    ("no-route", "5.4.4", "Host or domain name not found. Name service error for name=example.org type=A", HARD, False),
    ("loop", "5.4.6", "554 5.4.6 Too many hops", SOFT, False),
    ("syntax", "5.5.2", "500 5.5.2 Syntax error, command unrecognized", HARD, True),
    ("too-many", "5.5.3", "452 5.5.3 Too many recipients", SOFT, False),
    ("conversion", "5.6.3", "554 5.6.3 Conversion required but not supported", HARD, True),
    ("spam", "5.7.1", "554 5.7.1 Message rejected as spam by content filtering", HARD, True),
    ("spf", "5.7.23", "550 5.7.23 SPF validation failed", HARD, True),
    ("dmarc", "5.7.26", "550-5.7.26 Unauthenticated email from example.com is not accepted due to domain's DMARC policy", HARD, True),
    ("blocklist", "5.7.1", "550 5.7.1 Service unavailable; client [192.0.2.10] blocked using zen.spamhaus.org", HARD, True),
    ("new-owner", "5.7.17", "550 5.7.17 Mailbox owner has changed", HARD, False),
    ("greylisted", "4.7.1", "450 4.7.1 Greylisting in action", SOFT, True),
    ("words-unknown", "5.0.0", "550 No such user here", HARD, False),
    ("words-full", "5.0.0", "552 Requested mail action aborted: mailbox size limit exceeded", SOFT, False),
    ("words-spam", "5.0.0", "554 Transaction failed: spam content detected", HARD, True),
    ("words-yahoo", "5.0.0", "554 delivery error: dd This user doesn't have a yahoo.com account ({to}) [0]", HARD, False),
    ("words-hotmail", "5.5.0", "550 5.5.0 Requested action not taken: mailbox unavailable", HARD, False),
    ("words-verify", "5.0.0", "550-Verification failed for <{to}> 550 unrouteable address", HARD, False),
    ("only-code", "5.0.0", "550 sorry", HARD, False),
    ("other-code", "5.0.0", "554 sorry", SOFT, False),
)  # fmt: skip
"""Name, status, diagnostic, and what is right."""

_SERVERS = ("postfix", "sendmail", "exim", "exchange", "office365", "gmail", "courier")

_TEXT = {
    "postfix": "This is the mail system at host mx.example.net.\n\nI'm sorry to have to inform you that your message could not\nbe delivered to one or more recipients.\n\n<{to}>: host mx.example.org[203.0.113.9] said: {said} (in reply to RCPT TO command)\n",
    "sendmail": "The original message was received at {date}\n\n   ----- The following addresses had permanent fatal errors -----\n<{to}>\n    (reason: {said})\n",
    "exim": "This message was created automatically by mail delivery software.\n\nA message that you sent could not be delivered to one or more of its\nrecipients.\n\n  {to}\n    host mx.example.org [203.0.113.9]\n    SMTP error from remote mail server after RCPT TO:<{to}>:\n    {said}\n",
    "exchange": "Delivery has failed to these recipients or groups:\n\n{to}\n\nDiagnostic information for administrators:\n\nGenerating server: mx.example.net\n\n{to}\n#< #{said}> #SMTP#\n",
    "office365": "Your message to {to} couldn't be delivered.\n\nRemote Server returned '{said}'\n",
    "gmail": "** Message not delivered **\n\nYour message wasn't delivered to {to}.\n\nThe response from the remote server was:\n\n{said}\n",
    "courier": "This is a delivery status notification from mx.example.net,\nrunning the Courier mail server, version 0.78.\n\nThe original message was received on {date}\n\n                           UNDELIVERABLE MAIL\n\nYour message to the following recipients cannot be delivered:\n\n<{to}>:\n    mx.example.org [203.0.113.9]:\n<<< {said}\n",
}  # fmt: skip

_FROM = {
    "postfix": ("MAILER-DAEMON@mx.example.net (Mail Delivery System)", "Undelivered Mail Returned to Sender"),
    "sendmail": ("Mail Delivery Subsystem <MAILER-DAEMON@mx.example.net>", "Returned mail: see transcript for details"),
    "exim": ("Mail Delivery System <Mailer-Daemon@mx.example.net>", "Mail delivery failed: returning message to sender"),
    "exchange": ("postmaster@example.net", "Undeliverable: Your order"),
    "office365": ("Microsoft Outlook <MicrosoftExchange329e71ec88ae4615bbc36ab6ce41109e@example.net>", "Undeliverable: Your order"),
    "gmail": ("Mail Delivery Subsystem <mailer-daemon@googlemail.com>", "Delivery Status Notification (Failure)"),
    "courier": ("\"Courier mail server at mx.example.net\" <@>", "NOTICE: mail delivery status."),
}  # fmt: skip

REPORTING = (
    "Reporting-MTA: dns; mx.example.net\nArrival-Date: Mon, 3 Nov 2025 09:00:00 +0000\n"
)


def report(
    text: str,
    *recipients: str,
    returned: str = "text/rfc822-headers",
    kind: str = "message/delivery-status",
    **head: str,
) -> bytes:
    """A delivery status notification."""
    return multipart(
        "multipart/report; report-type=delivery-status",
        ("text/plain; charset=us-ascii", text),
        (kind, "\n".join((REPORTING, *recipients))),
        (returned, RETURNED.partition("\n\n")[0] if "headers" in returned else RETURNED),
        **{"From": "MAILER-DAEMON@mx.example.net", "Auto_Submitted": "auto-replied", **head},
    )  # fmt: skip


def _served(
    server: str, name: str, status: str, said: str, fate: Fate, operator: bool
) -> Sample:
    said = said.format(to=RCPT)
    sender, subject = _FROM[server]
    fields = [
        f"Final-Recipient: rfc822;{RCPT}" if server in ("exim", "exchange") else f"Final-Recipient: RFC822; {RCPT}",
        "Action: failed" if server != "sendmail" else "Action: failed (permanent)",
        f"Status: {status}" if server != "gmail" else f"Status: {status} (see below)",
        f"Diagnostic-Code: smtp; {said}",
    ]  # fmt: skip
    if server == "postfix":
        fields.insert(1, f"Original-Recipient: rfc822;{RCPT}")
    if server == "exim":
        fields = [fields[1], *fields[:1], *fields[2:]]
    text = _TEXT[server].format(to=RCPT, said=said, date="3 Nov")
    content = report(text, "\n".join(fields) + "\n", From=sender, Subject=subject)
    return Sample(f"{server}-{name}-{fate}", content, fate, operator)


def _from_each() -> list[Sample]:
    """Each case by two servers, so that each server has about ten."""
    return [
        _served(_SERVERS[(place + turn * 3) % len(_SERVERS)], *case)
        for place, case in enumerate(_SMTP)
        for turn in range(2)
    ]


def _one(
    name: str,
    fate: Fate | None,
    *fields: str,
    operator: bool = False,
    address: str | None = RCPT,
    **more: str,
) -> Sample:
    content = report("See below.\n", "\n".join(fields) + "\n", **more)
    return Sample(f"report-{name}-{fate}", content, fate, operator, address=address)


_TO = f"Final-Recipient: rfc822; {RCPT}"
_GONE = (_TO, "Action: failed", "Status: 5.1.1")

_SPECIAL = [
    _one("delayed", LATE, _TO, "Action: delayed", "Status: 4.4.1", "Diagnostic-Code: smtp; 451 4.4.1 try again", "Will-Retry-Until: Sat, 8 Nov 2025 09:00:00 +0000"),
    _one("delayed-policy", LATE, _TO, "Action: delayed", "Status: 4.7.0", operator=True),
    _one("delayed-full", LATE, _TO, "Action: delayed", "Status: 4.2.2"),
    _one("delivered", Fate.DELIVERED, _TO, "Action: delivered", "Status: 2.1.5"),
    _one("delivered-old", Fate.DELIVERED, _TO, "Action: delivered", "Status: 2.0.0", "Diagnostic-Code: smtp; 250 2.0.0 Ok"),
    _one("expanded", Fate.DELIVERED, _TO, "Action: expanded", "Status: 2.0.0"),
    _one("relayed", None, _TO, "Action: relayed", "Status: 2.0.0"),
    _one("no-action-5", HARD, _TO, "Status: 5.1.1"),
    _one("no-action-4", LATE, _TO, "Status: 4.4.1"),
    _one("no-status", HARD, _TO, "Action: failed", "Diagnostic-Code: smtp; 550 User unknown"),
    _one("no-diagnostic", HARD, *_GONE),
    _one("x-unix", HARD, _TO, "Action: failed", "Status: 5.1.1", 'Diagnostic-Code: X-Unix; User unknown: "ada"'),
    _one("x-postfix", SOFT, _TO, "Action: failed", "Status: 4.4.3", "Diagnostic-Code: X-Postfix; Host or domain name not found. Name service error"),
    _one("folded", HARD, _TO, "Action: failed", "Status: 5.1.1", "Diagnostic-Code: smtp; 550-5.1.1 The email account that you tried to reach does", "    not exist. Please try double-checking the recipient's email", "    address for typos."),
    _one("original", HARD, "Original-Recipient: rfc822;ada@example.org", "Final-Recipient: rfc822;ada.lovelace@mail.example.org", "Action: failed", "Status: 5.1.1"),
    _one("forwarded", HARD, "Final-Recipient: rfc822; ada@elsewhere.example", "Action: failed", "Status: 5.1.1", address="ada@elsewhere.example"),
    _one("brackets", HARD, f"Final-Recipient: rfc822; <{RCPT}>", "Action: failed", "Status: 5.1.1"),
    _one("no-type", HARD, f"Final-Recipient: {RCPT}", "Action: failed", "Status: 5.1.1"),
    _one("upper-case", HARD, "FINAL-RECIPIENT: RFC822; ADA@EXAMPLE.ORG", "ACTION: FAILED", "STATUS: 5.1.1", address="ADA@EXAMPLE.ORG"),
    _one("x400", HARD, "Final-Recipient: x400; /S=ada/", f"X-Actual-Recipient: rfc822; {RCPT}", "Action: failed", "Status: 5.1.1"),
    _one("utf8", HARD, "Final-Recipient: utf-8; gr\\x{F6}\\x{DF}e@example.org", "Action: failed", "Status: 5.1.1", address="größe@example.org", kind="message/global-delivery-status", returned="message/global-headers"),
    _one("utf8-raw", HARD, "Final-Recipient: utf-8; größe@example.org", "Action: failed", "Status: 5.1.1", address="größe@example.org", kind="message/global-delivery-status", returned="message/global"),
    _one("whole-returned", HARD, *_GONE, returned="message/rfc822"),
    _one("no-null-sender", HARD, *_GONE, Return_Path="<postmaster@mx.example.net>", From="postmaster@mx.example.net"),
    _one("dbeb", HARD, _TO, "Action: failed", "Status: 5.4.1", "Diagnostic-Code: smtp;550 5.4.1 Recipient address rejected: Access denied. [AM0EUR.prod.protection.outlook.com]"),
    _one("5.4.310", HARD, _TO, "Action: failed", "Status: 5.4.310", "Diagnostic-Code: smtp;550 5.4.310 DNS domain example.org does not exist [Message=InfoDomainNonexistent]"),
    _one("5.4.300", SOFT, _TO, "Action: failed", "Status: 5.4.300", "Diagnostic-Code: smtp;550 5.4.300 Message expired -> 451 4.4.0 Primary target IP address responded with timed out"),
    _one("resolver", HARD, _TO, "Action: failed", "Status: 5.1.1", "Diagnostic-Code: smtp;550 5.1.1 RESOLVER.ADR.RecipNotFound; not found"),
    _one("auth-required", HARD, _TO, "Action: failed", "Status: 5.7.1", "Diagnostic-Code: smtp;550 5.7.1 RESOLVER.RST.AuthRequired; authentication required", operator=True),
    _one("sender-rejected", HARD, _TO, "Action: failed", "Status: 5.1.0", "Diagnostic-Code: smtp; 550 5.1.0 <shop@example.com> sender rejected : blocked", operator=True),
    _one("temporary-words", SOFT, _TO, "Action: failed", "Status: 4.0.0", "Diagnostic-Code: smtp; 450 mailbox unavailable"),
    _one("one-paragraph", HARD, "X-Postfix-Queue-ID: 4D1F72", *_GONE),
    _one("spam-in-dsn", HARD, _TO, "Action: failed", "Status: 5.0.0", "Diagnostic-Code: smtp; 550 JunkMail rejected - blacklisted at Spamcop", operator=True),
    _one("vacation-words", HARD, *_GONE, Subject="Undelivered Mail Returned to Sender (out of office)"),
    Sample("report-in-mixed-bounced", multipart("multipart/mixed", ("text/plain", "Undeliverable"), ("message/delivery-status", f"{REPORTING}\n{_TO}\nAction: failed\nStatus: 5.1.1\n")), HARD),
    Sample("report-without-mime-bounced", multipart("text/plain", ("text/plain", f"{REPORTING}\n{_TO}\nAction: failed\nStatus: 5.1.1\n")), HARD),
    Sample("report-cut-short-bounced", report("x", "\n".join(_GONE) + "\n")[:-250], HARD),
    Sample("report-lf-only-bounced", report("x", "\n".join(_GONE) + "\n").replace(b"\r\n", b"\n"), HARD),
    Sample("report-token-in-upper-case-bounced", report("x", "\n".join(_GONE) + "\n").replace(RETURN_PATH.encode(), RETURN_PATH.upper().encode()), HARD),
    Sample("report-envid-only-bounced", report("x", "\n".join(_GONE) + "\n", To="postmaster@example.com"), HARD),
]  # fmt: skip

REPORTS = (*_from_each(), *_SPECIAL)
