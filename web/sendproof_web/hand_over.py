"""Links to one recipient's transcript: made and ended by the sender, followed by the recipient's IT department.

Who follows one needs no account, gets no cookie, and sees what `redaction` leaves: that recipient, nothing of others.
"""

import dataclasses
import datetime as dt
import logging
import uuid

from flask import Blueprint, Response, abort, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from flask_wtf import FlaskForm  # type: ignore[import-untyped] # it has no types
from sqlalchemy.exc import DBAPIError
from wtforms import RadioField  # type: ignore[import-untyped] # it has no types
from wtforms.fields.choices import SelectChoice  # type: ignore[import-untyped] # it has no types

from sendproof_core import audit, hand_overs, plans, redaction, transcript_json, transcript_queries, transcript_story
from sendproof_core.addresses import address_key
from sendproof_core.hand_overs import DAYS, Followed, HandOverView
from sendproof_core.transcript_text import render
from sendproof_core.transcripts import Transcript
from sendproof_core.wording import ReadersTime
from sendproof_web import transcripts
from sendproof_web.access import actor, public, reader, signed_in
from sendproof_web.services import services

_PAGE_LENGTH = 50
_TEXT_WIDTH = 120
_LOG = logging.getLogger(__name__)

blueprint = Blueprint("hand_over", __name__)


@blueprint.app_template_filter()
def in_zone(moment: dt.datetime, zone: dt.tzinfo) -> str:
    """``22 Nov 2026 14:03:05 CET``: for who is not signed in, and so has no zone."""
    return ReadersTime(zone, moment.astimezone(zone).date()).full(moment)


@blueprint.app_template_filter()
def utc_clock(moment: dt.datetime) -> str:
    """``13:03:05 UTC``, beside the same moment in the sender's zone."""
    return f"{moment.astimezone(dt.UTC):%H:%M:%S} UTC"


class HandOverForm(FlaskForm):  # type: ignore[misc] # FlaskForm has no types
    """How long the link is to be good."""

    days = RadioField(
        _l("How long should the link work?"),
        choices=[SelectChoice(str(days), _l("%(days)s days", days=days)) for days in DAYS],
        default=str(DAYS[1]),
    )


def address(hand_over_id: uuid.UUID) -> str:
    """The link, as it is sent to somebody."""
    token = hand_overs.token(hand_over_id, services().links_key)
    return services().site.url + url_for("hand_over.page", token=token)


# --- the sender's side ----------------------------------------------------------------------------------------------


@blueprint.get("/messages/<uuid:message_id>/recipients/<int:number>/hand-over")
@signed_in
def of_recipient(message_id: uuid.UUID, number: int) -> ResponseReturnValue:
    """The links of one recipient, and a new one."""
    return _recipient_page(message_id, number, HandOverForm())


@blueprint.post("/messages/<uuid:message_id>/recipients/<int:number>/hand-over")
@signed_in
def create(message_id: uuid.UUID, number: int) -> ResponseReturnValue:
    """Make a link. ``back``: "guide" where that asked for it."""
    form = HandOverForm()
    if not form.validate_on_submit():
        return _recipient_page(message_id, number, form), 422
    found, recipient = transcripts.one_recipient(message_id, number)
    now, days = services().now(), int(form.days.data)
    with services().database.writing() as session:
        made = hand_overs.make(
            session,
            account_id=reader().account_id,
            message_id=message_id,
            recipient_key=address_key(recipient.address),
            days=days,
            now=now,
        )
        if made is not None:
            details = {"message": str(found.message.id), "recipient": recipient.address, "days": days}
            audit.record(session, "hand-over created", actor(), now, account_id=reader().account_id, details=details)
    if made is None:
        flash(_("This message has too many links already. Remove the ones that nobody needs any more."), "bad")
    else:
        flash(_("The link is made. Copy it and send it to the recipient's IT department."), "good")
    endpoint = "guide.show" if request.args.get("back") == "guide" else "hand_over.of_recipient"
    return redirect(url_for(endpoint, message_id=message_id, number=number), 303)


@blueprint.get("/account/hand-overs")
@signed_in
def index() -> ResponseReturnValue:
    """All links of the account, newest first."""
    before = _before(request.args.get("before"))
    with services().database.reading() as session:
        rows = hand_overs.of_account(session, reader().account_id, limit=_PAGE_LENGTH + 1, before=before)
    more = rows[_PAGE_LENGTH - 1] if len(rows) > _PAGE_LENGTH else None
    return render_template(
        "hand_overs.html",
        rows=rows[:_PAGE_LENGTH],
        is_first=before is None,
        after=f"{more.created_at.isoformat()}/{more.id}" if more else None,
        now=services().now(),
        address=address,
    )


