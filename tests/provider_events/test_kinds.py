"""What each kind of event of each provider comes to."""

from __future__ import annotations

from typing import Any

import pytest

from flask_outbox.feedback import Fate
from flask_outbox.feedback.provider import Said
from tests.provider_events.posting import (
    ADA,
    AT,
    OUTBOX_ID,
    PROVIDERS,
    Brevo,
    Event,
    MailerSend,
    Mailgun,
    Mailjet,
    Postmark,
    Provider,
    Resend,
    Scaleway,
    SendGrid,
    Ses,
    SparkPost,
)
from tests.provider_events.reading import only, reader, said

BLOCKED = "blocked"
"""A soft bounce for which the sender's own set-up is at fault."""

Case = tuple[Provider, str, dict[str, Any], Any]


def postmark_bounce(type: str, **more: Any) -> dict[str, Any]:
    return {"Type": type, "ID": 5, "Email": ADA, "Inactive": False, **more}


def mailgun_failed(severity: str, reason: str, enhanced: str = "") -> dict[str, Any]:
    status = {"code": 550, "enhanced-code": enhanced, "message": "No."}
    return {"severity": severity, "reason": reason, "delivery-status": status}


def mailjet_bounce(hard: bool, related: str, error: str) -> dict[str, Any]:
    return {"hard_bounce": hard, "error_related_to": related, "error": error}


def resend_bounce(type: str, sub_type: str) -> dict[str, Any]:
    return {"bounce": {"type": type, "subType": sub_type, "message": "No."}}


def ses_bounce(type: str, sub_type: str, status: str = "") -> dict[str, Any]:
    recipient = {"emailAddress": ADA, "status": status}
    whole = {"bounceType": type, "bounceSubType": sub_type}
    return {"bounce": {**whole, "bouncedRecipients": [recipient]}}


def ses_complaint(type: str) -> dict[str, Any]:
    some = [{"emailAddress": ADA}]
    return {"complaint": {"complainedRecipients": some, "complaintFeedbackType": type}}


