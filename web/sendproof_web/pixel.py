"""The opened-alert pixel: one image for every token, no database, no cookie; a journal line for a valid token.

Decides nothing about the grade: `opens` does.
"""

import base64
import logging

from flask import Blueprint, Response, request

from sendproof_core import journal_records, tokens
from sendproof_core.journal_records import Opened
from sendproof_core.tokens import Purpose
from sendproof_web import opens
from sendproof_web.services import services

# 1 x 1, transparent: 43 octets.
GIF = base64.b64decode("R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAICRAEAOw==")
_USER_AGENT_CHARACTERS = 500
_LOG = logging.getLogger(__name__)

blueprint = Blueprint("pixel", __name__)


@blueprint.get("/o/<token>.gif")
def fetch(token: str) -> Response:
    """The image, whatever the token is."""
    now = services().now()
    found = tokens.read(token, services().token_keys, now)
    if found is not None and found.purpose is Purpose.PIXEL:
        user_agent = request.headers.get("User-Agent", "")[:_USER_AGENT_CHARACTERS]
        line = journal_records.to_line(
            Opened(
                at=now,
                message_id=found.message_id,
                recipient_number=found.recipient_number,
                grade=opens.grade(request.method, user_agent, _purpose()).value,
                user_agent=user_agent,
            )
        )
        try:
            services().journal.append(line)
        except OSError as error:  # an open is decoration: the reader still gets the image
            _LOG.error("event=open_not_journalled message=%s reason=%s", found.message_id, error)
    response = Response(GIF, mimetype="image/gif")
    response.headers["Cache-Control"] = "no-store"
    response.headers["Cross-Origin-Resource-Policy"] = "cross-origin"  # mail readers on the web show it
    return response


def _purpose() -> str:
    names = ("Sec-Purpose", "Purpose", "X-Purpose", "X-Moz")
    return " ".join(request.headers.get(name, "") for name in names)
