"""SMTP (RFC 5321): delivers mail to a server over connections that are kept open.

::

    SmtpTransport     finds each message a connection: an idle one, a new one, or one
        |             with room for it; keeps to the limits of the server
        |  opened by SmtpConnector: reach the host, greet, STARTTLS, log in
        v
    SmtpSession       one connection, and the messages in flight on it
        |
        v
    Transaction       one message on it: MAIL, RCPT, DATA or BDAT, and what the replies
        |             mean for each recipient
        v
    SmtpLink          the bytes: commands out, replies in, each with a time limit

A `Delivery` is one message on this way, and the report that its caller waits for.

===============  ====================================================================
To change        open
===============  ====================================================================
the dialogue     ``transaction.py``; the command lines are in ``capabilities.py``
how many         ``transport.py`` (connections), ``session.py`` (messages in flight
                 on one)
how we connect   ``connect.py`` (addresses, TLS), ``login.py`` (AUTH)
what we read     ``protocol.py`` (pairing, time-outs), ``replies.py`` (syntax)
what we report   ``errors.py``: the text of every `TransportDown`
===============  ====================================================================

`Transaction` handles a 421: the message goes to a fresh connection, whose reply
decides. `SmtpLink.break_off` handles a broken connection: it notifies the session and
all that wait for a reply.
"""

from __future__ import annotations

from .transport import SmtpTransport

__all__ = ["SmtpTransport"]
