"""Real events are told from forged, changed and old ones."""

from __future__ import annotations

import importlib.util
import json
from base64 import b64encode
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from flask_outbox import ConfigError
from flask_outbox.config import EventSettings
from flask_outbox.errors import EventsRefused
from flask_outbox.feedback import Fate
from flask_outbox.feedback.provider import EventSecrets, Said
from flask_outbox.transports.registry import find_events
from tests.provider_events.posting import (
    ADA,
    AT,
    BASIC,
    LOGIN,
    NOW,
    PROVIDERS,
    Mailgun,
    Post,
    Postmark,
    Provider,
    Resend,
    Scaleway,
    Ses,
    Signer,
    Sns,
)
from tests.provider_events.reading import event_settings, only, reader, said

SIGNING = [one for one in PROVIDERS if "Authorization" not in one.signed(b"{}").headers]
SECRET = [one for one in PROVIDERS if "MAIL_EVENTS_SECRET" in one.settings]
TOPICS: list[Any] = [one for one in PROVIDERS if isinstance(one, Sns)]


def by_scheme(provider: Provider) -> str:
    return provider.scheme


def refusal(provider: Provider, post: Post, *, at: Any = NOW, **settings: Any) -> str:
    """The status and the reason of the refusal."""
    with pytest.raises(EventsRefused) as refused:
        reader(provider, **settings).check(post.request(at))
    return f"{refused.value.status} {refused.value.reason}"


@pytest.mark.parametrize("provider", PROVIDERS, ids=by_scheme)
def test_what_is_not_the_providers_is_refused(provider: Provider) -> None:
    post = provider.post(provider.bounce())
    if provider.scheme == "mailgun":
        whole = json.loads(post.body)
        body = json.dumps({**whole, "signature": {}}).encode()
    elif isinstance(provider, Sns):
        body = json.dumps({**json.loads(post.body), "Signature": ""}).encode()
    else:
        body = post.body
    told = refusal(provider, Post(body, {"Content-Type": "application/json"}))
    assert told.startswith("401 ")
    assert "missing or wrong" in told


@pytest.mark.parametrize("provider", SIGNING, ids=by_scheme)
def test_what_was_changed_on_the_way_is_refused(provider: Provider) -> None:
    """But at Mailgun, whose signature does not cover the event."""
    post = provider.post(provider.bounce())
    assert ADA.encode() in post.body
    changed = replace(post, body=post.body.replace(b"ada@", b"bob@"))
    if provider.scheme == "mailgun":
        reader(provider).check(changed.request())
    else:
        assert refusal(provider, changed) == "401 the signature is missing or wrong"


def _another_key() -> str:
    key = ec.generate_private_key(ec.SECP256R1()).public_key()
    form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return b64encode(key.public_bytes(*form)).decode()


OTHERS = {
    "sendgrid": _another_key(),
    "resend": "whsec_b3RoZXJvdGhlcm90aGVyb3RoZXI=",
}
"""Secrets of a form of their own that the provider does not use."""


def another(provider: Provider) -> str:
    return OTHERS.get(provider.scheme, "another:secret")


@pytest.mark.parametrize("provider", SECRET, ids=by_scheme)
def test_another_secret_is_refused(provider: Provider) -> None:
    post = provider.post(provider.bounce())
    told = refusal(provider, post, MAIL_EVENTS_SECRET=another(provider))
    assert told.startswith("401 ")


@pytest.mark.parametrize("provider", SECRET, ids=by_scheme)
def test_any_of_several_secrets_will_do(provider: Provider) -> None:
    """While one takes the other's place."""
    both = [another(provider), provider.settings["MAIL_EVENTS_SECRET"]]
    post = provider.post(provider.bounce())
    assert (
        only(said(reader(provider, MAIL_EVENTS_SECRET=both), post.request())).fate
        is Fate.BOUNCED
    )


