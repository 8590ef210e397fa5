"""Reports in words only, in the formats of many mail servers."""

from __future__ import annotations

from flask_outbox.feedback import Fate

from .writing import HARD, LATE, RCPT, RETURNED, SOFT, Sample, mail

_QMAIL = """\
Hi. This is the qmail-send program at mx.example.net.
I'm afraid I wasn't able to deliver your message to the following addresses.
This is a permanent error; I've given up. Sorry it didn't work out.

<{to}>:
{said}

--- Below this line is a copy of the message.

{copy}"""

_POSTFIX = """\
This is the Postfix program at host mx.example.net.

I'm sorry to have to inform you that the message returned
below could not be delivered to one or more destinations.

For further assistance, please send mail to <postmaster>

                        The Postfix program

<{to}>: {said}

{copy}"""

_EXIM = """\
This message was created automatically by mail delivery software.

A message that you sent could not be delivered to one or more of its
recipients. This is a permanent error. The following address(es) failed:

  {to}
    {said}

------ This is a copy of the message, including all the headers. ------

{copy}"""

_EXIM_LATE = """\
This message was created automatically by mail delivery software.
A message that you sent has not yet been delivered to one or more of its
recipients after more than 24 hours on the queue on mx.example.net.

The message identifier is:     1abc-000-00
The subject of the message is: Your order

The address to which the message has not yet been delivered is:

  {to}
    Delay reason: {said}

No action is required on your part. Delivery attempts will continue for
some time, and this warning may be repeated at intervals if the message
remains undelivered.
"""

_SENDMAIL = """\
The original message was received at Mon, 3 Nov 2025 09:00:00 GMT
from shop.example.com [192.0.2.10]

   ----- The following addresses had permanent fatal errors -----
<{to}>

   ----- Transcript of session follows -----
... while talking to mx.example.org.:
>>> RCPT To:<{to}>
<<< {said}
550 5.1.1 <{to}>... see above

   ----- Original message follows -----

{copy}"""

_SENDMAIL_LATE = """\
    **********************************************
    **      THIS IS A WARNING MESSAGE ONLY      **
    **  YOU DO NOT NEED TO RESEND YOUR MESSAGE  **
    **********************************************

The original message was received at Mon, 3 Nov 2025 09:00:00 GMT

   ----- Transcript of session follows -----
<{to}>... Deferred: {said}
Warning: message still undelivered after 4 hours
Will keep trying until message is 5 days old
"""

_EXCHANGE = """\
Your message did not reach some or all of the intended recipients.

      Subject:\tYour order
      Sent:\t11/3/2025 9:00 AM

The following recipient(s) could not be reached:

      {to} on 11/3/2025 9:01 AM
            {said}
            <mx.example.net #5.0.0>
"""

_GMAIL = """\
Delivery to the following recipient failed permanently:

     {to}

Technical details of permanent failure:
Google tried to deliver your message, but it was rejected by the server for the recipient domain example.org by mx.example.org. [203.0.113.9].

The error that the other server returned was:
{said}

----- Original message -----

{copy}"""

_GMAIL_LATE = """\
This is an automatically generated Delivery Status Notification

THIS IS A WARNING MESSAGE ONLY.

YOU DO NOT NEED TO RESEND YOUR MESSAGE.

Delivery to the following recipient has been delayed:

     {to}

Message will be retried for 2 more day(s)

Technical details of temporary failure:
{said}
"""

_YAHOO = """\
Message from yahoo.example.
Unable to deliver message to the following address(es).

<{to}>:
{said}

--- Original message follows.

{copy}"""

_COURIER = """\
This is a delivery status notification from mx.example.net,
running the Courier mail server, version 0.65.2.

                           UNDELIVERABLE MAIL

Your message to the following recipients cannot be delivered:

<{to}>:
    mx.example.org [203.0.113.9]:
>>> RCPT TO:<{to}>
<<< {said}

---------------------------------------------------------------------------
"""

_DOMINO = """\
Your message

  Subject: Your order

was not delivered to:

  {to}

because:

  {said}
"""

_MDAEMON = """\
The following data may contain sections which represent BASE64 encoded
file attachments. These sections will be unreadable without MIME aware tools.

The attached message had PERMANENT fatal delivery errors!

  --------------------------------------
  THIS MESSAGE WAS CREATED BY MDAEMON
  --------------------------------------

Failed address: {to}

--- Session Transcript ---
 --> RCPT To:<{to}>
 <-- {said}
--- End Transcript ---

{copy}"""

_IMAIL = """\
{said}: {to}

Original message follows.

{copy}"""

