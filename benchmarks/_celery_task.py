"""The Celery peer's app: one task that sends one mail by Flask-Mail.

The worker makes it from the environment, the benchmark by `make_task`.
"""

from __future__ import annotations

import os
from typing import Any

import flask_mail
import redis
from _ways import MAIL, SENDER
from celery import Celery
from flask import Flask


def make_task(broker_url: str, redis_url: str, prefix: str, port: int) -> Any:
    """The task, on its own queue; it reports in Redis when it is done."""
    celery = Celery("benchmark", broker=broker_url)
    celery.conf.task_ignore_result = True
    celery.conf.task_default_queue = f"{prefix}tasks"
    celery.conf.worker_prefetch_multiplier = 16
    if broker_url.startswith("redis:"):
        celery.conf.broker_transport_options = {"global_keyprefix": prefix}
    app = Flask("benchmark")
    app.config.update(
        MAIL_SERVER="127.0.0.1", MAIL_PORT=port, MAIL_DEFAULT_SENDER=SENDER
    )
    mail = flask_mail.Mail(app)
    told = redis.Redis.from_url(redis_url)

    @celery.task(name="send_email", shared=False)  # type: ignore[untyped-decorator]
    def send_email() -> None:
        with app.app_context():
            mail.send(flask_mail.Message(**MAIL))
        told.rpush(f"{prefix}done", 1)

    return send_email


if "TASK_REDIS" in os.environ:
    app = make_task(
        os.environ["TASK_BROKER"],
        os.environ["TASK_REDIS"],
        os.environ["TASK_PREFIX"],
        int(os.environ["TASK_PORT"]),
    ).app
