"""First tables: messages, records and their keys."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables."""
    key = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "messages",
        sa.Column("sequence", key, autoincrement=True),
        sa.Column("received_at", sa.BigInteger(), nullable=False),
        sa.Column("direction", sa.String(3), nullable=False),
        sa.Column("transport", sa.String(16), nullable=False),
        sa.Column("partner", sa.Text(), nullable=False),
        sa.Column("archetype", sa.String(32), nullable=False),
        sa.Column("verb", sa.String(16), nullable=False),
        sa.Column("noun", sa.Text(), nullable=False),
        sa.Column("message_id", sa.Text(), nullable=False),
        sa.Column("correlation_id", sa.Text(), nullable=False),
        sa.Column("context", sa.Text(), nullable=False),
        sa.Column("outcome", sa.String(8), nullable=False),
        sa.Column("codes", sa.Text(), nullable=False),
        sa.Column("answer_to", sa.BigInteger()),
        sa.Column("repeat_of", sa.BigInteger()),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("content_type", sa.Text(), nullable=False),
        sa.Column("status", sa.SmallInteger(), nullable=False),
        sa.Column("truncated", sa.Boolean(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("raw", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("sequence", name="pk_messages"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_messages_message_id", "messages", ["message_id"], postgresql_using="hash")
    op.create_index("ix_messages_correlation_id", "messages", ["correlation_id"], postgresql_using="hash")
    op.create_index("ix_messages_answer_to", "messages", ["answer_to"])
    op.create_table(
        "records",
        sa.Column("id", key, autoincrement=True),
        sa.Column("collection", sa.String(64), nullable=False),
        sa.Column("mrid", sa.Text(), nullable=False),
        sa.Column("state", sa.String(64), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("modified_at", sa.BigInteger(), nullable=False),
        sa.Column("keys", sa.LargeBinary(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_records"),
        sa.UniqueConstraint("collection", "mrid", name="uq_records_collection_mrid"),
    )
    op.create_index("ix_records_collection_created_at_id", "records", ["collection", "created_at", "id"])
    op.create_table(
        "record_keys",
        sa.Column("collection", sa.String(64), nullable=False),
        sa.Column("sort", sa.String(64), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("record_id", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("collection", "sort", "value", "record_id", name="pk_record_keys"),
        sqlite_with_rowid=False,
    )
    if op.get_bind().dialect.name == "postgresql":
        _choose_compression()


def _choose_compression() -> None:
    """The compression that PostgreSQL takes by itself halves the rate; lz4 costs little, where the server has it."""
    has_lz4 = sa.text("SELECT 'lz4' = ANY(enumvals) FROM pg_settings WHERE name = 'default_toast_compression'")
    how = "COMPRESSION lz4" if op.get_bind().scalar(has_lz4) else "STORAGE EXTERNAL"
    for table, column in (("messages", "raw"), ("records", "body"), ("records", "keys")):
        op.execute(f"ALTER TABLE {table} ALTER COLUMN {column} SET {how}")
