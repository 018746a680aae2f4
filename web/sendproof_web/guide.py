"""The guide for "they say they did not get it": what the evidence says, what to do, wording ready to send."""

import uuid
from urllib.parse import quote

from flask import Blueprint, render_template
from flask.typing import ResponseReturnValue

from sendproof_core import evidence_guide, hand_overs, transcript_story
from sendproof_core.addresses import address_key
from sendproof_core.evidence_guide import Wording
from sendproof_core.transcript_answer import Case
from sendproof_web import hand_over, transcripts
from sendproof_web.access import reader, signed_in
from sendproof_web.services import services

# What mail programs take in a link; with more, the wording is copied by hand.
_MAILTO_CHARACTERS = 1_900

blueprint = Blueprint("guide", __name__)


@blueprint.get("/messages/<uuid:message_id>/recipients/<int:number>/guide")
@signed_in
def show(message_id: uuid.UUID, number: int) -> ResponseReturnValue:
    """What to do about one recipient."""
    found, recipient = transcripts.one_recipient(message_id, number)
    now = services().now()
    key = address_key(recipient.address)
    with services().database.reading() as session:
        links = hand_overs.of_message(session, reader().account_id, message_id)
    link = next((one for one in links if one.recipient_key == key and one.is_open(now)), None)
    case = Case(found.message, recipient, services().queue_times, reader().zone, now)
    guide = evidence_guide.guide(case, hand_over.address(link.id) if link else None)
    return render_template(
        "guide.html",
        message=found.message,
        number=number,
        back=transcripts.place(message_id, number),
        story=transcript_story.tell_case(case),
        guide=guide,
        link=link,
        mailto=mailto,
    )


def mailto(wording: Wording) -> str | None:
    """The wording as a link that opens a mail program (RFC 6068); None where it is too long for one."""
    to = quote(wording.to or "", safe="@")
    body = wording.body.replace("\n", "\r\n")
    link = f"mailto:{to}?subject={quote(wording.subject, safe='')}&body={quote(body, safe='')}"
    return link if len(link) <= _MAILTO_CHARACTERS else None
