"""How often a broker had handed a message out before. Of what is there already nobody knows: 0."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column, which changes no row."""
    op.add_column("messages", sa.Column("redeliveries", sa.Integer(), nullable=False, server_default="0"))
