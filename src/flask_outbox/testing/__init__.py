"""What tests of an app's mail are written with; pytest has it as fixtures.

The fixtures ``outbox``, ``smtp_server`` and ``outbox_worker`` are there in every
project that has Flask-Outbox installed: see :doc:`/testing`.
"""

from ..opened import Part
from .desk import ArrivedMail
from .reading import Reading
from .recorded import RecordedOutbox
from .sent import SentMessage
from .smtp_server import SmtpServer
from .worker import OutboxWorker

__all__ = [
    "ArrivedMail",
    "OutboxWorker",
    "Part",
    "Reading",
    "RecordedOutbox",
    "SentMessage",
    "SmtpServer",
]
