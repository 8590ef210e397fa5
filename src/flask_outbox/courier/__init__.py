"""The courier: the loop that claims and delivers, and the thread it may run in."""

from .courier import Courier
from .crew import Crew
from .hiring import for_workers, hire
from .thread import CourierThread

__all__ = ["Courier", "CourierThread", "Crew", "for_workers", "hire"]
