"""Health of each part, lines that were not understood, and what was refused, for the provider."""

import datetime as dt
from collections.abc import Iterator

from flask import Blueprint, Response, render_template, request
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l

from sendproof_core import health, health_words, refusal_list, unknown_lines
from sendproof_core.health import Grade, Part, Reading
from sendproof_core.hostile_text import visible
from sendproof_core.refusal_list import SOURCES, Cursor, Wanted
from sendproof_web.access import provider
from sendproof_web.services import services

GRADES = {
    Grade.GOOD: _l("GOOD"),
    Grade.WATCH: _l("WATCH"),
    Grade.BAD: _l("BAD"),
    Grade.UNSURE: _l("NOT SURE"),
}
_SOURCES = {
    "milter": _l("By our rules"),
    "postfix": _l("By Postfix"),
    "sign-in": _l("Sign-in failed"),
}
_LONGEST = 200
_REASONS_SINCE = dt.timedelta(days=30)

blueprint = Blueprint("provider_health", __name__)


@blueprint.get("/provider/health")
@provider
def index() -> ResponseReturnValue:
    """Every part with its findings."""
    found = health.read(services().database, services().site.certificates, services().now())
    parts = [
        (part, _(health_words.PARTS[part]), found.grade_of(part), [worded(one) for one in found.of(part)])
        for part in Part
        if found.of(part)
    ]
    return render_template("provider_health.html", parts=parts, grades=GRADES, grade=found.grade, logs=found.logs)


def worded(reading: Reading) -> tuple[str, str, str]:
    """A finding for a page: its tone, its sentence, and what to do (nothing where all is well)."""
    words = health_words.WORDS[reading.finding]
    values = health_words.shown(reading)
    advice = _(words.advice) % values if words.advice and reading.grade is not Grade.GOOD else ""
    return reading.grade.value, visible(_(words.text) % values), visible(advice)


@blueprint.get("/provider/lines")
@provider
def lines() -> ResponseReturnValue:
    """What no rule knows: how much of which program, and the newest."""
    daemon = _text("daemon")
    with services().database.reading() as session:
        kinds = unknown_lines.kinds(session)
        page = unknown_lines.find(session, daemon, below=_number("below"))
    return render_template(
        "provider_lines.html",
        kinds=kinds,
        page=page,
        daemon=daemon,
        others=unknown_lines.OTHERS,
        below=_number("below"),
    )


@blueprint.get("/provider/lines.txt")
@provider
def lines_download() -> ResponseReturnValue:
    """The lines as text, for a report."""
    with services().database.reading() as session:
        found = list(unknown_lines.download(session, _text("daemon")))

    def text() -> Iterator[str]:
        for line in found:
            yield f"{line.read_at:%Y-%m-%dT%H:%M:%SZ} {visible(line.source)} {visible(line.line)}\n"

    headers = {"Content-Disposition": 'attachment; filename="lines-not-understood.txt"'}
    return Response("".join(text()), mimetype="text/plain", headers=headers)


@blueprint.get("/provider/refusals")
@provider
def refusals() -> ResponseReturnValue:
    """What was refused at submission, of all accounts."""
    now = services().now()
    source = request.args.get("source")
    wanted = Wanted(
        account=_text("account"),
        source=source if source in SOURCES else None,
        reason=_text("reason"),
        text=_text("q"),
    )
    after = Cursor.read(request.args.get("after", ""))
    with services().database.reading() as session:
        page = refusal_list.find(session, wanted, after=after)
        reasons = refusal_list.reasons(session, now - _REASONS_SINCE)
    kept = {
        name: value
        for name, value in (
            ("account", wanted.account),
            ("source", wanted.source),
            ("reason", wanted.reason),
            ("q", wanted.text),
        )
        if value
    }
    return render_template(
        "provider_refusals.html",
        page=page,
        wanted=wanted,
        kept=kept,
        after=after,
        reasons=reasons,
        sources=_SOURCES,
    )


def _text(name: str) -> str | None:
    """Of the address; what no database keeps is left out."""
    return request.args.get(name, "").replace("\0", "").strip()[:_LONGEST] or None


def _number(name: str) -> int | None:
    text = request.args.get(name, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None
