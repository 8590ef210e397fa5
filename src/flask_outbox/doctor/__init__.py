"""The doctor: examines everything that a mail depends on before one is sent.

- `examination`: examines all of it, in bounded time, and sends a test mail if asked to
- `configuration`, `database`: what the app decides, and where it keeps mail
- `smtp`, `api`: each transport, step by step, up to the login
- `accounts`: what a provider says of the key, the account and the senders
- `domains`, `spf`, `dkim`, `dmarc`: what the DNS says of each From domain
- `verdict`: the bulk senders' rules
- `faults`, `findings`: what can be found, and what was

It changes nothing, starts no courier, and nobody gets mail unless a test mail is asked
for.
"""

from .examination import examine
from .faults import FAULTS, Fault
from .findings import Diagnosis, Finding, Rule, Section, Seen, Verdict

__all__ = [
    "FAULTS",
    "Diagnosis",
    "Fault",
    "Finding",
    "Rule",
    "Section",
    "Seen",
    "Verdict",
    "examine",
]
