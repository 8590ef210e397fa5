"""To many: batches of messages, handed over chunk by chunk and stopped as one."""

from .batches import Batches
from .handing_over import Kept, Plan, whom

__all__ = ["Batches", "Kept", "Plan", "whom"]
