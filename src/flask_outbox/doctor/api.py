"""A transport by an HTTP API: whether it answers, takes the key, would take mail."""

from __future__ import annotations

import asyncio

from ..config import TransportSettings
from ..errors import AccountTrouble, LoginRejected, OutboxError, raised
from ..recipient_guard import Guard
from ..transports.base import Transport
from ..transports.http.api import ApiTransport
from ..transports.registry import transport_for
from .accounts import Senders, examine_account, find_rejected, is_known
from .findings import Section


async def examine_api(
    section: Section,
    settings: TransportSettings,
    senders: Senders,
    longest_seconds: float,
) -> None:
    """Ask whether mail from ``senders`` would be taken; send none.

    Of a transport of another package it is asked whether it reads a suppression list.
    """
    section.note("API", settings.place)
    try:
        async with asyncio.timeout(longest_seconds):
            await _ask(section, transport_for(settings, Guard()), senders)
    except (LoginRejected, AccountTrouble) as error:
        find_rejected(section, str(error))
    except TimeoutError:
        _find_silent(section, f"There was no answer within {longest_seconds:g} s.")
    except OutboxError as error:
        _find_silent(section, str(error))
    except Exception as error:  # another package's transport may raise anything
        _find_silent(section, f"The transport raised {raised(error)}.")


def _find_silent(section: Section, saw: str) -> None:
    section.find(
        "api-unreachable",
        saw,
        "Check the network's way out (HTTPS_PROXY), and the provider's status page.",
    )


async def _ask(section: Section, transport: Transport, senders: Senders) -> None:
    try:
        await transport.probe()
        section.note("Probe", "the API answers")
        if isinstance(transport, ApiTransport) and is_known(transport.scheme):
            await examine_account(section, transport, senders)
        else:
            await _read_list(section, transport)
    finally:
        await transport.close()


async def _read_list(section: Section, transport: Transport) -> None:
    """Whether the key is good shows where there is a list, which is read with it."""
    listed = transport.suppression_list()
    if listed is None:
        section.note("Key", "only a mail would show whether it is valid")
        return
    async for _ in listed.pages():
        break
    section.note("Key", "accepted: it reads the suppression list")
