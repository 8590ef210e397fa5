"""The page: the state of each issue, and buttons to pause and resume it."""

from flask import Blueprint, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from flask_outbox import BatchState

from .issues import count_readers, mail

pages = Blueprint("pages", __name__)


UNDER_WAY, STOPPED = ("pause", "cancel"), ("resume", "cancel")
ACTS = {
    BatchState.ENQUEUEING: UNDER_WAY,
    BatchState.INTERRUPTED: UNDER_WAY,
    BatchState.SENDING: UNDER_WAY,
    BatchState.PAUSED: STOPPED,
    BatchState.CANCELLED: (),
    BatchState.DONE: (),
}
"""The actions that each state of an issue allows."""


@pages.get("/")
def issues() -> str:
    """The newest issues and their progress."""
    return render_template(
        "issues.html", issues=mail.batches(), acts=ACTS, readers=count_readers()
    )


@pages.post("/issues/<id>")
def change(id: str) -> ResponseReturnValue:
    """Pause or resume an issue, or cancel what is pending."""
    match request.form["act"]:
        case "pause":
            mail.pause_batch(id)
        case "resume":
            mail.resume_batch(id)
        case "cancel":
            mail.cancel_batch(id)
    return redirect(url_for("pages.issues"), 303)
