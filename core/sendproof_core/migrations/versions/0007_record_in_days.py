"""The record in partitions by day (PostgreSQL); the host of a parent queue file; who may use an older program.

Revision: 0007, after 0006. The old tables stay as they are, as the partitions of everything before the days: no row is
written again, but each of them is read once. `partitions` makes the days.
"""

import datetime as dt
import uuid
from typing import Any, NamedTuple

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_EPOCH = dt.date(1970, 1, 1)
_DAY_MILLISECONDS = 86_400_000
_ID, _UUID, _MOMENT = "id", "uuid", "moment"


class _Table(NamedTuple):
    """A table that gets partitions. ``leaf``: what only each partition can promise, on every one of them."""

    name: str
    key: str
    kind: str
    # Of the whole table: its primary key and its unique constraint, where they hold the partition key.
    constraints: tuple[str, ...]
    indexes: tuple[str, ...]
    leaf_constraints: tuple[str, ...] = ()


# Parents before children.
_TABLES = (
    _Table(
        "messages", "id", _UUID,
        ("CONSTRAINT pk_messages PRIMARY KEY (id)",),
        (
            "INDEX ix_messages_account_id_submitted_at ON messages (account_id, submitted_at)",
            "INDEX ix_messages_submitted_at ON messages (submitted_at)",
            "INDEX ix_messages_message_id_header ON messages USING hash (message_id_header)",
        ),
    ),
    _Table(
        "refusals", "refused_at", _MOMENT,
        (),
        (
            "INDEX ix_refusals_account_id_refused_at ON refusals (account_id, refused_at)",
            "UNIQUE INDEX ix_refusals_line ON refusals (refused_at, host, line_key)",
            "INDEX ix_refusals_queue_id ON refusals (queue_id, refused_at)",
            "INDEX ix_refusals_client_address ON refusals (client_address, refused_at)",
        ),
        ("PRIMARY KEY (id)",),
    ),
    _Table(
        "opens", "opened_at", _MOMENT,
        (),
        (
            "INDEX ix_opens_message_id ON opens (message_id)",
            "INDEX ix_opens_opened_at ON opens (opened_at)",
        ),
        ("PRIMARY KEY (id)",),
    ),
    _Table(
        "queue_files", "id", _ID,
        ("CONSTRAINT pk_queue_files PRIMARY KEY (id)",),
        (
            "INDEX ix_queue_files_message_id ON queue_files (message_id)",
            "INDEX ix_queue_files_queue_id ON queue_files (queue_id)",
            "INDEX ix_queue_files_parent_queue_id ON queue_files (parent_queue_id) WHERE parent_queue_id IS NOT NULL",
            "INDEX ix_queue_files_message_id_header ON queue_files USING hash (message_id_header)",
        ),
        ("UNIQUE (host, instance, queue_id, born_at)",),
    ),
    _Table(
        "recipients", "queue_file_id", _ID,
        ("CONSTRAINT uq_recipients_queue_file_id UNIQUE (queue_file_id, address)",),
        ("INDEX ix_recipients_state_at ON recipients (state, state_at)",),
        ("PRIMARY KEY (id)", "FOREIGN KEY (queue_file_id) REFERENCES queue_files{} (id)"),
    ),
    _Table(
        "deliveries", "id", _ID,
        ("CONSTRAINT pk_deliveries PRIMARY KEY (id)",),
        ("INDEX ix_deliveries_queue_file_id ON deliveries (queue_file_id)",),
        ("FOREIGN KEY (queue_file_id) REFERENCES queue_files{} (id)",),
    ),
    _Table(
        "attempts", "recipient_id", _ID,
        (),
        (
            "UNIQUE INDEX ix_attempts_line ON attempts (recipient_id, attempted_at, line_key)",
            "INDEX ix_attempts_remote_queue_id ON attempts USING hash (remote_queue_id)",
        ),
        ("PRIMARY KEY (id)", "FOREIGN KEY (recipient_id) REFERENCES recipients{} (id)"),
    ),
)  # fmt: skip
# What was a constraint between the whole tables, and is none between partitions of different days.
_FOREIGN_KEYS = (
    ("queue_files", "message_id", "messages"),
    ("recipients", "queue_file_id", "queue_files"),
    ("deliveries", "queue_file_id", "queue_files"),
    ("attempts", "recipient_id", "recipients"),
    ("attempts", "delivery_id", "deliveries"),
)


