"""``flask outbox check``: what would go wrong for those who get a message."""

from __future__ import annotations

import click

from ..checks import Checked, Finding, Severity, check
from ..opened import open_message
from .contents import content_of
from .group import app_runtime, json_option
from .ids import full_id
from .output import print_document, say
from .table import table


@click.command("check")
@click.argument("id")
@json_option
@click.pass_context
def check_message(context: click.Context, id: str, as_json: bool) -> None:
    """Look for what would go wrong for those who get a message.

    ID is the message's id, or as much of its beginning as no other message has. The
    exit code is 1 where something is broken: a link, an image, a placeholder that is
    still there. Nothing is fetched.
    """
    outbox = app_runtime().outbox
    record = outbox.get(full_id(outbox, id))
    content = content_of(outbox, record.id)
    checked = check(open_message(content), size_bytes=len(content), tag=record.tag)
    if as_json:
        print_document(checked)
    else:
        say(_told(checked.findings) or "Nothing is the matter with it.")
    context.exit(_exit_code(checked))


def _told(findings: tuple[Finding, ...]) -> str:
    rows = [(one.severity, one.what, one.todo) for one in findings]
    return table(("Severity", "What is the matter", "What to do"), rows) if rows else ""


def _exit_code(checked: Checked) -> int:
    return 1 if checked.count(Severity.BROKEN) else 0
