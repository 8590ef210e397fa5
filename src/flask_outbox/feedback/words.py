"""The words by which mail servers and mail programs are understood.

Each line is a regular expression; case does not matter. ``…`` stands for some words in
between, in the same sentence, and ``~`` for a few of any kind.
"""

from __future__ import annotations

import re


def _any_of(lines: str, flags: re.RegexFlag = re.IGNORECASE) -> re.Pattern[str]:
    """A pattern of which any line may fit. It takes a bounded time at each place."""
    written = "|".join(line.strip() for line in lines.strip().splitlines())
    written = written.replace("…", r"(?:[^\n.]|\.(?=\S)){0,80}")
    return re.compile(written.replace("~", ".{0,40}"), flags)


_PASSING_BLOCK = _any_of(r"""
    gr[ae]y-?list
    try again later~reputation
    temporarily blocked
""")

_BLOCKED = _any_of(r"""
    \bspam\b
    unsolicited|bulk mail|junk ?mail
    (?:block|black)-?list|blocked|\bbanned\b
    spamhaus|spamcop|barracuda|\brbl\b|\bdnsbl\b
    \breputation\b
    \bSPF\b|\bDKIM\b|\bDMARC\b|reverse dns|\bPTR\b
    unauthenticated|not authori[sz]ed|authentication required
    relay(?:ing)? (?:access )?(?:is )?(?:denied|not|prohibited)
    unable to relay|we do not relay
    polic(?:y|ies)
    virus|malware|phishing|suspicious
    content rejected|rejected (?:due to|because of) content
    sender (?:address )?rejected|sender denied
    rate limit|too many (?:messages|connections)
    only accepts? (?:mail|messages) from
    not allowed to send|permission to send|restricted
    requires? tls|starttls
""")

_TOO_LARGE = _any_of(r"""
    (?:message|mail|file|attachment|content)(?: size)? (?:is )?too (?:big|large)
    (?:message|mail|file|attachment|content)(?: size)? exceeds
    maximum (?:message|allowed) size
    larger than
""")

_FULL = _any_of(r"""
    \b(?:over|exceed\w*|out ?of|reached|above)\b…\b(?:quota|storage|limit)
    over ?quota|quota…(?:exceed|full|reached|over)
    (?:mail ?box|inbox|account|folder|maildir)…(?:\bfull\b|too large|exceed)
    \bfull\b…mailbox
    insufficient (?:system )?(?:storage|disk)
    not enough (?:storage|space|disk)|no space left|disk full
    mailbox size limit
    not able to receive~storage
    postfach ist voll|buzón (?:está )?lleno|boîte~pleine
""")

_DISABLED = _any_of(r"""
    (?:account|mail ?box|user|address|recipient|e-?mail)…\b(?:disabled|suspended)
    (?:account|mail ?box|user|address|recipient|e-?mail)…\binactive
    (?:account|mail ?box|user|address|recipient|e-?mail)…\b(?:deactivated|closed|locked)
    (?:account|mail ?box|user|address|recipient|e-?mail)…\b(?:expired|discontinued)
    (?:account|mail ?box|user|address|recipient|e-?mail)…\bterminated
    \b(?:disabled|inactive|suspended|closed)\b…(?:account|mail ?box|user|address)
    no longer (?:active|available|in use|valid|accepts)
    not active|not currently accepting|has been abandoned
""")

_NO_DOMAIN = _any_of(r"""
    (?:host|domain)[^\n]{0,60}(?:not found|does ?n.t exist|does not exist)
    (?:host|domain)[^\n]{0,60}(?:unknown|no such)
    (?:unknown|unrouteable|no such|invalid|bad destination)(?: mail)? (?:host|domain)
    couldn.t find any host|no mail server|name or service not known|nxdomain
    domain does not accept mail|null mx|no (?:valid )?(?:mx|mail exchanger)
    domain \S{1,255} couldn.t be found|dns error:~not found
""")

_NO_MAILBOX = _any_of(r"""
    (?:user|recipient|mail ?box|account|alias|person)…(?:unknown|not (?:be )?found)
    (?:address|addressee|e-?mail|inbox|login)…(?:unknown|not (?:be )?found)
    (?:user|recipient|mail ?box|account|address)…do(?:es)?(?: not|n.t) (?:exist|have)
    (?:user|recipient|mail ?box|account|address)…could(?: not|n.t) be found
    (?:user|recipient|mail ?box|account|address)…(?:non-?exist|not exist|not known)
    (?:user|recipient|mail ?box|account|address|name)…not (?:listed|recognized)
    (?:user|recipient|mail ?box|account|address)…not (?:a )?valid
    (?:user|recipient|mail ?box|account|address)…(?:invalid|unavailable)
    (?:user|recipient|mail ?box|account|address)…(?:no such|not (?:present|local|here))
    (?:recipient|mail ?box|address)…rejected
    (?:unknown|no such|invalid|no) (?:local |virtual )?(?:user|recipient|mail ?box)
    (?:unknown|no such|invalid|no) (?:e-?mail )?(?:account|address|person|alias)
    (?:bad|wrong|incorrect|unrouteable|ambiguous) (?:recipient|address|user)
    undeliverable (?:recipient|address|user)
    unable to find (?:the )?(?:user|recipient)|unknown or illegal alias
    does(?: not|n.t) have (?:an?|a valid)~account|no mailbox here|delivery error: dd
    user_not_found|recipnotfound|not in (?:the )?directory
    no longer employed|not our customer
    benutzer~unbekannt|unbekannter (?:empfänger|benutzer)
    utilisateur~inconnu|destinataire~inconnu
    destinatari[oa]~(?:desconocid|inexist|sconosciut)|usuario~(?:desconocido|no existe)
""")