def upgrade() -> None:
    """Go to this revision."""
    op.add_column("queue_files", sa.Column("parent_host", sa.String(length=255), nullable=True))
    compatibility = op.create_table(
        "schema_compatibility",
        sa.Column("oldest_program", sa.String(length=10), nullable=False),
        sa.PrimaryKeyConstraint("oldest_program", name=op.f("pk_schema_compatibility")),
    )
    op.execute(sa.insert(compatibility).values(oldest_program="0006"))
    if op.get_bind().dialect.name == "postgresql":
        _into_partitions()
    else:  # whoever deletes a delivery asks who refers to it
        op.create_index("ix_attempts_delivery_id", "attempts", ["delivery_id"], unique=False)


def downgrade() -> None:
    """Leave this revision; what the older schema has no place for is lost."""
    if op.get_bind().dialect.name == "postgresql":
        _out_of_partitions()
    else:
        op.drop_index("ix_attempts_delivery_id", table_name="attempts")
    op.drop_table("schema_compatibility")
    op.drop_column("queue_files", "parent_host")


# --- PostgreSQL: into partitions --------------------------------------------------------------------------------------


def _into_partitions() -> None:
    for name, column, referred in _FOREIGN_KEYS:
        op.execute(f"ALTER TABLE {name} DROP CONSTRAINT fk_{name}_{column}_{referred}")
    tomorrow = _ask("SELECT (current_timestamp AT TIME ZONE 'UTC')::date - DATE '1970-01-01' + 1")
    newest_file = _ask("SELECT max(id) FROM queue_files") or 0
    before: dict[str, str] = {}
    for table in _TABLES:
        if table.kind == _ID:  # a queue file and all of its are parted at the same day
            newest = int(newest_file) >> 36
        else:
            newest = _day(table.kind, _ask(f"SELECT {table.key} FROM {table.name} ORDER BY {table.key} DESC LIMIT 1"))  # noqa: S608 - our own names
        before[table.name] = _part(table, min(newest + 1, tomorrow))
    for table in _TABLES:
        for constraint in table.leaf_constraints:
            if not constraint.startswith("FOREIGN"):
                continue
            for own, valid in ((f"{table.name}_strays", ""), (before[table.name], " NOT VALID")):
                # Of the old rows it was known before: they need not be read for it.
                text = constraint.format(own.removeprefix(table.name))
                op.execute(f"ALTER TABLE {own} ADD CONSTRAINT fk_{own} {text}{valid}")


def _part(table: _Table, first_day: int) -> str:
    """Make it the partition of what is before that day; its new name."""
    name, key = table.name, table.key
    before, strays = f"{name}_before_{_EPOCH + dt.timedelta(days=first_day):%Y%m%d}", f"{name}_strays"
    op.execute(f"ALTER TABLE {name} RENAME TO {before}")
    for index in _indexes(before):
        op.execute(f"ALTER INDEX {index} RENAME TO {index}_before")
    like = "INCLUDING DEFAULTS INCLUDING CONSTRAINTS"
    op.execute(f"CREATE TABLE {name} (LIKE {before} {like}) PARTITION BY RANGE ({key})")
    if table.kind != _UUID:
        op.execute(f"ALTER SEQUENCE {name}_id_seq OWNED BY {name}.id")
    for constraint in table.constraints:
        op.execute(f"ALTER TABLE {name} ADD {constraint}")
    for index in table.indexes:
        op.execute(f"CREATE {index}")
    op.execute(f"CREATE TABLE {strays} (LIKE {before} {like})")
    for number, constraint in enumerate(table.leaf_constraints):
        if not constraint.startswith("FOREIGN"):  # those, once all tables are there
            op.execute(f"ALTER TABLE {strays} ADD CONSTRAINT {strays}_key{number} {constraint}")
    bound = _bound(table.kind, first_day)
    # Of a clock that was wrong.
    op.execute(f"INSERT INTO {strays} SELECT * FROM {before} WHERE {key} >= {bound}")  # noqa: S608 - our own names
    op.execute(f"DELETE FROM {before} WHERE {key} >= {bound}")  # noqa: S608 - our own names
    op.execute(f"ALTER TABLE {name} ATTACH PARTITION {before} FOR VALUES FROM (MINVALUE) TO ({bound})")
    op.execute(f"ALTER TABLE {name} ATTACH PARTITION {strays} DEFAULT")
    return before


