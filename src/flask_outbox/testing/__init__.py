"""Classes for testing an app's mail; pytest has them as fixtures.

The fixtures ``outbox``, ``smtp_server`` and ``outbox_worker`` are available in every
project that has Flask-Outbox installed: see :doc:`/testing`.
"""

from ..errors import ScriptError
from ..mime.parse import Part
from .mail import Reading, SentMessage
from .outbox import RecordedOutbox
from .smtp_server import SmtpServer
from .smtp_state import ArrivedMail
from .transport_contract import PeerBehaviour, TransportContract, TransportPeer
from .worker import OutboxWorker

__all__ = [
    "ArrivedMail",
    "OutboxWorker",
    "Part",
    "PeerBehaviour",
    "Reading",
    "RecordedOutbox",
    "ScriptError",
    "SentMessage",
    "SmtpServer",
    "TransportContract",
    "TransportPeer",
]