CASES: list[Case] = [
    (Postmark(), "Delivery", {"Details": "smtp;250 OK"}, Fate.DELIVERED),
    (Postmark(), "Open", {"UserAgent": "Mail"}, Fate.OPENED),
    (Postmark(), "Click", {"OriginalLink": "https://x.example"}, Fate.CLICKED),
    (Postmark(), "SpamComplaint", postmark_bounce("SpamComplaint"), Fate.COMPLAINED),
    (Postmark(), "Bounce", postmark_bounce("HardBounce"), Fate.BOUNCED),
    (Postmark(), "Bounce", postmark_bounce("BadEmailAddress"), Fate.BOUNCED),
    (Postmark(), "Bounce", postmark_bounce("ManuallyDeactivated"), Fate.BOUNCED),
    (Postmark(), "Bounce", postmark_bounce("SpamComplaint"), Fate.COMPLAINED),
    (Postmark(), "Bounce", postmark_bounce("Unsubscribe"), Fate.UNSUBSCRIBED),
    (Postmark(), "Bounce", postmark_bounce("SoftBounce"), Fate.SOFT_BOUNCED),
    (Postmark(), "Bounce", postmark_bounce("SoftBounce", Inactive=True), Fate.BOUNCED),
    (Postmark(), "Bounce", postmark_bounce("NewType", Inactive=True), Fate.BOUNCED),
    (Postmark(), "Bounce", postmark_bounce("Transient"), Fate.DELAYED),
    (Postmark(), "Bounce", postmark_bounce("DnsError"), Fate.DELAYED),
    (Postmark(), "Bounce", postmark_bounce("Blocked"), BLOCKED),
    (Postmark(), "Bounce", postmark_bounce("SpamNotification"), BLOCKED),
    (Postmark(), "Bounce", postmark_bounce("DMARCPolicy"), BLOCKED),
    (Postmark(), "Bounce", postmark_bounce("AutoResponder"), None),
    (Postmark(), "Bounce", postmark_bounce("NewType"), "Bounce NewType"),
    (
        Postmark(),
        "SubscriptionChange",
        {"SuppressSending": True, "SuppressionReason": "HardBounce"},
        Fate.BOUNCED,
    ),
    (
        Postmark(),
        "SubscriptionChange",
        {
            "SuppressSending": True,
            "SuppressionReason": "ManualSuppression",
            "Origin": "Recipient",
        },
        Fate.UNSUBSCRIBED,
    ),
    (
        Postmark(),
        "SubscriptionChange",
        {
            "SuppressSending": True,
            "SuppressionReason": "ManualSuppression",
            "Origin": "Admin",
        },
        None,
    ),
    (Postmark(), "SubscriptionChange", {"SuppressSending": False}, None),
    (Postmark(), "Poem", {}, "Poem"),
    (SendGrid(), "processed", {}, None),
    (SendGrid(), "deferred", {"response": "451 4.7.1 later"}, Fate.DELAYED),
    (SendGrid(), "delivered", {"response": "250 OK"}, Fate.DELIVERED),
    (SendGrid(), "open", {}, Fate.OPENED),
    (SendGrid(), "click", {"url": "https://x.example"}, Fate.CLICKED),
    (SendGrid(), "bounce", {"type": "bounce", "reason": "500 no"}, Fate.BOUNCED),
    (SendGrid(), "bounce", {"type": "blocked", "reason": "550 spam"}, BLOCKED),
    (SendGrid(), "dropped", {"reason": "Bounced Address"}, Fate.BOUNCED),
    (SendGrid(), "dropped", {"reason": "Invalid"}, Fate.BOUNCED),
    (SendGrid(), "dropped", {"reason": "Spam Reporting Address"}, Fate.COMPLAINED),
    (SendGrid(), "dropped", {"reason": "Unsubscribed Address"}, Fate.UNSUBSCRIBED),
    (SendGrid(), "dropped", {"reason": "Spam Content"}, BLOCKED),
    (SendGrid(), "spamreport", {}, Fate.COMPLAINED),
    (SendGrid(), "unsubscribe", {}, Fate.UNSUBSCRIBED),
    (SendGrid(), "group_unsubscribe", {"asm_group_id": 1}, Fate.UNSUBSCRIBED),
    (SendGrid(), "group_resubscribe", {"asm_group_id": 1}, None),
    (SendGrid(), "poem", {}, "poem"),
    (Resend(), "email.sent", {}, None),
    (Resend(), "email.delivered", {}, Fate.DELIVERED),
    (Resend(), "email.delivery_delayed", {}, Fate.DELAYED),
    (Resend(), "email.bounced", resend_bounce("Permanent", "NoEmail"), Fate.BOUNCED),
    (
        Resend(),
        "email.bounced",
        resend_bounce("Temporary", "MailboxFull"),
        Fate.SOFT_BOUNCED,
    ),
    (Resend(), "email.bounced", resend_bounce("Temporary", "ContentRejected"), BLOCKED),
    (Resend(), "email.complained", {}, Fate.COMPLAINED),
    (Resend(), "email.opened", {}, Fate.OPENED),
    (Resend(), "email.clicked", {"click": {"link": "https://x"}}, Fate.CLICKED),
    (Resend(), "email.failed", {"failed": {"reason": "quota"}}, BLOCKED),
    (Resend(), "email.suppressed", {"suppressed": {"message": "m"}}, Fate.BOUNCED),
    (Resend(), "contact.created", {}, None),
    (Resend(), "poem.read", {}, "poem.read"),
    (Mailgun(), "accepted", {}, None),
    (Mailgun(), "delivered", {"delivery-status": {"code": 250}}, Fate.DELIVERED),
    (Mailgun(), "opened", {}, Fate.OPENED),
    (Mailgun(), "clicked", {"url": "https://x.example"}, Fate.CLICKED),
    (Mailgun(), "unsubscribed", {}, Fate.UNSUBSCRIBED),
    (Mailgun(), "complained", {}, Fate.COMPLAINED),
    (Mailgun(), "rejected", {"reject": {"reason": "Virus"}}, BLOCKED),
    (Mailgun(), "failed", mailgun_failed("temporary", "generic"), Fate.DELAYED),
    (Mailgun(), "failed", mailgun_failed("permanent", "bounce"), Fate.BOUNCED),
    (Mailgun(), "failed", mailgun_failed("permanent", "suppress-bounce"), Fate.BOUNCED),
    (
        Mailgun(),
        "failed",
        mailgun_failed("permanent", "suppress-complaint"),
        Fate.COMPLAINED,
    ),
    (Mailgun(), "failed", mailgun_failed("permanent", "old"), Fate.SOFT_BOUNCED),
    (Mailgun(), "failed", mailgun_failed("permanent", "bounce", "5.7.1"), BLOCKED),
    (Mailgun(), "poem", {}, "poem"),
    (Brevo(), "request", {}, None),
    (Brevo(), "delivered", {}, Fate.DELIVERED),
    (Brevo(), "hard_bounce", {"reason": "550 5.1.1 no"}, Fate.BOUNCED),
    (Brevo(), "soft_bounce", {"reason": "full"}, Fate.SOFT_BOUNCED),
    (Brevo(), "soft_bounce", {"reason": "550 5.7.1 policy"}, BLOCKED),
    (Brevo(), "invalid_email", {}, Fate.BOUNCED),
    (Brevo(), "blocked", {"reason": "blocked : due to blacklist"}, BLOCKED),
    (Brevo(), "blocked", {"reason": "hard_bounce before"}, Fate.BOUNCED),
    (Brevo(), "blocked", {"reason": "Unsubscribed"}, Fate.UNSUBSCRIBED),
    (Brevo(), "spam", {}, Fate.COMPLAINED),
    (Brevo(), "deferred", {"reason": "451 later"}, Fate.DELAYED),
    (Brevo(), "click", {"link": "https://x.example"}, Fate.CLICKED),
    (Brevo(), "unique_opened", {}, Fate.OPENED),
    (Brevo(), "proxy_open", {}, Fate.OPENED),
    (Brevo(), "unsubscribe", {}, Fate.UNSUBSCRIBED),
    (Brevo(), "error", {"reason": "no"}, BLOCKED),
    (Brevo(), "poem", {}, "poem"),
    (Mailjet(), "sent", {"smtp_reply": "250 OK"}, Fate.DELIVERED),
    (Mailjet(), "open", {}, Fate.OPENED),
    (Mailjet(), "click", {"url": "https://x.example"}, Fate.CLICKED),
    (Mailjet(), "spam", {"source": "JMRPP"}, Fate.COMPLAINED),
    (Mailjet(), "unsub", {"mj_list_id": 1}, Fate.UNSUBSCRIBED),
    (Mailjet(), "bounce", mailjet_bounce(True, "domain", "no mail host"), Fate.BOUNCED),
    (
        Mailjet(),
        "bounce",
        mailjet_bounce(False, "recipient", "quota exceeded"),
        Fate.SOFT_BOUNCED,
    ),
    (Mailjet(), "bounce", mailjet_bounce(False, "domain", "greylisted"), Fate.DELAYED),
    (Mailjet(), "bounce", mailjet_bounce(True, "spam", "content blocked"), BLOCKED),
    (Mailjet(), "blocked", mailjet_bounce(False, "mailjet", "preblocked"), BLOCKED),
    (Mailjet(), "blocked", mailjet_bounce(True, "recipient", "unknown"), Fate.BOUNCED),
    (Mailjet(), "poem", {}, "poem"),
    (SparkPost(), "injection", {}, None),
    (SparkPost(), "delivery", {}, Fate.DELIVERED),
    (SparkPost(), "delay", {"raw_reason": "451 4.4.1 later"}, Fate.DELAYED),
    *(
        (SparkPost(), "bounce", {"bounce_class": number}, fate)
        for number, fate in {
            "1": Fate.SOFT_BOUNCED,
            "10": Fate.BOUNCED,
            "20": Fate.SOFT_BOUNCED,
            "25": BLOCKED,
            "30": Fate.BOUNCED,
            "40": Fate.SOFT_BOUNCED,
            "51": BLOCKED,
            "54": BLOCKED,
            "60": None,
            "70": Fate.SOFT_BOUNCED,
            "90": Fate.UNSUBSCRIBED,
            "100": Fate.SOFT_BOUNCED,
        }.items()
    ),
    (SparkPost(), "out_of_band", {"bounce_class": 10}, Fate.BOUNCED),
    (SparkPost(), "spam_complaint", {"fbtype": "abuse"}, Fate.COMPLAINED),
    (SparkPost(), "policy_rejection", {"bounce_class": "25"}, BLOCKED),
    (SparkPost(), "generation_rejection", {"group": "gen_event"}, BLOCKED),
    (SparkPost(), "initial_open", {"group": "track_event"}, Fate.OPENED),
    (SparkPost(), "click", {"group": "track_event"}, Fate.CLICKED),
    (
        SparkPost(),
        "list_unsubscribe",
        {"group": "unsubscribe_event"},
        Fate.UNSUBSCRIBED,
    ),
    (SparkPost(), "poem", {}, "poem"),
    (MailerSend(), "webhook.test", {}, None),
    (MailerSend(), "activity.sent", {}, None),
    (MailerSend(), "activity.delivered", {}, Fate.DELIVERED),
    (MailerSend(), "activity.soft_bounced", {}, Fate.SOFT_BOUNCED),
    (
        MailerSend(),
        "activity.soft_bounced",
        {"morph": {"reason": "554 5.7.1 spam"}},
        BLOCKED,
    ),
    (MailerSend(), "activity.hard_bounced", {}, Fate.BOUNCED),
    (MailerSend(), "activity.deferred", {}, Fate.DELAYED),
    (MailerSend(), "activity.opened", {}, Fate.OPENED),
    (
        MailerSend(),
        "activity.clicked",
        {"morph": {"url": "https://x.example"}},
        Fate.CLICKED,
    ),
    (MailerSend(), "activity.unsubscribed", {}, Fate.UNSUBSCRIBED),
    (MailerSend(), "activity.spam_complaint", {}, Fate.COMPLAINED),
    (MailerSend(), "recipient.on_hold_added", {}, None),
    (MailerSend(), "poem.read", {}, "poem.read"),
    (Ses(), "Send", {"send": {}}, None),
    (Ses(), "Delivery", {"delivery": {"recipients": [ADA]}}, Fate.DELIVERED),
    (
        Ses(),
        "DeliveryDelay",
        {"deliveryDelay": {"delayedRecipients": [{"emailAddress": ADA}]}},
        Fate.DELAYED,
    ),
    (Ses(), "Bounce", ses_bounce("Permanent", "NoEmail"), Fate.BOUNCED),
    (
        Ses(),
        "Bounce",
        ses_bounce("Permanent", "OnAccountSuppressionList"),
        Fate.BOUNCED,
    ),
    (Ses(), "Bounce", ses_bounce("Permanent", "General", "5.7.1"), BLOCKED),
    (Ses(), "Bounce", ses_bounce("Transient", "MailboxFull"), Fate.SOFT_BOUNCED),
    (Ses(), "Bounce", ses_bounce("Transient", "General", "5.4.4"), Fate.BOUNCED),
    (Ses(), "Bounce", ses_bounce("Transient", "ContentRejected"), BLOCKED),
    (Ses(), "Bounce", ses_bounce("Undetermined", "Undetermined"), Fate.SOFT_BOUNCED),
    (Ses(), "Complaint", ses_complaint("abuse"), Fate.COMPLAINED),
    (Ses(), "Complaint", ses_complaint("not-spam"), None),
    (Ses(), "Reject", {"reject": {"reason": "Bad content"}}, BLOCKED),
    (Ses(), "Rendering Failure", {"failure": {"errorMessage": "no"}}, BLOCKED),
    (Ses(), "Open", {"open": {"userAgent": "Mail"}}, Fate.OPENED),
    (Ses(), "Click", {"click": {"link": "https://x.example"}}, Fate.CLICKED),
    (
        Ses(),
        "Subscription",
        {"subscription": {"newTopicPreferences": {"unsubscribeAll": True}}},
        Fate.UNSUBSCRIBED,
    ),
    (Ses(), "Poem", {}, "Poem"),
    (Scaleway(), "email_queued", {}, None),
    (Scaleway(), "email_delivered", {}, Fate.DELIVERED),
    (Scaleway(), "email_deferred", {}, Fate.DELAYED),
    (Scaleway(), "email_dropped", {}, Fate.BOUNCED),
    (
        Scaleway(),
        "email_dropped",
        {"email_response_code": 550, "email_response_message": "5.7.26 DMARC"},
        BLOCKED,
    ),
    (Scaleway(), "email_mailbox_not_found", {}, Fate.BOUNCED),
    (Scaleway(), "email_spam", {}, BLOCKED),
    (Scaleway(), "email_blocklisted", {}, BLOCKED),
    (Scaleway(), "email_poem", {}, "email_poem"),
]
"""Provider, kind, what else it says, and the fate; `BLOCKED`; None if it says nothing
of the mail; the name under which an unknown kind is counted."""


