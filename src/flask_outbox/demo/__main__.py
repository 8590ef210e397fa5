"""Run the demo: ``python -m flask_outbox.demo``, or ``scripts/demo`` in a clone."""

from __future__ import annotations

import argparse
import logging
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from flask_outbox import OutboxError

from .errors import CannotRun

if TYPE_CHECKING:
    from .running import Demo

PORT = 5000


def main(arguments: Sequence[str] | None = None) -> int:
    """Run until Ctrl-C or SIGTERM, or until the check is done; return the exit code."""
    options = _options(arguments)
    _on_signals(signal.default_int_handler)
    logging.basicConfig(format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    try:
        return _run(options)
    except (CannotRun, OutboxError) as error:
        print(f"The demo cannot run: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m flask_outbox.demo",
        description="A Flask app and a real SMTP server beside it, on this machine. "
        "Open its page, press Send, and see what happens to one mail.",
    )
    parser.add_argument(
        "--port",
        type=_port,
        help=f"where the page is; 0 takes a free one (default: {PORT}, for --check 0)",
    )
    parser.add_argument(
        "--keep",
        type=Path,
        metavar="DIR",
        help="keep the outbox and what arrived in this folder, so that mail left by a "
        "demo that was killed goes out at the next start",
    )
    parser.add_argument(
        "--check",
        action="store_true",
        help="do it without a person: send a mail, wait until it has arrived, print "
        "what happened, and end with 0 if all went well",
    )
    return parser.parse_args(arguments)


def _port(text: str) -> int:
    port = int(text)
    if not 0 <= port <= 65_535:
        raise ValueError
    return port


def _run(options: argparse.Namespace) -> int:
    if find_spec("aiosmtpd") is None:
        raise CannotRun("it needs aiosmtpd: pip install 'Flask-Outbox[demo]'.")
    from .check import check
    from .running import running

    port = options.port
    if port is None:
        port = 0 if options.check else PORT
    with running(port, options.keep) as demo:
        try:
            (check if options.check else _serve)(demo)
        finally:
            _on_signals(signal.SIG_DFL)  # a second Ctrl-C does not wait
    return 0


def _serve(demo: Demo) -> None:
    logging.getLogger("flask_outbox").setLevel(logging.INFO)
    try:
        print(f"The demo is at {demo.opens_at}")
        print(f"Its SMTP server listens on port {demo.smtp.port}.")
        print(f"Its files are in {demo.folder}.")
        print("Ctrl-C ends it.", flush=True)
        threading.Event().wait()
    except KeyboardInterrupt:
        print(file=sys.stderr)


def _on_signals(
    do: Callable[[int, FrameType | None], object] | signal.Handlers,
) -> None:
    """Set what SIGINT and SIGTERM do, also where a shell had SIGINT ignored."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, do)


if __name__ == "__main__":
    sys.exit(main())
