"""``flask outbox webhooks``: the webhook endpoints, and what a person may do."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict

import click

from ..humanize import clock, counted
from ..outbox.records import WebhookRecord, WebhookState
from ..runtime import Runtime
from ..status import WebhookStatus
from .group import acting, app_runtime, json_option, limit_option
from .input import time_given
from .output import fields, print_document, printable, say, table

TEST_SECONDS = 30.0
"""How long ``test`` waits for a courier to send its webhook."""

LOOK_SECONDS = 0.2


@click.group("webhooks", invoke_without_command=True)
@json_option
@click.pass_context
def webhooks(context: click.Context, as_json: bool) -> None:
    """Show the webhook endpoints, and replay, pause or test them."""
    if context.invoked_subcommand is None:
        _show_all(app_runtime(), as_json)


_name_argument = click.argument("name")


@webhooks.command()
@_name_argument
@limit_option
@json_option
def show(name: str, limit: int, as_json: bool) -> None:
    """Show an endpoint and its webhooks: failed, waiting and done, the latest first."""
    runtime = _runtime_with(name)
    (endpoint,) = [one for one in runtime.webhook_statuses() if one.name == name]
    found = runtime.webhooks.webhooks(name, limit)
    if as_json:
        rows = [asdict(one) for one in found]
        print_document({**asdict(endpoint), "webhooks": rows})
        return
    say(
        fields(
            [
                ("Endpoint", name),
                ("Sends to", endpoint.place),
                ("Events", ", ".join(endpoint.kinds)),
                ("State", _state(endpoint)),
                ("Waiting", f"{endpoint.waiting:,}"),
                ("Failed", f"{endpoint.failed:,}"),
            ]
        )
    )
    if found:
        headings = ("Webhook", "Event", "State", "Attempts", "Queued", "Last answer")
        say()
        say(table(headings, [_webhook_row(one) for one in found]))


@webhooks.command()
@_name_argument
@click.option("--failed", is_flag=True, help="Those that have failed for good.")
@click.option(
    "--since",
    metavar="TIME",
    help="All that were queued since then and are done or failed: a time in ISO 8601 "
    "(UTC without an offset), or 90min, 2h, 3d.",
)
def replay(name: str, failed: bool, since: str | None) -> None:
    """Send webhooks again, with the same ids."""
    if failed == (since is not None):
        raise click.UsageError("Say which: either --failed or --since TIME.")
    runtime = _runtime_with(name)
    start = (
        None if since is None else time_given(since, runtime.outbox.clock(), "--since")
    )
    give_up_seconds = runtime.settings.webhook_give_up_after
    many = runtime.webhooks.replay(name, give_up_seconds, start, acting())
    say(f"To be sent again: {counted(many, 'webhook')}.")


@webhooks.command()
@_name_argument
@click.option("--reason", default="", help="The reason, shown with the status.")
def pause(name: str, reason: str) -> None:
    """Send nothing to an endpoint until it is resumed.

    Webhooks wait, but not for longer than OUTBOX_WEBHOOK_GIVE_UP_AFTER.
    """
    runtime = _runtime_with(name)
    runtime.webhooks.pause(name, reason, acting())
    _show_all(runtime, as_json=False)


@webhooks.command()
@_name_argument
def resume(name: str) -> None:
    """End any pause of an endpoint, and send it what is waiting."""
    runtime = _runtime_with(name)
    runtime.webhooks.resume(name, acting())
    _show_all(runtime, as_json=False)


@webhooks.command("test")
@_name_argument
def try_endpoint(name: str) -> None:
    """Have a courier send a webhook of the type outbox.test, and wait for the answer.

    The exit code is 1 unless the endpoint takes it within half a minute.
    """
    runtime = _runtime_with(name)
    _check_not_paused(runtime, name)
    give_up_seconds = runtime.settings.webhook_give_up_after
    id = runtime.webhooks.add_test(name, give_up_seconds, acting())
    found = _awaited(runtime, name, id)
    if found is not None and found.state is WebhookState.DONE:
        say(f"{name} took {id}: it answered {found.status}.")
    elif found is not None and found.error:
        raise click.ClickException(
            f"{name} did not take {id}: {printable(found.error)}. It is sent again "
            "later."
        )
    else:
        raise click.ClickException(
            f"{id} was not sent to {name} within {TEST_SECONDS:g} s: is a courier "
            "running? The first request to a web process starts its own. The webhook "
            "stays queued."
        )


def _check_not_paused(runtime: Runtime, name: str) -> None:
    (found,) = (one for one in runtime.webhook_statuses() if one.name == name)
    if found.paused_by is not None:
        raise click.ClickException(
            f"{name} is sent nothing: it is {_state(found)}. Resume it first: flask "
            f"outbox webhooks resume {name}"
        )


def _awaited(runtime: Runtime, name: str, id: str) -> WebhookRecord | None:
    """The webhook once it was sent, or after `TEST_SECONDS`."""
    deadline = time.monotonic() + TEST_SECONDS
    while True:
        found = runtime.webhooks.get(name, id)
        if found is None or found.error or found.state is not WebhookState.PENDING:
            return found
        if time.monotonic() > deadline:
            return found
        time.sleep(LOOK_SECONDS)


def _runtime_with(name: str) -> Runtime:
    runtime = app_runtime()
    runtime.check_webhook_endpoint(name)
    return runtime


def _show_all(runtime: Runtime, as_json: bool) -> None:
    found = runtime.webhook_statuses()
    if as_json:
        print_document({"endpoints": [asdict(one) for one in found]})
    elif found:
        say(endpoints_shown(found))
    else:
        say("There are no endpoints: OUTBOX_WEBHOOKS is not set.")


def endpoints_shown(endpoints: Sequence[WebhookStatus]) -> str:
    """A table of the endpoints; below it, why each paused one is paused."""
    headings = ("Webhooks", "Sent to", "Waiting", "Failed", "State")
    rows = [
        (
            one.name,
            one.place,
            f"{one.waiting:,}",
            f"{one.failed:,}",
            "paused" if one.paused_by else "open",
        )
        for one in endpoints
    ]
    why = [f"Webhooks {one.name}: {_state(one)}" for one in endpoints if one.paused_by]
    return "\n".join([table(headings, rows), *why])


def _state(one: WebhookStatus) -> str:
    """Whether it is open, or why it is not."""
    if one.paused_by is None:
        return "open"
    if one.paused_by == "trouble":
        until = f", next probe {clock(one.until)}" if one.until else ""
        return printable(f"paused{until}: {one.reason}")
    if one.paused_by == "gone":
        return printable(f"paused until a person resumes it: {one.reason}")
    return printable(f"paused by a person{': ' + one.reason if one.reason else ''}")


def _webhook_row(one: WebhookRecord) -> tuple[str, ...]:
    answer = one.error or (f"{one.status}" if one.status else "")
    return (
        one.id,
        one.kind,
        one.state,
        str(one.attempts),
        clock(one.queued_at),
        answer,
    )
