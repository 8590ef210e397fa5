"""Sections: what the dashboard's navigation leads to, in this app."""

from __future__ import annotations

from flask import current_app

from .blueprint import runtime

Section = tuple[str, str]
"""What it is called, and its endpoint."""


def sections() -> list[Section]:
    """Every section that this app has a use for."""
    keeps_mail = any(one.smtp is None for one in runtime().settings.transports.values())
    has_previews = any(current_app.extensions["outbox"].previews)
    found: list[tuple[bool, Section]] = [
        (True, ("Overview", ".overview")),
        (True, ("Mail", ".messages")),
        (True, ("Batches", ".batches")),
        (keeps_mail, ("Inbox", ".inbox")),
        (has_previews, ("Previews", ".previews")),
        (True, ("Lanes", ".lanes")),
        (True, ("Suppressions", ".suppressions")),
    ]
    return [section for useful, section in found if useful]
