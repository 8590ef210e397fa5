"""An app whose own migrations make the outbox's tables, for ``flask db``.

``SHOP_URL`` names its database. ::

    flask --app tests.mail.migrating db migrate
"""

from __future__ import annotations

import os

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
