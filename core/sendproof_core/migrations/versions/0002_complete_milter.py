"""All limits of a plan, own addresses, rotation of keys, copies for single recipients.

Revision: 0002, after 0001. Adds columns in place: SQLite cannot make a table anew that others refer to.
"""

import uuid

import sqlalchemy as sa
from alembic import op

from sendproof_core.addresses import address_digest

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_LIMITS = (
    "messages_per_hour", "recipients_per_hour", "messages_per_day", "messages_per_month", "recipients_per_month",
    "recipients_per_message", "message_octets", "new_recipients_per_day",
)  # fmt: skip
_AT_ONCE = 1_000


def upgrade() -> None:
    """Go to this revision."""
    for name in _LIMITS:
        op.add_column("plans", sa.Column(name, sa.Integer(), nullable=True))
    for name in ("test_mode", "shared_pixel"):
        op.add_column("accounts", sa.Column(name, sa.Boolean(), nullable=False, server_default=sa.false()))
    op.add_column("accounts", sa.Column("tracking_image", sa.String(length=100), nullable=True))
    op.add_column("domains", sa.Column("proved_at", sa.DateTime(timezone=True), nullable=True))
    op.execute("UPDATE domains SET proved_at = created_at")
    since = sa.Column("state_since", sa.DateTime(timezone=True), nullable=False, server_default="1970-01-01 00:00:00")
    op.add_column("dkim_keys", since)
    op.execute("UPDATE dkim_keys SET state_since = created_at")
    op.add_column("messages", sa.Column("wire_edits", sa.JSON(), nullable=False, server_default="[]"))
    op.add_column("messages", sa.Column("charged_recipients", sa.Integer(), nullable=False, server_default="0"))
    op.execute("UPDATE messages SET charged_recipients = recipient_count")
    for name in ("split", "test_mode"):
        op.add_column("messages", sa.Column(name, sa.Boolean(), nullable=False, server_default=sa.false()))
    op.add_column("reading_positions", sa.Column("read_up_to", sa.DateTime(timezone=True), nullable=True))
    op.create_table(
        "own_addresses",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("account_id", sa.Integer(), nullable=False),
        sa.Column("address", sa.String(length=320), nullable=False),
        sa.Column("address_key", sa.String(length=320), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_own_addresses_account_id_accounts")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_own_addresses")),
        sa.UniqueConstraint("address_key", name=op.f("uq_own_addresses_address_key")),
    )
    op.create_index(op.f("ix_own_addresses_account_id"), "own_addresses", ["account_id"], unique=False)
    op.create_table(
        "known_recipients",
        sa.Column("account_id", sa.Integer(), nullable=False),
        sa.Column("digest", sa.LargeBinary(length=16), nullable=False),
        sa.Column("message_id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_known_recipients_account_id_accounts")),
        sa.PrimaryKeyConstraint("account_id", "digest", name=op.f("pk_known_recipients")),
    )
    op.create_index(op.f("ix_known_recipients_message_id"), "known_recipients", ["message_id"], unique=False)
    _know_recipients()
    _change_ledger()


def _know_recipients() -> None:
    """Who was mailed before is not new."""
    connection = op.get_bind()
    messages = sa.table("messages", sa.column("id", sa.Uuid()), sa.column("account_id"))
    queue_files = sa.table("queue_files", sa.column("id"), sa.column("message_id", sa.Uuid()))
    recipients = sa.table("recipients", sa.column("queue_file_id"), sa.column("address"), sa.column("number"))
    accounts = sa.table("accounts", sa.column("id"))
    known = sa.table(
        "known_recipients",
        sa.column("account_id"),
        sa.column("digest", sa.LargeBinary()),
        sa.column("message_id", sa.Uuid()),
    )
    rows = connection.execute(
        sa.select(messages.c.account_id, recipients.c.address, messages.c.id)
        .join(queue_files, queue_files.c.message_id == messages.c.id)
        .join(recipients, recipients.c.queue_file_id == queue_files.c.id)
        .where(recipients.c.number.is_not(None), messages.c.account_id.in_(sa.select(accounts.c.id)))
        .order_by(messages.c.id)
    )
    found: dict[tuple[int, bytes], uuid.UUID] = {}
    for account_id, address, message_id in rows:
        found.setdefault((account_id, address_digest(address)), message_id)
    values = [
        {"account_id": account_id, "digest": digest, "message_id": message_id}
        for (account_id, digest), message_id in found.items()
    ]
    for begin in range(0, len(values), _AT_ONCE):
        connection.execute(sa.insert(known), values[begin : begin + _AT_ONCE])


