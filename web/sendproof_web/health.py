"""Whether the site can do its work, for a monitor. Says no more than that."""

import logging

from flask import Blueprint
from flask.typing import ResponseReturnValue
from sqlalchemy.exc import SQLAlchemyError

from sendproof_web import queries
from sendproof_web.access import public
from sendproof_web.services import services

_LOG = logging.getLogger(__name__)

blueprint = Blueprint("health", __name__)


@blueprint.get("/healthz")
@public
def healthz() -> ResponseReturnValue:
    """200 if the database answers, else 503."""
    try:
        with services().database.reading() as session:
            well = queries.answers(session)
    except SQLAlchemyError as error:
        _LOG.error("event=database_unavailable reason=%s", type(error).__name__)
        well = False
    return {"status": "ok" if well else "database unavailable"}, 200 if well else 503
