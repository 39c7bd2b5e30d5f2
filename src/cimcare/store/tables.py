"""The tables, in one definition for every database.

Instants are integers: microseconds since 1970-01-01T00:00Z. Integer keys are given by the database and rise with time,
so new rows go to the end of the tree. Indexes are few, for each is paid for with every message. On PostgreSQL the
migrations also choose how bytes are compressed, which has no word here.
"""

from sqlalchemy import (
    ARRAY,
    DDL,
    BigInteger,
    Boolean,
    Column,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    SmallInteger,
    String,
    Table,
    Text,
    UniqueConstraint,
    event,
    text,
)

__all__ = [
    "METADATA",
    "audit",
    "backlogs",
    "deliveries",
    "delivery_keys",
    "ledger",
    "messages",
    "record_keys",
    "records",
]

METADATA = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)
"""All tables."""

_KEY = BigInteger().with_variant(Integer, "sqlite")  # SQLite numbers rows by itself only in a column called INTEGER
_HASH = "hash"  # a B-tree of PostgreSQL takes no text beyond 2,700 bytes, and senders choose their identifiers freely

_UNINDEXED = text("terms IS NULL")
_IN_WORK = text("direction = 'in' AND outcome = '' AND repeat_of IS NULL")

messages = Table(
    "messages",
    METADATA,
    Column("sequence", _KEY, primary_key=True, autoincrement=True),
    Column("received_at", BigInteger, nullable=False),
    Column("direction", String(3), nullable=False),
    Column("transport", String(16), nullable=False),
    Column("partner", Text, nullable=False),
    Column("archetype", String(32), nullable=False),
    Column("verb", String(16), nullable=False),
    Column("noun", Text, nullable=False),
    Column("message_id", Text, nullable=False),
    Column("correlation_id", Text, nullable=False),
    Column("context", Text, nullable=False),
    Column("outcome", String(8), nullable=False),
    Column("codes", Text, nullable=False),
    Column("answer_to", BigInteger),
    Column("repeat_of", BigInteger),
    Column("digest", LargeBinary, nullable=False),
    Column("content_type", Text, nullable=False),
    Column("status", SmallInteger, nullable=False),
    Column("truncated", Boolean, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("raw", LargeBinary, nullable=False),
    Column("terms", ARRAY(BigInteger).with_variant(Text, "sqlite")),
    Column("redeliveries", Integer, nullable=False, server_default="0"),
    Index(None, "message_id", postgresql_using=_HASH),
    Index(None, "correlation_id", postgresql_using=_HASH),
    Index(None, "answer_to"),
    Index("ix_messages_in_work", "received_at", sqlite_where=_IN_WORK, postgresql_where=_IN_WORK),
    Index("ix_messages_unindexed", "sequence", sqlite_where=_UNINDEXED, postgresql_where=_UNINDEXED),
    sqlite_autoincrement=True,  # a sequence is never used again, even when the last row was removed
)
"""Every message that came in or went out. `answer_to` and `repeat_of` are sequences; they bind nothing, so that old
messages can be removed. What was passed on and has no outcome yet has an index of its own.

`terms` are those by which the message is searched, as the index has them, so that they can be taken out of it with the
message; NULL for a message of an earlier release that is not in the index yet. On SQLite they are a text of hexadecimal
numbers."""

for _dialect, _statement in (
    (
        "sqlite",
        "CREATE VIRTUAL TABLE message_terms USING fts5(terms, content='messages', content_rowid='sequence',"
        " detail=none, columnsize=0, tokenize=ascii)",
    ),
    (
        "postgresql",
        "CREATE TABLE message_terms (term BIGINT NOT NULL, sequence BIGINT NOT NULL,"
        " CONSTRAINT pk_message_terms PRIMARY KEY (term, sequence))",
    ),
):
    _ddl: DDL = DDL(_statement)  # type: ignore[no-untyped-call]
    event.listen(METADATA, "after_create", _ddl.execute_if(dialect=_dialect))
# The index of terms is what each database has for it: inverted lists that are written many at a time, and a B-tree.

records = Table(
    "records",
    METADATA,
    Column("id", _KEY, primary_key=True, autoincrement=True),
    Column("collection", String(64), nullable=False),
    Column("mrid", Text, nullable=False),
    Column("state", String(64), nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("modified_at", BigInteger, nullable=False),
    Column("keys", LargeBinary, nullable=False),
    Column("body", LargeBinary, nullable=False),
    UniqueConstraint("collection", "mrid"),
    Index(None, "collection", "created_at", "id"),
)
"""Objects of the built-in systems: body and keys as JSON."""

record_keys = Table(
    "record_keys",
    METADATA,
    Column("collection", String(64), nullable=False),
    Column("sort", String(64), nullable=False),
    Column("value", Text, nullable=False),
    Column("record_id", BigInteger, nullable=False),
    PrimaryKeyConstraint("collection", "sort", "value", "record_id"),
    sqlite_with_rowid=False,
)
"""Look-up keys of the objects: an index kept by hand, always equal to `records.keys`. A foreign key would need a second
index as large as the table."""

_FRESH = text("is_head AND state = 'waiting' AND attempts = attempts_before")
_TRIED = text("state IN ('waiting', 'leased') AND attempts > attempts_before AND (is_head OR state = 'leased')")
_OPEN = text("state IN ('waiting', 'leased', 'awaiting')")
_AWAITING = text("state = 'awaiting'")
_LIVE = text("state IN ('waiting', 'leased', 'awaiting', 'dead')")
_ACTS = text("action <> 'messages'")
_ENDED = text("state IN ('delivered', 'discarded')")

deliveries = Table(
    "deliveries",
    METADATA,
    Column("number", _KEY, primary_key=True, autoincrement=True),
    Column("message", BigInteger, nullable=False),
    Column("cause", BigInteger, nullable=False),
    Column("partner", Text, nullable=False),
    Column("kind", String(16), nullable=False),
    Column("object_keys", Text, nullable=False),
    Column("priority", SmallInteger, nullable=False),
    Column("address", Text, nullable=False),
    Column("verb", String(16), nullable=False),
    Column("noun", Text, nullable=False),
    Column("message_id", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("state", String(16), nullable=False),
    Column("is_head", Boolean, nullable=False),
    Column("due_at", BigInteger, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("attempts_before", Integer, nullable=False),
    Column("reason", Text, nullable=False),
    Column("received", LargeBinary, nullable=False),
    Index(None, "message"),
    Index(None, "cause"),
    Index("ix_deliveries_fresh", "partner", "kind", "priority", "number", sqlite_where=_FRESH, postgresql_where=_FRESH),
    Index(
        "ix_deliveries_tried",
        "partner",
        "state",
        "kind",
        "priority",
        "due_at",
        sqlite_where=_TRIED,
        postgresql_where=_TRIED,
    ),
    Index("ix_deliveries_live", "partner", "state", "number", sqlite_where=_LIVE, postgresql_where=_LIVE),
    Index("ix_deliveries_open", "partner", "created_at", "state", sqlite_where=_OPEN, postgresql_where=_OPEN),
    Index("ix_deliveries_awaiting", "due_at", sqlite_where=_AWAITING, postgresql_where=_AWAITING),
    Index("ix_deliveries_ended", "due_at", sqlite_where=_ENDED, postgresql_where=_ENDED),
    sqlite_autoincrement=True,
)
"""The outbox: one row for each message and destination. `object_keys` is a list of JSON, `is_head` tells whether no
older row of the partner that waits or is leased shares one of them.

What may be claimed stands in one of two indexes: `fresh` what was not tried since it was put in or sent again, in the
order in which it goes out; `tried` by when its pause or its lease ends. So neither what stands behind others nor what
pauses is ever looked at. `live` is for who looks at a partner, `open` for the ledger. But for `message`, `cause` and
`ended` the indexes hold what has not ended, and stay small."""

delivery_keys = Table(
    "delivery_keys",
    METADATA,
    Column("partner", Text, nullable=False),
    Column("object_key", Text, nullable=False),
    Column("number", BigInteger, nullable=False),
    PrimaryKeyConstraint("partner", "object_key", "number"),
    sqlite_with_rowid=False,
)
"""Keys of the deliveries that wait or are leased, and of no others: which one of a key goes first is one look-up."""

backlogs = Table(
    "backlogs",
    METADATA,
    Column("partner", Text, nullable=False),
    Column("waiting", BigInteger, nullable=False),
    Column("awaiting", BigInteger, nullable=False),
    Column("dead", BigInteger, nullable=False),
    PrimaryKeyConstraint("partner"),
    sqlite_with_rowid=False,
)
"""How many of a partner's deliveries wait or are leased, await their reply, or are dead: always equal to what stands in
`deliveries`. It is written once a commit, and so costs the same however many there are."""

ledger = Table(
    "ledger",
    METADATA,
    Column("hour", BigInteger, nullable=False),
    Column("partner", Text, nullable=False),
    Column("account", String(8), nullable=False),
    Column("received", BigInteger, nullable=False),
    Column("delivered", BigInteger, nullable=False),
    Column("refused", BigInteger, nullable=False),
    Column("dead", BigInteger, nullable=False),
    Column("repeats", BigInteger, nullable=False),
    PrimaryKeyConstraint("hour", "partner", "account"),
    sqlite_with_rowid=False,
)
"""Counts by hour, partner and account. `hour` is the instant at which it begins."""

audit = Table(
    "audit",
    METADATA,
    Column("number", _KEY, primary_key=True, autoincrement=False),
    Column("at", BigInteger, nullable=False),
    Column("action", String(16), nullable=False),
    Column("actor", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("details", Text, nullable=False),
    Column("messages", Text, nullable=False),
    Column("previous", LargeBinary, nullable=False),
    Column("hash", LargeBinary, nullable=False),
    Index("ix_audit_acts", "number", sqlite_where=_ACTS, postgresql_where=_ACTS),
)
"""The audit trail. What is not about messages is few among many, and has an index of its own. `messages` is a list of
JSON: sequence and hash of each message. Numbers come with the rows, for the hash covers them."""
