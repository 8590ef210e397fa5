"""Providers on accounts, from their documentation: well, and ill on purpose."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast
from urllib.parse import urlsplit

from flask_outbox.testing.transport_contract import PeerBehaviour
from tests.servers.http_api import Answer, FakeApi, Request
from tests.transports.fakes import (
    FakeBrevo,
    FakeGmail,
    FakeGraph,
    FakeMailerSend,
    FakeMailgun,
    FakeMailjet,
    FakePostmark,
    FakeResend,
    FakeScaleway,
    FakeSendGrid,
    FakeSes,
    FakeSparkPost,
)

Routes = Mapping[str, Any]
"""Each path that is known → what is answered 200, or an `Answer`."""

Api = TypeVar("Api", bound=FakeApi)


@dataclass(frozen=True)
class IllAccount:
    """An account with a fault; with ``id`` "" nothing is at fault, but less is seen."""

    id: str
    changes: Routes
    """Answers that are not those of an account that is well; None is 404."""
    words: str = ""
    """What the finding says, or what is seen."""


@dataclass(frozen=True)
class Provider:
    """A provider: an account that is well, and what it is when it is ill."""

    api: type[FakeApi]
    routes: Routes
    sees: Mapping[str, str]
    """What is seen of it, among other things."""
    ill: tuple[IllAccount, ...]
    options: Mapping[str, str] = field(default_factory=dict)
    """Of its URL."""


@contextmanager
def account_of(base: type[Api], routes: Routes) -> Iterator[Api]:
    """A fake of a provider that answers these questions."""

    def listing(self: FakeApi, request: Request) -> Answer | None:
        if request.method != "GET":
            return None
        known: Routes = self.routes  # type: ignore[attr-defined]
        found = known.get(urlsplit(request.path).path)
        if found is None:
            return Answer(404, {"message": "not found"})
        return found if isinstance(found, Answer) else Answer(200, found)

    made = type(base.__name__, (base,), {"listing": listing, "routes": dict(routes)})
    with cast("type[Api]", made)() as api:
        yield api


def rejected(api: type[FakeApi]) -> Answer:
    """What the provider answers to a key that it does not know."""
    return api.failure(cast(Any, api), PeerBehaviour.REJECT_ACCOUNT)


def invalid(api: type[FakeApi], path: str, id: str = "api-key-invalid") -> IllAccount:
    """A key that the provider does not know."""
    return IllAccount(id, {path: rejected(api)}, "401" if api is not FakeSes else "403")


# -------------------------------------------------------------------------- SES

SES_ACCOUNT = {
    "EnforcementStatus": "HEALTHY",
    "ProductionAccessEnabled": True,
    "SendingEnabled": True,
    "SendQuota": {
        "Max24HourSend": 50_000.0,
        "MaxSendRate": 14.0,
        "SentLast24Hours": 120.0,
    },
}
SES_DKIM = {
    "SigningEnabled": True,
    "Status": "SUCCESS",
    "Tokens": ["abc", "def", "ghi"],
    "SigningAttributesOrigin": "AWS_SES",
}
SES_IDENTITY = {
    "IdentityType": "DOMAIN",
    "VerifiedForSendingStatus": True,
    "VerificationStatus": "SUCCESS",
    "DkimAttributes": SES_DKIM,
}
A, D = "/v2/email/account", "/v2/email/identities/example.com"
ADDRESS = "/v2/email/identities/shop%40example.com"


def sent(number: float) -> Routes:
    return {
        A: {
            **SES_ACCOUNT,
            "SendQuota": {"Max24HourSend": 50_000.0, "SentLast24Hours": number},
        }
    }


SES = Provider(
    FakeSes,
    {A: SES_ACCOUNT, D: SES_IDENTITY},
    {
        "Key": "accepted",
        "Account": "HEALTHY",
        "Quota of 24 h": "120 of 50,000 used",
        "Sender": "example.com is verified",
        "DKIM": "SES signs for example.com",
    },
    (
        invalid(FakeSes, A),
        IllAccount(
            "api-account-stopped",
            {A: {**SES_ACCOUNT, "SendingEnabled": False}},
            "SendingEnabled False",
        ),
        IllAccount(
            "api-account-stopped",
            {A: {**SES_ACCOUNT, "EnforcementStatus": "SHUTDOWN"}},
            "SHUTDOWN",
        ),
        IllAccount(
            "api-sandbox",
            {A: {**SES_ACCOUNT, "ProductionAccessEnabled": False}},
            "Request production access",
        ),
        IllAccount("api-quota-low", sent(45_000), "45,000 of 50,000 used"),
        IllAccount("api-quota-used", sent(50_000), "50,000 of 50,000 used"),
        IllAccount(
            "",
            {
                A: {
                    **SES_ACCOUNT,
                    "SendQuota": {"Max24HourSend": -1.0, "SentLast24Hours": 9.0},
                }
            },
        ),
        IllAccount("api-sender-unknown", {D: None}, "shop@example.com is not among"),
        IllAccount(
            "api-sender-unverified",
            {
                D: {
                    **SES_IDENTITY,
                    "VerifiedForSendingStatus": False,
                    "VerificationStatus": "PENDING",
                    "DkimAttributes": {**SES_DKIM, "Status": "PENDING"},
                }
            },
            "abc._domainkey.example.com. CNAME abc.dkim.amazonses.com.\ndef._domainkey",
        ),
        IllAccount(
            "api-domain-unsigned",
            {
                D: {
                    **SES_IDENTITY,
                    "DkimAttributes": {
                        **SES_DKIM,
                        "Status": "FAILED",
                        "SigningHostedZone": "x.dkim.eu.amazonses.com",
                    },
                }
            },
            "CNAME abc.x.dkim.eu.amazonses.com.",
        ),
        IllAccount(
            "api-domain-unsigned",
            {
                D: {
                    **SES_IDENTITY,
                    "DkimAttributes": {**SES_DKIM, "SigningEnabled": False},
                }
            },
            "signing is disabled",
        ),
        IllAccount(
            "api-domain-unsigned",
            {D: None, ADDRESS: {"VerifiedForSendingStatus": True}},
            "the address only",
        ),
        IllAccount(
            "",
            {
                A: FakeSes.typed(403, "AccessDeniedException", "ses:GetAccount"),
                D: FakeSes.typed(403, "AccessDeniedException", "ses:GetEmailIdentity"),
            },
            "cannot be seen with this key (403 AccessDeniedException ses:GetAccount)",
        ),
        IllAccount(
            "",
            {A: FakeSes.typed(429, "TooManyRequestsException", "Slow down.")},
            "cannot be seen for now",
        ),
    ),
    {"region": "eu-west-1"},
)

# -------------------------------------------------------------------------- SendGrid

SENDGRID_DOMAIN = {
    "id": 1,
    "domain": "example.com",
    "subdomain": "em1",
    "valid": True,
    "dns": {
        "mail_cname": {
            "valid": True,
            "type": "cname",
            "host": "em1.example.com",
            "data": "u1.wl.sendgrid.net",
        },
        "dkim1": {
            "valid": False,
            "type": "cname",
            "host": "s1._domainkey.example.com",
            "data": "s1.domainkey.u1.wl.sendgrid.net",
        },
    },
}
CREDITS = {"remain": 900, "total": 1000, "used": 100, "reset_frequency": "monthly"}
DENIED = FakeSendGrid.errors(403, "access forbidden")
W, V = "/v3/whitelabel/domains", "/v3/verified_senders"

SENDGRID = Provider(
    FakeSendGrid,
    {
        "/v3/scopes": {"scopes": ["mail.send", "user.credits.read"]},
        "/v3/user/credits": CREDITS,
        W: [SENDGRID_DOMAIN],
        V: {"results": []},
    },
    {
        "Key": "accepted",
        "Scopes": "2, among them mail.send",
        "Credits": "100 of 1,000 used",
        "Sender": "example.com is authenticated",
    },
    (
        invalid(FakeSendGrid, "/v3/scopes"),
        IllAccount(
            "api-may-not-send", {"/v3/scopes": {"scopes": ["stats.read"]}}, "Mail Send"
        ),
        IllAccount(
            "api-quota-low",
            {"/v3/user/credits": {**CREDITS, "remain": 0}},
            "1,000 of 1,000 used",
        ),
        IllAccount("api-sender-unknown", {W: []}, "shop@example.com is not among"),
        IllAccount(
            "api-sender-unverified",
            {W: [{**SENDGRID_DOMAIN, "valid": False}]},
            "s1._domainkey.example.com. CNAME s1.domainkey.u1.wl.sendgrid.net.",
        ),
        IllAccount(
            "api-domain-unsigned",
            {
                W: {"result": []},
                V: {"results": [{"from_email": "Shop@example.com", "verified": True}]},
            },
            "not authenticated",
        ),
        IllAccount(
            "",
            {"/v3/user/credits": DENIED, W: DENIED},
            "cannot be seen with this key (403",
        ),
    ),
)

# -------------------------------------------------------------------------- Postmark

TOKEN = "t0ken-in-an-answer"
"""A secret that an answer has in it."""

POSTMARK = Provider(
    FakePostmark,
    {
        "/server": {
            "ID": 1,
            "Name": "Shop",
            "DeliveryType": "Live",
            "ApiTokens": [TOKEN],
        }
    },
    {
        "Key": "accepted",
        "Server": "Shop, Live",
        "Sender": "only the account's token sees it, but a server's is used",
    },
    (
        invalid(FakePostmark, "/server"),
        IllAccount(
            "api-sandbox",
            {"/server": {"Name": "Try", "DeliveryType": "Sandbox"}},
            "nothing is delivered",
        ),
        IllAccount(
            "api-unreachable", {"/server": Answer(200, b"<html>")}, "is the host"
        ),
        IllAccount("api-unreachable", {"/server": Answer(503, b"")}, "answered 503"),
    ),
)

# -------------------------------------------------------------------------- Mailgun

MAILGUN_DKIM = {
    "record_type": "TXT",
    "name": "pic._domainkey.mg.example.com",
    "value": "k=rsa; p=AAAA",
    "valid": "valid",
    "is_active": True,
}
MAILGUN_DOMAIN = {"name": "mg.example.com", "state": "active", "type": "custom"}
M = "/v4/domains/mg.example.com"


def mailgun(valid: str = "valid", **domain: Any) -> Routes:
    return {
        M: {
            "domain": {**MAILGUN_DOMAIN, **domain},
            "sending_dns_records": [
                {**MAILGUN_DKIM, "valid": valid},
                {**MAILGUN_DKIM, "valid": "unknown", "is_active": False},
                {"record_type": "CNAME", "name": "email", "valid": "unknown"},
            ],
        }
    }


MAILGUN = Provider(
    FakeMailgun,
    mailgun(),
    {"Key": "accepted", "Domain": "mg.example.com is active"},
    (
        invalid(FakeMailgun, M, "api-key-rejected"),
        IllAccount("api-account-stopped", mailgun(state="disabled"), "is disabled"),
        IllAccount(
            "api-sender-unverified",
            mailgun("unknown", state="unverified"),
            'pic._domainkey.mg.example.com. TXT "k=rsa; p=AAAA"',
        ),
        IllAccount("api-domain-unsigned", mailgun("unknown"), "k=rsa; p=AAAA"),
        IllAccount("api-sandbox", mailgun(type="sandbox"), "authorized recipients"),
        IllAccount("api-sender-unknown", {M: None}, "mg.example.com is not among"),
    ),
)

# -------------------------------------------------------------------------- SparkPost

S, SD = "/api/v1/account", "/api/v1/sending-domains/example.com"
VALID = {
    "ownership_verified": True,
    "dkim_status": "valid",
    "compliance_status": "valid",
}
SPARK_DKIM = {"selector": "scph1", "public": "AAAA", "signing_domain": "example.com"}
SPARK_RECORD = 'scph1._domainkey.example.com. TXT "v=DKIM1; k=rsa; h=sha256; p=AAAA"'


def spark_account(status: str = "active", day: int = 10, month: int = 10) -> Routes:
    usage = {
        "day": {"used": day, "limit": 1000},
        "month": {"used": month, "limit": 10_000},
    }
    return {S: {"results": {"status": status, "usage": usage}}}


def spark_domain(**status: Any) -> Routes:
    return {SD: {"results": {"status": {**VALID, **status}, "dkim": SPARK_DKIM}}}


SPARKPOST = Provider(
    FakeSparkPost,
    {**spark_account(), **spark_domain()},
    {
        "Key": "accepted",
        "Account": "active",
        "Quota of the day": "10 of 1,000 used",
        "Sender": "example.com is verified",
    },
    (
        invalid(FakeSparkPost, S),
        IllAccount("api-account-stopped", spark_account("suspended"), "suspended"),
        IllAccount("api-quota-used", spark_account(day=1000), "Quota of the day"),
        IllAccount("api-quota-low", spark_account(month=11_000), "Quota of the month"),
        IllAccount(
            "api-account-stopped", spark_domain(compliance_status="blocked"), "blocked"
        ),
        IllAccount(
            "api-sender-unverified",
            spark_domain(ownership_verified=False),
            SPARK_RECORD,
        ),
        IllAccount(
            "api-domain-unsigned", spark_domain(dkim_status="invalid"), SPARK_RECORD
        ),
        IllAccount("api-sender-unknown", {SD: None}),
        IllAccount(
            "",
            {S: FakeSparkPost.coded(403, "", "Forbidden.")},
            "cannot be seen with this key (403 Forbidden.)",
        ),
    ),
)

# -------------------------------------------------------------------------- Brevo

BREVO_ACCOUNT = {
    "email": "ada@example.com",
    "relay": {"enabled": True},
    "plan": [{"type": "free", "credits": 300, "creditsType": "sendLimit"}],
}
BREVO_DOMAIN = {"domain": "example.com", "verified": True, "authenticated": True}
BREVO_RECORDS = {
    "dkim_record": {
        "type": "TXT",
        "value": "k=rsa;p=AAAA",
        "host_name": "mail._domainkey.",
        "status": False,
    },
    "brevo_code": {
        "type": "TXT",
        "value": "brevo-code:1",
        "host_name": "@",
        "status": True,
    },
}
B = "/v3/senders/domains/example.com"
NO_DOMAIN = FakeBrevo.coded(404, "document_not_found", "Domain does not exist")


def brevo_sender(active: bool) -> Routes:
    found = {"id": 1, "email": "shop@example.com", "active": active}
    return {B: NO_DOMAIN, "/v3/senders": {"senders": [found]}}


BREVO = Provider(
    FakeBrevo,
    {"/v3/account": BREVO_ACCOUNT, B: BREVO_DOMAIN},
    {
        "Key": "accepted",
        "Credits": "300 left",
        "Sender": "example.com is authenticated",
    },
    (
        invalid(FakeBrevo, "/v3/account"),
        IllAccount(
            "api-account-stopped",
            {"/v3/account": {**BREVO_ACCOUNT, "relay": {"enabled": False}}},
        ),
        IllAccount(
            "api-quota-used",
            {
                "/v3/account": {
                    **BREVO_ACCOUNT,
                    "plan": [{"credits": 0, "creditsType": "sendLimit"}],
                }
            },
            "no credits are left",
        ),
        IllAccount(
            "api-domain-unsigned",
            {B: {**BREVO_DOMAIN, "authenticated": False, "dns_records": BREVO_RECORDS}},
            'mail._domainkey.example.com. TXT "k=rsa;p=AAAA"',
        ),
        IllAccount("api-domain-unsigned", brevo_sender(True), "but not the domain"),
        IllAccount("api-sender-unverified", brevo_sender(False), "shop@example.com"),
        IllAccount(
            "api-sender-unknown", {B: NO_DOMAIN, "/v3/senders": {"senders": []}}
        ),
    ),
)

# -------------------------------------------------------------------------- Resend


def resend(status: str, name: str = "example.com", more: bool = False) -> Routes:
    found = {"id": "d-1", "name": name, "status": status}
    dkim = {
        "record": "DKIM",
        "name": "resend._domainkey",
        "type": "TXT",
        "status": status,
        "value": "p=AAAA",
    }
    return {
        "/domains": {"object": "list", "data": [found], "has_more": more},
        "/domains/d-1": {**found, "records": [dkim, {**dkim, "status": "verified"}]},
    }


RESEND = Provider(
    FakeResend,
    resend("verified"),
    {"Key": "accepted", "Sender": "example.com is verified"},
    (
        invalid(FakeResend, "/domains"),
        IllAccount(
            "api-sender-unverified", resend("failed"), "resend._domainkey TXT p=AAAA"
        ),
        IllAccount("api-sender-unknown", resend("verified", "example.net")),
        IllAccount("", resend("verified", "example.net", more=True), "first of many"),
        IllAccount(
            "",
            {
                "/domains": FakeResend.named(
                    401, "restricted_api_key", "This API key may only send emails"
                )
            },
            "cannot be seen with this key (401 restricted_api_key",
        ),
    ),
)

# -------------------------------------------------------------------------- Mailjet

MS, MD = "/v3/REST/sender", "/v3/REST/dns/example.com"
MAILJET_DNS = {
    "Domain": "example.com",
    "DKIMStatus": "OK",
    "DKIMRecordName": "mailjet._domainkey.example.com.",
    "DKIMRecordValue": "k=rsa; p=AAAA",
}


def mailjet(email: str, status: str) -> Routes:
    return {MS: {"Count": 1, "Data": [{"Email": email, "Status": status}]}}


MAILJET = Provider(
    FakeMailjet,
    {**mailjet("*@example.com", "Active"), MD: {"Count": 1, "Data": [MAILJET_DNS]}},
    {"Key": "accepted", "Sender": "*@example.com is active", "DKIM": "example.com: OK"},
    (
        invalid(FakeMailjet, MS),
        IllAccount("api-sender-unknown", {MS: {"Count": 0, "Data": []}}),
        IllAccount("api-sender-unverified", mailjet("shop@example.com", "Inactive")),
        IllAccount(
            "api-domain-unsigned",
            {MD: {"Data": [{**MAILJET_DNS, "DKIMStatus": "Error"}]}},
            'mailjet._domainkey.example.com. TXT "k=rsa; p=AAAA"',
        ),
    ),
)

# -------------------------------------------------------------------------- MailerSend

MAILERSEND_DOMAIN = {
    "id": "d1",
    "name": "example.com",
    "dkim": True,
    "spf": True,
    "is_verified": True,
    "domain_settings": {"send_paused": False},
}
MAILERSEND_DNS = {
    "data": {
        "id": "d1",
        "dkim": {
            "hostname": "mlsend._domainkey.example.com",
            "type": "CNAME",
            "value": "mlsend._domainkey.mailersend.net",
        },
    }
}


def mailersend(**domain: Any) -> Routes:
    return {
        "/v1/domains": {"data": [{**MAILERSEND_DOMAIN, **domain}]},
        "/v1/domains/d1/dns-records": MAILERSEND_DNS,
    }


MAILERSEND_RECORD = (
    "mlsend._domainkey.example.com. CNAME mlsend._domainkey.mailersend.net."
)
MAILERSEND = Provider(
    FakeMailerSend,
    {**mailersend(), "/v1/api-quota": {"quota": 1000, "remaining": 990}},
    {
        "Key": "accepted",
        "Requests of the day": "10 of 1,000 used",
        "Sender": "example.com is verified",
    },
    (
        invalid(FakeMailerSend, "/v1/api-quota"),
        IllAccount(
            "api-quota-used", {"/v1/api-quota": {"quota": 1000, "remaining": 0}}
        ),
        IllAccount(
            "api-account-stopped", mailersend(domain_settings={"send_paused": True})
        ),
        IllAccount(
            "api-sender-unverified", mailersend(is_verified=False), MAILERSEND_RECORD
        ),
        IllAccount("api-domain-unsigned", mailersend(dkim=False), MAILERSEND_RECORD),
        IllAccount("api-sender-unknown", mailersend(name="example.net")),
    ),
)

# -------------------------------------------------------------------------- Scaleway

SCALEWAY_PATH = "/transactional-email/v1alpha1/regions/fr-par/domains"


def scaleway(status: str, **more: str) -> Routes:
    found = {"name": "example.com", "status": status, "dkim_config": "v=DKIM1; p=AAAA"}
    return {SCALEWAY_PATH: {"total_count": 1, "domains": [{**found, **more}]}}


SCALEWAY = Provider(
    FakeScaleway,
    scaleway("checked"),
    {"Key": "accepted", "Sender": "example.com is checked"},
    (
        invalid(FakeScaleway, SCALEWAY_PATH),
        IllAccount("api-account-stopped", scaleway("locked"), "has locked"),
        IllAccount(
            "api-sender-unverified",
            scaleway("invalid", last_error="no DKIM"),
            'p-1._domainkey.example.com. TXT "v=DKIM1; p=AAAA"',
        ),
        IllAccount("api-sender-unknown", scaleway("revoked")),
        IllAccount(
            "",
            {SCALEWAY_PATH: FakeScaleway.typed(403, "permissions_denied", "No.")},
            "cannot be seen with this key (403",
        ),
    ),
    {"project": "p-1"},
)

# -------------------------------------------------------------------- Gmail and Graph

G = "/gmail/v1/users/me/profile"
GMAIL = Provider(
    FakeGmail,
    {G: {"emailAddress": "shop@example.com"}},
    {"Key": "accepted", "Mailbox": "shop@example.com"},
    (
        invalid(FakeGmail, G),
        IllAccount(
            "api-may-not-send",
            {G: FakeGmail.reasoned(403, "accessNotConfigured", "It is disabled.")},
            "Enable the Gmail API",
        ),
        IllAccount(
            "",
            {G: FakeGmail.reasoned(403, "insufficientPermissions", "Scopes.")},
            "cannot be seen with this key (403 insufficientPermissions",
        ),
    ),
)

U = "/v1.0/users/shop%40example.com"
GRAPH = Provider(
    FakeGraph,
    {U: {"mail": "shop@example.com"}},
    {"Key": "accepted", "Mailbox": "shop@example.com"},
    (
        invalid(FakeGraph, U),
        IllAccount("api-sender-unknown", {U: None}, "no mailbox shop@example.com"),
        IllAccount(
            "",
            {U: FakeGraph.coded(403, "Authorization_RequestDenied", "Privileges.")},
            "cannot be seen with this key (403 Authorization_RequestDenied",
        ),
    ),
    {"mailbox": "shop@example.com"},
)

PROVIDERS = (
    BREVO, GMAIL, GRAPH, MAILERSEND, MAILGUN, MAILJET, POSTMARK, RESEND, SCALEWAY,
    SENDGRID, SES, SPARKPOST,
)  # fmt: skip
