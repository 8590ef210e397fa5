"""The outbox's tables as queries need them, and which version of them a database has.

How the databases make them, with their indexes, is in the module `ddl`.

Times are epoch seconds in UTC; structured columns are JSON.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Connection,
    Double,
    ForeignKey,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    String,
    Table,
    Text,
    inspect,
    literal_column,
    text,
)
from sqlalchemy.engine import Inspector

from ..events import ATTEMPT_ENDS

REVISION = "0011"
"""The newest migration, after which the tables are as they are below."""

VERSION_TABLE = "outbox_version"

metadata: MetaData = MetaData()

SEALED_ADDRESS = 400
SEALED_KEY = 720
"""How long addresses and keys are at most when they are encrypted, where a database
limits that: MariaDB's indexes have up to 768 characters, all columns together."""

_MARIADB = ("mysql", "mariadb")
_SERVERS = (*_MARIADB, "postgresql")

_Id = String(26)
_Key = String(255)
_Address = _Key.with_variant(String(SEALED_ADDRESS), *_SERVERS)
_Recipient = _Key.with_variant(String(SEALED_ADDRESS), *_MARIADB).with_variant(
    String(SEALED_ADDRESS, collation="C"), "postgresql"
)
_UniqueKey = _Key.with_variant(String(SEALED_KEY), *_SERVERS)
_Serial = BigInteger().with_variant(Integer, "sqlite")
LONG = Text()
BYTES = LargeBinary()

PENDING: ColumnElement[str] = literal_column("'pending'")
LEASED: ColumnElement[str] = literal_column("'leased'")
ZERO: ColumnElement[int] = literal_column("0")
ONE: ColumnElement[int] = literal_column("1")
"""SQL literals. A partial index is used only if its value is in the statement's text;
and frequent statements have fewer parameters to bind."""

