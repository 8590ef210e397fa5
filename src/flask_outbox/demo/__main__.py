"""Run the demo: ``python -m flask_outbox.demo``, or ``scripts/demo`` in a clone."""

from __future__ import annotations

import argparse
import logging
import signal
import sys
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from flask_outbox import OutboxError
from flask_outbox.engines.shutdown import signal_socket

from .web import CannotRun

if TYPE_CHECKING:
    from .app import Demo


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
        description="A Flask app and a real mail server beside it, on this machine. "
        "Open its page, press Send, and see what happens to one mail.",
    )
    parser.add_argument(
        "--port",
        type=_port,
        help=f"where the page is; 0 takes a free one (default: {PORT}, for --check 0)",
    )
    parser.add_argument(
        "--transport",
        choices=("smtp", "resend"),
        default="smtp",
        help="how its mail leaves: by SMTP (the default), or by Resend's HTTP API, to "
        "a fake of it on this machine",
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
        raise CannotRun("it needs aiosmtpd: pip install 'flask-outbox[demo]'.")
    from .app import running
    from .check import check

    port = options.port
    if port is None:
        port = 0 if options.check else PORT
    with running(port, options.keep, options.transport) as demo:
        try:
            (check if options.check else _serve)(demo)
        finally:
            _on_signals(signal.SIG_DFL)  # a second Ctrl-C does not wait
    return 0


def _serve(demo: Demo) -> None:
    logging.getLogger("flask_outbox").setLevel(logging.INFO)
    try:
        print(f"The demo is at {demo.opens_at}")
        print(f"Its {demo.server.name} listens on port {demo.server.port}.")
        print(f"Its files are in {demo.folder}.")
        print("Ctrl-C stops it.", flush=True)
        with signal_socket() as told:
            told.recv(1)
    except KeyboardInterrupt:
        print(file=sys.stderr)


def _on_signals(
    do: Callable[[int, FrameType | None], object] | signal.Handlers,
) -> None:
    """Set what SIGINT and SIGTERM do, even if the shell had SIGINT ignored."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, do)


if __name__ == "__main__":
    sys.exit(main())
