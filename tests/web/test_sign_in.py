import pytest
from flask import Flask

from sendproof_core import passwords
from sendproof_core.schema import Account
from sendproof_core.settings import SettingsFile
from sendproof_testing import sample_site
from sendproof_testing.sample_record import OFFER_ID
from sendproof_testing.visitor import Visitor


def test_a_signed_in_visitor_sees_the_messages(stranger: Visitor) -> None:
    answer = stranger.sign_in("max")
    assert (answer.status_code, answer.location) == (303, "/messages")
    assert "Offer 2026-117" in stranger.get("/messages").text


@pytest.mark.parametrize(("login", "password"), [("max", "wrong"), ("nobody", "wrong"), ("MAX' OR 1=1--", "wrong")])
def test_a_wrong_login_and_a_wrong_password_look_the_same(stranger: Visitor, login: str, password: str) -> None:
    answer = stranger.sign_in(login, password)
    assert answer.status_code == 422
    assert "Login or password is wrong." in answer.text
    assert stranger.get("/messages").status_code == 302


def test_an_empty_form_says_beside_the_field_what_is_missing(stranger: Visitor) -> None:
    answer = stranger.sign_in("", "")
    assert answer.status_code == 422
    assert "Your login, please." in answer.text


def test_the_form_keeps_the_login_and_never_the_password(stranger: Visitor) -> None:
    page = stranger.sign_in('m"><script>', "hunter2-secret").text
    assert "m&#34;&gt;&lt;script&gt;" in page
    assert "hunter2-secret" not in page


def test_guessing_is_stopped_even_for_the_right_password(app: Flask) -> None:
    visitor = Visitor(app.test_client())
    for _ in range(5):
        assert visitor.sign_in("eve", "wrong").status_code == 422
    answer = visitor.sign_in("eve")
    assert answer.status_code == 429
    assert "Try again in 16 minutes." in answer.text
    assert visitor.sign_in("max").status_code == 303


def test_a_form_without_its_token_is_refused(stranger: Visitor) -> None:
    stranger.get("/sign-in")
    answer = stranger.client.post("/sign-in", data={"login": "max", "password": "x"})
    assert answer.status_code == 400
    assert "This form has expired" in answer.text


def test_signing_out_ends_the_session_and_needs_a_form(max_: Visitor) -> None:
    assert max_.get("/sign-out").status_code == 405
    assert max_.client.post("/sign-out").status_code == 400
    assert max_.get("/messages").status_code == 200
    assert max_.post("/sign-out", "/messages").location == "/sign-in"
    assert max_.get("/messages").status_code == 302


def test_after_signing_in_the_visitor_is_where_they_wanted_to_be(stranger: Visitor) -> None:
    wanted = stranger.get(f"/messages/{OFFER_ID}").location
    assert stranger.sign_in("max", path=wanted).location == f"/messages/{OFFER_ID}"


@pytest.mark.parametrize(
    "next_", ["https://evil.example/", "//evil.example/", "/%5Cevil.example", "javascript:alert(1)", "/a%0d%0ab"]
)
def test_signing_in_never_leads_to_another_site(stranger: Visitor, next_: str) -> None:
    assert stranger.sign_in("max", path=f"/sign-in?next={next_}").location == "/messages"


def test_a_session_ends_with_the_password(max_: Visitor, settings_file: SettingsFile) -> None:
    database = sample_site.database_of(settings_file)
    with database.writing() as session:
        account = session.query(Account).filter_by(login="max").one()
        before = account.password_hash
        account.password_hash = passwords.hash_site_password("another one")
    try:
        assert max_.get("/messages").status_code == 302
    finally:
        with database.writing() as session:
            session.query(Account).filter_by(login="max").one().password_hash = before
        database.close()


def test_a_forged_session_is_nobodys(stranger: Visitor) -> None:
    stranger.client.set_cookie("sendproof", "eyJfdXNlcl9pZCI6IjEuYWJjIn0.aaaa.bbbb")
    assert stranger.get("/messages").status_code == 302


def test_the_cookie_is_out_of_reach_of_scripts_and_other_sites(stranger: Visitor) -> None:
    cookie = stranger.sign_in("max").headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    assert "Secure" not in cookie  # this site is reached over plain HTTP


@pytest.mark.parametrize("login", ["bob address=198.51.100.9", "with\0nul", "a password typed here", "x" * 101])
def test_what_is_no_login_is_wrong_and_not_logged(
    stranger: Visitor, caplog: pytest.LogCaptureFixture, login: str
) -> None:
    answer = stranger.sign_in(login, "wrong")
    assert answer.status_code == 422
    assert login not in caplog.text
