"""`Mail`: what a Flask app sees of all this."""

from .mail import Mail

__all__ = ["Mail"]
