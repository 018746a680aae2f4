"""The list of messages and the transcript of one. Another account's message answers as one that does not exist."""

import dataclasses
import datetime as dt
import uuid
from dataclasses import dataclass

from flask import Blueprint, abort, render_template, request
from flask_login import login_required  # type: ignore[import-untyped] # it has no types

from sendproof_core import transcript_queries, transcript_story
from sendproof_core.transcripts import MessageSummary, RefusalView
from sendproof_web.services import services
from sendproof_web.sign_in import reader

PAGE_LENGTH = 50
# Each with its conversations: a message to a thousand would be a page of 26 MB.
RECIPIENTS_SHOWN = 25

blueprint = Blueprint("messages", __name__)


@dataclass(frozen=True)
class Row:
    """A line of the list: a message that was let through, or one that was refused."""

    at: dt.datetime
    message: MessageSummary | None
    refusal: RefusalView | None


def merged(
    messages: tuple[MessageSummary, ...], refusals: tuple[RefusalView, ...], limit: int
) -> tuple[tuple[Row, ...], dt.datetime | None]:
    """The newest ``limit`` of both, and the moment before which the next page begins (None: this is the last)."""
    rows = [Row(message.submitted_at, message, None) for message in messages]
    rows += [Row(refusal.at, None, refusal) for refusal in refusals]
    rows.sort(key=lambda row: row.at, reverse=True)
    return tuple(rows[:limit]), rows[limit - 1].at if len(rows) > limit else None


@blueprint.get("/messages")
@login_required  # type: ignore[untyped-decorator] # Flask-Login has no types
def index() -> str:
    """What was sent and what was refused, newest first."""
    before, account_id = _before(), reader().account_id
    with services().database.reading() as session:
        rows, next_before = merged(
            transcript_queries.list_messages(session, account_id, limit=PAGE_LENGTH + 1, before=before),
            transcript_queries.list_refusals(session, account_id, limit=PAGE_LENGTH + 1, before=before),
            PAGE_LENGTH,
        )
        total = transcript_queries.count_messages(session, account_id)
    return render_template("messages.html", rows=rows, next_before=next_before, before=before, total=total)


@blueprint.get("/messages/<uuid:message_id>")
@login_required  # type: ignore[untyped-decorator] # Flask-Login has no types
def show(message_id: uuid.UUID) -> str:
    """One message's transcript, recipient by recipient."""
    with services().database.reading() as session:
        transcript = transcript_queries.load_transcript(session, message_id, reader().account_id)
    if transcript is None:
        abort(404)
    first = max(request.args.get("first", 1, type=int), 1)
    shown = transcript.recipients[first - 1 :][:RECIPIENTS_SHOWN]
    if not shown and transcript.recipients:
        abort(404)
    part = dataclasses.replace(transcript, recipients=shown)
    stories = transcript_story.tell_all(part, services().queue_times, reader().zone, services().now())
    return render_template(
        "transcript.html",
        message=transcript.message,
        stories=stories,
        first=first,
        shown=RECIPIENTS_SHOWN,
        total=len(transcript.recipients),
    )


def _before() -> dt.datetime | None:
    text = request.args.get("before")
    if text is None:
        return None
    try:
        moment = dt.datetime.fromisoformat(text)
    except ValueError:
        abort(400)
    if moment.tzinfo is None or not 1970 <= moment.year < 9999:
        abort(400)
    return moment
