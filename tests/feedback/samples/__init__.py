"""Mails as servers, providers and people send them to a return path.

They are written from the RFCs and from what servers document of their formats.
"""

from .auto_replies import AUTO_REPLIES
from .complaints import COMPLAINTS
from .plain import PLAIN_REPORTS
from .reports import REPORTS
from .writing import BOUNCES, ID, RCPT, RETURN_PATH, Sample

SAMPLES: tuple[Sample, ...] = (*REPORTS, *PLAIN_REPORTS, *COMPLAINTS, *AUTO_REPLIES)

__all__ = ["BOUNCES", "ID", "RCPT", "RETURN_PATH", "SAMPLES", "Sample"]
