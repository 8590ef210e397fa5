"""Every setting, declared once: its name, default, help and converter."""

from __future__ import annotations

from ..feedback.rules import GROUNDS
from ..limits import FIVE_DAYS
from .alerts import as_addresses, as_alert_limits
from .convert import (
    Key,
    as_api_key,
    as_bounce_address,
    as_callable,
    as_choice,
    as_count_or_no_limit,
    as_dashboard_access,
    as_failover,
    as_flag,
    as_host,
    as_list,
    as_metrics_access,
    as_path,
    as_port,
    as_rate,
    as_retry_window,
    as_route,
    as_seconds,
    as_secret,
    as_secrets,
    as_sender,
    as_tag_counts,
    as_tags_or_all,
    as_text,
    as_transports,
    as_url_path,
    as_views,
    as_whole,
    as_words,
)
from .dkim import as_dkim_keys
from .encryption import as_encryption_keys
from .webhooks import as_webhooks

DAY = 86_400.0

KEYS: tuple[Key, ...] = (
    # How mail is sent
    Key(
        "MAIL_URL",
        "str",
        None,
        "How mail is sent, in one string instead of the keys "
        "from ``MAIL_SERVER`` to ``MAIL_PASSWORD``: ``smtp://``, ``smtp+starttls://`` "
        "or ``smtps://`` with ``user:password@host:port``, ``inbox://`` to keep "
        "everything here, or the scheme of another transport.",
        as_secret,
        "none",
    ),
    Key("MAIL_SERVER", "str", "127.0.0.1", "The SMTP server's host name.", as_host),
    Key(
        "MAIL_PORT",
        "int",
        None,
        "The SMTP server's port.",
        as_port,
        "25; 465 with MAIL_USE_SSL; 587 for smtp+starttls://",
    ),
    Key(
        "MAIL_USE_TLS",
        "bool",
        False,
        "Connect without TLS and require STARTTLS (RFC 3207) before anything else.",
        as_flag,
    ),
    Key(
        "MAIL_USE_SSL",
        "bool",
        False,
        "Use TLS from the first byte (RFC 8314).",
        as_flag,
    ),
    Key("MAIL_USERNAME", "str", None, "The name to log in with.", as_text, "none"),
    Key(
        "MAIL_PASSWORD", "str", None, "The password to log in with.", as_secret, "none"
    ),
    Key(
        "MAIL_API_KEY",
        "str or callable",
        None,
        "The key for the HTTP API that sends the mail, instead of the one in "
        "``MAIL_URL``, or a function without arguments that returns it. The function "
        "is called in a thread of its own and without an application context, from "
        "time to time and whenever the key is rejected.",
        as_api_key,
        "none",
    ),
    Key(
        "MAIL_EVENTS_SECRET",
        "str, list of str or callable",
        None,
        "What proves that events come from the provider: its signing secret or public "
        "key, ``user:password``, or a header as in ``X-Events-Key: secret``. A list "
        "has several valid ones, for while the secret is being changed. A function "
        "without arguments returns one or several; it is called from time to time, "
        "and whenever none of them fits. See :doc:`/events`.",
        as_secrets,
        "none: no events are taken",
    ),
    Key(
        "MAIL_EVENTS_TOPICS",
        "str or list of str",
        None,
        "The ARNs of the Amazon SES or Scaleway topics whose events are taken; see "
        ":doc:`/events`.",
        as_list,
        "none: no events are taken",
    ),
    Key(
        "MAIL_EVENTS_FROM",
        "str",
        None,
        "The provider whose SMTP server this is, named by the scheme of its API, as "
        'in ``"postmark"``: its events are taken. See :doc:`/events`.',
        as_text,
        "the provider of ``MAIL_URL``",
    ),
    Key(
        "MAIL_OAUTH_TOKEN",
        "callable",
        None,
        "Log in by XOAUTH2 or OAUTHBEARER (RFC 7628), with the access token that this "
        "function returns, instead of ``MAIL_PASSWORD``. It is called without "
        "arguments for each new connection, in a thread of its own and without an "
        "application context. ``flask_outbox.oauth`` makes such functions.",
        as_callable,
        "none",
    ),
    Key(
        "MAIL_AUTH_MECHANISM",
        "str",
        None,
        "How to log in with the password: ``PLAIN``, ``LOGIN`` or ``CRAM-MD5``; with "
        "the token: ``XOAUTH2`` or ``OAUTHBEARER``.",
        as_choice("PLAIN", "LOGIN", "CRAM-MD5", "XOAUTH2", "OAUTHBEARER"),
        "the first that the server offers; without TLS, CRAM-MD5 if it is offered",
    ),
    Key(
        "MAIL_AUTH_UNENCRYPTED",
        "bool",
        False,
        "Log in over a connection without TLS too, where anyone on the path can read "
        "the password.",
        as_flag,
    ),
    Key(
        "MAIL_DEFAULT_SENDER",
        "str or (name, address)",
        None,
        "The sender of messages without one.",
        as_sender,
        "none",
    ),
    Key(
        "MAIL_MAX_EMAILS",
        "int",
        100,
        "Messages sent over one connection before it is closed and a new one opened; 0 "
        "means no limit. Some servers accept at most 100.",
        as_count_or_no_limit,
    ),
    Key(
        "MAIL_MAX_CONNECTIONS",
        "int",
        None,
        "The most connections that one courier opens to the server. It opens another "
        "one when all are busy.",
        as_whole(1, 1_000),
        "OUTBOX_CONCURRENCY",
    ),
    Key(
        "MAIL_PIPELINE_AFTER_CONTENT",
        "bool",
        None,
        "Send the next message's commands right after the previous message's content, "
        "without waiting for the reply to it (RFC 2920), to every server that offers "
        "PIPELINING. False never does that.",
        as_flag,
        "to servers known to cope with it, recognized by their greeting: Postfix, "
        "Exim, Sendmail, OpenSMTPD and Nodemailer",
    ),
    Key(
        "MAIL_IDLE_SECONDS",
        "seconds",
        30.0,
        "How long a connection is kept open for the next message.",
        as_seconds,
    ),
    Key(
        "MAIL_RATE",
        "str",
        None,
        "How many messages may be sent in any second, minute, hour or day, as in "
        '``"10/s, 5000/h"``, by all couriers of all processes together.',
        as_rate,
        "no limit",
    ),
    Key(
        "MAIL_TRANSPORTS",
        "dict",
        None,
        "Further transports by name: each a URL, or a dict of ``MAIL_*`` keys.",
        as_transports,
        "none",
    ),
    Key(
        "MAIL_ROUTE",
        "dict or callable",
        None,
        "The transport for a message that names none: a dict from tags to names, or a "
        "function that takes the message and its tag and returns a name, or None for "
        "the default.",
        as_route,
        "none",
    ),
    Key(
        "MAIL_FAILOVER",
        "dict",
        None,
        "For each transport, its fallbacks while it is down, in order of preference: "
        '``{"default": ["backup"]}``.',
        as_failover,
        "none",
    ),
    Key(
        "MAIL_SUPPRESS_SEND",
        "bool",
        None,
        "Store all mail in the dev inbox instead of sending it.",
        as_flag,
        "app.testing",
    ),
    Key(
        "MAIL_ASCII_ATTACHMENTS",
        "bool",
        False,
        "Turn attachments' file names into ASCII.",
        as_flag,
    ),
    Key(
        "MAIL_DEBUG",
        "bool",
        None,
        "Log each line of the SMTP dialogue, without secrets and without content.",
        as_flag,
        "False",
    ),
    Key(
        "MAIL_CONNECT_TIMEOUT_SECONDS",
        "seconds",
        15.0,
        "The time limit for connecting to a server, with TLS, and for its greeting.",
        as_seconds,
    ),
    Key(
        "MAIL_COMMAND_TIMEOUT_SECONDS",
        "seconds",
        60.0,
        "The time limit for the reply to one command.",
        as_seconds,
    ),
    Key(
        "MAIL_DATA_TIMEOUT_SECONDS",
        "seconds",
        600.0,
        "The time limit for the reply after the "
        "final dot; RFC 5321 section 4.5.3.2.6 asks for 10 minutes.",
        as_seconds,
    ),
    Key(
        "MAIL_DEADLINE_SECONDS",
        "seconds",
        900.0,
        "The time limit for one message's whole transaction.",
        as_seconds,
    ),
    Key(
        "MAIL_LOCAL_HOSTNAME",
        "str",
        None,
        "The name sent in EHLO.",
        as_text,
        "this machine's name",
    ),
    Key(
        "MAIL_TLS_CA_FILE",
        "path",
        None,
        "Trust the authorities in this PEM file instead of the system's.",
        as_path,
        "none",
    ),
    Key(
        "MAIL_TLS_VERIFY",
        "bool",
        True,
        "Verify the server's certificate and name. "
        "False lets anyone on the path read the mail and the password.",
        as_flag,
    ),
    Key(
        "MAIL_TLS_CLIENT_CERT_FILE",
        "path",
        None,
        "Show the server the certificate in this PEM file, with its chain, when it "
        "asks for one.",
        as_path,
        "none",
    ),
    Key(
        "MAIL_TLS_CLIENT_KEY_FILE",
        "path",
        None,
        "The PEM file with that certificate's private key, which has no passphrase.",
        as_path,
        "the certificate's file",
    ),
    Key(
        "MAIL_DKIM_KEYS",
        "list of dict",
        (),
        "Sign with DKIM: for each key a dictionary with ``domain``, ``selector`` and "
        "``key_file`` (or ``key``, the PEM text). Needs ``flask-outbox[dkim]``.",
        as_dkim_keys,
        "none",
    ),
    # How mail is stored and delivered
    Key(
        "OUTBOX_URL",
        "str",
        None,
        "The outbox's database, as an SQLAlchemy URL. A relative path of an SQLite "
        "file is relative to the instance folder.",
        as_secret,
        "sqlite: outbox-NAME.db in the instance folder, with the app's name",
    ),
    Key(
        "OUTBOX_LISTEN_URL",
        "str",
        None,
        "The same database without PgBouncer in between, for notifications of new "
        "mail, which a pooler does not pass on (:doc:`/databases`).",
        as_secret,
        "as ``OUTBOX_URL``",
    ),
    Key(
        "OUTBOX_ENGINE",
        "'thread', 'external' or 'celery'",
        "thread",
        "Where couriers run: in a "
        "background thread of each process that sends, only in "
        "``flask outbox worker``, or in the workers of the app's own Celery app "
        "(:doc:`/celery`; needs ``flask-outbox[celery]``).",
        as_choice("thread", "external", "celery"),
    ),
    Key(
        "OUTBOX_ENCRYPTION_KEYS",
        "dict or str",
        None,
        "Encrypt the personal data in the outbox with the first of these keys: a "
        "mapping from ids to keys of 32 bytes in base64, or a string as in "
        '``"2026-11:uJ…=,2026-01:c4…="``. All of them can decrypt. ``flask outbox '
        "new-key`` makes one. See :doc:`/encryption`.",
        as_encryption_keys,
        "none: nothing is encrypted",
    ),
    Key(
        "OUTBOX_DURABILITY",
        "'full' or 'process'",
        "full",
        "What a returned ``send()`` "
        "survives: a power cut, or only the end of the process.",
        as_choice("full", "process"),
    ),
    Key(
        "OUTBOX_CONCURRENCY",
        "int",
        10,
        "Messages that one courier delivers at a time over each transport.",
        as_whole(1, 1_000),
    ),
    Key(
        "OUTBOX_TAG_CONCURRENCY",
        "dict",
        {},
        'How many of these may have a given tag: ``{"newsletter": 2}`` leaves the '
        "rest to other mail.",
        as_tag_counts,
        "no limits",
    ),
    Key(
        "OUTBOX_LEASE_SECONDS",
        "seconds",
        20.0,
        "How long a courier that no longer answers "
        "keeps its messages; it renews its lease after a quarter of this.",
        as_seconds,
    ),
    Key(
        "OUTBOX_POLL_SECONDS",
        "seconds",
        None,
        "How often an idle courier polls for "
        "messages that other processes enqueued or left behind.",
        as_seconds,
        "2; 0.25 in a worker that PostgreSQL does not notify",
    ),
    Key(
        "OUTBOX_GRACE_SECONDS",
        "seconds",
        10.0,
        "How long a stopping courier may take to finish its attempts.",
        as_seconds,
    ),
    Key(
        "OUTBOX_RENDER_TIMEOUT_SECONDS",
        "seconds",
        30.0,
        "How long a courier may take to render a template. A message that takes "
        "longer fails; other messages do not wait for it.",
        as_seconds,
    ),
    Key(
        "OUTBOX_BACKOFF_BASE_SECONDS",
        "seconds",
        10.0,
        "The longest wait before the second attempt; it doubles with each further one.",
        as_seconds,
    ),
    Key(
        "OUTBOX_BACKOFF_CAP_SECONDS",
        "seconds",
        3_600.0,
        "The longest wait before any attempt.",
        as_seconds,
    ),
    Key(
        "OUTBOX_LANE_PAUSE_CAP_SECONDS",
        "seconds",
        30.0,
        "The longest wait between two probes of a transport that is down. After a "
        "rejected login it is sixty times as long, because servers lock out clients "
        "that keep trying.",
        as_seconds,
    ),
    Key(
        "OUTBOX_TRANSPORT_CACHE_SECONDS",
        "seconds",
        300.0,
        "How long a courier uses what the app's transport resolver returned for a "
        "name before it asks again (:doc:`/transports`).",
        as_seconds,
    ),
    Key(
        "OUTBOX_GIVE_UP_AFTER",
        "seconds, timedelta or dict",
        FIVE_DAYS,
        "How long a deferred message is retried, counted from when it was first due. "
        'A dict has a time for each tag, with ``""`` for all others: ``{"login-code": '
        '600, "": 172800}``.',
        as_retry_window(FIVE_DAYS),
        "5 days",
    ),
    Key(
        "OUTBOX_ON_UNKNOWN",
        "'resend' or 'hold'",
        "resend",
        "What to do with a message whose connection was lost after the final dot.",
        as_choice("resend", "hold"),
    ),
    Key(
        "OUTBOX_UNKNOWN_WAIT_SECONDS",
        "seconds",
        300.0,
        "How long ``resend`` waits; after several attempts it may wait longer, up to "
        "``OUTBOX_BACKOFF_CAP_SECONDS``. After ``OUTBOX_GIVE_UP_AFTER`` a person "
        "decides.",
        as_seconds,
    ),
    Key(
        "OUTBOX_KEEP_BODIES",
        "seconds or timedelta",
        7 * DAY,
        "How long the content of a finished message is kept.",
        as_seconds,
        "7 days",
    ),
    Key(
        "OUTBOX_KEEP_ROWS",
        "seconds or timedelta",
        90 * DAY,
        "How long a finished message's record and history are kept.",
        as_seconds,
        "90 days",
    ),
    Key(
        "OUTBOX_KEEP_AUDIT",
        "seconds or timedelta",
        365 * DAY,
        "How long the audit trail, which says who did what, is kept. See "
        ":doc:`privacy`.",
        as_seconds,
        "365 days",
    ),
    Key(
        "OUTBOX_ONLY_TO",
        "str or list of str",
        None,
        "The only addresses, and domains as in ``@example.com``, that may be mailed: a "
        "list, or a string with commas. Other recipients are suppressed. For "
        "environments other than production; see :doc:`staging`.",
        as_list,
        "everyone",
    ),
    Key(
        "OUTBOX_REDIRECT_TO",
        "str",
        None,
        "The address that gets all mail instead of its recipients, except those in "
        "``OUTBOX_ONLY_TO``. For environments other than production; see "
        ":doc:`staging`.",
        as_text,
        "none: mail goes to its recipients",
    ),
    Key(
        "OUTBOX_AUTO_SUPPRESS",
        "list of str",
        GROUNDS,
        "What suppresses an address automatically: ``bounces``, ``soft_bounces`` and "
        "``complaints``, when they are reported, and ``refusals``, when a server says "
        "that the address does not exist. True means all of them, False none. See "
        ":doc:`suppression`.",
        as_words(*GROUNDS),
        "all of them",
    ),
    Key(
        "OUTBOX_SOFT_BOUNCE_COUNT",
        "int",
        5,
        "How many soft bounces suppress an address, if nothing is delivered to it in "
        "between.",
        as_whole(1, 1_000),
    ),
    Key(
        "OUTBOX_SOFT_BOUNCE_DAYS",
        "int",
        14,
        "Within how many days they must happen.",
        as_whole(1, 365),
    ),
    Key(
        "OUTBOX_TRACK_TAGS",
        "list of str or bool",
        False,
        "The tags of the mail whose opens and clicks are recorded, where a provider "
        "reports them; True means all mail. For other mail such reports are ignored. "
        "See :doc:`fate`.",
        as_tags_or_all,
        "none",
    ),
    Key(
        "OUTBOX_BOUNCE_ADDRESS",
        "str",
        None,
        "Where bounces of mail sent by SMTP, and complaints about it, come back, such "
        "as ``bounces@example.com``: each message has a return path of its own, "
        "``bounces+TOKEN@example.com``, signed with the app's ``SECRET_KEY``. See "
        ":doc:`bounces`.",
        as_bounce_address,
        "none: the sender's address",
    ),
    Key(
        "OUTBOX_WEBHOOKS",
        "dict",
        {},
        "Endpoints that are told what became of messages, by name: each a dict with "
        "``url`` and ``secrets``, and optionally ``events``, ``metadata`` and "
        "``allow_private``. Needs ``flask-outbox[http]``; see :doc:`webhooks`.",
        as_webhooks,
        "none",
    ),
    Key(
        "OUTBOX_WEBHOOK_GIVE_UP_AFTER",
        "seconds or timedelta",
        3 * DAY,
        "How long a webhook is retried while its endpoint does not accept it.",
        as_seconds,
        "3 days",
    ),
    Key(
        "OUTBOX_BOUNCE_MAILBOX",
        "str",
        None,
        "The mailbox that ``flask outbox feedback imap`` reads if it is not given "
        "one: ``imaps://user:password@imap.example.com/INBOX``. See :doc:`bounces`.",
        as_secret,
        "none",
    ),
    Key(
        "OUTBOX_UNSUBSCRIBE_PATH",
        "str",
        None,
        "The path of the unsubscribe page, such as ``/unsubscribe``; see "
        ":doc:`unsubscribe`.",
        as_url_path,
        "none: there is no such page",
    ),
    Key(
        "OUTBOX_EVENTS_PATH",
        "str",
        None,
        "The path under which providers post their events, such as ``/mail-events``: "
        "those of each transport under its name, as in ``/mail-events/default``. See "
        ":doc:`/events`.",
        as_url_path,
        "none: no events are taken",
    ),
    Key(
        "OUTBOX_HEALTH_PATH",
        "str",
        None,
        "The path under which probes find out whether this process works and whether "
        "it takes mail, such as ``/health/mail``: at ``/health/mail/live`` and "
        "``/health/mail/ready``. See :doc:`health`.",
        as_url_path,
        "none: there are no such pages",
    ),
    Key(
        "OUTBOX_ALERTS",
        "bool or dict",
        None,
        "When there is an alert: True for the usual limits, or a dict with those that "
        "differ, among ``oldest_due_seconds`` (900), ``lane_down_seconds`` (300), "
        "``failed_messages`` (10), ``failed_share`` (0.1) and "
        "``failed_within_seconds`` (900). See :doc:`alerts`.",
        as_alert_limits,
        "True if ``OUTBOX_ALERT_TO`` or a webhook tells of alerts, else False",
    ),
    Key(
        "OUTBOX_ALERT_TO",
        "str or list of str",
        (),
        "The addresses that are mailed when an alert begins and when it is over.",
        as_addresses,
        "nobody",
    ),
    Key(
        "OUTBOX_ALERT_TRANSPORT",
        "str",
        None,
        "The transport that sends these mails: one that other mail does not depend on.",
        as_text,
        "none",
    ),
    Key(
        "OUTBOX_LOG",
        "'text' or 'json'",
        "text",
        "How the logger ``flask_outbox`` writes: with ``json`` each line is a JSON "
        "object on standard error. If the app has configured logging before, its "
        "configuration applies instead. See :doc:`logging`.",
        as_choice("text", "json"),
    ),
    Key(
        "OUTBOX_TRACES",
        "bool",
        False,
        "Make OpenTelemetry spans of hand-overs and attempts, with the tracer "
        "provider that the app sets. Needs ``flask-outbox[otel]``; see :doc:`traces`.",
        as_flag,
    ),
    Key(
        "OUTBOX_DASHBOARD",
        "'local' or callable",
        None,
        'Who may see the dashboard and use its actions: ``"local"`` for requests from '
        "this machine (outside debug mode with the token in the log), or a function "
        "without arguments that is called in each request and returns True to allow "
        "everything, or some of the roles ``read``, ``operate`` and ``content``. See "
        ":doc:`dashboard`.",
        as_dashboard_access,
        "nobody: there is no dashboard",
    ),
    Key(
        "OUTBOX_DASHBOARD_PATH",
        "str",
        "/outbox",
        "The path of the dashboard.",
        as_url_path,
    ),
    Key(
        "OUTBOX_DASHBOARD_VIEWS",
        "dict",
        {},
        "Searches that the dashboard's list of mail offers by name: a dict from names "
        "to what follows the ``?`` in the address of the search. See :ref:`finding "
        "mail <finding-mail>`.",
        as_views,
        "none",
    ),
    Key(
        "OUTBOX_AUDIT_USER",
        "callable",
        None,
        "A function without arguments that returns the name of the current user, for "
        "the audit trail of the dashboard. It is called in each request that the "
        "trail records. See :doc:`privacy`.",
        as_callable,
        "the address that the request came from",
    ),
    Key(
        "OUTBOX_METRICS",
        "'local', str, list of str or callable",
        None,
        'Who may read the metrics: ``"local"`` for requests from this machine, a '
        "token of at least 16 characters (or a list of them, for while the token is "
        "being changed) that the request carries as ``Authorization: Bearer TOKEN``, "
        "or a function without arguments that is called in each request and returns "
        "True to allow it. See :doc:`metrics`.",
        as_metrics_access,
        "nobody: there is no such page",
    ),
    Key(
        "OUTBOX_METRICS_PATH",
        "str",
        "/outbox/metrics",
        "The path of the metrics.",
        as_url_path,
    ),
)
"""Every key that Flask-Outbox reads from ``app.config``."""