def test_a_function_is_asked_again_when_no_secret_fits() -> None:
    now, current = 1_000.0, "old:secret"
    asked: list[str] = []

    def secret() -> str:
        asked.append(current)
        return current

    events = reader(Postmark(), MAIL_EVENTS_SECRET=secret)
    events.secrets = EventSecrets(events.settings, lambda: now)
    good = Postmark().post(Postmark().bounce()).request()
    with pytest.raises(EventsRefused):
        events.check(good)
    assert asked == ["old:secret"]

    current = LOGIN
    with pytest.raises(EventsRefused):
        events.check(good)  # it was asked just before
    now += 20
    events.check(good)
    events.check(good)
    assert asked == ["old:secret", LOGIN]


@pytest.mark.parametrize("returned", [None, "", [], [5], ["a:b", ""]])
def test_a_function_without_a_secret_means_later(returned: Any) -> None:
    post = Postmark().post(Postmark().bounce())
    told = refusal(Postmark(), post, MAIL_EVENTS_SECRET=lambda: returned)
    assert told == "503 the function in MAIL_EVENTS_SECRET returned no secret"


def test_a_function_that_fails_means_later_and_its_text_is_kept_out() -> None:
    def secret() -> str:
        raise OSError("vault token hunter2")

    events = reader(Postmark(), MAIL_EVENTS_SECRET=secret)
    with pytest.raises(EventsRefused) as refused:
        events.check(Post(b"{}").request())
    assert refused.value.status == 503
    assert "hunter2" not in refused.value.reason + refused.value.detail


AGES = {
    "sendgrid": timedelta(days=3),
    "resend": timedelta(minutes=5),
    "mailgun": timedelta(days=3),
    "ses": timedelta(hours=1),
    "scaleway": timedelta(hours=1),
}
"""How old or how new a request may be, where its time is signed."""


@pytest.mark.parametrize(
    "provider", [one for one in PROVIDERS if one.scheme in AGES], ids=by_scheme
)
def test_what_is_too_old_or_too_new_is_refused(provider: Provider) -> None:
    post, age = provider.post(provider.bounce(), at=NOW), AGES[provider.scheme]
    for passes in (NOW + age, NOW - age):
        reader(provider).check(post.request(passes))
    status = 406 if provider.scheme == "mailgun" else 401
    for late in (NOW + age, NOW - age):
        at = late + timedelta(seconds=1 if late > NOW else -1)
        told = refusal(provider, post, at=at)
        assert told == f"{status} the request is too old, or a clock is wrong"


# ----------------------------------------------------------------- a password, a header


@pytest.mark.parametrize(
    "given",
    [
        {"Authorization": BASIC.replace("Basic", "basic")},
        {"authorization": BASIC},
    ],
)
def test_a_password_as_other_clients_write_it(given: dict[str, str]) -> None:
    post = Post(Postmark().post(Postmark().bounce()).body, given)
    assert only(said(reader(Postmark()), post.request())).fate is Fate.BOUNCED


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"Authorization": ""},
        {"Authorization": "Basic"},
        {"Authorization": "Basic !!!"},
        {"Authorization": f"Basic {LOGIN}"},
        {"Authorization": BASIC.replace("Basic", "Bearer")},
        {"Authorization": BASIC[:-4]},
        {"Authorization": "Basic ZXZlbnRzOg=="},
        {"Authorization": "Basic \xff\u00fc"},
    ],
)
def test_a_password_that_is_missing_or_wrong(given: dict[str, str]) -> None:
    told = refusal(Postmark(), Post(b"{}", given))
    assert told == "401 the password or the header is missing or wrong"


def test_a_header_in_place_of_a_password() -> None:
    secret = "Authorization: Bearer s3cret"
    body = Postmark().post(Postmark().bounce()).body
    good = Post(body, {"Authorization": "Bearer s3cret"})
    assert (
        only(said(reader(Postmark(), MAIL_EVENTS_SECRET=secret), good.request())).fate
        is Fate.BOUNCED
    )
    for wrong in ({}, {"Authorization": "Bearer secret"}, {"X-Other": "Bearer s3cret"}):
        assert refusal(Postmark(), Post(body, wrong), MAIL_EVENTS_SECRET=secret)


