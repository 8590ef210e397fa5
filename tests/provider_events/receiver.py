"""A process of an app to which a provider posts its events.

    python -m tests.provider_events.receiver '{"MAIL_URL": "postmark://…", …}'

Prints its port once it takes them.
"""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path

from flask import Flask
from werkzeug.serving import make_server

from flask_outbox import Mail


def main() -> None:
    """Take events until it is killed."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    app = Flask("shop", instance_path=str(Path.cwd()))
    app.config.update(json.loads(sys.argv[1]))
    Mail(app)
    server = make_server("127.0.0.1", 0, app, threaded=True)
    print(server.server_port, flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
