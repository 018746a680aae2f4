"""The list of messages: search, pages, live states, export. `transcripts` shows a single one."""

import datetime as dt
import uuid
from dataclasses import dataclass

from flask import Blueprint, Response, abort, render_template, request
from flask.typing import ResponseReturnValue
from flask_babel import LazyString
from flask_babel import lazy_gettext as _l

from sendproof_core import csv_text, message_search, search_query
from sendproof_core.message_search import Page
from sendproof_core.search_query import Problem, ProblemKind, SearchQuery
from sendproof_core.states import RecipientState
from sendproof_core.transcripts import MessageSummary
from sendproof_web import message_export, search_box
from sendproof_web.access import reader, signed_in
from sendproof_web.services import services

PAGE_LENGTH = 50
_FINAL = frozenset(
    {
        RecipientState.DELIVERED,
        RecipientState.BOUNCED,
        RecipientState.EXPIRED,
        RecipientState.CANCELLED,
        RecipientState.UNKNOWN,
    }
)
# How soon the page asks again: while mail is under way; while it only waits for the next attempt, or for new mail.
_SOON_SECONDS, _LATER_SECONDS = 5, 30

# Words of `search_query`, for translation: the names of its problems, and the filters that write into the box.
_PROBLEMS: dict[ProblemKind, LazyString] = {
    ProblemKind.NO_SUCH_KEY: _l("There is no “%(part)s”; it was looked for as words."),
    ProblemKind.NO_SUCH_STATUS: _l("There is no status “%(part)s”; it was left out."),
    ProblemKind.NO_DATE: _l("“%(part)s” is no date; write one as 2026-11-22, today, yesterday or 7d. It was left out."),
    ProblemKind.NO_VALUE: _l("Nothing stands behind “%(part)s”; it was left out."),
    ProblemKind.NO_WORD: _l("“%(part)s” holds no letter and no digit; it was left out."),
    ProblemKind.TOO_MUCH: _l("The search is too long; its end was left out."),
    ProblemKind.NEVER: _l("Nothing can be both after and before these dates."),
}
STATUS_FILTERS: tuple[tuple[str | None, LazyString], ...] = (
    (None, _l("All")),
    ("delivered", _l("Accepted")),
    ("queued,deferred,held", _l("Under way")),
    ("bounced,expired", _l("Failed")),
    ("refused", _l("Refused by us")),
    ("unknown", _l("Unknown")),
    ("opened", _l("Opened")),
)
PERIOD_FILTERS: tuple[tuple[str | None, LazyString], ...] = (
    (None, _l("Any time")),
    ("today", _l("Today")),
    ("7d", _l("7 days")),
    ("30d", _l("30 days")),
)

blueprint = Blueprint("messages", __name__)


@dataclass(frozen=True)
class Filter:
    """One of the filters above the list. ``text``: what the search box says after it was chosen."""

    word: LazyString
    text: str
    is_chosen: bool


@blueprint.get("/messages")
@signed_in
def index() -> ResponseReturnValue:
    """What was sent and what was refused, newest first: all of it, or what the search box asks for."""
    text = _text()
    query = _query(text)
    page = _find(query, PAGE_LENGTH, request.args.get("cursor"))
    return render_template(
        "messages.html",
        text=text,
        page=page,
        problems=[_sentence(problem) for problem in query.problems],
        statuses=_filters(text, "status", STATUS_FILTERS),
        periods=_filters(text, "after", PERIOD_FILTERS),
        most_counted=message_search.MOST_COUNTED,
        most_exported=message_export.MOST,
        live=_live(
            [row.message for row in page.rows if row.message],
            newest=None if page.previous else page.rows[0].at if page.rows else services().now(),
        ),
    )


@dataclass(frozen=True)
class Live:
    """What a shown list asks for while it stands. ``newest``: None on pages that new mail does not come to."""

    ids: tuple[uuid.UUID, ...]
    newest: dt.datetime | None
    seconds: int


@blueprint.get("/messages/live")
@signed_in
def live() -> ResponseReturnValue:
    """How the rows of a shown list stand now, and whether newer ones have come; a part of the page, for htmx."""
    ids, newest = _ids(), _newest()
    with services().database.reading() as session:
        found = message_search.states_of(session, reader().account_id, ids)
    text = _text()
    has_newer = False
    if newest is not None:
        rows = _find(_query(text), 1, None).rows
        has_newer = bool(rows) and rows[0].at > newest
    summaries = [found[one] for one in ids if one in found]
    asking = None if has_newer and all(map(_is_final, summaries)) else _live(summaries, newest=newest)
    return render_template("messages_live.html", summaries=summaries, live=asking, has_newer=has_newer, text=text)


@blueprint.get("/messages/export.<any(csv, json):kind>")
@signed_in
def export(kind: str) -> ResponseReturnValue:
    """What was found, as a file: the newest `message_export.MOST` of it."""
    query = _query(_text())
    rows, truncated = message_export.gathered(lambda cursor, limit: _find(query, limit, cursor))
    if kind == "csv":
        answer = Response(message_export.as_csv(rows), content_type=csv_text.MEDIA_TYPE)
    else:
        answer = Response(message_export.as_json(rows, truncated=truncated), content_type="application/json")
    part = f"newest-{message_export.MOST}-" if truncated else ""
    name = f"messages-{part}{services().now():%Y-%m-%d}.{kind}"
    answer.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    return answer


# --- what was asked for ---------------------------------------------------------------------------------------------


def _text() -> str:
    return " ".join(request.args.get("q", "").replace("\0", " ").split())


def _query(text: str) -> SearchQuery:
    return search_query.parse(text, reader().zone, services().now())


def _find(query: SearchQuery, limit: int, cursor: str | None) -> Page:
    with services().database.reading() as session:
        try:
            return message_search.find(session, reader().account_id, query, limit=limit, cursor=cursor)
        except ValueError:
            abort(400)


def _sentence(problem: Problem) -> str:
    return str(_PROBLEMS[problem.kind]) % {"part": problem.part}


def _filters(text: str, key: str, choices: tuple[tuple[str | None, LazyString], ...]) -> list[Filter]:
    chosen = search_box.filter_of(text, key)
    return [Filter(word, search_box.with_filter(text, key, value), chosen == value) for value, word in choices]


def _ids() -> list[uuid.UUID]:
    """The rows that are asked about: as many as a page has."""
    try:
        return [uuid.UUID(text) for text in request.args.getlist("id")[:PAGE_LENGTH]]
    except ValueError:
        abort(400)


def _newest() -> dt.datetime | None:
    text = request.args.get("newest")
    if text is None:
        return None
    try:
        moment = dt.datetime.fromisoformat(text)
    except ValueError:
        abort(400)
    if moment.tzinfo is None:
        abort(400)
    return moment


# --- what may still change ------------------------------------------------------------------------------------------


def _is_final(message: MessageSummary) -> bool:
    return bool(message.recipients) and all(state in _FINAL for _, state in message.recipients)


def _live(messages: list[MessageSummary], *, newest: dt.datetime | None) -> Live | None:
    """What to ask for next; None: nothing of the page will change."""
    waiting = [message for message in messages if not _is_final(message)]
    if not waiting and newest is None:
        return None
    is_moving = any(
        not message.recipients or any(state is RecipientState.QUEUED for _, state in message.recipients)
        for message in waiting
    )
    ids = tuple(message.id for message in waiting if isinstance(message.id, uuid.UUID))
    return Live(ids, newest, _SOON_SECONDS if is_moving else _LATER_SECONDS)