_GROUPWISE = """\
The message that you sent was undeliverable to the following:
\t{to} ({said})

Possibly truncated original message follows:

{copy}"""

_HMAIL = """\
Your message did not reach some or all of the intended recipients.

   Sent: Mon, 3 Nov 2025 09:00:00 +0000
   Subject: Your order

The following recipient(s) could not be reached:

{to}
   Error Type: SMTP
   Remote server (203.0.113.9) issued an error.
   hMailServer sent: RCPT TO:<{to}>
   Remote server replied: {said}


hMailServer
"""

_COMMUNIGATE = """\
Failed to deliver to '{to}'
SMTP module(domain example.org) reports:
 {said}
"""

_MESSAGING_SERVER = """\
This report relates to a message you sent with the following header fields:

  Subject: Your order

Your message cannot be delivered to the following recipients:

  Recipient address: {to}
  Reason: Server rejected RCPT TO address
  Diagnostic code: smtp;{said}
"""

_OPENSMTPD = """\
    Hi!

    This is the MAILER-DAEMON, please DO NOT REPLY to this email.

    An error has occurred while attempting to deliver a message for
    the following list of recipients:

{to}: {said}

    Below is a copy of the original message:

{copy}"""

_VENDOR = """\
Sorry, we were unable to deliver your message to the following address.

<{to}>:
Remote host said: {said}

--- Below this line is a copy of the message.

{copy}"""

_HTML = """\
<html><head><style>p {{ color: red }}</style></head><body>
<p>Delivery has failed to these recipients:</p><p><a href="mailto:{to}">{to}</a><br>
{said}</p></body></html>
"""

_UNKNOWN = "550 5.1.1 <ada@example.org>: Recipient address rejected: User unknown"
_FULL = "552 5.2.2 Mailbox full"
_SPAM = "554 5.7.1 Message blocked as spam"

