"""The commands: make up readers, and send an issue to all of them."""

import click
from sqlalchemy import insert

from .issues import count_readers, readers, send_to
from .models import Reader, db

NAMES = ("Ada", "Björn", "Chloé", "Dmitri", "Eun-ji", "Fatma", "Grace", "Hồng")
AT_A_TIME = 10_000


@click.argument("count", type=int)
def add_readers(count: int) -> None:
    """Make up COUNT readers."""
    first = count_readers() + 1
    for start in range(first, first + count, AT_A_TIME):
        rows = [
            {"email": f"reader{n}@example.org", "name": NAMES[n % len(NAMES)]}
            for n in range(start, min(start + AT_A_TIME, first + count))
        ]
        db.session.execute(insert(Reader), rows)
    db.session.commit()
    click.echo(f"There are {count_readers():,} readers now.")


@click.argument("title")
def send_issue(title: str) -> None:
    """Send the issue called TITLE; what is kept of it already is passed over."""
    with click.progressbar(readers(), length=count_readers(), label=title) as some:
        receipt = send_to(title, some)
    click.echo(f"{receipt.messages:,} letters are on their way.")