message: Table = Table(
    "outbox_message",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("state", String(10), nullable=False),
    Column("due_at", Double, nullable=False),
    Column("priority", SmallInteger, nullable=False),
    Column("lane", String(64), nullable=False),
    Column("queue", _Key, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("crashes", Integer, nullable=False),
    Column("lease_owner", _Id),
    Column("lease_token", Integer, nullable=False),
    Column("begun", SmallInteger, nullable=False),
    Column("key", _UniqueKey),
    Column("tag", _Key),
    Column("rfc_message_id", String(998), nullable=False),
    Column("return_path", _Address, nullable=False),
    Column("subject", LONG, nullable=False),
    Column("size_bytes", Integer, nullable=False),
    Column("enqueued_at", Double, nullable=False),
    Column("give_up_at", Double, nullable=False),
    Column("finished_at", Double),
    Column("origin", LONG),
    Column("enqueued", LONG),
    Column("batch", _Id),
    Column("batch_row", Integer),
    Column("sensitive", SmallInteger),
)
"""One row per message. Rows are small, because couriers read them all the time.

It stands for the first event of the message's history, too: ``enqueued`` is the detail
of that event, without what other columns say. ``origin`` is the request that handed it
over, and the span (`TraceContext.fields`). ``queue`` is the tag if its concurrency
is limited, else "" (see the module `due`). ``sensitive`` is a `Sensitivity`; NULL is
none.
"""

content: Table = Table(
    "outbox_content",
    metadata,
    Column(
        "message_id",
        _Id,
        ForeignKey("outbox_message.id", ondelete="CASCADE"),
        primary_key=True,
    ),
    Column("body", BYTES, nullable=False),
    Column("attached", Integer, nullable=False),
    Column("template", LONG),
    Column("envelope", LONG),
    Column("metadata", LONG),
)
"""The content of messages, apart from their small rows so that claims stay cheap.

``body`` lacks large attachments, which are stored apart; ``attached`` is their number
(see the module `attachments`). Until a courier has rendered a ``template``, ``body``
holds only its attachments.
"""

attachment: Table = Table(
    "outbox_attachment",
    metadata,
    Column("digest", String(64), primary_key=True),
    Column("content", BYTES, nullable=False),
)
"""Large attachments of any number of messages, by their SHA-256."""

attached: Table = Table(
    "outbox_attached",
    metadata,
    Column(
        "message_id",
        _Id,
        ForeignKey("outbox_content.message_id", ondelete="CASCADE"),
        primary_key=True,
    ),
    Column("at_byte", Integer, primary_key=True, autoincrement=False),
    Column("digest", ForeignKey("outbox_attachment.digest"), nullable=False),
)
"""Where in a message's ``body`` an attachment belongs."""

recipient: Table = Table(
    "outbox_recipient",
    metadata,
    Column(
        "message_id",
        _Id,
        ForeignKey("outbox_message.id", ondelete="CASCADE"),
        primary_key=True,
    ),
    Column("position", Integer, primary_key=True, autoincrement=False),
    Column("address", _Recipient, nullable=False),
    Column("state", String(10), nullable=False),
    Column("reply_code", SmallInteger),
    Column("reply_enhanced", String(16)),
    Column("reply_text", LONG),
    Column("replied_at", Double),
    Column("fate", String(16)),
    Column("fate_at", Double),
    Column("fate_text", LONG),
)
"""Its state and the next hop's last reply, and beside these its fate: what others have
reported since (`feedback.Fate`), when that happened, and their words."""

provider_id: Table = Table(
    "outbox_provider_id",
    metadata,
    Column(
        "message_id",
        _Id,
        ForeignKey("outbox_message.id", ondelete="CASCADE"),
        primary_key=True,
    ),
    Column("address", _Address, primary_key=True),
    Column("provider", String(64), primary_key=True),
    Column("provider_id", _Key, primary_key=True),
)
"""The ids that providers gave a message for its recipients, by which they report.
``provider`` is the scheme of the transport."""

feedback: Table = Table(
    "outbox_feedback",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("source", String(64), nullable=False),
    Column("event_id", _Key, nullable=False),
    Column("received_at", Double, nullable=False),
    Column("at", Double, nullable=False),
    Column("fate", String(16), nullable=False),
    Column("address", _Address),
    Column("message_id", _Id),
    Column("named_id", _Id),
    Column("provider_id", _Key),
    Column("rfc_message_id", String(998)),
    Column("operator", SmallInteger, nullable=False),
    Column("words", LONG),
    Column("detail", LONG),
    Column("look_at", Double),
)
"""What was reported, each report once. ``id`` tells when it was received.

``message_id`` is the message that it changed, NULL until that is found; until then
``look_at`` is when to look for it again, NULL where that is given up. ``named_id`` is
the message that the report itself names. ``address`` is written as by
`message.addresses.comparable`. A row with another fate than `feedback.Fate` knows is no
report, but a token that was used (`received.use_token`)."""

event: Table = Table(
    "outbox_event",
    metadata,
    Column("id", _Serial, primary_key=True, autoincrement=True),
    Column(
        "message_id",
        _Id,
        ForeignKey("outbox_message.id", ondelete="CASCADE"),
        nullable=False,
    ),
    Column("at", Double, nullable=False),
    Column("kind", String(16), nullable=False),
    Column("detail", LONG),
)
"""The history of each message, but for its first event, which its own row stands for;
rows are only ever added."""

suppression: Table = Table(
    "outbox_suppression",
    metadata,
    Column("address", _Address, primary_key=True),
    Column("list", _Key, primary_key=True),
    Column("reason", LONG, nullable=False),
    Column("source", String(16), nullable=False),
    Column("added_at", Double, nullable=False),
    Column("evidence", LONG),
)
"""Addresses, as `message.addresses.comparable` writes them, that must not be mailed.
``evidence`` is the report that said so, as JSON, if one did."""

pardon: Table = Table(
    "outbox_pardon",
    metadata,
    Column("address", _Address, primary_key=True),
    Column("list", _Key, primary_key=True),
    Column("at", Double, nullable=False),
)
"""When a suppression was last removed. What was reported before that suppresses the
address on that list no more."""

lane: Table = Table(
    "outbox_lane",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("paused_until", Double),
    Column("reason", LONG),
    Column("paused_at", Double),
    Column("operator_paused_at", Double),
    Column("operator_reason", LONG),
    Column("taken", LONG),
)
"""Lanes whose transport fails (``paused_…``), that a person paused (``operator_…``) or
whose limits are in use (``taken``, by `Allowance`). A lane without a row is open.
"""

batch: Table = Table(
    "outbox_batch",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("key", _UniqueKey),
    Column("name", _Key, nullable=False),
    Column("tag", _Key),
    Column("rows_stored", Integer, nullable=False),
    Column("total", Integer),
    Column("digest", String(32), nullable=False),
    Column("process", Text, nullable=False),
    Column("began_at", Double, nullable=False),
    Column("stored_at", Double, nullable=False),
    Column("ended_at", Double),
    Column("paused_at", Double),
    Column("cancelled_at", Double),
    Column("error", LONG),
)
"""Batches. The first ``rows_stored`` rows of each are stored, and ``digest`` is a hash
of their recipients; ``ended_at`` is when the last row was stored."""

courier: Table = Table(
    "outbox_courier",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("engine", String(16), nullable=False),
    Column("host", Text, nullable=False),
    Column("pid", Integer, nullable=False),
    Column("process", Text, nullable=False),
    Column("started_at", Double, nullable=False),
    Column("seen_at", Double, nullable=False),
    Column("lease_until", Double, nullable=False),
)
"""Heartbeats. A message's lease runs as long as its owner's ``lease_until``."""

stats: Table = Table(
    "outbox_stats",
    metadata,
    Column("at", BigInteger, primary_key=True, autoincrement=False),
    Column("courier", _Id, primary_key=True),
    Column("lane", String(64), primary_key=True),
    *(Column(end.value, Integer, nullable=False) for end in ATTEMPT_ENDS),
    Column("waits", LONG, nullable=False),
    Column("durations", LONG, nullable=False),
    Column("troubles", LONG, nullable=False),
    Column("waits_seconds", Double),
    Column("durations_seconds", Double),
)
"""Counts of the outcomes of attempts in the minute that begins ``at``. Rows are merged
later: then ``courier`` is "", and after a day ``at`` is the beginning of an hour.
Where ``at`` is 0, it is all that was ever merged; there the ``lane`` "" is all lanes.
"""

tally: Table = Table(
    "outbox_tally",
    metadata,
    Column("name", String(32), primary_key=True),
    Column("counted_to", _Id, nullable=False),
    Column("counts", LONG, nullable=False),
)
"""How many rows of a table there ever were up to the id ``counted_to``, by kind, as
JSON: those that are pruned since, too. The row ``backlog`` has how many messages waited
then (see the module `backlog`)."""


departure: Table = Table(
    "outbox_departure",
    metadata,
    Column(
        "message_id",
        _Id,
        ForeignKey("outbox_message.id", ondelete="CASCADE"),
        primary_key=True,
    ),
    Column("move", _Id, nullable=False),
    Column("chunk", Integer, nullable=False),
    Column("state", String(10), nullable=False),
    Column("heading_to", LONG, nullable=False),
    Column("departed_at", Double, nullable=False),
)
"""The messages that are *moving*: the state each had, and the outbox it goes to."""

arrival: Table = Table(
    "outbox_arrival",
    metadata,
    Column("move", _Id, primary_key=True),
    Column("chunk", Integer, nullable=False),
    Column("came_from", LONG, nullable=False),
    Column("begun_at", Double, nullable=False),
)
"""The moves to this outbox, and the number of the last chunk of each that arrived."""

mailbox: Table = Table(
    "outbox_mailbox",
    metadata,
    Column("name", _Key, primary_key=True),
    Column("uid_validity", BigInteger, nullable=False),
    Column("uid", BigInteger, nullable=False),
)
"""How far each mailbox is read into which reports about mail come."""

webhook_endpoint: Table = Table(
    "outbox_webhook_endpoint",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("copied_to", BigInteger, nullable=False),
    Column("gaps", LONG),
    Column("failures", Integer, nullable=False),
    Column("paused_by", String(10)),
    Column("paused_at", Double),
    Column("paused_until", Double),
    Column("reason", LONG),
)
"""The webhook endpoints. Of the events up to the id ``copied_to``, all have been
seen but those in ``gaps`` (see the module `webhook_feed`). ``failures`` in a row."""

webhook: Table = Table(
    "outbox_webhook",
    metadata,
    Column("endpoint", String(64), primary_key=True),
    Column("id", String(64), primary_key=True),
    Column("message_id", _Id),
    Column("kind", String(16), nullable=False),
    Column("body", LONG, nullable=False),
    Column("queued_at", Double, nullable=False),
    Column("due_at", Double, nullable=False),
    Column("give_up_at", Double, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("state", String(10), nullable=False),
    Column("status", SmallInteger),
    Column("error", LONG),
    Column("finished_at", Double),
)
"""What endpoints are to be told, and were: kept apart from the messages, which may be
pruned before. While one is sent, it is due only when its lease has run out."""

alert: Table = Table(
    "outbox_alert",
    metadata,
    Column("kind", String(16), primary_key=True),
    Column("lane", String(64), primary_key=True),
    Column("id", _Id, nullable=False),
    Column("words", LONG, nullable=False),
    Column("reason", LONG, nullable=False),
    Column("began_at", Double, nullable=False),
    Column("calm_since", Double),
    Column("ended_at", Double),
    Column("told", String(16)),
    Column("telling_until", Double),
)
"""The last alert of each kind, for each ``lane`` that it is about, or ``""``. Its cause
is away since ``calm_since``. Which news of it was ``told`` last, and until when a
process has time for the next: see the module `alerts`."""


encryption_key: Table = Table(
    "outbox_encryption_key",
    metadata,
    Column("id", String(16), primary_key=True),
    Column("proof", LONG, nullable=False),
    Column("lookup", LONG),
)
"""The keys with which something here may be encrypted, each with a text that it has
encrypted, and with the outbox's look-up key, encrypted with it. A row whose id is ""
says that something may be in the clear."""

audit: Table = Table(
    "outbox_audit",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("at", Double, nullable=False),
    Column("actor", _Key, nullable=False),
    Column("face", String(16), nullable=False),
    Column("act", String(32), nullable=False),
    Column("target", _Key, nullable=False),
    Column("many", Integer, nullable=False),
    Column("note", _Key, nullable=False),
)
"""What people did: who, where from, and to what. ``id`` tells when. It outlasts what it
names, and has nobody's address and nothing of what a mail says."""


def has_tables(target: MetaData) -> bool:
    """Whether ``target`` holds the outbox's tables, by `add_tables`."""
    return message.name in target.tables


OUTDATED = "of the app's own migrations"
"""The version of tables that the app's migrations made (see `add_tables`), if they do
not match this Flask-Outbox."""


def version_of(connection: Connection) -> str | None:
    """The version of the tables, or None if there are none.

    Only reads, because the app may hold the write lock.
    """
    if not connection.dialect.has_table(connection, VERSION_TABLE):
        return _by_their_shape(inspect(connection))
    found: Any = connection.scalar(text(f"SELECT version_num FROM {VERSION_TABLE}"))  # noqa: S608
    return found and str(found)


def _by_their_shape(present: Inspector) -> str | None:
    """The version of tables without a version row: the app's migrations made them."""
    names = metadata.tables.keys() & set(present.get_table_names())
    if not names:
        return None
    whole = len(names) == len(metadata.tables) and all(
        set(metadata.tables[name].columns.keys())
        <= {column["name"] for column in present.get_columns(name)}
        for name in names
    )
    return REVISION if whole else OUTDATED
