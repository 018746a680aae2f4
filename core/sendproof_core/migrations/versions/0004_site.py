"""The complete site: sessions, links, a second factor, hand-overs, notice preferences, audit log, pages.

Revision: 0004, after 0003. Adds columns in place: SQLite cannot make a table anew that others refer to.
"""

import secrets

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_MOMENT = sa.DateTime(timezone=True)
_BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Go to this revision."""
    _add_columns()
    _create_tables()


def downgrade() -> None:
    """Leave this revision; what the older schema has no place for is lost."""
    for table in (
        "recovery_codes",
        "mail_requests",
        "site_sessions",
        "site_links",
        "throttled_failures",
        "hand_overs",
        "notice_preferences",
        "domain_checks",
        "domain_claims",
        "audit_entries",
        "pages",
    ):
        op.drop_table(table)
    op.drop_index("ix_accounts_address_key", table_name="accounts")
    op.drop_column("opens", "client_address")
    op.drop_column("domains", "challenge")
    op.drop_column("accounts", "totp_last_step")
    op.drop_column("accounts", "totp_since")
    op.drop_column("accounts", "totp_sealed")
    op.drop_column("accounts", "language")
    op.drop_column("accounts", "is_provider")
    op.drop_column("accounts", "address_confirmed_at")
    op.drop_column("accounts", "address_key")
    op.drop_column("accounts", "address")
    op.drop_column("accounts", "open_details")


def _add_columns() -> None:
    op.add_column("accounts", sa.Column("open_details", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.add_column("accounts", sa.Column("address", sa.String(length=320), nullable=True))
    op.add_column("accounts", sa.Column("address_key", sa.String(length=320), nullable=True))
    op.add_column("accounts", sa.Column("address_confirmed_at", _MOMENT, nullable=True))
    op.add_column("accounts", sa.Column("is_provider", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.add_column("accounts", sa.Column("language", sa.String(length=10), nullable=True))
    op.add_column("accounts", sa.Column("totp_sealed", sa.LargeBinary(), nullable=True))
    op.add_column("accounts", sa.Column("totp_since", _MOMENT, nullable=True))
    op.add_column("accounts", sa.Column("totp_last_step", sa.BigInteger(), nullable=True))
    op.add_column("domains", sa.Column("challenge", sa.String(length=40), nullable=True))
    op.add_column("opens", sa.Column("client_address", sa.String(length=64), nullable=True))
    op.create_index(op.f("ix_accounts_address_key"), "accounts", ["address_key"], unique=False)
    # Until now the operator's word was all there was.
    op.execute(
        "UPDATE accounts SET address = notice_address, address_confirmed_at = created_at"
        " WHERE notice_address IS NOT NULL"
    )
    op.execute("UPDATE accounts SET address_key = lower(address)")
    _add_challenges()


def _add_challenges() -> None:
    """Of accounts' domains that were added by command: another for each, so that their pages can show it."""
    domains = sa.table(
        "domains", sa.column("id", sa.Integer), sa.column("account_id", sa.Integer), sa.column("challenge", sa.String)
    )
    connection = op.get_bind()
    for domain_id in connection.scalars(sa.select(domains.c.id).where(domains.c.account_id.is_not(None))).all():
        challenge = secrets.token_hex(10)
        connection.execute(sa.update(domains).where(domains.c.id == domain_id).values(challenge=challenge))


