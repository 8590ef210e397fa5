"""A small Flask app, served by a threaded server until it is told to end.

    python -m tests.processes.shop '{"MAIL_URL": "smtp://127.0.0.1:2525", …}'

Prints ``http://127.0.0.1:PORT`` once it serves. ``SIGTERM`` ends it by ``sys.exit``, as
servers do; ``SIGINT`` by Python's own ``KeyboardInterrupt``, even in the background.
"""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path

from flask import Flask
from werkzeug.serving import make_server

from flask_outbox import Mail, Message


def create_app(config: dict[str, object]) -> tuple[Flask, Mail]:
    """The app; its instance folder is the working directory."""
    app = Flask("shop", instance_path=str(Path.cwd()))
    app.config.update(MAIL_DEFAULT_SENDER="shop@example.com")
    app.config.update(config)
    mail = Mail(app)

    @app.post("/send-email")
    def send_email():
        receipt = mail.send(Message("Hello", ["ada@example.org"], "Hello\n"))
        return {"id": receipt.id, "message_id": receipt.rfc_message_id}, 202

    @app.get("/ping")
    def ping():
        return "pong"

    @app.get("/threads")
    def threads():
        """How many threads the system counts, this request's own left out."""
        return {"count": len(list(Path("/proc/self/task").iterdir())) - 1}

    @app.get("/status")
    def status():
        outbox = app.extensions["outbox"].runtime.outbox
        status = outbox.status()
        return {
            "counts": {state: count for state, count in status.counts.items() if count},
            "lanes": [lane.reason for lane in status.lanes if lane.paused_by],
        }

    return app, mail


def _exit(_number: int, _frame: object) -> None:
    sys.exit()


def main() -> None:
    """Serve until a signal comes."""
    app, _ = create_app(json.loads(sys.argv[1]))
    signal.signal(signal.SIGTERM, _exit)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    server = make_server("127.0.0.1", 0, app, threaded=True)
    print(f"http://127.0.0.1:{server.server_port}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