def _event(provider: Any, kind: str, fields: dict[str, Any]) -> Event:
    event: Event = provider.event(kind, **fields)
    return event


@pytest.mark.parametrize(
    ("provider", "kind", "fields", "wanted"),
    CASES,
    ids=[f"{case[0].scheme}-{case[1]}-{at}" for at, case in enumerate(CASES)],
)
def test_what_a_kind_of_event_comes_to(
    provider: Provider, kind: str, fields: dict[str, Any], wanted: Any
) -> None:
    post = provider.post(_event(provider, kind, fields))

    found = said(reader(provider), post.request())

    if wanted is None:
        assert (found.feedback, found.unknown) == ((), {})
    elif isinstance(wanted, Fate):
        assert (only(found).fate, only(found).operator) == (wanted, False)
    elif wanted == BLOCKED:
        assert (only(found).fate, only(found).operator) == (Fate.SOFT_BOUNCED, True)
    else:
        assert found.feedback == ()
        assert found.unknown == {wanted: 1}


PROVIDER_IDS = {
    "postmark": "b7bc2f4a-e38e-4336-af7d-000000000001",
    "sendgrid": "14c5d75ce93.dfd.64b469",
    "resend": "56761188-7520-42d8-8898-ff6fc54ce618",
    "mailgun": "2026.1@mg.example.com",
    "brevo": "201798300811.5787683@smtp-relay.mailin.fr",
    "mailjet": "13792286917004336",
    "sparkpost": "65832150921904138",
    "mailersend": "62fb66bef54a112e920b5493",
    "ses": "0100018c-0000-0000-0000-000000",
    "scaleway": "7e0ee2b1-28c2-4b4b-8e1a-6c5f8a3d9d10",
}
"""As the transports read them in the replies to their requests."""

