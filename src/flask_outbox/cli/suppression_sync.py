"""``flask outbox sync-suppressions``: what the providers' own lists have."""

from __future__ import annotations

from dataclasses import asdict

import click

from ..courier.provider_list import ProviderList
from ..errors import TransportDown
from ..outbox.records import Suppression, SuppressionSync
from ..runtime import Runtime
from .group import acting, app_runtime, json_option
from .output import print_document, reading, say, say_error


@click.command()
@click.argument("transport", required=False)
@click.option("--dry-run", is_flag=True, help="Change nothing, only say what is new.")
@json_option
@click.pass_context
def sync_suppressions(
    context: click.Context, transport: str | None, dry_run: bool, as_json: bool
) -> None:
    """Suppress the addresses on the providers' own suppression lists.

    Without TRANSPORT, the lists of all transports whose provider has one are read.
    What was listed before somebody unsuppressed it here stays unsuppressed. The exit
    code is 1 if a list could not be read to its end; what was added stays.
    """
    runtime = app_runtime()
    sources = runtime.provider_lists(transport)
    if not sources and not as_json:
        say("No transport has a provider whose suppression list can be read.")
    results = [_sync(runtime, one, dry_run, as_json) for one in sources]
    if as_json:
        documents = [asdict(total) | {"error": error} for total, error in results]
        print_document({"dry_run": dry_run, "transports": documents})
    context.exit(1 if any(error for _, error in results) else 0)


def _sync(
    runtime: Runtime, source: ProviderList, dry_run: bool, as_json: bool
) -> tuple[SuppressionSync, str | None]:
    """What became of one list, and why it could not be read to its end."""
    total, error = SuppressionSync(source.name), None
    try:
        with reading(f"Reading {source.name}") as show:
            for step in runtime.sync_suppressions(
                source, dry_run=dry_run, actor=acting()
            ):
                total = step.total
                show(total.read)
                for one in () if as_json else step.added:
                    say(_added(one))
    except TransportDown as trouble:
        error = str(trouble)
        say_error(error)
    if not as_json:
        say(_summary(total, dry_run, error is None))
    return total, error


def _added(one: Suppression) -> str:
    which = f"  for {one.list}" if one.list else ""
    return f"{one.address}{which}  {one.reason}"


def _summary(total: SuppressionSync, dry_run: bool, whole: bool) -> str:
    added = "would be added" if dry_run else "added"
    parts = [f"{total.added:,} {added}", f"{total.known:,} known already"]
    if total.pardoned:
        parts.append(f"{total.pardoned:,} unsuppressed here since they were listed")
    if total.unreadable:
        parts.append(f"{total.unreadable:,} unreadable")
    listed = f"{total.read:,} listed" if whole else f"the first {total.read:,}"
    return f"{total.transport}: {listed}, {', '.join(parts)}."
