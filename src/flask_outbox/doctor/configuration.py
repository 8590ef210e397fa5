"""What an app's configuration decides, and what it leaves out."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from typing import Any

from ..config import Settings, is_loopback
from ..recipient_guard import Guard
from .findings import Section

GOOD_SECRET_CHARACTERS = 16

SERVER_GRACE_SECONDS = 30.0
"""How long gunicorn, Kubernetes and others wait for a process to end, by default."""


def examine_configuration(
    settings: Settings,
    config: Mapping[str, Any],
    environment: Mapping[str, str],
    *,
    developing: bool,
) -> Section:
    """Examine the settings, and those keys of Flask's ``config`` that mail needs.

    ``environment`` may have gunicorn's options. In development (debug or testing) mail
    may stay here, and links may lead to this machine.
    """
    section = Section("configuration")
    section.note("Engine", settings.engine)
    section.note("Durability", settings.durability)
    section.note("Grace", f"{settings.grace_seconds:g} s")
    _check_secret(section, settings, config)
    _check_links(section, settings, config, developing)
    _check_grace(section, settings, environment)
    _check_choices(section, settings, developing)
    return section


def _check_secret(
    section: Section, settings: Settings, config: Mapping[str, Any]
) -> None:
    secret = config.get("SECRET_KEY")
    todo = "Set SECRET_KEY to what this prints."
    write = "python -c 'import secrets; print(secrets.token_hex())'"
    if secret and len(secret) < GOOD_SECRET_CHARACTERS:
        section.find(
            "secret-key-weak", f"It has {len(secret)} characters.", todo, write
        )
    elif not secret and settings.unsubscribe_path is not None:
        section.find(
            "secret-key-missing",
            "OUTBOX_UNSUBSCRIBE_PATH is set, and SECRET_KEY is not.",
            todo,
            write,
        )


def _check_links(
    section: Section, settings: Settings, config: Mapping[str, Any], developing: bool
) -> None:
    if settings.unsubscribe_path is None:
        return
    name = config.get("SERVER_NAME")
    if not name:
        section.find(
            "server-name-missing",
            "OUTBOX_UNSUBSCRIBE_PATH is set, and SERVER_NAME is not.",
            write='SERVER_NAME = "shop.example.com"',
        )
    elif not developing and is_loopback(name.partition(":")[0]):
        section.find(
            "server-name-local",
            f"SERVER_NAME is {name!r}.",
            "Set the name by which people reach the app.",
            'SERVER_NAME = "shop.example.com"',
        )
    scheme = config.get("PREFERRED_URL_SCHEME", "http")
    if not developing and scheme != "https":
        section.find(
            "links-not-https",
            f"PREFERRED_URL_SCHEME is {scheme!r}.",
            write='PREFERRED_URL_SCHEME = "https"',
        )


def _check_grace(
    section: Section, settings: Settings, environment: Mapping[str, str]
) -> None:
    waits = _server_seconds(environment)
    if settings.grace_seconds > waits:
        section.find(
            "grace-too-long",
            f"OUTBOX_GRACE_SECONDS is {settings.grace_seconds:g}, and the server waits "
            f"{waits:g} s.",
            "Shorten it, or give the server more time, as with gunicorn's "
            "--graceful-timeout.",
            f"OUTBOX_GRACE_SECONDS = {waits * 2 / 3:g}",
        )


def _server_seconds(environment: Mapping[str, str]) -> float:
    """How long the server waits, by gunicorn's options, else as usual."""
    try:
        words = shlex.split(environment.get("GUNICORN_CMD_ARGS", ""))
        return next(_graceful_timeouts(words), SERVER_GRACE_SECONDS)
    except ValueError:
        return SERVER_GRACE_SECONDS


def _graceful_timeouts(words: list[str]) -> Iterator[float]:
    option = "--graceful-timeout"
    for at, word in enumerate(words):
        if word.startswith(f"{option}="):
            yield float(word.removeprefix(f"{option}="))
        elif word == option and at + 1 < len(words):
            yield float(words[at + 1])


def _check_choices(section: Section, settings: Settings, developing: bool) -> None:
    if settings.durability == "process":
        section.find(
            "durability-process",
            "OUTBOX_DURABILITY is 'process'.",
            "Set the default again, unless you can afford to lose mail.",
            'OUTBOX_DURABILITY = "full"',
        )
    if guard := Guard.read(settings.only_to, settings.redirect_to):
        section.find(
            "guard-on",
            str(guard),
            "In production, remove OUTBOX_ONLY_TO and OUTBOX_REDIRECT_TO.",
        )
    if settings.default_sender is None:
        section.find(
            "sender-missing",
            "MAIL_DEFAULT_SENDER is not set.",
            write='MAIL_DEFAULT_SENDER = ("The Shop", "shop@example.com")',
        )
    for name, one in settings.transports.items():
        if one.keeps_mail and not developing:
            section.find(
                "mail-stays-here",
                f"Transport {name!r} delivers to {one.place}.",
                "Set MAIL_URL to a server, and remove MAIL_SUPPRESS_SEND.",
            )