def _change_ledger() -> None:
    connection = op.get_bind()
    moment = sa.DateTime(timezone=True)
    old_use = sa.table("quota_use", sa.column("account_id"), sa.column("window_begins", moment), sa.column("used"))
    uses = connection.execute(sa.select(old_use)).all()
    op.drop_table("quota_use")
    op.create_table(
        "quota_use",
        sa.Column("account_id", sa.Integer(), nullable=False),
        sa.Column("span", sa.String(length=5), nullable=False),
        sa.Column("window_begins", sa.DateTime(timezone=True), nullable=False),
        sa.Column("messages", sa.Integer(), nullable=False),
        sa.Column("recipients", sa.Integer(), nullable=False),
        sa.Column("new_recipients", sa.Integer(), nullable=False),
        sa.CheckConstraint("span IN ('hour', 'day', 'month')", name=op.f("ck_quota_use_span")),
        sa.CheckConstraint("messages >= 0 AND recipients >= 0 AND new_recipients >= 0", name=op.f("ck_quota_use_use")),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_quota_use_account_id_accounts")),
        sa.PrimaryKeyConstraint("account_id", "span", "window_begins", name=op.f("pk_quota_use")),
    )
    charge = sa.table(
        "charges",
        sa.column("account_id"),
        *(sa.column(name, moment) for name in ("window_begins", "hour_begins", "month_begins")),
    )
    counts = sa.select(charge.c.account_id, charge.c.window_begins, sa.func.count())
    counted = connection.execute(counts.group_by(charge.c.account_id, charge.c.window_begins))
    messages = {(account_id, begins): count for account_id, begins, count in counted}
    new_use = sa.table(
        "quota_use",
        *map(sa.column, ("account_id", "span", "messages", "recipients", "new_recipients")),
        sa.column("window_begins", moment),
    )
    values = [
        {
            "account_id": use.account_id,
            "span": "day",
            "window_begins": use.window_begins,
            "messages": messages.get((use.account_id, use.window_begins), 0),
            "recipients": use.used,
            "new_recipients": 0,
        }
        for use in uses
    ]
    if values:
        connection.execute(sa.insert(new_use), values)
    # The windows of old charges other than the day were never counted, and the record's word on them is not needed.
    for name in ("hour_begins", "month_begins"):
        op.add_column("charges", sa.Column(name, moment, nullable=False, server_default="1970-01-01 00:00:00"))
        op.execute(sa.update(charge).values({name: charge.c.window_begins}))
    op.add_column("charges", sa.Column("settled_at", moment, nullable=True))
    op.execute("UPDATE charges SET settled_at = charged_at")
    op.add_column("charges", sa.Column("new_recipients", sa.Integer(), nullable=False, server_default="0"))
    op.alter_column("charges", "window_begins", new_column_name="day_begins")
    op.create_index("ix_charges_host_settled_at", "charges", ["host", "settled_at"], unique=False)


def downgrade() -> None:
    """Leave this revision; what the older schema has no place for is lost."""
    op.drop_index("ix_charges_host_settled_at", table_name="charges")
    op.alter_column("charges", "day_begins", new_column_name="window_begins")
    for name in ("hour_begins", "month_begins", "settled_at", "new_recipients"):
        op.drop_column("charges", name)
    moment = sa.DateTime(timezone=True)
    connection = op.get_bind()
    new_use = sa.table(
        "quota_use", sa.column("account_id"), sa.column("span"), sa.column("window_begins", moment),
        sa.column("recipients"),
    )  # fmt: skip
    uses = connection.execute(sa.select(new_use).where(new_use.c.span == "day")).all()
    op.drop_table("quota_use")
    op.create_table(
        "quota_use",
        sa.Column("account_id", sa.Integer(), nullable=False),
        sa.Column("limit_name", sa.String(length=40), nullable=False),
        sa.Column("window_begins", sa.DateTime(timezone=True), nullable=False),
        sa.Column("used", sa.Integer(), nullable=False),
        sa.CheckConstraint("used >= 0", name=op.f("ck_quota_use_used")),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_quota_use_account_id_accounts")),
        sa.PrimaryKeyConstraint("account_id", "limit_name", "window_begins", name=op.f("pk_quota_use")),
    )
    old_use = sa.table(
        "quota_use", *map(sa.column, ("account_id", "limit_name", "used")), sa.column("window_begins", moment)
    )
    if uses:
        connection.execute(
            sa.insert(old_use),
            [
                {
                    "account_id": use.account_id,
                    "limit_name": "recipients_per_day",
                    "window_begins": use.window_begins,
                    "used": use.recipients,
                }
                for use in uses
            ],
        )
    op.drop_table("known_recipients")
    op.drop_table("own_addresses")
    op.drop_column("reading_positions", "read_up_to")
    for name in ("wire_edits", "charged_recipients", "split", "test_mode"):
        op.drop_column("messages", name)
    op.drop_column("dkim_keys", "state_since")
    op.drop_column("domains", "proved_at")
    for name in ("test_mode", "shared_pixel", "tracking_image"):
        op.drop_column("accounts", name)
    for name in _LIMITS:
        op.drop_column("plans", name)
