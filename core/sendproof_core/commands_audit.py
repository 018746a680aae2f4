"""`sendproof audit`: who did what to whom, on the site and by command. Changes nothing."""

import datetime as dt
import json

import click

from sendproof_core import audit_search
from sendproof_core.audit_search import Entry, Wanted
from sendproof_core.commands_context import Context, show_table
from sendproof_core.hostile_text import visible

_SHOWN = 50
_MOST = 10_000


@click.group()
def audit() -> None:
    """Who did what to whom."""


@audit.command("list")
@click.option("--account", help="Login of the account that it is about.")
@click.option("--actor", help='Login of who did it, or "command".')
@click.option("--event", help='Words that stand in the event, such as "suspended".')
@click.option("--since", type=click.DateTime(), help="In UTC.")
@click.option("--until", type=click.DateTime(), help="In UTC.")
@click.option("--limit", type=click.IntRange(1, _MOST), default=_SHOWN, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@click.pass_obj
def audit_list(
    context: Context,
    account: str | None,
    actor: str | None,
    event: str | None,
    *,
    since: dt.datetime | None,
    until: dt.datetime | None,
    limit: int,
    as_json: bool,
) -> None:
    """Show the newest entries."""
    wanted = Wanted(account, actor, event, _utc(since), _utc(until))
    with context.database().reading() as session:
        entries = audit_search.find(session, wanted, limit=limit).entries
    if as_json:
        for entry in entries:
            click.echo(json.dumps(_values(entry)))
        return
    if not entries:
        click.echo("no entry fits")
        return
    rows = [
        (
            f"{entry.at:%Y-%m-%d %H:%M:%S}",
            visible(entry.actor),
            visible(entry.account or "") or "-",
            visible(entry.event),
            visible(", ".join(f"{name}: {words}" for name, words in entry.detail_words)),
        )
        for entry in entries
    ]
    show_table(("AT (UTC)", "ACTOR", "ACCOUNT", "EVENT", "DETAILS"), rows)


def _values(entry: Entry) -> dict[str, object]:
    return {
        "at": entry.at.isoformat(),
        "actor": entry.actor,
        "account": entry.account,
        "event": entry.event,
        "details": entry.details,
        "client_address": entry.client_address,
    }


def _utc(moment: dt.datetime | None) -> dt.datetime | None:
    return None if moment is None else moment.replace(tzinfo=dt.UTC)
