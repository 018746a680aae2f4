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
from sendproof_core.transcript_story import NO_JOURNAL, about, state_label, tell_all
from sendproof_core.transcript_text import render
from sendproof_core.transcripts import MessageSummary, Namesake
from sendproof_core.wording import counted

_FORMAT = click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
_OTHERS_NAMED = 5
# Of a search: more than anybody types, far less than a statement of SQL may hold.
_MOST_WORDS = 20
_LONGEST_WORD = 320
_MOMENT = "YYYY-MM-DD[THH:MM[:SS][ZONE]]"


@click.group()
def transcript() -> None:
    """What became of a message."""


@transcript.command("show")
@click.argument("name", metavar="QUEUE-ID|MESSAGE-ID")
@click.option("--recipient", metavar="ADDRESS", help="Only this recipient.")
@click.option("--host", metavar="HOST", help="If several have that name: the one on this host.")
@click.option("--before", metavar=_MOMENT, help="If several have that name: the newest before; without a zone: UTC.")
@_FORMAT
@click.pass_obj
def show(context: Context, name: str, recipient: str | None, host: str | None, before: str | None, form: str) -> None:
    """Print a message's transcript, recipient by recipient.

    The queue id may be that of a copy, or the one that the receiving server gave. Of several that have the name, the
    newest is shown, and the others are named on standard error.
    """
    until = _moment("--before", before)
    with context.database().reading() as session:
        named = transcript_queries.find(session, name, host=host, before=until)
        found = transcript_queries.load_transcript(session, named[0].id) if named else None
        if found is None:
            chosen = " and fits --host and --before" if host or until else ""
            raise UserError(f"no message has the queue id or message id {name!r}{chosen}.")
        owner = session.get(Account, found.message.account_id) if found.message.account_id is not None else None
        zone = plans.zone(owner.time_zone if owner else "UTC")
    if recipient is not None:
        found = found.only(address_key(recipient))
        if not found.recipients:
            raise UserError(f"that message has no recipient {recipient!r}.")
    if named[1:]:
        click.echo(_others(named[1:]), err=True)
    queue_times = context.file.table(QueueTimes)
    if form == "json":
        click.echo(transcript_json.to_text(transcript_json.transcript(found, queue_times, clock.now())))
        return
    stories = tell_all(found, queue_times, zone, clock.now())
    if not stories and found.message.is_admitted:
        click.echo("the mail log has not spoken of this message yet.")
    elif not stories:
        click.echo(f"{about(found.message, zone)}\nthe mail log names no recipient of it. {NO_JOURNAL}")
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

    Each of the words must occur in the subject, an address, the login or a message id, or be a queue id. Mail of which
    only the mail log speaks is found as well, and shown with its queue id.
    """
    parts = [*words, *(part for part in (to, sender, subject) if part is not None)]
    if len(parts) > _MOST_WORDS or any(len(part) > _LONGEST_WORD for part in parts):
        raise UserError(f"that is too much to look for: at most {_MOST_WORDS} words of {_LONGEST_WORD} characters.")
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


def _others(others: tuple[Namesake, ...]) -> str:
    moments = [
        f"{other.at:%Y-%m-%d %H:%M:%S} UTC" + (f" on {visible(other.host)}" if other.host else "")
        for other in others[:_OTHERS_NAMED]
    ]
    if len(others) > len(moments):
        moments.append(f"{len(others) - len(moments)} older")
    return f"{counted(len(others), 'other')} of that name (choose with --host or --before): {', '.join(moments)}."


def _line(line: MessageSummary) -> str:
    recipients = ", ".join(
        f"{visible(address)} {state_label(state, test_mode=line.test_mode).text}" for address, state in line.recipients
    )
    subject = f'"{visible(line.subject)}"' if line.subject else "(no subject)"
    name, nobody = str(line.id), "just let through"
    if not line.is_admitted:
        name = f"{visible(line.queue_id or '')} on {visible(line.host or '')}"
        subject, nobody = "(subject unknown)", "no recipient known"
    return f"{line.submitted_at:%Y-%m-%d %H:%M:%S} UTC  {name}  {subject}  {recipients or nobody}"


def _moment(option: str, given: str | None) -> dt.datetime | None:
    if given is None:
        return None
    try:
        moment = dt.datetime.fromisoformat(given)
        return moment.replace(tzinfo=dt.UTC) if moment.tzinfo is None else moment.astimezone(dt.UTC)
    except (ValueError, OverflowError):
        raise UserError(f"{option} must be a moment such as 2026-11-22 or 2026-11-22T14:03, not {given!r}.") from None
