"""The shop on the hosts, with commands that send mail and lock it."""

from __future__ import annotations

import signal
from typing import Any

import click
from flask import Flask
from sqlalchemy import Connection

from flask_outbox import Mail, Message
from flask_outbox.outbox.statements import pipelined

mail = Mail()


def create_app(**config: Any) -> Flask:
    """The shop with these settings."""
    app = Flask("shop")
    app.config.update(config)
    mail.init_app(app)

    @app.cli.command()
    @click.argument("number", type=int)
    def send_with_keys(number: int) -> None:
        """Send ``count`` mails, each with a key, and print their ids."""
        for key in range(number):
            message = Message("Hello", ["ada@example.org"], "Hello\n")
            click.echo(mail.send(message, key=f"hello-{key}").id)

    @app.cli.command()
    def lock_messages() -> None:
        """Stop in the middle of a pipeline that has locked all messages."""

        def lock(connection: Connection) -> None:
            driver: Any = connection.connection.dbapi_connection
            with pipelined(connection):
                locked = driver.execute("SELECT id FROM outbox_message FOR UPDATE")
                click.echo(len(locked.fetchall()))
                signal.pause()

        app.extensions["outbox"].runtime.outbox.database.write(lock)

    return app
