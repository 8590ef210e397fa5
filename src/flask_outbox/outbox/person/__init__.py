"""What the outbox keeps about one person, by their address: exported, and erased."""

from .store import PersonStore

__all__ = ["PersonStore"]