# --------------------------------------------------------------------------- Mailgun


def test_a_changed_event_with_a_token_of_before_is_no_other_event() -> None:
    post = Mailgun().post(Mailgun().bounce())
    changed = replace(post, body=post.body.replace(b"ada@", b"bob@"))
    events = reader(Mailgun())
    first, second = (only(said(events, one.request())) for one in (post, changed))
    assert first.event_id == second.event_id


# ------------------------------------------------------------------- by way of a topic


@pytest.mark.parametrize("provider", TOPICS, ids=by_scheme)
@pytest.mark.parametrize("version", ["1", "2"])
def test_both_versions_of_signatures(provider: Any, version: str) -> None:
    body = json.dumps(provider.bounce())
    for more in ({}, {"Subject": "Amazon SES Email Event Notification"}):
        post = provider.message(Message=body, SignatureVersion=version, **more)
        assert only(said(reader(provider), post.request())).fate is Fate.BOUNCED


@pytest.mark.parametrize("provider", TOPICS, ids=by_scheme)
def test_a_foreign_topic_is_refused_before_anything_is_fetched(provider: Any) -> None:
    web = provider.web()
    for arn in (f"{provider.topic}-2", provider.topic[:-1], "", provider.topic + "\n"):
        post = provider.message(Message="{}", TopicArn=arn)
        with pytest.raises(EventsRefused) as refused:
            reader(provider, web).check(post.request())
        assert refused.value.reason == "the topic is not one of MAIL_EVENTS_TOPICS"
        assert refused.value.status == 401
    assert web.asked == []


@pytest.mark.parametrize("provider", TOPICS, ids=by_scheme)
@pytest.mark.parametrize(
    "url",
    [
        "",
        "http://sns.eu-west-1.amazonaws.com/SimpleNotificationService-0a.pem",
        "https://sns.eu-west-1.amazonaws.com.evil.example/SimpleNotificationService-0a.pem",
        "https://evil.example/sns.eu-west-1.amazonaws.com/SimpleNotificationService-0.pem",
        "https://sns.eu-west-1.amazonaws.com@evil.example/SimpleNotificationService-0.pem",
        "https://sns.eu-west-1.amazonaws.com:444/SimpleNotificationService-0a.pem",
        "https://sns.eu-west-1.amazonaws.com/other.pem",
        "https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-0a.pem?x=1",
        "https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-0a.pem\n",
        "https://s3.amazonaws.com/SimpleNotificationService-0a.pem",
        "https://mine.s3.fr-par.scw.cloud/fr-par/sns/cert-1.pem",
        "https://messaging.s3.fr-par.scw.cloud.evil.example/cert.pem",
        "http://messaging.s3.fr-par.scw.cloud/fr-par/sns/cert-1.pem",
    ],
)
def test_a_certificate_from_elsewhere_is_not_fetched(provider: Any, url: str) -> None:
    web = provider.web()
    post = provider.message(Message="{}", SigningCertURL=url)
    with pytest.raises(EventsRefused) as refused:
        reader(provider, web).check(post.request())
    assert refused.value.reason == "the certificate is not where the service has them"
    assert web.asked == []


@pytest.mark.parametrize("provider", TOPICS, ids=by_scheme)
def test_a_certificate_is_fetched_once(provider: Any) -> None:
    web = provider.web()
    events = reader(provider, web)
    for _ in range(3):
        events.check(provider.post(provider.bounce()).request())
    assert sorted(web.asked) == sorted(web.pages)


