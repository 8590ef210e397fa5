"""An app whose own migrations make the outbox's tables, for ``flask db``.

``SHOP_URL`` names its database. As a process it runs one command for each line that it
reads, a JSON list of arguments, and answers with the exit code and what was said.
"""

from __future__ import annotations

import json
import os
import sys
import traceback

from flask import Flask
from flask_migrate import Migrate
from flask_sqlalchemy import SQLAlchemy

from flask_outbox import Mail, add_tables

app = Flask(__name__)
app.config.update(
    SQLALCHEMY_DATABASE_URI=os.environ["SHOP_URL"],
    OUTBOX_URL=os.environ["SHOP_URL"],
    OUTBOX_ENGINE="external",
    MAIL_URL="inbox://",
)
db = SQLAlchemy(app)
add_tables(db.metadata)
Migrate(app, db)
Mail(app)


class Order(db.Model):  # type: ignore[name-defined]
    number = db.Column(db.Integer, primary_key=True)


def main() -> None:
    """Run the commands until the input ends."""
    runner = app.test_cli_runner()
    for line in sys.stdin:
        result = runner.invoke(args=json.loads(line))
        said = result.output
        if result.exception:
            said += "".join(traceback.format_exception(result.exception))
        print(json.dumps([result.exit_code, said]), flush=True)


if __name__ == "__main__":
    main()
