"""A test mail through a transport, and what the server said."""

from __future__ import annotations

from ..errors import DeliveryError, OutboxError
from ..message import Address, Message
from ..outbox.records import Act, Actor, masked
from ..runtime import Runtime
from .findings import Section

SUBJECT = "Test mail of flask outbox doctor"


def send_test_mail(
    section: Section, runtime: Runtime, address: str, actor: Actor | None
) -> None:
    """Send one mail by the section's transport, past the outbox, and wait.

    The audit trail has it if ``actor`` is given; without a line there, none is sent.
    """
    spec = Address.parse(address, "send_to").spec
    message = Message(
        f"{SUBJECT} ({section.name})",
        [address],
        f"This mail left by the transport {section.name!r}. If you can read it, it "
        "arrived. Authentication-Results in its source says what your mail server "
        "thinks of SPF, DKIM and DMARC.\n",
    )
    try:
        runtime.outbox.note_act(actor, Act.TEST_MAIL, masked(spec), section.name)
        report = runtime.send_now(message, section.name)
    except DeliveryError as error:
        _find_failure(section, error)
    except OutboxError as error:
        _find_failure(section, error)
    else:
        for recipient, one in report.recipients.items():
            section.note("Test mail", f"{recipient}: {one.outcome}, {one.reply}")


def _find_failure(section: Section, error: OutboxError) -> None:
    section.find(
        "test-mail-failed", str(error), "Do what the reply says, then try again."
    )
