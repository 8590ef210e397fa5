"""The dashboard: what is in the outbox, what became of it, and what a person may do."""

from . import pages, troubles
from .mounting import mount

__all__ = ["mount", "pages", "troubles"]
