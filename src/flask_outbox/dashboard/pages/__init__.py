"""The pages, a file each: importing one adds its routes to the blueprint."""

from . import content, lanes, message, messages, overview

__all__ = ["content", "lanes", "message", "messages", "overview"]
