"""Threads, greenlets, forks, loops and traces, on whatever server the app runs."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import Context
from functools import partial
from typing import Any, Protocol, TypeVar

from .errors import ConfigError
from .log_context import about, name_here

T = TypeVar("T")


def run_blocking(call: Callable[[], T]) -> T:
    """Return what ``call`` returns; under gevent, run it in a native thread.

    A commit waits for the disk, and perhaps for another process's lock. Without gevent
    that blocks this thread only; under gevent it would block all greenlets.
    """
    if not gevent_patched():
        return call()
    gevent: Any = sys.modules["gevent"]
    answer: T = gevent.get_hub().threadpool.apply(call)
    return answer


def run_beside_loops(call: Callable[[], T]) -> T:
    """Return what ``call`` returns, which runs an event loop of its own: in another
    thread if this one already runs one.
    """
    if gevent_patched():
        return run_blocking(call)
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return call()
    with ThreadPoolExecutor(1) as alone:
        return alone.submit(call).result()


def gevent_patched() -> bool:
    """Whether gevent has replaced threads by greenlets."""
    monkey: Any = sys.modules.get("gevent.monkey")
    return monkey is not None and bool(monkey.is_module_patched("threading"))


def call_untraced(function: Callable[..., T], *args: Any) -> T:
    """Return what ``function`` returns; keep its work out of OpenTelemetry's traces.

    A courier asks its database about once a second, and an instrumented SQLAlchemy
    would make a trace of each question.
    """
    utils: Any = sys.modules.get("opentelemetry.instrumentation.utils")
    if utils is None:
        return function(*args)
    with utils.suppress_instrumentation():
        return function(*args)


class Thread(threading.Thread):
    """A thread whose log lines are about the app that those of its maker are about."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._app_name = name_here()

    def run(self) -> None:
        """Call the target."""
        with about(self._app_name):
            super().run()


def start_apart(thread: Thread) -> None:
    """Start ``thread`` outside the context of the caller.

    Where threads inherit contexts, as they do with Sentry, all that it does would count
    as part of the request that happened to start it. Under uWSGI no signal reaches it.
    """
    with _threads_without_signals():
        Context().run(thread.start)


@contextmanager
def _threads_without_signals() -> Iterator[None]:
    """Under uWSGI, have threads that start here block all signals, as its own do, and
    so will the threads that they start.

    uWSGI ends a worker in the thread that a signal happens to reach. In any but the
    main thread, Python would then wait for the main thread, which does not end.
    """
    if "uwsgi" not in sys.modules:
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class ForkAware(Protocol):
    """An object that must act when the process forks."""

    def before_fork(self) -> None:
        """Before a fork: release everything that a child must not inherit."""

    def after_fork_in_parent(self) -> None:
        """After a fork, in the parent: continue."""

    def after_fork_in_child(self) -> None:
        """After a fork, in the child: start afresh, without touching anything of the
        parent's.
        """


_known: weakref.WeakSet[ForkAware] = weakref.WeakSet()
_one_fork = threading.Lock()
_forking: list[ForkAware] = []
"""The objects that were prepared for the present fork."""


def call_at_forks(one: ForkAware) -> None:
    """Call the methods of ``one`` at each fork, as long as it exists."""
    _known.add(one)


def _before() -> None:
    _one_fork.acquire()
    for one in list(_known):
        one.before_fork()
        _forking.append(one)


def _after_in_parent() -> None:
    while _forking:
        _forking.pop().after_fork_in_parent()
    _one_fork.release()


def _after_in_child() -> None:
    while _forking:
        _forking.pop().after_fork_in_child()
    _one_fork.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before,
        after_in_parent=_after_in_parent,
        after_in_child=_after_in_child,
    )


THREADS_ALWAYS_FROM = (2, 0, 27)
"""From this version on, uWSGI always enables threads."""

_OPTIONS = ("enable-threads", "threads")


def refuse_uwsgi_without_threads() -> None:
    """Raise `ConfigError` if uWSGI runs without threads, so that no courier
    could run.
    """
    uwsgi: Any = sys.modules.get("uwsgi")
    if uwsgi is None or _version(uwsgi) >= THREADS_ALWAYS_FROM:
        return
    options = {_text(name) for name in uwsgi.opt}
    if not options.intersection(_OPTIONS):
        raise ConfigError(
            "This uWSGI runs without threads, so no courier can work in it. Start it "
            "with --enable-threads, or set OUTBOX_ENGINE = 'external' and run "
            "'flask outbox worker'."
        )


def _version(uwsgi: Any) -> tuple[int, ...]:
    parts = _text(uwsgi.version).split(".")[:3]
    return tuple(int(part) for part in parts if part.isdigit())


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value


class DaemonExecutor(ThreadPoolExecutor):
    """Runs each call in a daemon thread, for which the end of the process does not
    wait.

    asyncio looks up hosts in the default executor, and Python would wait at exit for a
    name server that never answers. The callers limit how many calls run at a time.
    """

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        """Call ``fn`` in a thread of its own, or here if the process ends.

        Python 3.12.0 and 3.12.1 then start no thread, although there is mail to
        deliver.
        """
        future: Future[T] = Future()
        call = partial(fn, *args, **kwargs)
        thread = Thread(
            target=_settle, args=(future, call), name="outbox-blocking", daemon=True
        )
        try:
            thread.start()
        except RuntimeError as error:
            if "shutdown" not in str(error):
                raise
            _settle(future, call)
        return future


def as_exception(error: BaseException) -> Exception:
    """Return ``error`` in a form that is safe to raise in a coroutine.

    StopIteration cannot be raised there, SystemExit and its like would end the event
    loop, and CancelledError would look like a cancelled task: these become a
    `RuntimeError` with ``error`` as its cause.
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


try:  # here, not in a courier's thread: a fork could leave a child half an import
    import uvloop
except ImportError:
    uvloop = None


def cancel_begun(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancel tasks of this loop, each after its first turn: one that is cancelled
    before that never runs, not even what it does when it is cancelled.
    """
    loop = asyncio.get_running_loop()
    for task in tasks:
        loop.call_soon(task.cancel)


def new_loop() -> asyncio.AbstractEventLoop:
    """Make the fastest event loop that is available; the caller closes it.

    uvloop waits in C, out of gevent's reach, and would block all greenlets: under
    gevent it is not used.
    """
    if gevent_patched() or uvloop is None:
        return asyncio.new_event_loop()
    loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    return loop