def _day(kind: str, newest: Any) -> int:
    """Of the newest row's key."""
    if newest is None:
        return 0
    if kind == _UUID:
        return int((uuid.UUID(str(newest)).int >> 80) // _DAY_MILLISECONDS)
    at: dt.datetime = newest.astimezone(dt.UTC)
    return max(0, (at.date() - _EPOCH).days)


def _bound(kind: str, day: int) -> str:
    """Where a day begins, in a table's partition key."""
    if kind == _ID:
        return str(day << 36)
    if kind == _UUID:
        return f"'{uuid.UUID(int=day * _DAY_MILLISECONDS << 80)}'"
    return f"'{_EPOCH + dt.timedelta(days=day)} 00:00:00+00'"


# --- and out of them --------------------------------------------------------------------------------------------------


def _out_of_partitions() -> None:
    for table in _TABLES:
        name = table.name
        op.execute(f"ALTER TABLE {name} RENAME TO {name}_parted")
        for index in _indexes(f"{name}_parted"):
            op.execute(f"ALTER INDEX {index} RENAME TO {index}_parted")
        op.execute(f"CREATE TABLE {name} (LIKE {name}_parted INCLUDING DEFAULTS INCLUDING CONSTRAINTS)")
        if table.kind != _UUID:
            op.execute(f"ALTER SEQUENCE {name}_id_seq OWNED BY {name}.id")
        op.execute(f"INSERT INTO {name} SELECT * FROM {name}_parted")  # noqa: S608 - our own names
    for table in reversed(_TABLES):
        op.execute(f"DROP TABLE {table.name}_parted CASCADE")
    for table in _TABLES:
        name = table.name
        if not table.constraints or "PRIMARY KEY" not in table.constraints[0]:
            op.execute(f"ALTER TABLE {name} ADD CONSTRAINT pk_{name} PRIMARY KEY (id)")
        for constraint in table.constraints:
            op.execute(f"ALTER TABLE {name} ADD {constraint}")
        for index in table.indexes:
            op.execute(f"CREATE {index}")
    op.create_unique_constraint(op.f("uq_queue_files_host"), "queue_files", ["host", "instance", "queue_id", "born_at"])
    op.execute(
        "UPDATE queue_files SET message_id = NULL WHERE message_id IS NOT NULL"
        " AND NOT EXISTS (SELECT 1 FROM messages WHERE messages.id = queue_files.message_id)"
    )
    op.execute(
        "UPDATE attempts SET delivery_id = NULL WHERE delivery_id IS NOT NULL"
        " AND NOT EXISTS (SELECT 1 FROM deliveries WHERE deliveries.id = attempts.delivery_id)"
    )
    for name, column, referred in _FOREIGN_KEYS:
        op.create_foreign_key(op.f(f"fk_{name}_{column}_{referred}"), name, referred, [column], ["id"])


def _indexes(table: str) -> list[str]:
    statement = f"SELECT indexrelid::regclass::text FROM pg_index WHERE indrelid = '{table}'::regclass"  # noqa: S608 - our own names
    return list(op.get_bind().exec_driver_sql(statement).scalars())


def _ask(statement: str) -> Any:
    return op.get_bind().exec_driver_sql(statement).scalar()
