"""A transport by an HTTP API: whether it answers, and takes the key."""

from __future__ import annotations

import asyncio

from ..config import TransportSettings
from ..errors import AccountTrouble, LoginRejected, OutboxError, raised
from ..recipient_guard import Guard
from ..transports.base import Transport
from ..transports.registry import transport_for
from .findings import Section


async def examine_api(
    section: Section, settings: TransportSettings, longest_seconds: float
) -> None:
    """Ask whether mail would be taken; send none.

    Whether the key is good shows where the provider has a suppression list, which is
    read with it.
    """
    section.note("API", settings.place)
    try:
        async with asyncio.timeout(longest_seconds):
            await _ask(section, transport_for(settings, Guard()))
    except (LoginRejected, AccountTrouble) as error:
        section.find(
            "api-key-rejected",
            str(error),
            "Set the key as the provider's pages show it, in MAIL_URL or MAIL_API_KEY. "
            "A key that may only send is good although it is rejected here: see what "
            "--send-to says.",
        )
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


async def _ask(section: Section, transport: Transport) -> None:
    try:
        await _probe(section, transport)
    finally:
        await transport.close()


async def _probe(section: Section, transport: Transport) -> None:
    await transport.probe()
    section.note("Probe", "the API answers")
    listed = transport.suppression_list()
    if listed is None:
        section.note("Key", "only a mail would show whether it is good")
        return
    async for _ in listed.pages():
        break
    section.note("Key", "accepted: it reads the suppression list")