_FORMATS: tuple[tuple[str, str, str, str, tuple[tuple[str, Fate, bool], ...]], ...] = (
    ("qmail", "MAILER-DAEMON@mx.example.net", "failure notice", _QMAIL, (
        ("Sorry, no mailbox here by that name. (#5.1.1)", HARD, False),
        ("Sorry, I couldn't find any host named example.org. (#5.1.2)", HARD, False),
        ("This address no longer accepts mail.", HARD, False),
        ("User and password not set, continuing without authentication.\n<ada@example.org> 203.0.113.9 failed after I sent the message.\nRemote host said: 552 5.2.2 mailbox full", SOFT, False),
        ("Connected to 203.0.113.9 but sender was rejected.\nRemote host said: 554 5.7.1 blocked using Spamcop", HARD, True),
        ("I'm not going to try again; this message has been in the queue too long.", SOFT, False),
        ("203.0.113.9 does not like recipient.\nRemote host said: 550 Unknown user ada\nGiving up on 203.0.113.9.", HARD, False),
        ("The user's mailbox is over quota. (#5.2.2)", SOFT, False),
        ("deliver: mail loop detected. This message is looping: it already has my Delivered-To line. (#5.4.6)", SOFT, False),
    )),
    ("postfix", "MAILER-DAEMON@mx.example.net (Mail Delivery System)", "Undelivered Mail Returned to Sender", _POSTFIX, (
        (f"host mx.example.org[203.0.113.9] said: {_UNKNOWN}", HARD, False),
        ("unknown user: \"ada\"", HARD, False),
        ("mail for example.org loops back to myself", SOFT, False),
        ("Name service error for name=example.org type=MX: Host not found", HARD, False),
        ("can't create user output file. Command output: procmail: Quota exceeded", SOFT, False),
        ("connect to mx.example.org[203.0.113.9]:25: Connection timed out", SOFT, False),
        (f"host mx.example.org[203.0.113.9] said: {_SPAM} (in reply to end of DATA command)", HARD, True),
    )),
    ("exim", "Mail Delivery System <Mailer-Daemon@mx.example.net>", "Mail delivery failed: returning message to sender", _EXIM, (
        ("Unrouteable address", HARD, False),
        ("No Such User Here", HARD, False),
        ("SMTP error from remote mail server after RCPT TO:<ada@example.org>:\n    host mx.example.org [203.0.113.9]: 550 User unknown", HARD, False),
        ("retry timeout exceeded", SOFT, False),
        ("mailbox is full (MTA-imposed quota exceeded while writing to file)", SOFT, False),
        ("all relevant MX records point to non-existent hosts or (invalidly) to IP addresses: no mail server", HARD, False),
        ("host mx.example.org [203.0.113.9]: 550 5.7.1 relaying denied", HARD, True),
    )),
    ("exim", "Mail Delivery System <Mailer-Daemon@mx.example.net>", "Warning: message 1abc-000-00 delayed 24 hours", _EXIM_LATE, (
        ("host lookup did not complete", LATE, False),
        ("SMTP error from remote mail server after end of data: 451 4.7.1 Greylisted", LATE, True),
        ("connection timed out", LATE, False),
    )),
    ("sendmail", "Mail Delivery Subsystem <MAILER-DAEMON@mx.example.net>", "Returned mail: User unknown", _SENDMAIL, (
        (_UNKNOWN, HARD, False),
        ("550 <ada@example.org>... User unknown", HARD, False),
        ("552 5.2.2 Over quota", SOFT, False),
        ("554 5.7.1 <ada@example.org>: Relay access denied", HARD, True),
    )),
    ("sendmail", "Mail Delivery Subsystem <MAILER-DAEMON@mx.example.net>", "Warning: could not send message for past 4 hours", _SENDMAIL_LATE, (
        ("Connection timed out with mx.example.org.", LATE, False),
        ("Name server: example.org.: host name lookup failure", LATE, False),
    )),
    ("exchange", "System Administrator <postmaster@example.net>", "Undeliverable: Your order", _EXCHANGE, (
        ("The e-mail account does not exist at the organization this message was sent to.  Check the e-mail address, or contact the recipient directly to find out the correct address.", HARD, False),
        ("The recipient name is not recognized\n\tThe MTS-ID of the original message is: c=us;a= ;p=ex;l=MX", HARD, False),
        ("The recipient's mailbox is full and can't accept messages now.", SOFT, False),
        ("You do not have permission to send to this recipient.  For assistance, contact your system administrator.", HARD, True),
        ("The message could not be delivered because the recipient's mailbox size limit was exceeded. mailbox is full", SOFT, False),
        ("There was a SMTP communication problem with the recipient's email server. Connection refused", SOFT, False),
    )),
    ("gmail", "Mail Delivery Subsystem <mailer-daemon@googlemail.com>", "Delivery Status Notification (Failure)", _GMAIL, (
        ("550 550 5.1.1 The email account that you tried to reach does not exist.", HARD, False),
        ("552 552-5.2.2 The email account that you tried to reach is over quota", SOFT, False),
        ("550 550 5.7.1 Our system has detected that this message is likely unsolicited mail", HARD, True),
        ("DNS Error: Domain name not found", HARD, False),
    )),
    ("gmail", "Mail Delivery Subsystem <mailer-daemon@googlemail.com>", "Delivery Status Notification (Delay)", _GMAIL_LATE, (
        ("The recipient server did not accept our requests to connect. timed out", LATE, False),
        ("450 450 4.2.1 The user you are trying to contact is receiving mail too quickly", LATE, False),
    )),
    ("yahoo", "MAILER-DAEMON@yahoo.example", "Failure Notice", _YAHOO, (
        ("This user doesn't have a yahoo.com account (ada@example.org) [0]", HARD, False),
        ("554: delivery error: dd Sorry your message to ada@example.org cannot be delivered. This account has been disabled or discontinued [#102]", HARD, False),
        ("Remote host said: 550 5.1.1 unknown or illegal alias [RCPT_TO]", HARD, False),
        ("Remote host said: 552 5.2.2 over quota", SOFT, False),
    )),
    ("courier", "\"Courier mail server at mx.example.net\" <postmaster@mx.example.net>", "NOTICE: mail delivery status.", _COURIER, (
        ("550 User unknown.", HARD, False),
        ("450 Mailbox over quota", SOFT, False),
    )),
    ("domino", "Postmaster@mx.example.net", "DELIVERY FAILURE: User ada not listed in Domino Directory", _DOMINO, (
        ("User ada (ada@example.org) not listed in Domino Directory", HARD, False),
        ("User ada (ada@example.org) not listed in public Name & Address Book", HARD, False),
        ("The message exceeds the size limit: it is larger than allowed", HARD, True),
        ("No route found to domain example.org from server MX/EX. Unknown domain.", HARD, False),
        ("Error delivering to MX/EX mail\\ada.nsf; mailbox has exceeded its quota", SOFT, False),
    )),
    ("mdaemon", "MDaemon at mx.example.net <MDaemon@mx.example.net>", "Permanent Delivery Failure", _MDAEMON, (
        ("550 ada unknown recipient", HARD, False),
        ("552 Mailbox full", SOFT, False),
    )),
    ("imail", "Mail Administrator<postmaster@mx.example.net>", "Undeliverable Mail", _IMAIL, (
        ("Unknown user", HARD, False),
        ("User mailbox exceeds allowed size", SOFT, False),
        ("Unknown host", HARD, False),
    )),
    ("groupwise", "Mailer-Daemon@mx.example.net", "Message status - undeliverable", _GROUPWISE, (
        ("550 5.1.1 Unknown recipient", HARD, False),
        ("user not found", HARD, False),
        ("452 mailbox full", SOFT, False),
    )),
    ("hmailserver", "mailer-daemon@mx.example.net", "Message undeliverable: Your order", _HMAIL, (
        ("550 Unknown user", HARD, False),
        (_FULL, SOFT, False),
        (_SPAM, HARD, True),
    )),
    ("communigate", "<>", "Undeliverable mail: Your order", _COMMUNIGATE, (
        ("unknown user account", HARD, False),
        ("account is full (quota exceeded)", SOFT, False),
        ("cannot find host name example.org: no such host", HARD, False),
    )),
    ("messaging-server", "Internet Mail Delivery <postmaster@mx.example.net>", "Delivery Notification: Delivery has failed", _MESSAGING_SERVER, (
        ("550 5.1.1 unknown or illegal alias: ada@example.org", HARD, False),
        ("550 5.2.1 Mailbox disabled for this recipient", HARD, False),
        ("452 4.2.2 Over quota", SOFT, False),
    )),
    ("opensmtpd", "Mailer Daemon <MAILER-DAEMON@mx.example.net>", "Delivery status notification: error", _OPENSMTPD, (
        ("550 Invalid recipient", HARD, False),
        ("Destination seem to reject all mails: 550 5.1.10 null MX", HARD, False),
        ("Envelope expired", SOFT, False),
    )),
    ("vendor", "Mail Delivery Service <mail-delivery@provider.example>", "Delivery failure", _VENDOR, (
        ("550 Requested action not taken: mailbox unavailable", HARD, False),
        ("550 no such person at this address", HARD, False),
        ("550 Benutzer ist unbekannt", HARD, False),
        ("550 utilisateur inconnu", HARD, False),
        ("550 5.2.1 account is inactive", HARD, False),
        ("550 account has been suspended", HARD, False),
        ("550 mailbox is inactive", HARD, False),
        ("452 insufficient storage", SOFT, False),
        ("550 permission denied by SPF policy", HARD, True),
        ("421 4.7.0 try again later", SOFT, True),
        ("550 SC-001 Mail rejected by provider for policy reasons", HARD, True),
        ("521 5.2.1 AOL will not accept delivery of this message. account closed", HARD, False),
    )),
    ("html", "Microsoft Outlook <postmaster@example.net>", "Undeliverable: Your order", _HTML, (
        ("The email address you entered couldn't be found. The user doesn't exist.", HARD, False),
        ("The recipient's mailbox is full.", SOFT, False),
        ("Your message was rejected by the recipient's spam filter.", HARD, True),
    )),
)  # fmt: skip


