"""The app whose engine is measured: the sender and its workers make it alike.

A worker makes it from the environment: ``flask --app _engine_app outbox worker``, or
``celery -A _engine_app.celery worker``.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

from celery import Celery, Task
from flask import Flask

import flask_outbox

CONFIG = "ENGINE_CONFIG"
"""The environment variable with the app's config as JSON."""


def make_app(config: Mapping[str, Any]) -> Flask:
    """An app with its outbox, and a Celery app where its config has ``CELERY``."""
    app = Flask("benchmark")
    app.config.from_mapping(config)
    if "CELERY" in app.config:
        celery_init_app(app)
    flask_outbox.Mail(app)
    return app


def celery_init_app(app: Flask) -> Celery:
    """Create the Celery app, as in Flask's documentation."""

    class FlaskTask(Task):  # type: ignore[misc,type-arg]
        def __call__(self, *args: object, **kwargs: object) -> object:
            with app.app_context():
                return self.run(*args, **kwargs)

    celery_app = Celery(app.name, task_cls=FlaskTask)
    celery_app.config_from_object(app.config["CELERY"])
    celery_app.set_default()
    app.extensions["celery"] = celery_app
    return celery_app


if CONFIG in os.environ:
    app = make_app(json.loads(os.environ[CONFIG]))
    celery = app.extensions.get("celery")
