"""What happens to mail after the next hop took it, as others report it.

Providers post events, mail servers send reports, mailbox providers send complaints.
Whatever they say of one recipient is a `Feedback`; the outbox takes it from there.
What reads their mail is in `feedback.reading`: few processes need it.
"""

from .fate import Fate, Feedback, as_reported

__all__ = ["Fate", "Feedback", "as_reported"]
