"""The transcript of one message, recipient by recipient: the page, its live part, downloads; and a refusal's page.

Another account's message or refusal answers as one that does not exist.
"""

import dataclasses
import datetime as dt
import hashlib
import re
import uuid
from dataclasses import dataclass

from flask import Blueprint, Response, abort, render_template, request, url_for
from flask.typing import ResponseReturnValue

from sendproof_core import hand_overs, refusals, transcript_json, transcript_queries, transcript_story
from sendproof_core.addresses import address_key
from sendproof_core.hand_overs import HandOverView
from sendproof_core.states import RecipientState
from sendproof_core.transcript_answer import Case
from sendproof_core.transcript_story import Story
from sendproof_core.transcript_text import render
from sendproof_core.transcripts import RecipientView, Transcript
from sendproof_web.access import reader, signed_in
from sendproof_web.services import services

# Each with its conversations: a message to a thousand would be a page of 26 MB.
RECIPIENTS_SHOWN = 25
_TEXT_WIDTH = 110
_WAITING = frozenset((RecipientState.QUEUED, RecipientState.DEFERRED, RecipientState.HELD))
# How often a page asks whether something is new: while it can come any moment, and while Postfix waits.
_SOON_SECONDS, _LATER_SECONDS = 5, 30
_NEW = dt.timedelta(minutes=10)

blueprint = Blueprint("transcripts", __name__)
blueprint.add_app_template_filter(transcript_story.no_pixel, "why_no_pixel")


@dataclass(frozen=True)
class Shown:
    """One recipient on the page. ``number``: its place in the message, from 1. ``hand_overs``: links that are open."""

    number: int
    story: Story
    hand_overs: tuple[HandOverView, ...]

    @property
    def text(self) -> str:
        """Everything that is said of the recipient, to copy."""
        return render(self.story, width=_TEXT_WIDTH, whole=True)


@dataclass(frozen=True)
class Page:
    """The recipients ``first`` to ``last`` of ``total``.

    ``mark`` changes with what is shown; ``again_seconds``: when to look again, None: nothing more is expected.
    """

    transcript: Transcript
    recipients: tuple[Shown, ...]
    first: int
    mark: str
    again_seconds: int | None

    @property
    def total(self) -> int:
        """How many recipients the message has."""
        return len(self.transcript.recipients)

    @property
    def last(self) -> int:
        """The number of the last that is shown."""
        return self.first + len(self.recipients) - 1

    @property
    def before(self) -> int | None:
        """Where the page before begins."""
        return max(self.first - RECIPIENTS_SHOWN, 1) if self.first > 1 else None

    @property
    def after(self) -> int | None:
        """Where the next page begins."""
        return self.last + 1 if self.last < self.total else None


@blueprint.get("/messages/<uuid:message_id>")
@signed_in
def show(message_id: uuid.UUID) -> ResponseReturnValue:
    """One message's transcript."""
    page = _page(message_id, request.args.get("first", 1, type=int))
    return render_template("transcript.html", page=page, message=page.transcript.message)


@blueprint.get("/messages/<uuid:message_id>/now")
@signed_in
def live(message_id: uuid.UUID) -> ResponseReturnValue:
    """The part of the page that changes; nothing if nothing has changed since ``mark``."""
    page = _page(message_id, request.args.get("first", 1, type=int))
    if page.mark == request.args.get("mark"):
        return "", 204
    return render_template("transcript_live.html", page=page, message=page.transcript.message, is_news=True)


@blueprint.get("/messages/<uuid:message_id>/recipients/<int:number>.txt")
@signed_in
def as_text(message_id: uuid.UUID, number: int) -> ResponseReturnValue:
    """One recipient's transcript as plain text."""
    found, recipient = one_recipient(message_id, number)
    case = Case(found.message, recipient, services().queue_times, reader().zone, services().now())
    text = render(transcript_story.tell_case(case), width=_TEXT_WIDTH, whole=True)
    return download(text, "text/plain; charset=utf-8", f"transcript-{_file_name(found)}-{number}.txt")


