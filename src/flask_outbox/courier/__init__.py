"""The courier: the loop that claims due messages and delivers them."""

from .context import CourierContext, build_context
from .courier import Courier

__all__ = ["Courier", "CourierContext", "build_context"]