def _create_tables() -> None:
    op.create_table(
        "audit_entries",
        sa.Column("id", _BIG_ID, nullable=False),
        sa.Column("at", _MOMENT, nullable=False),
        sa.Column("actor_id", sa.Integer(), nullable=True),
        sa.Column("actor", sa.String(length=100), nullable=False),
        sa.Column("account_id", sa.Integer(), nullable=True),
        sa.Column("event", sa.String(length=60), nullable=False),
        sa.Column("details", sa.JSON(), nullable=False),
        sa.Column("client_address", sa.String(length=64), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_entries")),
    )
    op.create_index("ix_audit_entries_account_id_at", "audit_entries", ["account_id", "at"], unique=False)
    op.create_index("ix_audit_entries_actor_id_at", "audit_entries", ["actor_id", "at"], unique=False)
    op.create_index("ix_audit_entries_at", "audit_entries", ["at"], unique=False)
    op.create_table(
        "pages",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("slug", sa.String(length=60), nullable=False),
        sa.Column("title", sa.String(length=200), nullable=False),
        sa.Column("markdown", sa.Text(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=True),
        sa.Column("changed_at", _MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_pages")),
        sa.UniqueConstraint("slug", name=op.f("uq_pages_slug")),
    )
    op.create_table(
        "throttled_failures",
        sa.Column("id", _BIG_ID, nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("key", sa.LargeBinary(length=32), nullable=False),
        sa.Column("failed_at", _MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_throttled_failures")),
    )
    op.create_index("ix_throttled_failures_failed_at", "throttled_failures", ["failed_at"], unique=False)
    op.create_index("ix_throttled_failures_key", "throttled_failures", ["kind", "key", "failed_at"], unique=False)
    op.create_table(
        "hand_overs",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("account_id", sa.Integer(), nullable=False),
        sa.Column("message_id", sa.Uuid(), nullable=False),
        sa.Column("recipient_key", sa.Text(), nullable=False),
        sa.Column("created_at", _MOMENT, nullable=False),
        sa.Column("expires_at", _MOMENT, nullable=False),
        sa.Column("revoked_at", _MOMENT, nullable=True),
        sa.Column("shown", sa.Integer(), nullable=False),
        sa.Column("shown_at", _MOMENT, nullable=True),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_hand_overs_account_id_accounts")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_hand_overs")),
    )
    op.create_index("ix_hand_overs_account_id_created_at", "hand_overs", ["account_id", "created_at"], unique=False)
    op.create_index(op.f("ix_hand_overs_message_id"), "hand_overs", ["message_id"], unique=False)
    op.create_table(
        "notice_preferences",
        sa.Column("account_id", sa.Integer(), nullable=False),
        sa.Column("delivered", sa.Boolean(), nullable=False),
        sa.Column("deferred", sa.Boolean(), nullable=False),
        sa.Column("deferred_after_minutes", sa.Integer(), nullable=False),
        sa.Column("failed", sa.Boolean(), nullable=False),
        sa.Column("opened", sa.Boolean(), nullable=False),
        sa.Column("plan_use", sa.Boolean(), nullable=False),
        sa.Column("digest", sa.String(length=10), nullable=False),
        sa.Column("changed_at", _MOMENT, nullable=False),
        sa.CheckConstraint("digest IN ('none', 'hourly', 'daily')", name=op.f("ck_notice_preferences_digest")),
        sa.ForeignKeyConstraint(
            ["account_id"], ["accounts.id"], name=op.f("fk_notice_preferences_account_id_accounts")
        ),
        sa.PrimaryKeyConstraint("account_id", name=op.f("pk_notice_preferences")),
    )
    op.create_table(
        "recovery_codes",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("account_id", sa.Integer(), nullable=False),
        sa.Column("code_hash", sa.Text(), nullable=False),
        sa.Column("used_at", _MOMENT, nullable=True),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_recovery_codes_account_id_accounts")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_recovery_codes")),
    )
    op.create_index(op.f("ix_recovery_codes_account_id"), "recovery_codes", ["account_id"], unique=False)
    op.create_table(
        "site_links",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("purpose", sa.String(length=20), nullable=False),
        sa.Column("account_id", sa.Integer(), nullable=True),
        sa.Column("address", sa.String(length=320), nullable=False),
        sa.Column("data", sa.JSON(), nullable=False),
        sa.Column("created_at", _MOMENT, nullable=False),
        sa.Column("expires_at", _MOMENT, nullable=False),
        sa.Column("used_at", _MOMENT, nullable=True),
        sa.CheckConstraint(
            "purpose IN ('sign-up', 'invitation', 'address', 'sender-address', 'reset')",
            name=op.f("ck_site_links_purpose"),
        ),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_site_links_account_id_accounts")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_site_links")),
    )
    op.create_index(op.f("ix_site_links_account_id"), "site_links", ["account_id"], unique=False)
    op.create_table(
        "site_sessions",
        sa.Column("id", _BIG_ID, nullable=False),
        sa.Column("token_hash", sa.LargeBinary(length=32), nullable=False),
        sa.Column("account_id", sa.Integer(), nullable=False),
        sa.Column("acting_as_id", sa.Integer(), nullable=True),
        sa.Column("created_at", _MOMENT, nullable=False),
        sa.Column("last_seen_at", _MOMENT, nullable=False),
        sa.Column("authenticated_at", _MOMENT, nullable=False),
        sa.Column("client_address", sa.String(length=64), nullable=False),
        sa.Column("user_agent", sa.Text(), nullable=False),
        sa.Column("ended_at", _MOMENT, nullable=True),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_site_sessions_account_id_accounts")),
        sa.ForeignKeyConstraint(["acting_as_id"], ["accounts.id"], name=op.f("fk_site_sessions_acting_as_id_accounts")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_site_sessions")),
        sa.UniqueConstraint("token_hash", name=op.f("uq_site_sessions_token_hash")),
    )
    op.create_index(op.f("ix_site_sessions_account_id"), "site_sessions", ["account_id"], unique=False)
    op.create_table(
        "domain_checks",
        sa.Column("domain_id", sa.Integer(), nullable=False),
        sa.Column("checked_at", _MOMENT, nullable=False),
        sa.Column("result", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["domain_id"], ["domains.id"], name=op.f("fk_domain_checks_domain_id_domains")),
        sa.PrimaryKeyConstraint("domain_id", name=op.f("pk_domain_checks")),
    )
    op.create_table(
        "domain_claims",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("account_id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("challenge", sa.String(length=40), nullable=False),
        sa.Column("created_at", _MOMENT, nullable=False),
        sa.Column("checked_at", _MOMENT, nullable=True),
        sa.Column("result", sa.JSON(), nullable=True),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_domain_claims_account_id_accounts")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_domain_claims")),
        sa.UniqueConstraint("account_id", "name", name=op.f("uq_domain_claims_account_id")),
    )
    op.create_table(
        "mail_requests",
        sa.Column("id", _BIG_ID, nullable=False),
        sa.Column("kind", sa.String(length=40), nullable=False),
        sa.Column("account_id", sa.Integer(), nullable=True),
        sa.Column("to_address", sa.String(length=320), nullable=False),
        sa.Column("language", sa.String(length=10), nullable=True),
        sa.Column("link_id", sa.Uuid(), nullable=True),
        sa.Column("data", sa.JSON(), nullable=False),
        sa.Column("requested_at", _MOMENT, nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_mail_requests_account_id_accounts")),
        sa.ForeignKeyConstraint(["link_id"], ["site_links.id"], name=op.f("fk_mail_requests_link_id_site_links")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_mail_requests")),
    )