@blueprint.post("/account/hand-overs/<uuid:hand_over_id>/revoke")
@signed_in
def revoke(hand_over_id: uuid.UUID) -> ResponseReturnValue:
    """From now on the link leads nowhere."""
    now, account_id = services().now(), reader().account_id
    with services().database.writing() as session:
        found = hand_overs.find(session, account_id, hand_over_id)
        if found is not None and hand_overs.revoke(session, account_id, hand_over_id, now):
            details = {"message": str(found.message_id), "recipient": found.recipient_key}
            audit.record(session, "hand-over revoked", actor(), now, account_id=account_id, details=details)
    if found is None:
        abort(404)
    flash(_("The link is revoked: nobody can use it any more."), "good")
    return redirect(_back_from_revoking(found), 303)


def _recipient_page(message_id: uuid.UUID, number: int, form: HandOverForm) -> str:
    found, recipient = transcripts.one_recipient(message_id, number)
    key = address_key(recipient.address)
    with services().database.reading() as session:
        links = hand_overs.of_message(session, reader().account_id, message_id)
    return render_template(
        "hand_over.html",
        message=found.message,
        recipient=recipient,
        number=number,
        back=transcripts.place(message_id, number),
        links=tuple(one for one in links if one.recipient_key == key),
        form=form,
        now=services().now(),
        address=address,
    )


def _back_from_revoking(found: HandOverView) -> str:
    """To the page of the recipient whose link it was, if that asked for it."""
    number = request.args.get("number", type=int)
    if number is not None and 0 < number < 10**6:
        return url_for("hand_over.of_recipient", message_id=found.message_id, number=number)
    return url_for("hand_over.index")


def _before(text: str | None) -> tuple[dt.datetime, uuid.UUID] | None:
    if text is None:
        return None
    moment, _slash, number = text.partition("/")
    try:
        at, hand_over_id = dt.datetime.fromisoformat(moment), uuid.UUID(number)
    except ValueError:
        abort(400)
    if at.tzinfo is None or not 1970 <= at.year < 9999:
        abort(400)
    return at, hand_over_id


# --- who follows a link ---------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class _HandedOver:
    """What a link leads to. ``transcript``: redacted."""

    link: Followed
    transcript: Transcript
    zone: dt.tzinfo
    now: dt.datetime

    def stories(self) -> tuple[transcript_story.Story, ...]:
        queue_times = services().queue_times
        return transcript_story.tell_all(self.transcript, queue_times, self.zone, self.now, to_outsider=True)


@blueprint.get(f"/t/<string(length={hand_overs.TOKEN_CHARACTERS}):token>")
@public
def page(token: str) -> ResponseReturnValue:
    """One recipient's transcript, for the recipient's IT department."""
    found = _follow(token)
    stories = found.stories()
    _count(found)
    return _for_outsiders(
        Response(
            render_template(
                "hand_over_page.html",
                link=found.link,
                message=found.transcript.message,
                stories=stories,
                is_reduced=redaction.ANOTHER in repr(stories),
                zone=found.zone,
                token=token,
            )
        )
    )


@blueprint.get(f"/t/<string(length={hand_overs.TOKEN_CHARACTERS}):token>.txt")
@public
def page_text(token: str) -> ResponseReturnValue:
    """The same as plain text."""
    found = _follow(token)
    text = "\n".join(render(one, width=_TEXT_WIDTH, whole=True, to_outsider=True) for one in found.stories())
    _count(found)
    return _for_outsiders(transcripts.download(text, "text/plain; charset=utf-8", "transcript.txt"))


@blueprint.get(f"/t/<string(length={hand_overs.TOKEN_CHARACTERS}):token>.json")
@public
def page_json(token: str) -> ResponseReturnValue:
    """The same as JSON."""
    found = _follow(token)
    value = transcript_json.hand_over(found.transcript, services().queue_times, found.now)
    _count(found)
    text = transcript_json.to_text(value) + "\n"
    return _for_outsiders(transcripts.download(text, "application/json", "transcript.json"))


def _follow(token: str) -> _HandedOver:
    """Whatever is wrong with a link, it leads to the page that says that there is none."""
    now = services().now()
    with services().database.reading() as session:
        link = hand_overs.follow(session, token, services().links_key, now)
        if link is None:
            abort(404)
        found = transcript_queries.load_transcript(session, link.message_id, link.account_id)
    if found is None:
        abort(404)
    redacted = redaction.for_recipient(found, link.recipient_key)
    if not redacted.recipients:
        abort(404)
    return _HandedOver(link, redacted, plans.zone(link.time_zone), now)


def _count(found: _HandedOver) -> None:
    """That it was shown is worth knowing, and not worth an error page."""
    if request.method != "GET":
        return
    try:
        with services().database.writing() as session:
            hand_overs.count(session, found.link.id, found.now)
    except DBAPIError as error:
        _LOG.error("event=hand_over_not_counted id=%s reason=%s", found.link.id, type(error).__name__)


def _for_outsiders(response: Response) -> Response:
    response.headers["X-Robots-Tag"] = "noindex, nofollow, noarchive"
    # The address is the key: it is told to nobody.
    response.headers["Referrer-Policy"] = "no-referrer"
    return response
