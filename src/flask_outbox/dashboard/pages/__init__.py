"""The pages, a file each: importing one adds its routes to the blueprint."""

from . import acting, content, lanes, live, message, messages, overview

__all__ = ["acting", "content", "lanes", "live", "message", "messages", "overview"]
