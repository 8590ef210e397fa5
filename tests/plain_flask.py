"""``flask`` with its own commands and the app's, and none of other extensions.

    python -m tests.plain_flask --app shop outbox worker

Flask imports the commands of all extensions that are installed, at every start. Those
that the tests of real apps need take longer than all the rest, Flask-AppBuilder's above
all, and an environment for mail has none of them.
"""

from __future__ import annotations

from flask.cli import FlaskGroup, main

if __name__ == "__main__":
    FlaskGroup._load_plugin_commands = lambda self: None  # type: ignore[method-assign]
    main()
