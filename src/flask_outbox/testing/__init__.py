"""What tests of an app's mail are written with; pytest has it as fixtures.

The fixtures ``outbox`` and ``smtp_server`` are there in every project that has
Flask-Outbox installed: see :doc:`/testing`.
"""

from .reading import Reading
from .recorded import RecordedOutbox
from .sent import SentMessage

__all__ = ["Reading", "RecordedOutbox", "SentMessage"]
