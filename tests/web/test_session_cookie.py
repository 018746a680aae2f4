import datetime as dt

import pytest
from flask import session

from sendproof_testing.own_site import OwnSite
from sendproof_web import queries, session_cookie
from sendproof_web.queries import SiteAccount


def eva(site: OwnSite) -> SiteAccount:
    with site.database.reading() as database_session:
        found = queries.account_by_login(database_session, "eva")
    assert found
    return found


def test_a_new_session_takes_nothing_over_from_the_one_before(site: OwnSite) -> None:
    with site.app.test_request_context():
        session["csrf_token"] = "before"
        session_cookie.keep("a token")
        assert session_cookie.token() == "a token"
        assert "csrf_token" not in session
        session_cookie.forget()
        assert session_cookie.token() is None


def test_a_right_password_alone_is_no_session(site: OwnSite) -> None:
    with site.app.test_request_context():
        session_cookie.keep("a token")
        session_cookie.keep_half(eva(site), "/account", site.now)
        assert session_cookie.token() is None
        half = session_cookie.half(site.now)
        assert half
        assert (half.account.login, half.wanted) == ("eva", "/account")
        assert session_cookie.half(site.now + dt.timedelta(minutes=5)) is None
        assert session_cookie.half(site.now - dt.timedelta(minutes=1)) is None


@pytest.mark.parametrize("content", [None, "x", [], [1, "x"], ["1", "mark", 5, None], [1, "mark", "5", None], {"a": 1}])
def test_any_other_content_is_nobody(site: OwnSite, content: object) -> None:
    with site.app.test_request_context():
        session["half"] = content
        session["session"] = content if not isinstance(content, str) else 7
        assert session_cookie.half(site.now) is None
        assert session_cookie.token() is None


def test_the_hash_of_the_password_is_not_in_the_cookie(site: OwnSite) -> None:
    account = eva(site)
    with site.app.test_request_context():
        session_cookie.keep_half(account, None, site.now)
        assert account.password_hash not in str(dict(session))
