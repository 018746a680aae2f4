"""The opened-alert pixel: one image for every token, no database, no cookie; a journal line for a valid token.

An account may have a picture of its own instead, a file that the operator has put into the folder of images. Who
fetched it is written down only where the pixel says so; else the grade alone is. Decides nothing about the grade:
`opens` does.
"""

import base64
import logging
import mimetypes
import re

from flask import Blueprint, Response, request

from sendproof_core import journal_records, tokens
from sendproof_core.journal_records import Opened
from sendproof_core.tokens import Purpose
from sendproof_web import opens
from sendproof_web.access import public
from sendproof_web.opens import Grade
from sendproof_web.services import services

# 1 x 1, transparent: 43 octets.
GIF = base64.b64decode("R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAICRAEAOw==")
_USER_AGENT_CHARACTERS = 500
_PURPOSES = (Purpose.PIXEL, Purpose.PIXEL_DETAILED)
_LOG = logging.getLogger(__name__)

# What `sendproof account change --tracking-image` takes: no folder, nothing hidden.
_PICTURE = re.compile(r"[a-z0-9][a-z0-9._-]{0,98}")

blueprint = Blueprint("pixel", __name__)


@blueprint.get("/o/<token>.gif")
@public
def fetch(token: str) -> Response:
    """The image, whatever the token is."""
    _note(token)
    return _image(GIF, "image/gif")


@blueprint.get("/o/<token>/<picture>")
@public
def fetch_picture(token: str, picture: str) -> Response:
    """A visible picture, whatever the token is; the pixel if there is no such picture."""
    _note(token)
    folder = services().images
    kind = mimetypes.guess_type(picture)[0] or ""
    if folder is not None and _PICTURE.fullmatch(picture) and kind.startswith("image/"):
        try:
            return _image((folder / picture).read_bytes(), kind)
        except OSError as error:
            _LOG.error("event=picture-not-read name=%s reason=%s", picture, error.strerror)
    return _image(GIF, "image/gif")


def _image(content: bytes, kind: str) -> Response:
    response = Response(content, mimetype=kind)
    response.headers["Cache-Control"] = "no-store"
    response.headers["Cross-Origin-Resource-Policy"] = "cross-origin"  # mail readers on the web show it
    return response


def _note(token: str) -> None:
    now = services().now()
    found = tokens.read(token, services().token_keys, now)
    if found is None or found.purpose not in _PURPOSES:
        return
    limit = services().open_limit
    if not limit.admits(found.message_id, found.recipient_number, now):
        return
    if count := limit.left_out():
        _LOG.warning("event=opens-not-journalled count=%d reason=too-many-of-one-pixel", count)
    user_agent = request.headers.get("User-Agent", "")[:_USER_AGENT_CHARACTERS]
    grade = opens.grade(request.method, user_agent, _purpose())
    may_know_who = found.purpose is Purpose.PIXEL_DETAILED
    line = journal_records.to_line(
        Opened(
            at=now,
            message_id=found.message_id,
            recipient_number=found.recipient_number,
            grade=grade.value,
            user_agent=user_agent if may_know_who or grade is not Grade.PERSON else "",
            client_address=request.remote_addr if may_know_who else None,
        )
    )
    try:
        services().journal.append(line)
    except OSError as error:  # an open is decoration: the reader still gets the image
        _LOG.error("event=open_not_journalled message=%s reason=%s", found.message_id, error)


def _purpose() -> str:
    names = ("Sec-Purpose", "Purpose", "X-Purpose", "X-Moz")
    return " ".join(request.headers.get(name, "") for name in names)
