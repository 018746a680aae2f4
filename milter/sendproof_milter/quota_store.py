"""The ledger in the database: charges, exact under any concurrency. The only writer of ``quota_use`` and ``charges``.

Decides nothing about plans: it is told the limit and the window.
"""

import datetime as dt
import uuid
from dataclasses import dataclass

from sqlalchemy import BigInteger, Connection, bindparam, delete, insert, literal, select, update
from sqlalchemy.dialects import postgresql, sqlite

from sendproof_core.database import Database
from sendproof_core.plans import OverQuota, Window
from sendproof_core.schema import Charge, QuotaUse

RECIPIENTS_PER_DAY = "recipients_per_day"
_UNLIMITED = 2**62


@dataclass(frozen=True)
class ChargeRequest:
    """One message's charge against one limit. ``limit`` None: counted, never refused."""

    account_id: int
    message_id: uuid.UUID
    host: str
    queue_id: str
    recipients: int
    limit: int | None
    window: Window
    now: dt.datetime


# The names of bound values differ from the columns', which SQLAlchemy keeps for an UPDATE's own use.
_row = (
    QuotaUse.account_id == bindparam("of_account"),
    QuotaUse.limit_name == bindparam("of_limit"),
    QuotaUse.window_begins == bindparam("of_window"),
)
_RAISE = (
    update(QuotaUse)
    .where(*_row, QuotaUse.used + bindparam("count") <= bindparam("at_most", type_=BigInteger))
    .values(used=QuotaUse.used + bindparam("count"))
)
_USED = select(QuotaUse.used).where(*_row)
_LOWER = update(QuotaUse).where(*_row).values(used=QuotaUse.used - bindparam("count"))
_CHARGE = insert(Charge)
_UNCHARGE = (
    delete(Charge)
    .where(Charge.message_id == bindparam("of_message"))
    .returning(Charge.account_id, Charge.window_begins, Charge.recipients)
)


class QuotaStore:
    """Charges messages in one database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def charge(self, request: ChargeRequest) -> OverQuota | None:
        """Raise the use and write the charge in one transaction; what stands against it, or None.

        Raises:
            sqlalchemy.exc.SQLAlchemyError: the database is away or locked; nothing was charged.
        """
        row = {"of_account": request.account_id, "of_limit": RECIPIENTS_PER_DAY, "of_window": request.window.begins}
        limit = _UNLIMITED if request.limit is None else request.limit
        with self._database.writing_connection() as connection:
            raised = connection.execute(_RAISE, {**row, "count": request.recipients, "at_most": limit}).rowcount
            if not raised:
                _make_row(connection, request)
                raised = connection.execute(_RAISE, {**row, "count": request.recipients, "at_most": limit}).rowcount
            if not raised:
                used = connection.execute(_USED, row).scalar_one()
                return OverQuota(limit, used, request.recipients, request.window.ends)
            connection.execute(
                _CHARGE,
                {
                    "message_id": request.message_id,
                    "account_id": request.account_id,
                    "host": request.host,
                    "queue_id": request.queue_id,
                    "recipients": request.recipients,
                    "window_begins": request.window.begins,
                    "charged_at": request.now,
                },
            )
        return None

    def uncharge(self, message_id: uuid.UUID) -> bool:
        """Take a charge back, once: for a message that was not let through after all. Whether there was one."""
        with self._database.writing_connection() as connection:
            charged = connection.execute(_UNCHARGE, {"of_message": message_id}).one_or_none()
            if charged is None:
                return False
            row = {"of_account": charged.account_id, "of_limit": RECIPIENTS_PER_DAY, "of_window": charged.window_begins}
            connection.execute(_LOWER, {**row, "count": charged.recipients})
        return True


def _make_row(connection: Connection, request: ChargeRequest) -> None:
    """The window's row, if it is the first charge in it; another process may have made it meanwhile."""
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    values = {
        "account_id": request.account_id,
        "limit_name": literal(RECIPIENTS_PER_DAY),
        "window_begins": request.window.begins,
        "used": 0,
    }
    connection.execute(dialect.insert(QuotaUse).values(values).on_conflict_do_nothing())
