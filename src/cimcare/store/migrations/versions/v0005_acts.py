"""An index over what the audit trail tells of besides messages."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_ACTS = sa.text("action <> 'messages'")


def upgrade() -> None:
    """Create it."""
    op.create_index("ix_audit_acts", "audit", ["number"], sqlite_where=_ACTS, postgresql_where=_ACTS)
