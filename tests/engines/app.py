"""A shop with a Celery app, set up as Flask's documentation has it.

    celery -A tests.engines.app worker

takes its settings from ``shop.json`` in the working directory.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from celery import Celery, Task
from flask import Flask

from flask_outbox import Mail

SETTINGS = Path("shop.json")

mail = Mail()


def create_app(config: dict[str, Any]) -> Flask:
    """The shop; its instance folder is the working directory."""
    app = Flask("shop", instance_path=str(Path.cwd()))
    app.config.update(config)
    app.template_folder = config.get("TEMPLATE_FOLDER")
    celery_init_app(app)
    mail.init_app(app)
    return app


def celery_init_app(app: Flask) -> Celery:
    """Flask's documentation, "Background Tasks with Celery", word for word."""

    class FlaskTask(Task):
        def __call__(self, *args: object, **kwargs: object) -> object:
            with app.app_context():
                return self.run(*args, **kwargs)

    celery_app = Celery(app.name, task_cls=FlaskTask)
    celery_app.config_from_object(app.config["CELERY"])
    celery_app.set_default()
    app.extensions["celery"] = celery_app
    return celery_app


if SETTINGS.exists():
    celery_app = create_app(json.loads(SETTINGS.read_text())).extensions["celery"]
