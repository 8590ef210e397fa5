"""``flask outbox metrics``: what monitoring reads, on standard output."""

from __future__ import annotations

import click

from ..metrics import text_of
from .group import app_runtime


@click.command()
@click.option("--openmetrics", is_flag=True, help="Print OpenMetrics 1.0.")
def metrics(openmetrics: bool) -> None:
    """Print the metrics in the text format of Prometheus.

    It is the text of the page at OUTBOX_METRICS_PATH, but does not need that page.
    """
    runtime = app_runtime()
    text = text_of(
        runtime.outbox,
        runtime.settings,
        runtime.webhook_statuses(),
        openmetrics=openmetrics,
    )
    click.echo(text, nl=False)
