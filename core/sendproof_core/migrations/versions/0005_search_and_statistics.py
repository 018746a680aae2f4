"""Search and statistics: words of messages, figures by day, and the indexes that the site's queries want.

Revision: 0005, after 0004. What the record has already is put down as changed: the logparser derives from it.
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_MOMENT = sa.DateTime(timezone=True)
_BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Go to this revision."""
    op.create_index("ix_messages_submitted_at", "messages", ["submitted_at"], unique=False)
    for table, column in (
        ("messages", "message_id_header"),
        ("queue_files", "message_id_header"),
        ("attempts", "remote_queue_id"),
    ):
        op.create_index(f"ix_{table}_{column}", table, [column], unique=False, postgresql_using="hash")
    op.create_index("ix_unknown_lines_daemon", "unknown_lines", ["daemon"], unique=False)
    _create_tables()
    _create_words()
    op.execute("INSERT INTO record_changes (message_id) SELECT id FROM messages ORDER BY submitted_at")
    op.execute("INSERT INTO record_changes (refusal_id) SELECT id FROM refusals ORDER BY refused_at")


def downgrade() -> None:
    """Leave this revision; everything here can be derived again."""
    op.execute("DROP TABLE search_words")
    for table in ("record_changes", "search_entries", "delivery_days", "acceptance_times", "credential_uses"):
        op.drop_table(table)
    op.drop_index("ix_unknown_lines_daemon", table_name="unknown_lines")
    op.drop_index("ix_attempts_remote_queue_id", table_name="attempts")
    op.drop_index("ix_queue_files_message_id_header", table_name="queue_files")
    op.drop_index("ix_messages_message_id_header", table_name="messages")
    op.drop_index("ix_messages_submitted_at", table_name="messages")


def _create_tables() -> None:
    op.create_table(
        "record_changes",
        sa.Column("id", _BIG_ID, nullable=False),
        sa.Column("queue_file_id", sa.BigInteger(), nullable=True),
        sa.Column("message_id", sa.Uuid(), nullable=True),
        sa.Column("refusal_id", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_record_changes")),
    )
    op.create_table(
        "search_entries",
        sa.Column("id", _BIG_ID, autoincrement=False, nullable=False),
        sa.Column("message_id", sa.Uuid(), nullable=True),
        sa.Column("refusal_id", sa.BigInteger(), nullable=True),
        sa.Column("counted", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_search_entries")),
        sa.UniqueConstraint("message_id", name=op.f("uq_search_entries_message_id")),
        sa.UniqueConstraint("refusal_id", name=op.f("uq_search_entries_refusal_id")),
    )
    op.create_table(
        "delivery_days",
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("domain", sa.String(length=255), nullable=False),
        *(
            sa.Column(name, sa.Integer(), nullable=False)
            for name in ("messages", "recipients", "delivered", "deferred", "bounced", "expired")
        ),
        sa.PrimaryKeyConstraint("day", "domain", name=op.f("pk_delivery_days")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "acceptance_times",
        sa.Column("domain", sa.String(length=255), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("bucket", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("recipients", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("domain", "day", "bucket", name=op.f("pk_acceptance_times")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "credential_uses",
        sa.Column("login", sa.String(length=100), nullable=False),
        sa.Column("last_used_at", _MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("login", name=op.f("pk_credential_uses")),
    )


def _create_words() -> None:
    """Each database's own index of words: no table that SQLAlchemy could describe for both."""
    if op.get_bind().dialect.name == "sqlite":
        # The words are made by `search_terms`: nothing is left to the tokenizer but to part them at spaces.
        op.execute(
            "CREATE VIRTUAL TABLE search_words USING fts5("
            "words, content='', contentless_delete=1, tokenize='ascii', detail='full')"
        )
        return
    op.execute("CREATE TABLE search_words (entry_id BIGINT PRIMARY KEY, words TSVECTOR NOT NULL)")
    op.execute("CREATE INDEX ix_search_words_words ON search_words USING gin (words)")
