"""The shop as the hosts have it, with a command that hands over."""

from __future__ import annotations

from typing import Any

import click
from flask import Flask

from flask_outbox import Mail, Message

mail = Mail()


def create_app(**config: Any) -> Flask:
    """The shop with these settings."""
    app = Flask("shop")
    app.config.update(config)
    mail.init_app(app)

    @app.cli.command()
    @click.argument("number", type=int)
    def send_with_keys(number: int) -> None:
        """Hand over so many mails, each with its key, and print their ids."""
        for key in range(number):
            message = Message("Hello", ["ada@example.org"], "Hello\n")
            click.echo(mail.send(message, key=f"hello-{key}").id)

    return app