@pytest.mark.parametrize("provider", TOPICS, ids=by_scheme)
def test_a_certificate_that_cannot_be_fetched_means_later(provider: Any) -> None:
    web = provider.web()
    pages, web.pages = web.pages, {}
    events, post = reader(provider, web), provider.post(provider.bounce()).request()
    with pytest.raises(EventsRefused) as refused:
        events.check(post)
    assert refused.value.status == 503
    web.pages = pages
    events.check(post)


def test_no_more_certificates_are_fetched_than_a_service_has() -> None:
    web, end = Ses().web(), Ses.certificate_url[-20:]
    events = reader(Ses(), web)
    for number in range(50):
        url = Ses.certificate_url.replace(end, f"{number:016}.pem")
        with pytest.raises(EventsRefused) as refused:
            events.check(Ses().message(Message="{}", SigningCertURL=url).request())
        assert refused.value.status == 503
    assert len(web.asked) == 10


@pytest.mark.parametrize(
    ("signer", "of"),
    [
        (Signer(ends=AT - timedelta(days=1)), Ses),
        (Signer(starts=AT + timedelta(days=1)), Ses),
        (Signer(bits=1024), Ses),
        (Signer(Scaleway.authority, ends=AT - timedelta(days=1)), Scaleway),
        (Signer(), Scaleway),
        (Signer(Signer()), Scaleway),
    ],
    ids=["expired", "not-yet", "weak", "expired-2", "self-signed", "another-issuer"],
)
def test_a_certificate_that_is_no_good(signer: Signer, of: type[Sns]) -> None:
    provider = of()
    web = provider.web()
    web.pages[provider.certificate_url] = signer.pem
    with pytest.raises(EventsRefused) as refused:
        reader(provider, web).check(
            provider.message(signer=signer, Message="{}").request()
        )
    assert refused.value.status == 401
    assert refused.value.reason == "the certificate is expired, or not the service's"


@pytest.mark.parametrize("content", [b"", b"no certificate", b"\x00\xff" * 500])
def test_what_is_no_certificate(content: bytes) -> None:
    web = Ses().web()
    web.pages[Ses.certificate_url] = content
    with pytest.raises(EventsRefused) as refused:
        reader(Ses(), web).check(Ses().post(Ses().bounce()).request())
    assert refused.value.reason == "the certificate cannot be read"


@pytest.mark.parametrize("provider", TOPICS, ids=by_scheme)
def test_a_subscription_is_confirmed(provider: Any) -> None:
    web = provider.web()
    web.pages[provider.subscribe_url] = b"<ConfirmSubscriptionResponse/>"
    post = provider.message(
        Type="SubscriptionConfirmation",
        Message="You have chosen to subscribe to the topic.",
        SubscribeURL=provider.subscribe_url,
        Token="2336412f37",
    )
    assert said(reader(provider, web), post.request()) == Said()
    assert web.asked[-1] == provider.subscribe_url


@pytest.mark.parametrize("provider", TOPICS, ids=by_scheme)
@pytest.mark.parametrize(
    "url",
    [
        "",
        "http://{host}/?Action=ConfirmSubscription",
        "https://{host}.evil.example/?Action=ConfirmSubscription",
        "https://evil.example/?{host}",
        "https://user@{host}/",
        "https://{host}:444/",
        "https://sns.us-east-1.amazonaws.com/?Action=ConfirmSubscription",
        "https://[broken/",
    ],
)
def test_a_subscription_is_confirmed_nowhere_else(provider: Any, url: str) -> None:
    web, host = provider.web(), provider.subscribe_url.split("/")[2]
    post = provider.message(
        Type="SubscriptionConfirmation",
        Message="m",
        SubscribeURL=url.format(host=host),
        Token="t",
    )
    with pytest.raises(EventsRefused) as refused:
        said(reader(provider, web), post.request())
    assert refused.value.status == 400
    assert set(web.asked) <= set(web.pages)


