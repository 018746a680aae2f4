"""Who may see which page. Every view says so; one that does not is answered to nobody.

Decides by role only. Whether a message, a domain, ... is the reader's own is a question of its query: what is not
yours answers as what does not exist.
"""

import datetime as dt
import enum
import re
import urllib.parse
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import flask_login  # type: ignore[import-untyped] # it has no types
from flask import Flask, abort, current_app, flash, redirect, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _

from sendproof_core.audit import Actor
from sendproof_web.services import services

# How long a password stays fresh: changes of passwords, addresses and the second factor want a fresh one.
FRESH = dt.timedelta(minutes=15)
# Never "//host" or "/\\host", which browsers take for another site.
_OWN_PATH = re.compile(r"/(?![/\\])[!-~]*")
_ATTRIBUTE = "sendproof_access"

View = TypeVar("View", bound=Callable[..., ResponseReturnValue])


class Access(enum.Enum):
    """Who is let in."""

    PUBLIC = "public"
    SIGNED_IN = "signed in"
    FRESH = "signed in a moment ago"
    PROVIDER = "provider"


@dataclass(frozen=True)
class Reader:
    """Who reads the page: the account it is shown for, and the person before it.

    ``actor_id``, ``actor_login``: who is signed in; another account than ``account_id`` where a provider acts as it.
    """

    account_id: int
    login: str
    zone: dt.tzinfo
    language: str | None
    is_provider: bool
    actor_id: int
    actor_login: str
    session_id: int
    authenticated_at: dt.datetime
    # Of the person, not of the account that a provider acts as.
    has_second_factor: bool = False
    # Of the account: its mail is refused, or thrown away.
    is_suspended: bool = False
    is_in_test_mode: bool = False

    # What Flask-Login asks of a user.
    is_authenticated = True
    is_active = True
    is_anonymous = False

    def get_id(self) -> str:
        """Not in use: the cookie holds the token of a session, not an account."""
        return str(self.session_id)

    @property
    def is_acting(self) -> bool:
        """Whether a provider looks at another account with that account's eyes."""
        return self.actor_id != self.account_id


def own_path(text: str | None) -> str | None:
    """The text, if it is a path on this site that a browser may be sent to."""
    return text if text and _OWN_PATH.fullmatch(text) else None


def public(view: View) -> View:
    """Let everybody see it."""
    return _declare(view, Access.PUBLIC)


def signed_in(view: View) -> View:
    """Let every account see it."""
    return _declare(view, Access.SIGNED_IN)


def freshly_signed_in(view: View) -> View:
    """Let an account see it that gave its password a moment ago; no provider who acts as it."""
    return _declare(view, Access.FRESH)


def provider(view: View) -> View:
    """Let the provider see it; to everybody else it does not exist."""
    return _declare(view, Access.PROVIDER)


def declared(view: Callable[..., object]) -> Access | None:
    """What a view said of itself."""
    found = getattr(view, _ATTRIBUTE, None)
    return found if isinstance(found, Access) else None


def visitor() -> Reader | None:
    """Who reads the page, if somebody is signed in."""
    user = flask_login.current_user._get_current_object()  # noqa: SLF001 - werkzeug's way to unwrap a proxy
    return user if isinstance(user, Reader) else None


def reader() -> Reader:
    """Who reads the page; for views that are not public."""
    found = visitor()
    if found is None:
        raise TypeError("nobody is signed in")
    return found


def actor() -> Actor:
    """Who does what this request asks for, as the audit log names them."""
    who = visitor()
    if who is None:
        return Actor(None, "not signed in", request.remote_addr)
    return Actor(who.actor_id, who.actor_login, request.remote_addr)


def install(app: Flask) -> None:
    """Ask before every request."""
    app.before_request(_guard)


def _guard() -> ResponseReturnValue | None:
    if request.endpoint is None or request.endpoint == "static":
        return None
    wanted = declared(current_app.view_functions[request.endpoint])
    if wanted is Access.PUBLIC:
        return None
    who = visitor()
    if who is None:
        return _to_sign_in("sign_in.sign_in")
    if wanted is None or (wanted is Access.PROVIDER and (not who.is_provider or who.is_acting)):
        abort(404)
    if wanted is Access.PROVIDER and not who.has_second_factor and services().web.provider_needs_second_factor:
        flash(_("First set up a second factor: the provider's pages are closed without it."), "bad")
        return _leave_for(url_for("security.second_factor"))
    if wanted is Access.FRESH:
        if who.is_acting:
            abort(403)
        if services().now() - who.authenticated_at > FRESH:
            return _to_sign_in("sign_in.again")
    return None


def _to_sign_in(endpoint: str) -> ResponseReturnValue:
    """To where the password is asked for; back after it, if this page or the one before can be asked for again."""
    if request.headers.get("HX-Request"):  # htmx asks for a part of a page: back to the whole of it
        page = _parts(request.headers.get("HX-Current-URL", ""))
        back = own_path(page._replace(scheme="", netloc="", fragment="").geturl()) or ""
    elif request.method in ("GET", "HEAD"):
        back = request.full_path.rstrip("?")
    else:
        came_from = _parts(request.referrer or "")
        back = came_from.path if came_from.netloc == request.host else ""
        if back:
            flash(_("First your password; then press the button once more."), "bad")
    return _leave_for(url_for(endpoint, next=back) if back not in ("", "/") else url_for(endpoint))


def _parts(address: str) -> urllib.parse.SplitResult:
    """Of the address of a page, as a browser says it; of what is none, empty ones."""
    try:
        return urllib.parse.urlsplit(address)
    except ValueError:
        return urllib.parse.urlsplit("")


def _leave_for(where: str) -> ResponseReturnValue:
    if request.headers.get("HX-Request"):  # htmx follows a redirect inside the page: this makes it leave the page
        return "", 401, {"HX-Redirect": where}
    return redirect(where, 303)


def _declare(view: View, access: Access) -> View:
    setattr(view, _ATTRIBUTE, access)
    return view
