"""`sendproof database maintain`: partitions ahead, and away with what is past. Decides nothing (`retention`)."""

import datetime as dt
import sys
from collections.abc import Iterator

import click
from sqlalchemy import func, select

from sendproof_core import clock, partitions, record_days, retention
from sendproof_core.commands_context import Context
from sendproof_core.database import Database
from sendproof_core.errors import UserError
from sendproof_core.retention import Done, RecordSettings

# So far may this machine's clock be from the database's.
_CLOCKS = dt.timedelta(hours=1)


@click.command("maintain")
@click.option("--plan", "only_plan", is_flag=True, help="Say what would be done; change nothing.")
@click.pass_obj
def maintain(context: Context, only_plan: bool) -> None:
    """Make the record's partitions for the days ahead, and remove what is past.

    Once a day is enough. Mail may flow meanwhile; what is ended in the middle is done by the next one.
    """
    settings, database, now = context.file.table(RecordSettings), context.database(), clock.now()
    limit = settings.limit(now)
    if limit is None:
        click.echo("everything is kept ([record] keep_days is 0)")
    else:
        click.echo(f"kept from {record_days.date_of(limit)} on ([record] keep_days is {settings.keep_days})")
    if limit is not None:
        _check_clock(database, now)
    found = retention.plan(database, settings, now)
    if not only_plan:
        # An estimate: what goes with a day or a queue file is not counted before.
        length = sum(found.rows_deleted.values()) + sum(map(len, found.days_dropped.values())) + len(found.stray_days)
        hidden = not sys.stderr.isatty()
        with click.progressbar(length=max(length, 1), label="removing", file=sys.stderr, hidden=hidden) as bar:
            found = retention.maintain(database, settings, now, bar.update)
    for line in _lines(found, only_plan=only_plan):
        click.echo(line)
    with database.engine.connect() as connection:
        locks = partitions.wanted_locks(connection)
    if locks is not None:
        click.echo(f"PostgreSQL: set max_locks_per_transaction to at least {locks}, for so many partitions", err=True)


def _check_clock(database: Database, now: dt.datetime) -> None:
    """What is past on a clock that is wrong would be gone for ever. SQLite has no other clock to ask."""
    if database.engine.dialect.name != "postgresql":
        return
    with database.engine.connect() as connection:
        there: dt.datetime = connection.execute(select(func.current_timestamp())).scalar_one()
    if abs(now - there) > _CLOCKS:
        ours, its = (f"{at.astimezone(dt.UTC):%Y-%m-%d %H:%M} UTC" for at in (now, there))
        raise UserError(
            f"this machine's clock ({ours}) and the database's ({its}) are more than an hour apart; nothing was "
            "changed. Set the one that is wrong, and try again."
        )


def _lines(done: Done, *, only_plan: bool) -> Iterator[str]:
    made, dropped, moved, deleted = (
        ("would make", "would drop", "would move", "would delete")
        if only_plan
        else ("made", "dropped", "moved", "deleted")
    )
    if done.days_made:
        yield f"{made} the partitions of {_days(done.days_made)}"
    for table, days in sorted(done.days_dropped.items()):
        yield f"{dropped} {table} of {_days(days)}"
    for table, rows in sorted(done.rows_deleted.items()):
        yield f"{deleted} {rows:,} rows of {table}"
    if done.stray_days:
        rows_moved = "" if only_plan else f"{done.strays_moved:,} "
        yield f"{moved} {rows_moved}stray rows into {_days(done.stray_days)}"
    if not (done.days_made or done.days_dropped or done.rows_deleted or done.stray_days):
        yield "nothing to do"


def _days(days: list[int]) -> str:
    """First and last day, and how many."""
    first, last = record_days.date_of(min(days)), record_days.date_of(max(days))
    return str(first) if first == last else f"{first} to {last} ({len(days)} days)"
