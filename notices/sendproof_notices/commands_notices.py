"""`sendproof notices`: what stands in the outbox, and another try for what was given up. Sends nothing itself."""

import click

from sendproof_core import clock, outbox_health
from sendproof_core.commands_context import Context, show_table
from sendproof_core.database_url import Program
from sendproof_core.errors import UserError
from sendproof_core.hostile_text import visible
from sendproof_core.outbox_health import FailedNotice
from sendproof_notices import outbox

_SHOWN = 20


@click.group()
def notices() -> None:
    """Mails to senders: what waits, what was sent, what could not be sent."""


@notices.command("status")
@click.pass_obj
def status(context: Context) -> None:
    """How many notices wait, and which could not be sent and why."""
    now = clock.now()
    with context.database().reading() as session:
        health = outbox_health.read(session, now, _SHOWN)
    click.echo(f"notices that wait: {health.waiting:,}")
    click.echo(f"being sent, or not known yet whether they were: {health.claimed:,}")
    click.echo(f"sent in the last 24 hours: {health.sent_last_day:,}")
    click.echo(f"given up: {health.failed:,}")
    if health.is_late(now) and health.due_since is not None:
        since = f"{health.due_since:%Y-%m-%d %H:%M:%S} UTC"
        click.echo(f"a notice is due since {since} and was not sent: is sendproof-notices running?")
    for title, rows in (("not sent yet:", health.troubled), ("given up:", health.newest_failed)):
        if rows:
            click.echo(f"\n{title}")
            show_table(("ID", "KIND", "TO", "MADE (UTC)", "TRIES", "REASON"), [_row(row) for row in rows])


@notices.command("retry")
@click.argument("notice_id", metavar="[ID]", type=int, required=False)
@click.option("--all", "everything", is_flag=True, help="All that were given up or wait after a failure.")
@click.pass_obj
def retry(context: Context, notice_id: int | None, everything: bool) -> None:
    """Try again now: the notice with this id, or all."""
    if (notice_id is None) == (not everything):
        raise UserError("name the id of one notice (`sendproof notices status` shows them), or --all.")
    with context.database(Program.NOTICES).writing() as session:
        count = outbox.retry(session, clock.now(), notice_id)
    if notice_id is not None and not count:
        raise UserError(f"notice {notice_id} is none that was given up or waits after a failure.")
    click.echo(f"to be sent again: {count:,}")


def _row(row: FailedNotice) -> tuple[str, ...]:
    return (
        str(row.id),
        row.kind,
        visible(row.to_address),
        f"{row.created_at:%Y-%m-%d %H:%M:%S}",
        str(row.tries),
        visible(row.last_error or ""),
    )
