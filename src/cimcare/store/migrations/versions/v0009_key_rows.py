"""A name takes one row among the keys of an object, whatever is said with it."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

# Of all values with two bars the table keeps those that begin with them: what stands behind the second bar decides.
_ENTER = (
    "INSERT INTO record_keys (collection, sort, value, record_id)"
    " SELECT DISTINCT collection, sort, '||' || substr(rest, {0}(rest, '|') + 1), record_id"
    " FROM (SELECT collection, sort, record_id, substr(value, {0}(value, '|') + 1) AS rest"
    " FROM record_keys WHERE value LIKE '%|%|%' AND value NOT LIKE '||%') AS shared WHERE true ON CONFLICT DO NOTHING"
)
_TAKE_OUT = "DELETE FROM record_keys WHERE value LIKE '%|%|%' AND value NOT LIKE '||%'"
_PLACE = {"sqlite": "instr", "postgresql": "strpos"}


def upgrade() -> None:
    """Enter the bare names, where they are not, and take the others out."""
    op.execute(sa.text(_ENTER.format(_PLACE[op.get_context().dialect.name])))
    op.execute(sa.text(_TAKE_OUT))
