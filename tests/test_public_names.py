"""The names that `flask_outbox` offers, whether or not they are imported already."""

from __future__ import annotations

import flask_outbox


def test_every_public_name_is_listed():
    assert set(flask_outbox.__all__) <= set(dir(flask_outbox))


def test_every_public_name_can_be_imported_with_a_star():
    namespace: dict[str, object] = {}
    exec("from flask_outbox import *", namespace)
    assert set(flask_outbox.__all__) <= set(namespace)
