"""The audit log for the provider: filter, page through, download."""

import datetime as dt
import json

from flask import Blueprint, Response, render_template, request
from flask.typing import ResponseReturnValue

from sendproof_core import audit_search, csv_text
from sendproof_core.audit_search import Wanted
from sendproof_web.access import provider, reader
from sendproof_web.services import services

_LONGEST = 200
_MOST_DOWNLOADED = 10_000
_DAYS = ("since", "until")

blueprint = Blueprint("provider_audit", __name__)


@blueprint.get("/provider/audit")
@provider
def index() -> ResponseReturnValue:
    """Who did what to whom, newest first."""
    kept, problems = _given()
    below = request.args.get("below", "")
    is_place = below.isascii() and below.isdigit() and len(below) < 19
    with services().database.reading() as session:
        page = audit_search.find(session, _wanted(kept), below=int(below) if is_place else None)
        events = audit_search.events(session)
    return render_template(
        "provider_audit.html", page=page, events=events, kept=kept, problems=problems, below=below if is_place else None
    )


@blueprint.get("/provider/audit.csv")
@provider
def download() -> ResponseReturnValue:
    """What was found, for a spreadsheet."""
    kept, _problems = _given()
    with services().database.reading() as session:
        entries = audit_search.find(session, _wanted(kept), limit=_MOST_DOWNLOADED).entries
    rows = [
        (
            entry.at.isoformat(timespec="seconds"),
            entry.actor,
            entry.account or "",
            entry.event,
            json.dumps(entry.details, ensure_ascii=False),
            entry.client_address or "",
        )
        for entry in entries
    ]
    text = csv_text.table(("at", "actor", "account", "event", "details", "client address"), rows)
    headers = {"Content-Disposition": 'attachment; filename="audit-log.csv"'}
    return Response(text, content_type=csv_text.MEDIA_TYPE, headers=headers)


def _given() -> tuple[dict[str, str], set[str]]:
    """The filters that were given, and the names of those that are no date."""
    kept = {
        name: text
        for name in ("account", "actor", "event", "since", "until")
        if (text := request.args.get(name, "").replace("\0", "").strip()[:_LONGEST])
    }
    return kept, {name for name in kept if name in _DAYS and _day(kept[name]) is None}


def _wanted(kept: dict[str, str]) -> Wanted:
    since, until = (_day(kept.get(name, "")) for name in _DAYS)
    return Wanted(
        account=kept.get("account"),
        actor=kept.get("actor"),
        event=kept.get("event"),
        after=since,
        # The last day is one of those that are wanted.
        before=None if until is None else until + dt.timedelta(days=1),
    )


def _day(text: str) -> dt.datetime | None:
    """The begin of that day in the reader's zone; None: it is no day."""
    try:
        day = dt.date.fromisoformat(text)
    except ValueError:
        return None
    if not 1970 <= day.year <= 9000:  # beyond these, moments in other zones have no number
        return None
    return dt.datetime.combine(day, dt.time(), reader().zone).astimezone(dt.UTC)
