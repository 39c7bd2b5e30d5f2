"""The outbox: deliveries to partners."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_OPEN = sa.text("state IN ('waiting', 'leased')")
_DEAD = sa.text("state = 'dead'")


def upgrade() -> None:
    """Create the table."""
    key = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "deliveries",
        sa.Column("number", key, autoincrement=True),
        sa.Column("message", sa.BigInteger(), nullable=False),
        sa.Column("partner", sa.Text(), nullable=False),
        sa.Column("object_key", sa.Text(), nullable=False),
        sa.Column("verb", sa.String(16), nullable=False),
        sa.Column("noun", sa.Text(), nullable=False),
        sa.Column("message_id", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("due_at", sa.BigInteger(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("attempts_before", sa.Integer(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("received", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_deliveries"),
        sqlite_autoincrement=True,
    )
    op.create_index(
        "ix_deliveries_open", "deliveries", ["partner", "number"], sqlite_where=_OPEN, postgresql_where=_OPEN
    )
    op.create_index(
        "ix_deliveries_order",
        "deliveries",
        ["partner", "object_key", "number"],
        sqlite_where=_OPEN,
        postgresql_where=_OPEN,
    )
    op.create_index("ix_deliveries_dead", "deliveries", ["partner"], sqlite_where=_DEAD, postgresql_where=_DEAD)
