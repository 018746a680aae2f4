"""Outbox of every kind of notice.

Revision: 0006, after 0005. Notices get a key, a state and a fence; what they tell stands in a table of its own.
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_MOMENT = sa.DateTime(timezone=True)
_BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_KINDS = "kind IN ('delivered', 'deferred', 'failed', 'opened', 'plan-use', 'letter', 'digest')"
_STATES = "state IN ('waiting', 'claimed', 'sent', 'failed', 'withdrawn')"


def upgrade() -> None:
    """Go to this revision."""
    _set_aside()
    _create_notices()
    _create_items()
    # After 125 tries the older daemon let a notice be.
    op.execute(
        "INSERT INTO notices (id, key, kind, account_id, to_address, message_id, created_at, state, next_try_at, tries,"
        " fence, sent_at, last_error)"
        " SELECT n.id, 'recipient:' || n.recipient_id || ':' || n.kind, n.kind, n.account_id, n.to_address,"
        " q.message_id, n.created_at,"
        " CASE WHEN n.sent_at IS NOT NULL THEN 'sent' WHEN n.tries >= 125 THEN 'failed' ELSE 'waiting' END,"
        " n.next_try_at, n.tries, 0, n.sent_at, n.last_error"
        " FROM notices_before AS n LEFT JOIN recipients AS r ON r.id = n.recipient_id"
        " LEFT JOIN queue_files AS q ON q.id = r.queue_file_id ORDER BY n.id"
    )
    op.execute(
        "INSERT INTO notice_items (key, account_id, kind, message_id, recipient_id, data, found_at, notice_id)"
        " SELECT n.key, n.account_id, n.kind, n.message_id, b.recipient_id, '{}', n.created_at, n.id"
        " FROM notices AS n JOIN notices_before AS b ON b.id = n.id ORDER BY n.id"
    )
    op.drop_table("notices_before")
    _continue_numbers()
    op.create_index("ix_opens_opened_at", "opens", ["opened_at"], unique=False)
    op.create_index("ix_mail_requests_requested_at", "mail_requests", ["requested_at"], unique=False)


def downgrade() -> None:
    """Leave this revision; notices about anything but failed recipients are lost."""
    op.drop_index("ix_mail_requests_requested_at", table_name="mail_requests")
    op.drop_index("ix_opens_opened_at", table_name="opens")
    op.execute(
        "CREATE TABLE notices_before AS SELECT i.recipient_id, i.kind, i.account_id, n.to_address, n.created_at,"
        " n.next_try_at, n.tries, n.sent_at, n.last_error"
        " FROM notice_items AS i JOIN notices AS n ON n.id = i.notice_id"
        " WHERE i.kind = 'failed' AND i.recipient_id IS NOT NULL"
    )
    op.drop_table("notice_items")
    op.drop_table("notices")
    op.create_table(
        "notices",
        sa.Column("id", _BIG_ID, nullable=False),
        sa.Column("recipient_id", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("account_id", sa.Integer(), nullable=False),
        sa.Column("to_address", sa.String(length=320), nullable=False),
        sa.Column("created_at", _MOMENT, nullable=False),
        sa.Column("next_try_at", _MOMENT, nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("sent_at", _MOMENT, nullable=True),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_notices")),
        sa.UniqueConstraint("recipient_id", "kind", name=op.f("uq_notices_recipient_id")),
    )
    op.execute(
        "INSERT INTO notices (recipient_id, kind, account_id, to_address, created_at, next_try_at, tries, sent_at,"
        " last_error) SELECT recipient_id, kind, account_id, to_address, created_at, next_try_at, tries, sent_at,"
        " last_error FROM notices_before"
    )
    op.drop_table("notices_before")


def _set_aside() -> None:
    """Constraints keep their names when a table is renamed, so the rows go to a table without any."""
    op.execute("CREATE TABLE notices_before AS SELECT * FROM notices")
    op.drop_table("notices")


def _create_notices() -> None:
    op.create_table(
        "notices",
        sa.Column("id", _BIG_ID, nullable=False),
        sa.Column("key", sa.String(length=200), nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("account_id", sa.Integer(), nullable=True),
        sa.Column("to_address", sa.String(length=320), nullable=False),
        sa.Column("message_id", sa.Uuid(), nullable=True),
        sa.Column("request_id", sa.BigInteger(), nullable=True),
        sa.Column("message_id_header", sa.String(length=400), nullable=True),
        sa.Column("created_at", _MOMENT, nullable=False),
        sa.Column("state", sa.String(length=10), nullable=False),
        sa.Column("next_try_at", _MOMENT, nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("fence", sa.Integer(), nullable=False),
        sa.Column("attempted_at", _MOMENT, nullable=True),
        sa.Column("sent_at", _MOMENT, nullable=True),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.CheckConstraint(_KINDS, name=op.f("ck_notices_kind")),
        sa.CheckConstraint(_STATES, name=op.f("ck_notices_state")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_notices")),
        sa.UniqueConstraint("key", name=op.f("uq_notices_key")),
        sa.UniqueConstraint("message_id_header", name=op.f("uq_notices_message_id_header")),
    )
    op.create_index("ix_notices_state_next_try_at", "notices", ["state", "next_try_at"], unique=False)
    op.create_index("ix_notices_account_id", "notices", ["account_id", "id"], unique=False)
    op.create_index("ix_notices_sent_at", "notices", ["sent_at"], unique=False)


def _create_items() -> None:
    op.create_table(
        "notice_items",
        sa.Column("id", _BIG_ID, nullable=False),
        sa.Column("key", sa.String(length=200), nullable=False),
        sa.Column("account_id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("message_id", sa.Uuid(), nullable=True),
        sa.Column("recipient_id", sa.BigInteger(), nullable=True),
        sa.Column("data", sa.JSON(), nullable=False),
        sa.Column("found_at", _MOMENT, nullable=False),
        sa.Column("notice_id", _BIG_ID, nullable=True),
        sa.CheckConstraint(_KINDS, name=op.f("ck_notice_items_kind")),
        sa.ForeignKeyConstraint(["notice_id"], ["notices.id"], name=op.f("fk_notice_items_notice_id_notices")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_notice_items")),
        sa.UniqueConstraint("key", name=op.f("uq_notice_items_key")),
    )
    op.create_index(op.f("ix_notice_items_notice_id"), "notice_items", ["notice_id"], unique=False)
    op.create_index("ix_notice_items_kind_found_at", "notice_items", ["kind", "found_at"], unique=False)
    waits = sa.text("notice_id IS NULL")
    op.create_index(
        "ix_notice_items_waiting", "notice_items", ["account_id", "found_at"],
        sqlite_where=waits, postgresql_where=waits,
    )  # fmt: skip


def _continue_numbers() -> None:
    """PostgreSQL counts on by itself only from what it numbered itself."""
    if op.get_bind().dialect.name == "postgresql":
        op.execute(
            "SELECT setval(pg_get_serial_sequence('notices', 'id'), coalesce(max(id), 0) + 1, false) FROM notices"
        )
