"""`sendproof transcript`: what became of a message, for a terminal or as JSON. Reads the record; changes nothing."""

import datetime as dt
import shutil

import click

from sendproof_core import clock, plans, transcript_json, transcript_queries, transcript_search
from sendproof_core.addresses import address_key
from sendproof_core.commands_context import Context
from sendproof_core.errors import UserError
from sendproof_core.hostile_text import visible
from sendproof_core.queue_times import QueueTimes
from sendproof_core.schema import Account
from sendproof_core.states import RecipientState
from sendproof_core.transcript_search import Wanted
from sendproof_core.transcript_story import state_label, tell_all
from sendproof_core.transcript_text import render
from sendproof_core.transcripts import MessageSummary

_FORMAT = click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
_MOMENT = "YYYY-MM-DD[THH:MM[:SS][ZONE]]"


@click.group()
def transcript() -> None:
    """What became of a message."""


@transcript.command("show")
@click.argument("name", metavar="QUEUE-ID|MESSAGE-ID")
@click.option("--recipient", metavar="ADDRESS", help="Only this recipient.")
@_FORMAT
@click.pass_obj
def show(context: Context, name: str, recipient: str | None, form: str) -> None:
    """Print a message's transcript, recipient by recipient.

    The queue id may be that of a copy, or the one that the receiving server gave.
    """
    with context.database().reading() as session:
        message_id = transcript_queries.find_message(session, name)
        found = transcript_queries.load_transcript(session, message_id) if message_id else None
        if found is None:
            raise UserError(f"no message has the queue id or message id {name!r}.")
        owner = session.get(Account, found.message.account_id)
        zone = plans.zone(owner.time_zone if owner else "UTC")
    if recipient is not None:
        found = found.only(address_key(recipient))
        if not found.recipients:
            raise UserError(f"that message has no recipient {recipient!r}.")
    queue_times = context.file.table(QueueTimes)
    if form == "json":
        click.echo(transcript_json.to_text(transcript_json.transcript(found, queue_times, clock.now())))
        return
    stories = tell_all(found, queue_times, zone, clock.now())
    if not stories:
        click.echo("the mail log has not spoken of this message yet.")
    width = min(shutil.get_terminal_size((110, 24)).columns, 120)
    click.echo("\n".join(render(story, width=width) for story in stories), nl=False)


@transcript.command("search")
@click.argument("words", nargs=-1)
@click.option("--to", metavar="PART", help="In a recipient's address.")
@click.option("--from", "sender", metavar="PART", help="In the sender's address or login.")
@click.option("--subject", metavar="PART", help="In the subject.")
@click.option("--status", type=click.Choice([state.value for state in RecipientState]), help="Of any recipient.")
@click.option("--before", metavar=_MOMENT, help="Submitted before; without a zone: UTC.")
@click.option("--after", metavar=_MOMENT, help="Submitted then or later.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, show_default=True, help="So many at most.")
@_FORMAT
@click.pass_obj
def search(
    context: Context,
    words: tuple[str, ...],
    to: str | None,
    sender: str | None,
    subject: str | None,
    status: str | None,
    before: str | None,
    after: str | None,
    limit: int,
    form: str,
) -> None:
    """Print the messages that fit, newest first, each with its recipients' states.

    Each of the words must occur in the subject, an address, the login or a message id, or be a queue id.
    """
    wanted = Wanted(
        words=words,
        to=to,
        sender=sender,
        subject=subject,
        state=RecipientState(status) if status else None,
        before=_moment("--before", before),
        after=_moment("--after", after),
    )
    with context.database().reading() as session:
        found = transcript_search.search(session, wanted, limit=limit)
    for line in found:
        click.echo(transcript_json.to_text(transcript_json.summary(line)) if form == "json" else _line(line))
    if not found and form == "text":
        click.echo("no message fits.")


def _line(line: MessageSummary) -> str:
    recipients = ", ".join(
        f"{visible(address)} {state_label(state, test_mode=line.test_mode).text}" for address, state in line.recipients
    )
    subject = f'"{visible(line.subject)}"' if line.subject else "(no subject)"
    return f"{line.submitted_at:%Y-%m-%d %H:%M:%S} UTC  {line.id}  {subject}  {recipients or 'just let through'}"


def _moment(option: str, given: str | None) -> dt.datetime | None:
    if given is None:
        return None
    try:
        moment = dt.datetime.fromisoformat(given)
        return moment.replace(tzinfo=dt.UTC) if moment.tzinfo is None else moment.astimezone(dt.UTC)
    except (ValueError, OverflowError):
        raise UserError(f"{option} must be a moment such as 2026-11-22 or 2026-11-22T14:03, not {given!r}.") from None
