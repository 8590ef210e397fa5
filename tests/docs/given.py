"""What the code blocks of pages take for granted: an app, its mail, what a shop has.

Each block is checked as if it began with ``from tests.docs.given import *``. What is
the reader's own may be anything; what is ours has its type.
"""

from __future__ import annotations

import asyncio
import logging.config
import os
from collections.abc import Callable, Iterator
from datetime import date, datetime, timedelta
from threading import Thread
from typing import Any
from zoneinfo import ZoneInfo

from flask import Flask, render_template, request
from flask_sqlalchemy import SQLAlchemy
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ParentBased

from flask_outbox import BatchInterrupted, Mail, Message, Search, State, oauth

app: Flask
mail: Mail
message: Message
receipt: Any
reminder: Message
follow_up: Message
password_reset: Message
newsletter: Any
"""A message on one page, and on another a function that yields them."""

id: str
html: str
amp: str
body: str
pdf: bytes
token: str
code: str
recipients: list[str]
context: Any

db: Any
user: Any
current_user: Any
order: Any
reader: Any
readers: Any
meeting: Any
question: Any
csrf: Any
pager: Any
credentials: Any
Reader: Any
Customer: Any
Order: Any
LikeTheHandOver: Any

confirmation: Callable[[Any], Message]
welcome_mail: Callable[[Any], Message]
find_account: Any
celery_init_app: Any
