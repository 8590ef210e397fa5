"""Off the hub: blocking calls that must not hold up gevent's other greenlets."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")


def off_hub(call: Callable[[], T]) -> T:
    """Return what ``call`` returns; under gevent, run it in a native thread.

    A commit waits for the disk, and may wait for another process's lock: without
    gevent that holds up this thread only, under gevent it would be all greenlets.
    """
    if not greenlets():
        return call()
    gevent: Any = sys.modules["gevent"]
    answer: T = gevent.get_hub().threadpool.apply(call)
    return answer


def greenlets() -> bool:
    """Whether what looks like threads here is gevent's greenlets."""
    monkey: Any = sys.modules.get("gevent.monkey")
    return monkey is not None and bool(monkey.is_module_patched("threading"))