_LOOP = _any_of(r"""
    \bloop(?:s|ing)?\b
    too many hops|hop count
""")

_OUT_OF_REACH = _any_of(r"""
    timed? ?out
    connection (?:refused|reset|dropped|lost|closed)
    no route to host|network is unreachable|host~unreachable
    (?:could ?n.t|could not|unable to|cannot) (?:connect|contact)
    not responding|did not respond
    expired|retry (?:time|timeout|period)
    too long in queue|been in the queue too long|giv(?:e|en|ing) up
    temporar(?:y|ily)|dns server failure|lookup fail|server failure|conversation with
""")

MEANINGS: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("4.7.1", _PASSING_BLOCK),
    ("5.7.1", _BLOCKED),
    ("5.3.4", _TOO_LARGE),
    ("5.2.2", _FULL),
    ("5.2.1", _DISABLED),
    ("5.1.2", _NO_DOMAIN),
    ("5.1.1", _NO_MAILBOX),
    ("5.4.6", _LOOP),
    ("4.4.1", _OUT_OF_REACH),
)
"""A status (RFC 3463), and the words that mean it. The first that fits counts: what
leaves the address alone comes before what condemns it.
"""

REPORT_SUBJECT = _any_of(r"""
    undeliver|non-?deliver|nondeliverable|unzustellbar|nicht zugestellt
    delivery (?:status|failure|failed|has failed|notification)
    delivery (?:problem|error|report|delay)
    delivery.{0,20}fail|delivery to .{0,80} failed|failed (?:delivery|mail)
    returned (?:mail|to sender|message)|returning message
    mail (?:system error|delivery|could not be delivered)
    failure notice|\bndr\b|rejected|bounced|user unknown|message status
    (?:could ?n.t|can ?not) be delivered|not delivered|still undelivered
    message delay|delayed|warning:[ ]
    non remis|no entregado|no se ha podido entregar|mancata consegna|não entregue
""")

DELAYED = _any_of(
    r"""
    has not (?:yet )?been delivered|not yet been delivered
    been delayed|is delayed|delivery delay
    will (?:be|keep|continue) (?:re-?tr|trying|to (?:be )?(?:re)?tr)|will retry
    still (?:being )?(?:tr|undelivered)
    no action is required|do not need to resend
    """,
    re.IGNORECASE | re.DOTALL,
)

DELAYED_SUBJECT = _any_of("delay|warning")

GIVEN_UP = _any_of(r"""
    permanent
    giving up|given up
    could not be delivered to (?:one|any)
    fatal error
""")

COPY = _any_of(
    r"""
    ^[-=_* ]{3,}.{0,20}(?:below (?:this line|is)|copy of|header of|message header).*$
    ^[-=_* ]{3,}.{0,20}(?:original|returned|unsent|forwarded) (?:message|mail).*$
    ^(?:original message|message headers?) follows?.*$
    ^(?:original message headers|the original message (?:was|is)~below).*$
    ^your original message~:$
    ^(?:content-type: (?:message|text)/|return-path: |reporting-mta: ).*$
    ^received: (?:from|by) .*$
    """,
    re.IGNORECASE | re.MULTILINE,
)
"""Where a report's own words end, and the mail that it returns begins."""

REPLY_SUBJECT = _any_of(r"""
    out of (?:the )?office|\booo\b|\bvacation\b|on (?:holiday|leave)|away from
    auto(?:matic|mated)?[ -]?(?:e-?mail )?(?:reply|response|answer|responder)
    abwesen|automatische antwort|nicht im b(?:ü|ue)ro
    réponse automatique|(?:absence|absent) du bureau
    fuera de (?:la )?oficina|respuesta autom|resposta autom
    risposta automatica|fuori ufficio
    afwezig|automatisch antwoord|autosvar|frånvaro|fravær|poissa|automaattinen
    autoodpowiedź|odpowiedź automatyczna|автоответ
    自動(?:返信|応答)|自动(?:回复|答复)|부재중
    ^(?:not )?read:[ ]|^(?:lu|gelesen|leído|letto|lido|gelezen) ?:[ ]
    return receipt|disposition notification
    (?:confirm|verify) (?:that you sent )?(?:your )?(?:message|e-?mail|mail)
    confirm(?:ation)? (?:is )?(?:required|needed)
    (?:verification required|sender verification)
    challenge|spam ?arrest|boxbe|waiting for your (?:confirmation|approval)
    \b(?:ticket|case|request|inquiry)\b.{0,20}(?:received|#\d|\[\d)
    thank you for (?:contacting|your)
""")