RFC_MESSAGE_IDS = {
    "sendgrid": "<14c5d75ce93.dfd.64b469@ismtpd-555>",
    "resend": "<111-222-333@email.example.com>",
    "mailgun": "<2026.1@mg.example.com>",
    "brevo": "<201798300811.5787683@smtp-relay.mailin.fr>",
    "ses": "<1@example.com>",
    "scaleway": "<1@example.com>",
}


@pytest.mark.parametrize("provider", PROVIDERS, ids=lambda one: one.scheme)
def test_a_bounce_says_of_whom_and_of_which_message(provider: Provider) -> None:
    found = only(said(reader(provider), provider.post(provider.bounce()).request()))

    assert found.fate is Fate.BOUNCED
    assert found.source == provider.scheme
    assert found.at == AT
    assert found.address == ADA
    assert found.message_id == OUTBOX_ID
    assert found.provider_id == PROVIDER_IDS[provider.scheme]
    assert found.rfc_message_id == RFC_MESSAGE_IDS.get(provider.scheme)
    assert found.reply is not None
    assert str(found.reply) == "550 5.1.1 The email account does not exist."


@pytest.mark.parametrize("provider", PROVIDERS, ids=lambda one: one.scheme)
def test_an_event_is_known_again_and_no_other_is_taken_for_it(
    provider: Provider,
) -> None:
    events, first = reader(provider), provider.post(provider.bounce())
    other = provider.post(provider.bounce("bob@example.org", number=1))

    ids = [only(said(events, one.request())).event_id for one in (first, first, other)]

    assert ids[0] == ids[1] != ids[2]


