"""The complete logparser: links between queue files, suspensions, refusals by Postfix, gaps, identity of lines.

Revision: 0003, after 0002. Adds columns in place: SQLite cannot make a table anew that others refer to.
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_MOMENT = sa.DateTime(timezone=True)
_BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_ADDED: dict[str, dict[str, sa.types.TypeEngine[Any]]] = {
    "queue_files": {"link_kind": sa.String(length=20), "link_evidence": sa.String(length=20)},
    "recipients": {"handed_on_at": _MOMENT, "suspended_at": _MOMENT, "suspended_because": sa.Text()},
    "attempts": {"line_key": sa.BigInteger()},
    "refusals": {
        "stage": sa.String(length=40), "client_address": sa.String(length=64), "line_key": sa.BigInteger(),
    },
    "reading_positions": {"last_line_at": _MOMENT, "cursor": sa.Text()},
    "unknown_lines": {"daemon": sa.String(length=100)},
}  # fmt: skip


def upgrade() -> None:
    """Go to this revision."""
    for table, columns in _ADDED.items():
        for name, kind in columns.items():
            op.add_column(table, sa.Column(name, kind, nullable=True))
    op.add_column("recipients", sa.Column("suspensions", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("refusals", sa.Column("source", sa.String(length=10), nullable=False, server_default="milter"))
    # Until now only notifications and copies had a parent; a copy has a message.
    op.execute(
        "UPDATE queue_files SET link_evidence = 'notification', link_kind = 'non-delivery'"
        " WHERE parent_queue_id IS NOT NULL AND message_id IS NULL"
    )
    op.execute(
        "UPDATE queue_files SET link_evidence = 'journal', link_kind = 'copy'"
        " WHERE parent_queue_id IS NOT NULL AND message_id IS NOT NULL"
    )
    has_parent = sa.text("parent_queue_id IS NOT NULL")
    op.create_index(
        "ix_queue_files_parent_queue_id", "queue_files", ["parent_queue_id"],
        sqlite_where=has_parent, postgresql_where=has_parent,
    )  # fmt: skip
    op.create_index("ix_attempts_line", "attempts", ["recipient_id", "attempted_at", "line_key"], unique=True)
    op.drop_index("ix_attempts_recipient_id", table_name="attempts")
    op.drop_index("ix_recipients_state_at", table_name="recipients")
    op.create_index("ix_recipients_state_at", "recipients", ["state", "state_at"], unique=False)
    op.create_index("ix_refusals_line", "refusals", ["refused_at", "host", "line_key"], unique=True)
    op.create_index("ix_refusals_queue_id", "refusals", ["queue_id", "refused_at"], unique=False)
    op.create_index("ix_refusals_client_address", "refusals", ["client_address", "refused_at"], unique=False)
    op.create_table(
        "log_gaps",
        sa.Column("id", _BIG_ID, nullable=False),
        sa.Column("host", sa.String(length=255), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("begins_at", _MOMENT, nullable=True),
        sa.Column("ends_at", _MOMENT, nullable=False),
        sa.Column("lines", sa.BigInteger(), nullable=True),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("line_key", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_log_gaps")),
    )
    op.create_index("ix_log_gaps_line", "log_gaps", ["ends_at", "host", "line_key"], unique=True)
    _with_reader_in_key()


def downgrade() -> None:
    """Leave this revision; what the older schema has no place for is lost."""
    _without_reader_in_key()
    op.drop_table("log_gaps")
    for name in ("ix_refusals_line", "ix_refusals_queue_id", "ix_refusals_client_address"):
        op.drop_index(name, table_name="refusals")
    op.create_index("ix_attempts_recipient_id", "attempts", ["recipient_id"], unique=False)
    op.drop_index("ix_attempts_line", table_name="attempts")
    op.drop_index("ix_queue_files_parent_queue_id", table_name="queue_files")
    op.drop_index("ix_recipients_state_at", table_name="recipients")
    op.create_index("ix_recipients_state_at", "recipients", ["state_at"], unique=False)
    op.drop_column("refusals", "source")
    op.drop_column("recipients", "suspensions")
    for table, columns in _ADDED.items():
        for name in columns:
            op.drop_column(table, name)


_OPEN = sa.table(
    "open_conversations",
    *map(sa.column, ("reader", "host", "service", "pid")),
    sa.column("state", sa.JSON()),
    sa.column("changed_at", _MOMENT),
)
_OLD = tuple(column for column in _OPEN.c if column.name != "reader")


def _create(*readers: sa.Column[str]) -> None:
    key = [*(column.name for column in readers), "host", "service", "pid"]
    op.create_table(
        "open_conversations",
        *readers,
        sa.Column("host", sa.String(length=255), nullable=False),
        sa.Column("service", sa.String(length=100), nullable=False),
        sa.Column("pid", sa.Integer(), nullable=False),
        sa.Column("state", sa.JSON(), nullable=False),
        sa.Column("changed_at", _MOMENT, nullable=False),
        sa.PrimaryKeyConstraint(*key, name=op.f("pk_open_conversations")),
    )


def _with_reader_in_key() -> None:
    connection = op.get_bind()
    rows = [dict(row._mapping) for row in connection.execute(sa.select(*_OLD))]  # noqa: SLF001 - SQLAlchemy's public name
    op.drop_table("open_conversations")
    _create(sa.Column("reader", sa.String(length=255), nullable=False))
    if rows:
        connection.execute(sa.insert(_OPEN), [{"reader": row["state"]["reader"], **row} for row in rows])


def _without_reader_in_key() -> None:
    connection = op.get_bind()
    rows = [dict(row._mapping) for row in connection.execute(sa.select(*_OLD))]  # noqa: SLF001 - SQLAlchemy's public name
    op.drop_table("open_conversations")
    _create()
    keys = ("host", "service", "pid")
    newest = {tuple(row[key] for key in keys): row for row in sorted(rows, key=lambda row: row["changed_at"])}
    if newest:
        connection.execute(sa.insert(_OPEN), list(newest.values()))
