"""The tables, in one definition for every database.

Instants are integers: microseconds since 1970-01-01T00:00Z. Integer keys are given by the database and rise with time,
so new rows go to the end of the tree. Indexes are few, for each is paid for with every message. On PostgreSQL the
migrations also choose how bytes are compressed, which has no word here.
"""

from sqlalchemy import (
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
    text,
)

__all__ = ["METADATA", "deliveries", "messages", "record_keys", "records"]

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
    Index(None, "message_id", postgresql_using=_HASH),
    Index(None, "correlation_id", postgresql_using=_HASH),
    Index(None, "answer_to"),
    sqlite_autoincrement=True,  # a sequence is never used again, even when the last row was removed
)
"""Every message that came in or went out. `answer_to` and `repeat_of` are sequences; they bind nothing, so that old
messages can be removed."""

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

_OPEN = text("state IN ('waiting', 'leased')")
_DEAD = text("state = 'dead'")

deliveries = Table(
    "deliveries",
    METADATA,
    Column("number", _KEY, primary_key=True, autoincrement=True),
    Column("message", BigInteger, nullable=False),
    Column("partner", Text, nullable=False),
    Column("object_key", Text, nullable=False),
    Column("verb", String(16), nullable=False),
    Column("noun", Text, nullable=False),
    Column("message_id", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("state", String(16), nullable=False),
    Column("due_at", BigInteger, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("attempts_before", Integer, nullable=False),
    Column("reason", Text, nullable=False),
    Column("received", LargeBinary, nullable=False),
    Index("ix_deliveries_open", "partner", "number", sqlite_where=_OPEN, postgresql_where=_OPEN),
    Index("ix_deliveries_order", "partner", "object_key", "number", sqlite_where=_OPEN, postgresql_where=_OPEN),
    Index("ix_deliveries_dead", "partner", sqlite_where=_DEAD, postgresql_where=_DEAD),
    sqlite_autoincrement=True,
)
"""The outbox: one row for each message and subscriber. The indexes hold what has not ended, and so stay small."""
