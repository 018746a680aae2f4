"""Alembic's environment: runs on the connection that `sendproof_core.schema_version` passes in.

Decides no revision. After the migrations it makes the partitions of the days ahead, so that a new database needs no
timer before its first mail.
"""

from alembic import context

from sendproof_core import clock, partitions
from sendproof_core.schema import Base

_connection = context.config.attributes["connection"]
context.configure(
    connection=_connection,
    target_metadata=Base.metadata,
    render_as_batch=True,  # SQLite cannot alter a table in place
)
with context.begin_transaction():
    context.run_migrations()
    partitions.create_ahead(_connection, clock.now())
