"""Deliveries with several objects, urgency and awaited replies; the ledger; the audit trail."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_IN_WORK = sa.text("direction = 'in' AND outcome = '' AND repeat_of IS NULL")
_FRESH = sa.text("is_head AND state = 'waiting' AND attempts = attempts_before")
_TRIED = sa.text("state IN ('waiting', 'leased') AND attempts > attempts_before AND (is_head OR state = 'leased')")
_OPEN = sa.text("state IN ('waiting', 'leased', 'awaiting')")
_AWAITING = sa.text("state = 'awaiting'")
_LIVE = sa.text("state IN ('waiting', 'leased', 'awaiting', 'dead')")
_ENDED = sa.text("state IN ('delivered', 'discarded')")


def upgrade() -> None:
    """Create what is new. No release has ever put a delivery in, so that table is made anew."""
    op.create_index(
        "ix_messages_in_work", "messages", ["received_at"], sqlite_where=_IN_WORK, postgresql_where=_IN_WORK
    )
    op.drop_table("deliveries")
    _create_deliveries()
    op.create_table(
        "delivery_keys",
        sa.Column("partner", sa.Text(), nullable=False),
        sa.Column("object_key", sa.Text(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("partner", "object_key", "number", name="pk_delivery_keys"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "ledger",
        sa.Column("hour", sa.BigInteger(), nullable=False),
        sa.Column("partner", sa.Text(), nullable=False),
        sa.Column("account", sa.String(8), nullable=False),
        sa.Column("received", sa.BigInteger(), nullable=False),
        sa.Column("delivered", sa.BigInteger(), nullable=False),
        sa.Column("refused", sa.BigInteger(), nullable=False),
        sa.Column("dead", sa.BigInteger(), nullable=False),
        sa.Column("repeats", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("hour", "partner", "account", name="pk_ledger"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "audit",
        sa.Column("number", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("action", sa.String(16), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("details", sa.Text(), nullable=False),
        sa.Column("messages", sa.Text(), nullable=False),
        sa.Column("previous", sa.LargeBinary(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_audit"),
    )
    if op.get_bind().dialect.name == "postgresql":
        _choose_compression()


def _create_deliveries() -> None:
    op.create_table(
        "deliveries",
        sa.Column("number", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True),
        sa.Column("message", sa.BigInteger(), nullable=False),
        sa.Column("cause", sa.BigInteger(), nullable=False),
        sa.Column("partner", sa.Text(), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("object_keys", sa.Text(), nullable=False),
        sa.Column("priority", sa.SmallInteger(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("verb", sa.String(16), nullable=False),
        sa.Column("noun", sa.Text(), nullable=False),
        sa.Column("message_id", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("is_head", sa.Boolean(), nullable=False),
        sa.Column("due_at", sa.BigInteger(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("attempts_before", sa.Integer(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("received", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_deliveries"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_deliveries_message", "deliveries", ["message"])
    op.create_index("ix_deliveries_cause", "deliveries", ["cause"])
    for name, columns, condition in (
        ("fresh", ["partner", "kind", "priority", "number"], _FRESH),
        ("tried", ["partner", "state", "kind", "priority", "due_at"], _TRIED),
        ("live", ["partner", "state", "number"], _LIVE),
        ("open", ["partner", "created_at", "state"], _OPEN),
        ("awaiting", ["due_at"], _AWAITING),
        ("ended", ["due_at"], _ENDED),
    ):
        op.create_index(
            f"ix_deliveries_{name}", "deliveries", columns, sqlite_where=condition, postgresql_where=condition
        )


def _choose_compression() -> None:
    """As for the messages: lz4 where the server has it, else none."""
    has_lz4 = sa.text("SELECT 'lz4' = ANY(enumvals) FROM pg_settings WHERE name = 'default_toast_compression'")
    how = "COMPRESSION lz4" if op.get_bind().scalar(has_lz4) else "STORAGE EXTERNAL"
    for table, column in (("audit", "messages"), ("deliveries", "received")):
        op.execute(f"ALTER TABLE {table} ALTER COLUMN {column} SET {how}")
