"""Daemon executor: blocking calls in threads that hold nobody up."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar

T = TypeVar("T")


class DaemonExecutor(ThreadPoolExecutor):
    """Gives each call a thread, which the end of the process does not wait for.

    asyncio looks up hosts in the default executor, and Python would wait at its end
    for a name server that never answers. How many calls there are at a time is bounded
    by those who ask.
    """

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        """Call ``fn`` in a thread of its own."""
        future: Future[T] = Future()
        call = partial(fn, *args, **kwargs)
        threading.Thread(
            target=_settle,
            args=(future, call),
            name="outbox-blocking",
            daemon=True,
        ).start()
        return future


def as_exception(error: BaseException) -> Exception:
    """``error`` in a form that ends neither whoever awaits it nor their event loop.

    A coroutine cannot be given StopIteration; SystemExit and its like would end the
    loop, and CancelledError say that somebody stopped the coroutine.
    """
    if isinstance(error, Exception) and not isinstance(error, StopIteration):
        return error
    broken = RuntimeError(f"{error!r} ended it")
    broken.__cause__ = error
    return broken


def _settle(future: Future[T], call: Callable[[], T]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        outcome = call()
    except BaseException as error:
        future.set_exception(as_exception(error))
    else:
        future.set_result(outcome)