def test_a_subscription_that_cannot_be_confirmed_means_later() -> None:
    post = Ses().message(
        Type="SubscriptionConfirmation",
        Message="m",
        SubscribeURL=Ses.subscribe_url,
        Token="t",
    )
    with pytest.raises(EventsRefused) as refused:
        said(reader(Ses()), post.request())
    assert refused.value.status == 503


def test_the_end_of_a_subscription_is_counted() -> None:
    post = Ses().message(
        Type="UnsubscribeConfirmation",
        Message="m",
        SubscribeURL=Ses.subscribe_url,
        Token="t",
    )
    found = said(reader(Ses()), post.request())
    assert found.unknown == {"UnsubscribeConfirmation": 1}


def test_the_sentence_that_only_shows_that_a_topic_works() -> None:
    text = "Successfully validated SNS topic for Amazon SES event publishing."
    assert said(reader(Ses()), Ses().message(Message=text).request()) == Said()
    other = said(reader(Ses()), Ses().message(Message="Hello.").request())
    assert other.unknown == {"a text": 1}


# ------------------------------------------------------------------------ the settings


@pytest.mark.parametrize("scheme", ["sendgrid", "ses", "scaleway"])
def test_an_absent_package_names_the_extra(
    scheme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = find_events(scheme)
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(ConfigError, match=r'pip install "flask-outbox\[events\]"'):
        events.check_settings(EventSettings(scheme, ("secret",), ("topic",)))


def check(scheme: str, *secrets: str, topics: tuple[str, ...] = ()) -> None:
    settings = EventSettings(scheme, secrets, topics)
    find_events(scheme).check_settings(settings)


@pytest.mark.parametrize("provider", PROVIDERS, ids=by_scheme)
def test_good_settings_are_taken(provider: Provider) -> None:
    find_events(provider.scheme).check_settings(event_settings(provider))


@pytest.mark.parametrize("provider", SECRET, ids=by_scheme)
def test_a_secret_is_needed_and_no_topics(provider: Provider) -> None:
    with pytest.raises(ConfigError, match="MAIL_EVENTS_SECRET is not set"):
        check(provider.scheme)
    with pytest.raises(ConfigError, match="MAIL_EVENTS_TOPICS is set, and"):
        check(provider.scheme, another(provider), topics=("arn",))


@pytest.mark.parametrize("provider", TOPICS, ids=by_scheme)
def test_topics_are_needed_and_no_secret(provider: Any) -> None:
    with pytest.raises(ConfigError, match="MAIL_EVENTS_TOPICS is not set"):
        check(provider.scheme)
    with pytest.raises(ConfigError, match="MAIL_EVENTS_SECRET is set, and"):
        check(provider.scheme, "secret", topics=(provider.topic,))
    for wrong in ("mail-events", "arn:aws:sns:eu-west-1:123:x", f"{provider.topic} "):
        with pytest.raises(ConfigError, match="is not the ARN of a topic"):
            check(provider.scheme, topics=(provider.topic, wrong))


@pytest.mark.parametrize(
    ("scheme", "secret"),
    [
        ("postmark", "hunter2"),
        ("brevo", ":hunter2"),
        ("mailjet", "hunter2:"),
        ("sendgrid", "hunter2"),
        ("sendgrid", "aHVudGVyMg=="),
        ("resend", "hunter2"),
        ("resend", "whsec_hunter2!"),
        ("resend", "whsec_"),
    ],
)
def test_a_secret_of_another_form_is_refused_and_not_shown(
    scheme: str, secret: str
) -> None:
    with pytest.raises(ConfigError, match="MAIL_EVENTS_SECRET is") as refused:
        check(scheme, secret)
    assert "hunter2" not in str(refused.value)


def test_resend_signs_with_the_id_in_it() -> None:
    post = Resend().post(Resend().bounce())
    changed = replace(post, headers={**post.headers, "svix-id": "msg_2"})
    assert refusal(Resend(), changed) == "401 the signature is missing or wrong"
