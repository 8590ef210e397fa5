"""Every fault that the doctor can find, declared once."""

from __future__ import annotations

from dataclasses import dataclass

from ..checks import Severity

BROKEN, WARNING, ADVICE = Severity


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault of a set-up."""

    id: str
    """Its name, which stays the same."""
    severity: Severity
    what: str
    """What is wrong, in a sentence."""
    why: str
    """Why it matters, in a sentence."""


_PERMERROR = "Receivers ignore an SPF record with an error: it allows no server."
_BULK = "Gmail, Yahoo and Microsoft require it of bulk senders."
_NO_MAIL = "No mail leaves by this transport; it waits in the outbox."
_IGNORED_KEY = "Receivers cannot verify the signature: the mail counts as unsigned."

_ALL = (
    # The configuration
    Fault(
        "secret-key-missing",
        BROKEN,
        "There are to be unsubscribe links, but SECRET_KEY is not set.",
        "The links are signed with it: without it, mail with such a link is refused.",
    ),
    Fault(
        "secret-key-weak",
        WARNING,
        "SECRET_KEY is short enough to be guessed.",
        "Whoever knows it can forge sessions, unsubscribe links and bounce addresses.",
    ),
    Fault(
        "server-name-missing",
        BROKEN,
        "There are to be unsubscribe links, but SERVER_NAME is not set.",
        "Outside a request, as in a script or a worker, no link can be made.",
    ),
    Fault(
        "server-name-local",
        WARNING,
        "SERVER_NAME names this machine.",
        "Links in mail lead their readers to their own machines.",
    ),
    Fault(
        "links-not-https",
        WARNING,
        "Links begin with http.",
        "One-click unsubscribe (RFC 8058) needs https.",
    ),
    Fault(
        "durability-process",
        ADVICE,
        "OUTBOX_DURABILITY is 'process'.",
        "A power cut can lose mail for which send() has already returned.",
    ),
    Fault(
        "grace-too-long",
        WARNING,
        "A courier may take longer to stop than the server waits for it.",
        "Its process is killed in the middle of attempts; messages whose outcome is "
        "unknown are sent again.",
    ),
    Fault(
        "mail-stays-here",
        WARNING,
        "A transport keeps all mail in the dev inbox.",
        "Nobody gets it.",
    ),
    Fault(
        "guard-on",
        ADVICE,
        "OUTBOX_ONLY_TO or OUTBOX_REDIRECT_TO is set.",
        "Customers get no mail: these settings are meant for staging.",
    ),
    Fault(
        "sender-missing",
        ADVICE,
        "MAIL_DEFAULT_SENDER is not set.",
        "A message without a sender is refused, and there is no domain to examine.",
    ),
    # The database
    Fault(
        "outbox-unavailable",
        BROKEN,
        "The outbox's database cannot be used.",
        "send() raises OutboxUnavailable, and no mail is stored or delivered.",
    ),
    Fault(
        "outbox-tables",
        BROKEN,
        "The outbox's tables are missing, or they are of another version.",
        "send() raises SchemaError, and no mail is stored or delivered.",
    ),
    Fault(
        "outbox-folder-missing",
        WARNING,
        "The folder of the SQLite file cannot be created or written to.",
        "The outbox cannot be created when it is first used.",
    ),
    Fault(
        "outbox-slow",
        WARNING,
        "The database takes more than a second to answer a query.",
        "Couriers and the dashboard wait for it each time.",
    ),
    Fault(
        "files-open-to-others",
        WARNING,
        "Any user of this machine may read or write the outbox's files.",
        "They contain mail, with addresses and links to reset passwords.",
    ),
    Fault(
        "clock-off",
        WARNING,
        "The clocks of this machine and of the database differ.",
        "Dates in mail and times in the history are wrong, and signed requests to "
        "APIs may be refused.",
    ),
    Fault(
        "database-not-synced",
        WARNING,
        "The database server does not sync each commit to the disk.",
        "A power cut there can lose mail for which send() has already returned.",
    ),
    Fault(
        "pooler-in-between",
        WARNING,
        "A pooler is in front of the database, and OUTBOX_LISTEN_URL is not set.",
        "Workers are not notified of new mail and have to poll.",
    ),
    Fault(
        "erased-not-suppressed",
        WARNING,
        "People whose data were erased are suppressed by digests that no key matches.",
        "They are mailed again if their address comes back, though they have "
        "unsubscribed, complained or bounced.",
    ),
    Fault(
        "no-worker",
        BROKEN,
        "Couriers run elsewhere, and none is alive.",
        "Mail is stored, but nothing delivers it.",
    ),
    # Transports
    Fault("smtp-name", BROKEN, "The server's name cannot be resolved.", _NO_MAIL),
    Fault("smtp-refused", BROKEN, "The server refuses the connection.", _NO_MAIL),
    Fault("smtp-unreachable", BROKEN, "The server cannot be reached.", _NO_MAIL),
    Fault("smtp-silent", BROKEN, "The server does not answer in time.", _NO_MAIL),
    Fault(
        "smtp-greeting",
        BROKEN,
        "The server turns us away with its greeting, or it is not a mail server.",
        _NO_MAIL,
    ),
    Fault("smtp-ehlo", BROKEN, "The server refuses our EHLO.", _NO_MAIL),
    Fault("starttls-missing", BROKEN, "The server offers no STARTTLS.", _NO_MAIL),
    Fault("starttls-failed", BROKEN, "STARTTLS or TLS fails.", _NO_MAIL),
    Fault(
        "tls-files", BROKEN, "A file that TLS needs cannot be loaded here.", _NO_MAIL
    ),
    Fault("certificate-expired", BROKEN, "The certificate has expired.", _NO_MAIL),
    Fault("certificate-name", BROKEN, "The certificate is for another name.", _NO_MAIL),
    Fault(
        "certificate-unknown",
        BROKEN,
        "The certificate's issuer is not trusted here.",
        _NO_MAIL,
    ),
    Fault(
        "certificate-ends-soon",
        WARNING,
        "The certificate expires within two weeks.",
        "From then on no mail leaves by this transport.",
    ),
    Fault(
        "certificate-not-verified",
        WARNING,
        "MAIL_TLS_VERIFY is False.",
        "Anyone on the path can read the mail and the password.",
    ),
    Fault(
        "smtp-not-encrypted",
        WARNING,
        "Mail goes to another machine without TLS.",
        "Anyone on the path can read and change it; Gmail requires TLS of bulk "
        "senders.",
    ),
    Fault(
        "password-not-encrypted",
        WARNING,
        "The password goes to another machine without TLS.",
        "Anyone on the path can read it, and send mail in your name.",
    ),
    Fault("login-missing", BROKEN, "The server offers no login.", _NO_MAIL),
    Fault(
        "login-mechanism",
        BROKEN,
        "The server offers no way to log in that we know.",
        _NO_MAIL,
    ),
    Fault("login-token", BROKEN, "MAIL_OAUTH_TOKEN returns no token.", _NO_MAIL),
    Fault("login-rejected", BROKEN, "The server rejects the login.", _NO_MAIL),
    Fault(
        "login-not-used",
        ADVICE,
        "The server offers a login, but the settings have none.",
        "Most such servers accept only mail for their own domains until one logs in.",
    ),
    Fault(
        "login-half",
        WARNING,
        "The login has no password or no user name.",
        "Without both we do not log in, and most servers then accept no mail.",
    ),
    Fault(
        "size-small",
        ADVICE,
        "The server accepts only small messages.",
        "Messages with attachments are refused.",
    ),
    Fault(
        "extensions-missing",
        ADVICE,
        "The server offers neither PIPELINING nor 8BITMIME.",
        "Mail takes more round trips and more bytes than it needs to.",
    ),
    Fault("api-unreachable", BROKEN, "The API does not answer.", _NO_MAIL),
    Fault(
        "api-key-rejected",
        WARNING,
        "The API rejects the key when its suppression list is asked for.",
        "If it rejects the key for mail too, no mail leaves by this transport.",
    ),
    Fault("api-key-invalid", BROKEN, "The API does not know the key.", _NO_MAIL),
    Fault("api-may-not-send", BROKEN, "The key may not send mail.", _NO_MAIL),
    Fault(
        "api-account-stopped",
        BROKEN,
        "The provider has stopped the account or the domain.",
        _NO_MAIL,
    ),
    Fault(
        "api-sandbox",
        WARNING,
        "The account is in the provider's sandbox.",
        "Mail to customers is refused, or accepted but not delivered.",
    ),
    Fault(
        "api-quota-used",
        BROKEN,
        "The account's quota is used up.",
        "The provider accepts no more mail until the quota is renewed; mail waits in "
        "the outbox.",
    ),
    Fault(
        "api-quota-low",
        WARNING,
        "At least nine tenths of the account's quota is used up.",
        "Once it is used up, mail waits in the outbox, or costs more.",
    ),
    Fault(
        "api-sender-unknown",
        WARNING,
        "The provider does not know the sender.",
        "It refuses mail from senders that are not set up there.",
    ),
    Fault(
        "api-sender-unverified",
        BROKEN,
        "The provider has not verified the sender.",
        "Until it has, it refuses the sender's mail or accepts only a little of it.",
    ),
    Fault(
        "api-domain-unsigned",
        WARNING,
        "The provider does not sign mail for the domain (DKIM).",
        _BULK,
    ),
    Fault(
        "test-mail-failed",
        BROKEN,
        "The test mail was not accepted.",
        "Other mail by this transport will probably fare the same.",
    ),
    # Domains
    Fault(
        "dns-extra-missing",
        WARNING,
        "The package dnspython is not installed.",
        "What the DNS says about your domains decides whether mail reaches the inbox.",
    ),
    Fault(
        "dns-no-answer",
        WARNING,
        "The DNS does not answer.",
        "The domain could not be examined; if receivers get no answer either, they "
        "defer or refuse its mail.",
    ),
    Fault(
        "domain-missing",
        BROKEN,
        "The domain does not exist.",
        "Most receivers refuse mail from a domain that does not exist.",
    ),
    Fault("spf-missing", WARNING, "There is no SPF record.", _BULK),
    Fault("spf-several", BROKEN, "There are several SPF records.", _PERMERROR),
    Fault("spf-syntax", BROKEN, "The SPF record has an invalid term.", _PERMERROR),
    Fault(
        "spf-too-many-lookups",
        BROKEN,
        "The SPF record needs more than 10 look-ups.",
        _PERMERROR,
    ),
    Fault(
        "spf-void-lookups",
        WARNING,
        "More than 2 look-ups of the SPF record find nothing.",
        "Receivers may take that for an error of the record (RFC 7208 section 4.6.4).",
    ),
    Fault(
        "spf-include-missing",
        BROKEN,
        "The SPF record includes a domain that has no SPF record.",
        _PERMERROR,
    ),
    Fault("spf-loop", BROKEN, "The SPF record includes itself.", _PERMERROR),
    Fault(
        "spf-allows-all",
        BROKEN,
        "The SPF record allows every server.",
        "Anyone may send in your name, and receivers distrust such a domain.",
    ),
    Fault(
        "spf-open-end",
        ADVICE,
        "The SPF record does not end in ~all or -all.",
        "It says nothing about other servers, so it protects against nobody.",
    ),
    Fault(
        "spf-ptr",
        ADVICE,
        "The SPF record uses ptr.",
        "It is slow, and some receivers ignore it (RFC 7208 section 5.5).",
    ),
    Fault(
        "spf-excludes-us",
        BROKEN,
        "The SPF record does not allow the server by which mail leaves.",
        "Receivers see mail from a server that the domain does not name.",
    ),
    Fault(
        "dkim-unsigned",
        WARNING,
        "MAIL_DKIM_KEYS has no key for this domain.",
        _BULK,
    ),
    Fault(
        "dkim-elsewhere",
        ADVICE,
        "This app does not sign; whether the next server does cannot be seen from "
        "here.",
        "Gmail, Yahoo and Microsoft require a signature of bulk senders.",
    ),
    Fault("dkim-record-missing", BROKEN, "There is no DKIM record.", _IGNORED_KEY),
    Fault(
        "dkim-record-several", BROKEN, "There are several DKIM records.", _IGNORED_KEY
    ),
    Fault("dkim-record-syntax", BROKEN, "The DKIM record is not valid.", _IGNORED_KEY),
    Fault(
        "dkim-revoked",
        BROKEN,
        "The DKIM record says that the key is revoked.",
        _IGNORED_KEY,
    ),
    Fault(
        "dkim-other-key",
        BROKEN,
        "The DKIM record has a different key from ours.",
        _IGNORED_KEY,
    ),
    Fault(
        "dkim-testing",
        ADVICE,
        "The DKIM record says that the domain is testing DKIM (t=y).",
        "Receivers may treat its mail as unsigned.",
    ),
    Fault(
        "dkim-short-key",
        ADVICE,
        "The RSA key is shorter than 2048 bits.",
        "RFC 8301 asks for 2048, and some receivers will soon require them.",
    ),
    Fault("dmarc-missing", WARNING, "There is no DMARC record.", _BULK),
    Fault(
        "dmarc-several",
        BROKEN,
        "There are several DMARC records.",
        "Receivers ignore all of them.",
    ),
    Fault(
        "dmarc-syntax",
        BROKEN,
        "The DMARC record is not valid.",
        "Receivers ignore it.",
    ),
    Fault(
        "dmarc-none",
        ADVICE,
        "The DMARC policy is p=none.",
        "Mail that others forge in your name is delivered all the same.",
    ),
    Fault(
        "dmarc-no-reports",
        ADVICE,
        "The DMARC record asks for no reports (rua).",
        "You do not see who sends in your name, nor what fails.",
    ),
    Fault(
        "dmarc-reports-not-taken",
        WARNING,
        "DMARC reports go to a domain that does not accept them.",
        "Receivers send none (RFC 7489 section 7.1).",
    ),
    Fault(
        "dmarc-unaligned",
        BROKEN,
        "Neither SPF nor DKIM is for the domain of From.",
        "DMARC fails for every mail, whatever SPF and DKIM say.",
    ),
    Fault(
        "mx-missing",
        WARNING,
        "The domain accepts no mail.",
        "Replies and bounces are lost, and some receivers refuse mail that cannot be "
        "answered.",
    ),
    Fault(
        "mx-unresolved",
        WARNING,
        "A mail server of the domain has no address.",
        "Replies and bounces wait, or are lost.",
    ),
    Fault(
        "mx-address",
        WARNING,
        "A mail server of the domain is named by its IP address.",
        "RFC 5321 requires a name there: others cannot deliver.",
    ),
    Fault(
        "relay-unresolved",
        WARNING,
        "The name in EHLO has no address, and mail leaves from this machine.",
        "Receivers refuse a server whose name leads nowhere.",
    ),
    Fault(
        "ptr-missing",
        BROKEN,
        "This machine's address has no name (PTR), and mail leaves from it.",
        "Gmail and most others refuse mail from such an address.",
    ),
    Fault(
        "ptr-other-name",
        WARNING,
        "This machine's address has a different name (PTR) from the one in EHLO.",
        "Gmail wants that name to lead back to the address.",
    ),
)

FAULTS = {one.id: one for one in _ALL}
"""Every fault by its id."""
