"""What a provider says of the account by which mail leaves, without sending any.

- `asking`: questions to an API, and what is found by its answers
- one module for each provider: what can be asked there

What a key may not ask for is noted, and is never a finding.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from ...transports.http.api import ApiTransport
from ..findings import Section
from . import (
    brevo,
    gmail,
    graph,
    mailersend,
    mailgun,
    mailjet,
    postmark,
    resend,
    scaleway,
    sendgrid,
    ses,
    sparkpost,
)
from .asking import (
    Account,
    KeyUnknown,
    NotNow,
    Rejects,
    Senders,
    is_unauthorized,
    with_parents,
)

__all__ = ["Senders", "examine_account", "find_rejected", "is_known", "with_parents"]


@dataclass(frozen=True, slots=True)
class _Provider:
    examine: Callable[[Account, Senders], Awaitable[None]]
    rejects: Rejects = is_unauthorized
    may_be_good: bool = False
    """Whether a key that is rejected here may be one that only sends."""


_PROVIDERS: Mapping[str, _Provider] = {
    "brevo": _Provider(brevo.examine),
    "gmail": _Provider(gmail.examine),
    "graph": _Provider(graph.examine),
    "mailersend": _Provider(mailersend.examine),
    "mailgun": _Provider(mailgun.examine, may_be_good=True),
    "mailjet": _Provider(mailjet.examine),
    "postmark": _Provider(postmark.examine),
    "resend": _Provider(resend.examine, resend.rejects),
    "scaleway": _Provider(scaleway.examine),
    "sendgrid": _Provider(sendgrid.examine),
    "ses": _Provider(ses.examine, ses.rejects),
    "sparkpost": _Provider(sparkpost.examine),
}


def is_known(scheme: str) -> bool:
    """Whether the provider of this scheme can be asked about an account."""
    return scheme in _PROVIDERS


async def examine_account(
    section: Section, transport: ApiTransport, senders: Senders
) -> None:
    """Ask about the key, the account and its quota, and whether senders are verified.

    Raises `TransportDown` if there is no answer.
    """
    provider = _PROVIDERS[transport.scheme]
    account = Account(section, transport, provider.rejects)
    try:
        await provider.examine(account, senders)
    except KeyUnknown as error:
        if provider.may_be_good:
            find_rejected(section, str(error))
        else:
            section.find(
                "api-key-invalid",
                str(error),
                "Set the key as the provider's pages show it, in MAIL_URL or "
                "MAIL_API_KEY.",
            )
    except NotNow as error:
        section.note("Account", f"cannot be seen for now: {error}")


def find_rejected(section: Section, saw: str) -> None:
    """Find that the key is rejected here, where one that only sends would be, too."""
    section.find(
        "api-key-rejected",
        saw,
        "Set the key as the provider's pages show it, in MAIL_URL or MAIL_API_KEY. A "
        "key that may only send is good although it is rejected here: see what "
        "--send-to says.",
    )
