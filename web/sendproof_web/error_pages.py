"""Pages for what goes wrong: they help, and tell nothing of the inside."""

import logging

from flask import Flask, render_template, request
from flask.typing import ResponseReturnValue
from flask_wtf.csrf import CSRFError  # type: ignore[import-untyped] # it has no types
from gunicorn.http.errors import ParseException  # type: ignore[import-untyped] # it has no types
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, ProgrammingError
from werkzeug.exceptions import HTTPException

_LOG = logging.getLogger(__name__)
_WORDS = {
    400: ("That request was not understood", "The address or the form was damaged on its way. Go back and try again."),
    404: ("There is no such page", "The address may be mistyped, or the message belongs to somebody else."),
    405: ("That does not work here", "This page cannot be used in that way. Start from your messages."),
    413: ("That is too much at once", "Send less with one form."),
    500: ("Something broke on our side", "It is in our log. Your mail is not affected. Try again in a minute."),
    503: ("The record cannot be read at the moment", "Your mail goes out all the same. Try again in a minute."),
}
_EXPIRED_FORM = ("This form has expired", "Its session has ended, or cookies are off. Load the page again and repeat.")


def install(app: Flask) -> None:
    """Answer every error with a page."""
    app.register_error_handler(CSRFError, _expired_form)
    app.register_error_handler(HTTPException, _http_error)
    app.register_error_handler(DBAPIError, _database_error)
    app.register_error_handler(ParseException, _damaged_request)


def _page(code: int, words: tuple[str, str]) -> ResponseReturnValue:
    return render_template("error.html", code=code, title=words[0], help=words[1]), code


def _expired_form(_error: CSRFError) -> ResponseReturnValue:
    return _page(400, _EXPIRED_FORM)


def _damaged_request(_error: ParseException) -> ResponseReturnValue:
    """A body that gunicorn finds to be no HTTP only when it is read."""
    return _page(400, _WORDS[400])


def _http_error(error: HTTPException) -> ResponseReturnValue:
    if error.code is None or error.code < 400:  # a redirect is an exception, too
        return error.get_response()
    family = 400 if error.code < 500 else 500
    body, code = render_template("error.html", code=error.code, **_named(error.code, family)), error.code
    # Headers such as Allow stay.
    headers = [pair for pair in error.get_headers() if pair[0].lower() not in ("content-type", "content-length")]
    return body, code, headers


def _named(code: int, family: int) -> dict[str, str]:
    title, help_text = _WORDS.get(code, _WORDS[family])
    return {"title": title, "help": help_text}


def _database_error(error: DBAPIError) -> ResponseReturnValue:
    if isinstance(error, DataError | IntegrityError | ProgrammingError):  # the database is well: the fault is ours
        _LOG.exception("event=database_refused path=%s", request.path)
        return _page(500, _WORDS[500])
    _LOG.error("event=database_unavailable path=%s reason=%s", request.path, type(error).__name__)
    return _page(503, _WORDS[503])