def _written() -> list[Sample]:
    samples: list[Sample] = []
    for server, sender, subject, text, cases in _FORMATS:
        for said, fate, operator in cases:
            body = text.format(to=RCPT, said=said, copy=RETURNED)
            head = {"From": sender, "Subject": subject}
            if sender == "<>":
                head |= {"From": "anybody@mx.example.net", "Return-Path": "<>"}
            if text is _HTML:
                head |= {"MIME-Version": "1.0", "Content-Type": "text/html"}
            name = f"{server}-{len(samples)}-{'operator-' * operator}{fate}"
            samples.append(Sample(name, mail(head, body), fate, operator))
    return samples


_SPECIAL = (
    Sample("exim-failed-header-bounced", mail({"X-Failed-Recipients": RCPT, "Auto-Submitted": "auto-replied", "Subject": "Mail delivery failed: returning message to sender"}, _EXIM.format(to=RCPT, said="all hosts for 'example.org' have been failing for a long time (and retry time not reached)\n    550 5.1.1 no such user", copy="")), HARD),
    Sample("no-address-bounced", mail({"Subject": "Undeliverable"}, "Your mail was not delivered: 550 5.1.1 User unknown.\n"), HARD, address=None),
    Sample("gmail-current-bounced", mail({"X-Failed-Recipients": RCPT, "From": "Mail Delivery Subsystem <mailer-daemon@googlemail.com>", "Auto-Submitted": "auto-replied", "Subject": "Delivery Status Notification (Failure)"}, f"** Address not found **\n\nYour message wasn't delivered to {RCPT} because the address couldn't be found or is unable to receive email.\n"), HARD),
)  # fmt: skip

PLAIN_REPORTS = (*_written(), *_SPECIAL)
