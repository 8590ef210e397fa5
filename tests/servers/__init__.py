"""Servers that tests talk to over real sockets; each runs in a thread of its own.

======================  ===========================================================
`journal_smtp`          a real SMTP server that syncs each mail to a journal before
                        it says 250, and can be told to be slow, to refuse, to hang,
                        to drop or to go down while it runs
`scripted_smtp`         plays a script, byte for byte, and records what it was told
`postfix`               a Postfix of the tests' own, which relays what it takes
`brokers`               a Redis and a RabbitMQ of the tests' own, which can be killed
`tls`                   a certificate authority of the tests' own
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
