"""To many: batches of messages, handed over chunk by chunk and stopped as one."""

from .batches import Batches
from .handing_over import PRIORITY, Plan, whom
from .report import report
from .rows import Row, from_template, whom_of

__all__ = [
    "PRIORITY",
    "Batches",
    "Plan",
    "Row",
    "from_template",
    "report",
    "whom",
    "whom_of",
]