@blueprint.get("/messages/<uuid:message_id>/recipients/<int:number>.json")
@signed_in
def as_json(message_id: uuid.UUID, number: int) -> ResponseReturnValue:
    """One recipient's transcript as JSON."""
    found, recipient = one_recipient(message_id, number)
    part = dataclasses.replace(found, recipients=(recipient,))
    value = transcript_json.transcript(part, services().queue_times, services().now())
    text = transcript_json.to_text(value) + "\n"
    return download(text, "application/json", f"transcript-{_file_name(found)}-{number}.json")


@blueprint.get("/refusals/<int:refusal_id>")
@signed_in
def refusal(refusal_id: int) -> ResponseReturnValue:
    """A message that was refused at submission: why, and what to do."""
    if refusal_id > _LARGEST_ID:
        abort(404)
    with services().database.reading() as session:
        found = refusals.load(session, refusal_id, reader().account_id)
    if found is None:
        abort(404)
    return render_template("transcript_refusal.html", refusal=found, advice=refusals.advice(found))


# What a database can count to: a larger number is an error there.
_LARGEST_ID = 2**63 - 1


def load(message_id: uuid.UUID) -> Transcript:
    """A message of the reader's own; any other answers 404."""
    with services().database.reading() as session:
        found = transcript_queries.load_transcript(session, message_id, reader().account_id)
    if found is None:
        abort(404)
    return found


def one_recipient(message_id: uuid.UUID, number: int) -> tuple[Transcript, RecipientView]:
    """One recipient of a message of the reader's own, by its place from 1; else 404."""
    found = load(message_id)
    if not 1 <= number <= len(found.recipients):
        abort(404)
    return found, found.recipients[number - 1]


def place(message_id: uuid.UUID, number: int) -> str:
    """The address of a recipient's part of the page."""
    first = (number - 1) // RECIPIENTS_SHOWN * RECIPIENTS_SHOWN + 1
    wanted = first if first > 1 else None
    return url_for("transcripts.show", message_id=message_id, _anchor=f"recipient-{number}", first=wanted)


def download(text: str, kind: str, name: str) -> Response:
    """A file to keep. ``name``: of letters, digits, hyphens and dots."""
    response = Response(text, content_type=kind)
    response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    return response


def _file_name(found: Transcript) -> str:
    return re.sub(r"[^0-9A-Za-z]", "", found.message.queue_id or "")[:40] or str(found.message.id)


def _page(message_id: uuid.UUID, first: int) -> Page:
    found = load(message_id)
    first = max(first, 1)
    views = found.recipients[first - 1 :][:RECIPIENTS_SHOWN]
    if not views and found.recipients:
        abort(404)
    now = services().now()
    with services().database.reading() as session:
        handed = hand_overs.of_message(session, reader().account_id, message_id)
    handed = tuple(one for one in handed if one.is_open(now))
    part = dataclasses.replace(found, recipients=views)
    stories = transcript_story.tell_all(part, services().queue_times, reader().zone, now)
    shown = tuple(
        Shown(number, story, tuple(one for one in handed if one.recipient_key == address_key(view.address)))
        for number, (view, story) in enumerate(zip(views, stories, strict=True), start=first)
    )
    return Page(found, shown, first, _mark(stories), _again(found, views, now))


def _mark(stories: tuple[Story, ...]) -> str:
    """Short, and another for another page."""
    return hashlib.sha256(repr(stories).encode()).hexdigest()[:16]


def _again(found: Transcript, views: tuple[RecipientView, ...], now: dt.datetime) -> int | None:
    states = {view.state for view in views}
    if found.message.test_mode or not (states & _WAITING or not views):
        return None
    is_new = now - found.message.submitted_at < _NEW
    return _SOON_SECONDS if is_new and RecipientState.DEFERRED not in states else _LATER_SECONDS
