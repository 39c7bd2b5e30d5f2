"""Calls that have not ended stand in a line of their own, in the order in which they may be made."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_STAND_IN_LINE = (
    "INSERT INTO records (collection, mrid, state, created_at, modified_at, keys, body)"
    " SELECT 'cis.CallLine', mrid, '', created_at, modified_at, :keys, :body FROM records"
    " WHERE collection = 'cis.CallBacks' AND state IN ('waiting', 'claimed') ORDER BY created_at, id"
)


def upgrade() -> None:
    """Put those that there are into it."""
    empty = (sa.bindparam("keys", b"[]", sa.LargeBinary()), sa.bindparam("body", b"{}", sa.LargeBinary()))
    op.get_bind().execute(sa.text(_STAND_IN_LINE).bindparams(*empty))