@pytest.mark.parametrize(
    "provider", [one for one in PROVIDERS if one.batches], ids=lambda one: one.scheme
)
def test_five_hundred_events_in_a_request(provider: Provider) -> None:
    events = [provider.bounce(f"{one}@example.org", one) for one in range(500)]
    post = provider.post(*events, {"what": "is this"})

    found = said(reader(provider), post.request())

    assert [one.address for one in found.feedback] == [
        f"{one}@example.org" for one in range(500)
    ]
    assert len({one.event_id for one in found.feedback}) == 500
    assert found.unknown == {"": 1}


def test_sparkposts_test_says_nothing() -> None:
    post = SparkPost().signed(b'[{"msys":{}}]')
    assert said(reader(SparkPost()), post.request()) == Said()


def test_of_several_recipients_resend_does_not_say_which() -> None:
    event = Resend().event("email.complained", to=[ADA, "bob@example.org"])
    assert only(said(reader(Resend()), Resend().post(event).request())).address is None


def test_ses_says_it_of_each_recipient() -> None:
    to = (ADA, "bob@example.org")
    some = {"bounceType": "Permanent", "bounceSubType": "General"}
    some["bouncedRecipients"] = [{"emailAddress": one} for one in to]  # type: ignore[assignment]
    post = Ses().post(Ses().event("Bounce", to=to, bounce=some))

    found = said(reader(Ses()), post.request()).feedback

    assert [one.address for one in found] == list(to)
    assert len({one.event_id for one in found}) == 2


def test_ses_does_not_say_who_of_several_complained() -> None:
    to = (ADA, "bob@example.org")
    some = {"complainedRecipients": [{"emailAddress": one} for one in to]}
    post = Ses().post(Ses().event("Complaint", to=to, complaint=some))
    assert only(said(reader(Ses()), post.request())).address is None


@pytest.mark.parametrize("time", ["soon", None, 1e300, -5, "9999-12-31T23:59:59Z", {}])
def test_a_time_that_cannot_be_is_when_the_event_came(time: Any) -> None:
    event = SendGrid().event("delivered", timestamp=time)
    post = SendGrid().post(event).request()
    assert only(said(reader(SendGrid()), post)).at == post.at
