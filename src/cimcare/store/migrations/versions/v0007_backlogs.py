"""How many deliveries a partner has not got, kept instead of counted."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_COUNT = (
    "INSERT INTO backlogs (partner, waiting, awaiting, dead)"
    " SELECT partner, sum(CASE WHEN state IN ('waiting', 'leased') THEN 1 ELSE 0 END),"
    " sum(CASE WHEN state = 'awaiting' THEN 1 ELSE 0 END), sum(CASE WHEN state = 'dead' THEN 1 ELSE 0 END)"
    " FROM deliveries WHERE state IN ('waiting', 'leased', 'awaiting', 'dead') GROUP BY partner"
)


def upgrade() -> None:
    """Create the table, and count what there is."""
    op.create_table(
        "backlogs",
        sa.Column("partner", sa.Text(), nullable=False),
        sa.Column("waiting", sa.BigInteger(), nullable=False),
        sa.Column("awaiting", sa.BigInteger(), nullable=False),
        sa.Column("dead", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("partner", name="pk_backlogs"),
        sqlite_with_rowid=False,
    )
    op.execute(_COUNT)
