"""How mail leaves: the settings that begin with ``MAIL_``."""

from __future__ import annotations

from .convert import (
    as_callable,
    as_choice,
    as_count_or_no_limit,
    as_failover,
    as_flag,
    as_host,
    as_path,
    as_port,
    as_rate,
    as_route,
    as_seconds,
    as_secret,
    as_sender,
    as_text,
    as_transports,
    as_whole,
)
from .dkim import as_dkim_keys
from .key import Key

MAIL_KEYS: tuple[Key, ...] = (
    Key(
        "MAIL_URL",
        "str",
        None,
        "How mail leaves, in one string in place of the keys "
        "from ``MAIL_SERVER`` to ``MAIL_PASSWORD``: ``smtp://``, ``smtp+starttls://`` "
        "or ``smtps://`` with ``user:password@host:port``, or ``inbox://`` to keep "
        "everything here.",
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
        "Begin in the clear and demand STARTTLS (RFC 3207) before anything else.",
        as_flag,
    ),
    Key(
        "MAIL_USE_SSL",
        "bool",
        False,
        "Speak TLS from the first byte (RFC 8314).",
        as_flag,
    ),
    Key("MAIL_USERNAME", "str", None, "The name to log in with.", as_text, "none"),
    Key("MAIL_PASSWORD", "str", None, "The password of that name.", as_secret, "none"),
    Key(
        "MAIL_OAUTH_TOKEN",
        "callable",
        None,
        "Log in by XOAUTH2, with the access token that this function returns, instead "
        "of ``MAIL_PASSWORD``. It is called without arguments for each new connection, "
        "in a thread of its own and without an application context.",
        as_callable,
        "none",
    ),
    Key(
        "MAIL_AUTH_MECHANISM",
        "str",
        None,
        "How to log in with the password: ``PLAIN``, ``LOGIN`` or ``CRAM-MD5``.",
        as_choice("PLAIN", "LOGIN", "CRAM-MD5"),
        "the first that the server offers; without TLS CRAM-MD5 before the others",
    ),
    Key(
        "MAIL_AUTH_UNENCRYPTED",
        "bool",
        False,
        "Log in over a link without TLS too, where anyone on the path can read the "
        "password.",
        as_flag,
    ),
    Key(
        "MAIL_DEFAULT_SENDER",
        "str or (name, address)",
        None,
        "The sender of messages that name none.",
        as_sender,
        "none",
    ),
    Key(
        "MAIL_MAX_EMAILS",
        "int",
        100,
        "Messages sent over one connection before it is closed and a new one opened; 0 "
        "is without limit. Some servers take no more than 100.",
        as_count_or_no_limit,
    ),
    Key(
        "MAIL_MAX_CONNECTIONS",
        "int",
        None,
        "Connections that one courier opens to the server at most; it opens another "
        "when all are busy.",
        as_whole(1, 1_000),
        "OUTBOX_CONCURRENCY",
    ),
    Key(
        "MAIL_PIPELINE_AFTER_CONTENT",
        "bool",
        None,
        "Send the next message's commands behind a content, before the server's "
        "verdict on it (RFC 2920), wherever PIPELINING is offered. False never does.",
        as_flag,
        "to servers that are known to cope: Postfix, Exim, Sendmail, OpenSMTPD and "
        "Nodemailer, by their greeting",
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
        "How many messages may go in any second, minute, hour or day, as in "
        '``"10/s, 5000/h"``: all couriers together, in all processes.',
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
        "By which transport a message leaves that names none: a dict of tags and "
        "names, or a function of the message and its tag that answers a name, or None "
        "for the default.",
        as_route,
        "none",
    ),
    Key(
        "MAIL_FAILOVER",
        "dict",
        None,
        "For a transport's name, those that stand in, in this order, while it is "
        'down: ``{"default": ["backup"]}``.',
        as_failover,
        "none",
    ),
    Key(
        "MAIL_SUPPRESS_SEND",
        "bool",
        None,
        "Keep all mail in the dev inbox instead of sending it.",
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
        "Bound on reaching a server, TLS included, and on its greeting.",
        as_seconds,
    ),
    Key(
        "MAIL_COMMAND_TIMEOUT_SECONDS",
        "seconds",
        60.0,
        "Bound on the reply to one command.",
        as_seconds,
    ),
    Key(
        "MAIL_DATA_TIMEOUT_SECONDS",
        "seconds",
        600.0,
        "Bound on the reply after the "
        "final dot; RFC 5321 section 4.5.3.2.6 asks for 10 minutes.",
        as_seconds,
    ),
    Key(
        "MAIL_DEADLINE_SECONDS",
        "seconds",
        900.0,
        "Bound on one message's whole transaction, however slowly the server drips.",
        as_seconds,
    ),
    Key(
        "MAIL_LOCAL_HOSTNAME",
        "str",
        None,
        "The name said in EHLO.",
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
        "Sign with DKIM: for each key a dictionary of ``domain``, ``selector`` and "
        "``key_file`` (or ``key``, the PEM text). Needs ``flask-outbox[dkim]``.",
        as_dkim_keys,
        "none",
    ),
)
