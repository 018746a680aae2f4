"""Pages for what goes wrong: they help, and tell nothing of the inside."""

import logging
from typing import Any

from flask import Flask, render_template, request
from flask.typing import ResponseReturnValue
from flask_babel import LazyString
from flask_babel import lazy_gettext as _l
from flask_wtf.csrf import CSRFError  # type: ignore[import-untyped] # it has no types
from gunicorn.http.errors import ParseException  # type: ignore[import-untyped] # it has no types
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, ProgrammingError
from werkzeug.exceptions import HTTPException

_LOG = logging.getLogger(__name__)
_Words = tuple[LazyString, LazyString]  # what happened, and what to do

_WORDS: dict[int, _Words] = {
    400: (
        _l("That request was not understood"),
        _l("The address or the form was damaged on its way. Go back and try again."),
    ),
    403: (
        _l("That is not open to you"),
        _l("Only the owner of the account can do this, with their own password."),
    ),
    404: (
        _l("There is no such page"),
        _l("The address may be mistyped, or what it names is gone or belongs to somebody else."),
    ),
    405: (_l("That does not work here"), _l("This page cannot be used in that way. Start from your messages.")),
    413: (_l("That is too much at once"), _l("Send less with one form.")),
    429: (_l("Too many attempts"), _l("Wait a few minutes, then try again.")),
    500: (
        _l("Something broke on our side"),
        _l("It is in our log. Your mail is not affected. Try again in a minute."),
    ),
    503: (
        _l("The record cannot be read at the moment"),
        _l("Your mail goes out all the same. Try again in a minute."),
    ),
}
_EXPIRED_FORM: _Words = (
    _l("This form has expired"),
    _l("Its session has ended, or cookies are off. Load the page again and repeat."),
)


def install(app: Flask) -> None:
    """Answer every error with a page."""
    app.register_error_handler(CSRFError, _expired_form)
    app.register_error_handler(HTTPException, _http_error)
    app.register_error_handler(DBAPIError, _database_error)
    app.register_error_handler(ParseException, _damaged_request)
    # Flask's own way would log the path, which may hold the token of a mailed link.
    app.log_exception = _log_bug  # type: ignore[method-assign]


def _log_bug(exc_info: Any) -> None:
    _LOG.error("event=bug method=%s page=%s", request.method, request.endpoint, exc_info=exc_info)


def _page(code: int, words: _Words) -> ResponseReturnValue:
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


def _named(code: int, family: int) -> dict[str, LazyString]:
    title, help_text = _WORDS.get(code, _WORDS[family])
    return {"title": title, "help": help_text}


def _database_error(error: DBAPIError) -> ResponseReturnValue:
    if isinstance(error, DataError | IntegrityError | ProgrammingError):  # the database is well: the fault is ours
        _LOG.exception("event=database_refused page=%s", request.endpoint)
        return _page(500, _WORDS[500])
    _LOG.error("event=database_unavailable page=%s reason=%s", request.endpoint, type(error).__name__)
    return _page(503, _WORDS[503])
