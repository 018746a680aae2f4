"""The `sendproof` command: what an operator does without a browser. Each command is one transaction, or none.

The groups about one subject are in the `commands_` modules. Passwords and private keys are read from standard input or
a file, or made here; they never stand in an argument.
"""

import os
import shutil
from pathlib import Path

import click
from sqlalchemy import func, select

from sendproof_core import clock, plans, schema_version, transcript_queries
from sendproof_core.commands_account import account, credential
from sendproof_core.commands_context import Context
from sendproof_core.commands_domain import domain
from sendproof_core.commands_plan import plan
from sendproof_core.commands_secrets import secrets
from sendproof_core.errors import UserError, guarded
from sendproof_core.hostile_text import visible
from sendproof_core.queue_times import QueueTimes
from sendproof_core.schema import Account, ReadingPosition, UnknownLine
from sendproof_core.settings import DEFAULT_PATH
from sendproof_core.transcript_story import tell_all
from sendproof_core.transcript_text import render

_UNKNOWN_SHOWN = 10


@click.group()
@click.option("--config", type=click.Path(path_type=Path), default=DEFAULT_PATH, show_default=True)
@click.pass_context
def root(context: click.Context, config: Path) -> None:
    """Sendproof: delivery transcripts on an existing Postfix."""
    context.obj = Context(config)
    context.call_on_close(context.obj.close)


for _group in (secrets, plan, account, credential, domain):
    root.add_command(_group)


@root.group()
def database() -> None:
    """The database's schema."""


@database.command("upgrade")
@click.pass_obj
def database_upgrade(context: Context) -> None:
    """Bring the schema up to date."""
    changed = schema_version.upgrade(context.unchecked_database())
    click.echo(f"the schema is {schema_version.newest()}" + ("" if changed else ", as before"))


@root.group()
def transcript() -> None:
    """What became of a message."""


@transcript.command("show")
@click.argument("name", metavar="QUEUE-ID|MESSAGE-ID")
@click.option("--recipient", help="Only this recipient.")
@click.pass_obj
def transcript_show(context: Context, name: str, recipient: str | None) -> None:
    """Print a message's transcript, recipient by recipient."""
    with context.database().reading() as session:
        message_id = transcript_queries.find_message(session, name)
        found = transcript_queries.load_transcript(session, message_id) if message_id else None
        if found is None:
            raise UserError(f"no message has the queue id or message id {name!r}.")
        owner = session.get(Account, found.message.account_id)
        zone = plans.zone(owner.time_zone if owner else "UTC")
    stories = tell_all(found, context.file.table(QueueTimes), zone, clock.now())
    chosen = [story for story in stories if recipient in (None, story.address)]
    if not chosen:
        raise UserError(f"that message has no recipient {recipient!r}.")
    width = min(shutil.get_terminal_size((110, 24)).columns, 120)
    click.echo("\n".join(render(story, width=width) for story in chosen), nl=False)


@root.command()
@click.pass_obj
def status(context: Context) -> None:
    """How far the logs were read, and the lines that no rule knows."""
    with context.database().reading() as session:
        positions = session.scalars(select(ReadingPosition).order_by(ReadingPosition.source)).all()
        for position in positions:
            read_at = f"{position.read_at:%Y-%m-%d %H:%M:%S} UTC"
            click.echo(f"{position.source}: {position.lines_read} lines read, the last at {read_at}")
        if not positions:
            click.echo("nothing was read yet: is sendproof-logparser running?")
        click.echo(f"lines that no rule knows: {session.scalar(select(func.count()).select_from(UnknownLine))}")
        newest = session.scalars(select(UnknownLine).order_by(UnknownLine.id.desc()).limit(_UNKNOWN_SHOWN)).all()
        for line in reversed(newest):
            click.echo(f"  {line.source} at octet {line.offset}: {visible(line.line)}")


def main() -> None:
    """Entry point."""
    os.umask(0o027)
    guarded(root)
