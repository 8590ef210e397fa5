"""``flask outbox``: what a person sees and does from a shell."""

from .batch import batch
from .changes import cancel, drop, release, retry, send_again
from .check import check_message
from .group import outbox_commands
from .listing import list_messages
from .moving import move
from .pausing import pause, resume
from .send_many import send_many
from .show import show
from .status import status
from .suppressing import suppress, suppressions, unsuppress
from .tables import init, upgrade
from .upkeep import prune
from .worker import worker

__all__ = ["outbox_commands"]

for command in (
    batch, cancel, check_message, drop, init, list_messages, move, pause, prune,
    release, resume, retry, send_again, send_many, show, status, suppress,
    suppressions, unsuppress, upgrade, worker,
):  # fmt: skip
    outbox_commands.add_command(command)
