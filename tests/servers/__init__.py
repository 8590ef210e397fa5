"""Servers that tests talk to over real sockets; each runs in a thread of its own.

======================  ===========================================================
`journal_smtp`          a real SMTP server that syncs each mail to a journal before
                        it says 250, and can be told to be slow, to refuse, to hang,
                        to drop or to go down while it runs
`scripted_smtp`         plays a script, byte for byte, and records what it was told
`postfix`               a private Postfix, which relays what it accepts
`webhook_receiver`      takes webhooks whose signatures are right
`brokers`               a private Redis and RabbitMQ, which can be killed
`tls`                   a private certificate authority
`dns`                   a name server that knows one zone
======================  ===========================================================
"""

from .journal_smtp import Behaviour, JournalSmtp, Mail
from .scripted_smtp import (
    CLOSE,
    RESET,
    STALL,
    Drip,
    Pause,
    ScriptedSmtp,
    StartTls,
    Step,
)
from .tls import Authority

__all__ = [
    "CLOSE",
    "RESET",
    "STALL",
    "Authority",
    "Behaviour",
    "Drip",
    "JournalSmtp",
    "Mail",
    "Pause",
    "ScriptedSmtp",
    "StartTls",
    "Step",
]
