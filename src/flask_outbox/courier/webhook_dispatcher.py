"""Webhooks: tells endpoints what became of messages, beside a courier's mail."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TypeVar

from ..concurrency import call_untraced
from ..config import WebhookEndpoint
from ..errors import OutboxError, StoreError
from ..humanize import counted, duration
from ..outbox import Feed, Pause, WebhookAttempt, WebhookClaim, WebhookStore
from ..transports.http.webhook_client import NoAnswer, WebhookClient

CONCURRENCY = 16
"""The most webhooks that one process sends to one endpoint at a time."""

LOOK_SECONDS = 1.0
"""How often each endpoint is looked after: for new events and for what is due."""

GATHER_SECONDS = 0.02
"""How long the end of an attempt waits for others that are recorded with it."""

TIDY_SECONDS = 60.0
"""How often webhooks are given up that were tried for long enough."""

KEYS_SECONDS = 60.0
"""How long the secrets that the app returned are used."""

FLUSH_SECONDS = 2.0
"""How long a courier that stops tries to give back what it was sending. What it cannot
give back is sent again when its lease has run out."""

_log = logging.getLogger("flask_outbox")

T = TypeVar("T")


class WebhookDispatcher:
    """Sends the webhooks of some endpoints, each on its own, until it is cancelled.

    Any number of processes may do so. A webhook is sent again, with the same id, unless
    its endpoint took it and that could be recorded.
    """

    def __init__(
        self,
        store: WebhookStore,
        endpoints: Mapping[str, WebhookEndpoint],
        give_up_seconds: float,
        keep_seconds: float,
    ) -> None:
        self._store = store
        self._keep_seconds = keep_seconds
        self._endpoints = endpoints
        self._give_up_seconds = give_up_seconds

    def begin(self) -> None:
        """Tell new endpoints of the events from now on."""
        for name in self._endpoints:
            self._store.begin(name)

    def queue_events(self) -> None:
        """Queue webhooks for all events that the endpoints were not told of."""
        self.begin()
        for one in self._endpoints.values():
            self._store.copy(_feed(one, self._give_up_seconds))

    async def run(self) -> None:
        """Work until cancelled; then give back what was being sent."""
        async with asyncio.TaskGroup() as group:
            for one in self._deliveries():
                group.create_task(one.run())
            group.create_task(self._tidy())

    async def settle(self) -> None:
        """Tell the endpoints of all events so far, send once what is due now, and
        return.
        """
        await asyncio.gather(*(one.settle() for one in self._deliveries()))

    def _deliveries(self) -> list[_Deliveries]:
        return [
            _Deliveries(self._store, one, self._give_up_seconds)
            for one in self._endpoints.values()
        ]

    async def _tidy(self) -> None:
        while True:
            with suppress(StoreError):  # the courier reports that it is unavailable
                await _in_thread(self._store.forget_finished, self._keep_seconds)
            await asyncio.sleep(TIDY_SECONDS)


class _Deliveries:
    """What is sent to one endpoint."""

    def __init__(
        self, store: WebhookStore, endpoint: WebhookEndpoint, give_up_seconds: float
    ) -> None:
        self._store = store
        self._endpoint = endpoint
        self._name = endpoint.name
        self._feed = _feed(endpoint, give_up_seconds)
        self._client = WebhookClient(endpoint)
        self._sending: dict[asyncio.Task[WebhookAttempt], WebhookClaim] = {}
        self._begun = False
        self._tidied_at = 0.0
        self._keys: tuple[bytes, ...] = ()
        self._keys_until = 0.0

    async def run(self) -> None:
        """Work until cancelled."""
        try:
            while True:
                await self._try_to_look()
                await self._wait()
        finally:
            await self._stop()

    async def settle(self) -> None:
        """Send once all that is due now."""
        try:
            await self._copy()
            while await self._send_more() or self._sending:
                await asyncio.wait(self._sending)
                await self._record()
        finally:
            await self._stop()

    async def _copy(self) -> None:
        """Queue webhooks for all events that the endpoint was not told of."""
        if not self._begun:
            await _in_thread(self._store.begin, self._name)
            self._begun = True
        if await _in_thread(self._store.has_news, self._name):
            await _in_thread(self._store.copy, self._feed)

    async def _try_to_look(self) -> None:
        try:
            await self._look()
            return
        except StoreError:  # the courier reports that the outbox is unavailable
            pass
        except Exception:
            _log.exception(
                "Sending webhooks to %s failed and will be tried again.", self._name
            )
        await asyncio.sleep(LOOK_SECONDS)

    async def _look(self) -> None:
        await self._record()
        await self._copy()
        if time.monotonic() >= self._tidied_at + TIDY_SECONDS:
            await self._give_up()
            self._tidied_at = time.monotonic()
        await self._send_more()

    async def _wait(self) -> None:
        """Wait until something is sent, but not longer than to the next look."""
        if not self._sending:
            await asyncio.sleep(LOOK_SECONDS)
            return
        await asyncio.wait(
            self._sending, timeout=LOOK_SECONDS, return_when=asyncio.FIRST_COMPLETED
        )
        await asyncio.sleep(GATHER_SECONDS)

    async def _send_more(self) -> bool:
        """Begin to send what is due, as far as there is room; False if nothing is."""
        room = CONCURRENCY - len(self._sending)
        if room <= 0:
            return False
        claims = await _in_thread(self._claim_if_due, room)
        for claim in claims:
            task = asyncio.create_task(self._send(claim))
            self._sending[task] = claim
        return bool(claims)

    def _claim_if_due(self, room: int) -> list[WebhookClaim]:
        if self._store.anything_due(self._name):
            return self._store.claim(self._name, room)
        return []

    async def _record(self) -> None:
        """Record the ends of attempts, all in one transaction."""
        ended = [task for task in self._sending if task.done()]
        if ended:
            attempts = [task.result() for task in ended]
            pause = await _in_thread(self._store.record, self._name, attempts)
            for task in ended:
                del self._sending[task]
            if pause is not None:
                self._log_pause(pause)

    def _log_pause(self, pause: Pause) -> None:
        if pause.by is None:
            _log.info("Endpoint %s accepts webhooks again.", self._name)
        elif pause.by == "gone":
            _log.error(
                "Webhooks for %s are paused: %s. Remove it from OUTBOX_WEBHOOKS, or "
                "run: flask outbox webhooks resume %s",
                self._name,
                pause.reason,
                self._name,
            )
        else:
            _log.warning(
                "Webhooks for %s are paused, and it is probed now and then: %s.",
                self._name,
                pause.reason,
            )

    async def _give_up(self) -> None:
        failed = await _in_thread(self._store.give_up, self._name)
        if failed:
            _log.error(
                "Webhooks for %s failed: %s not taken within %s. Send them again "
                "with: flask outbox webhooks replay --failed %s",
                self._name,
                counted(failed, "webhook"),
                duration(self._feed.give_up_seconds),
                self._name,
            )

    async def _send(self, claim: WebhookClaim) -> WebhookAttempt:
        try:
            keys = await self._current_keys()
        except Exception as error:
            why = f"its secrets cannot be read: {_reason(error)}"
            return WebhookAttempt(claim, None, why)
        try:
            status = await self._client.post(claim.id, claim.body.encode(), keys)
        except NoAnswer as error:
            return WebhookAttempt(claim, None, str(error))
        except Exception as error:
            _log.exception("Sending webhook %s to %s failed.", claim.id, self._name)
            return WebhookAttempt(claim, None, f"an error here: {type(error).__name__}")
        if 200 <= status < 300:
            return WebhookAttempt(claim, status, None)
        why = f"it answered {status}"
        if 300 <= status < 400:
            why += ", and redirects are not followed"
        return WebhookAttempt(claim, status, why, gone=status == 410)

    async def _current_keys(self) -> tuple[bytes, ...]:
        if time.monotonic() >= self._keys_until:
            self._keys = await _in_thread(self._endpoint.read_keys)
            self._keys_until = time.monotonic() + KEYS_SECONDS
        return self._keys

    async def _stop(self) -> None:
        """Give back what is being sent, and close the connections."""
        for task in self._sending:
            task.cancel()
        if self._sending:
            await asyncio.wait(self._sending)
            attempts = [
                WebhookAttempt(claim, None, None, tried=False)
                if task.cancelled()
                else task.result()
                for task, claim in self._sending.items()
            ]
            with suppress(OutboxError, TimeoutError):
                async with asyncio.timeout(FLUSH_SECONDS):
                    await _in_thread(self._store.record, self._name, attempts)
            self._sending.clear()
        await self._client.close()


def _feed(endpoint: WebhookEndpoint, give_up_seconds: float) -> Feed:
    return Feed(endpoint.name, endpoint.kinds, endpoint.metadata, give_up_seconds)


def _reason(error: Exception) -> str:
    """Why the app's function failed; an error of its own may have a secret in it."""
    return str(error) if isinstance(error, OutboxError) else type(error).__name__


async def _in_thread(function: Callable[..., T], *args: object) -> T:
    """Call the store, or the app, in a thread that no mail waits for."""
    return await asyncio.to_thread(call_untraced, function, *args)
