"""What messages are searched by. Those that are there already are put into the index by the hub, in quiet moments."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_UNINDEXED = sa.text("terms IS NULL")
_INDEX = {
    "sqlite": "CREATE VIRTUAL TABLE message_terms USING fts5(terms, content='messages', content_rowid='sequence',"
    " detail=none, columnsize=0, tokenize=ascii)",
    "postgresql": "CREATE TABLE message_terms (term BIGINT NOT NULL, sequence BIGINT NOT NULL,"
    " CONSTRAINT pk_message_terms PRIMARY KEY (term, sequence))",
}


def upgrade() -> None:
    """Add the column, which changes no row, and create the index."""
    op.add_column("messages", sa.Column("terms", sa.ARRAY(sa.BigInteger()).with_variant(sa.Text(), "sqlite")))
    op.create_index(
        "ix_messages_unindexed", "messages", ["sequence"], sqlite_where=_UNINDEXED, postgresql_where=_UNINDEXED
    )
    op.execute(_INDEX[op.get_bind().dialect.name])
