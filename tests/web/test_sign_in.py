import datetime as dt

import pyotp
import pytest
from flask import Flask
from sqlalchemy import select, text

from sendproof_core import directory, passwords
from sendproof_core.audit import COMMAND
from sendproof_core.schema import AuditEntry
from sendproof_testing.own_site import OwnSite
from sendproof_testing.sample_record import OFFER_ID, PASSWORD
from sendproof_testing.visitor import Visitor
from sendproof_web import two_factor
from sendproof_web.services import services


def test_a_signed_in_visitor_sees_the_messages(stranger: Visitor) -> None:
    answer = stranger.sign_in("max")
    assert (answer.status_code, answer.location) == (303, "/messages")
    assert "Offer 2026-117" in stranger.get("/messages").text


@pytest.mark.parametrize(("login", "password"), [("max", "wrong"), ("nobody", "wrong"), ("MAX' OR 1=1--", "wrong")])
def test_a_wrong_login_and_a_wrong_password_look_the_same(stranger: Visitor, login: str, password: str) -> None:
    answer = stranger.sign_in(login, password)
    assert answer.status_code == 422
    assert "Login or password is wrong." in answer.text
    assert stranger.get("/messages").status_code == 303


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
    assert "Try again in 15 minutes." in answer.text
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
    assert max_.get("/messages").status_code == 303


def test_after_signing_in_the_visitor_is_where_they_wanted_to_be(stranger: Visitor) -> None:
    wanted = stranger.get(f"/messages/{OFFER_ID}").location
    assert stranger.sign_in("max", path=wanted).location == f"/messages/{OFFER_ID}"


@pytest.mark.parametrize(
    "next_", ["https://evil.example/", "//evil.example/", "/%5Cevil.example", "javascript:alert(1)", "/a%0d%0ab"]
)
def test_signing_in_never_leads_to_another_site(stranger: Visitor, next_: str) -> None:
    assert stranger.sign_in("max", path=f"/sign-in?next={next_}").location == "/messages"


def test_a_forged_session_is_nobodys(stranger: Visitor) -> None:
    stranger.client.set_cookie("sendproof", "eyJfdXNlcl9pZCI6IjEuYWJjIn0.aaaa.bbbb")
    assert stranger.get("/messages").status_code == 303


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


def with_second_factor(site: OwnSite, login: str) -> str:
    """Set it up behind the site's back; the secret."""
    with site.app.app_context(), site.database.writing() as session:
        account, secrets = directory.find_account(session, login), services().secrets
        two_factor.begin(session, account, secrets)
        secret = two_factor.pending_secret(account, secrets)
        assert secret
        assert two_factor.confirm(session, account, secrets, pyotp.TOTP(secret).at(site.now), COMMAND, site.now)
    site.now += dt.timedelta(seconds=30)
    return secret


def from_address(visitor: Visitor, address: str) -> Visitor:
    visitor.client.environ_base["REMOTE_ADDR"] = address
    return visitor


def test_who_is_signed_in_has_no_need_of_the_form(max_: Visitor) -> None:
    assert max_.get("/sign-in").location == "/messages"
    assert max_.get("/sign-in?next=/account").location == "/account"


def test_signing_in_again_ends_the_session_before(site: OwnSite) -> None:
    visitor = site.visitor("eva")
    kept = visitor.client.get_cookie("sendproof")
    assert kept
    token = site.visitor()
    token.client.set_cookie("sendproof", kept.value)
    visitor.client.get("/messages")
    answer = visitor.post("/sign-in", "/messages", login="max", password=PASSWORD)
    assert answer.status_code == 303
    assert "Offer 2026-117" in visitor.get("/messages").text
    assert token.get("/messages").status_code == 303


def test_the_page_that_was_wanted_is_remembered_through_the_second_step(site: OwnSite) -> None:
    secret = with_second_factor(site, "eva")
    visitor = site.visitor()
    assert visitor.sign_in("eva", path="/sign-in?next=/account/security").location == "/sign-in/code"
    answer = visitor.post("/sign-in/code", "/sign-in/code", code=pyotp.TOTP(secret).at(site.now))
    assert answer.location == "/account/security"


def test_nobody_is_at_the_second_step_without_the_first(site: OwnSite) -> None:
    assert site.visitor().get("/sign-in/code").location == "/sign-in"


def test_the_second_step_waits_five_minutes_and_not_longer(site: OwnSite) -> None:
    secret = with_second_factor(site, "eva")
    visitor = site.visitor()
    visitor.sign_in("eva")
    site.now += dt.timedelta(minutes=4, seconds=59)
    assert visitor.get("/sign-in/code").status_code == 200
    page = visitor.get("/sign-in/code").text
    site.now += dt.timedelta(seconds=1)
    assert page
    answer = visitor.post("/sign-in/code", "/sign-in", code=pyotp.TOTP(secret).at(site.now))
    assert answer.location == "/sign-in"
    assert visitor.get("/messages").status_code == 303


def test_a_password_that_changed_meanwhile_makes_an_end_of_the_second_step(site: OwnSite) -> None:
    with_second_factor(site, "eva")
    visitor = site.visitor()
    visitor.sign_in("eva")
    with site.database.writing() as session:
        directory.find_account(session, "eva").password_hash = "another"
    assert visitor.get("/sign-in/code").location == "/sign-in"


def test_codes_are_not_guessed_without_end(site: OwnSite) -> None:
    secret = with_second_factor(site, "eva")
    visitor = site.visitor()
    visitor.sign_in("eva")
    tried = [visitor.post("/sign-in/code", "/sign-in/code", code="000000").status_code for _ in range(5)]
    assert tried == [422] * 5
    answer = visitor.post("/sign-in/code", "/sign-in/code", code=pyotp.TOTP(secret).at(site.now))
    assert answer.status_code == 429
    assert "Try again in 15 minutes." in answer.text


def test_the_password_once_more_makes_it_fresh_and_leads_back(site: OwnSite) -> None:
    visitor = site.visitor("eva")
    site.now += dt.timedelta(minutes=16)
    wanted = visitor.get("/account/security/password").location
    assert wanted == "/sign-in/again?next=/account/security/password"
    assert visitor.post(wanted, wanted, password="wrong").status_code == 422
    before = visitor.client.get_cookie("sendproof")
    assert visitor.post(wanted, wanted, password=PASSWORD).location == "/account/security/password"
    assert visitor.client.get_cookie("sendproof") != before
    assert visitor.get("/account/security/password").status_code == 200


def test_the_password_once_more_asks_for_a_code_too(site: OwnSite) -> None:
    secret = with_second_factor(site, "eva")
    visitor = site.visitor("eva")
    path = "/sign-in/again"
    assert visitor.post(path, path, password=PASSWORD).status_code == 422
    assert visitor.post(path, path, password=PASSWORD, code="000000").status_code == 422
    code = pyotp.TOTP(secret).at(site.now)
    assert visitor.post(path, path, password=PASSWORD, code=code).location == "/account/security"


def test_a_button_that_needs_a_fresh_password_leads_back_to_its_page(site: OwnSite) -> None:
    visitor = site.visitor("eva")
    site.now += dt.timedelta(minutes=16)
    page = "/account/security"
    visitor.client.environ_base["HTTP_REFERER"] = "http://localhost/account/security"
    answer = visitor.post(f"{page}/sessions/end-others", page)
    assert answer.location == "/sign-in/again?next=/account/security"
    assert "press the button once more" in visitor.get(answer.location).text
    visitor.client.environ_base["HTTP_REFERER"] = "http://evil.example/account/security"
    assert visitor.post(f"{page}/sessions/end-others", page).location == "/sign-in/again"


def test_guessers_from_everywhere_are_stopped_and_the_owner_is_not_locked_out(site: OwnSite) -> None:
    home = from_address(site.visitor(), "198.51.100.7")
    assert home.sign_in("eva").status_code == 303
    for number in range(50):
        guesser = from_address(site.visitor(), f"203.0.{number}.1")
        assert guesser.sign_in("eva", "wrong").status_code == 422
    assert from_address(site.visitor(), "203.0.99.1").sign_in("eva").status_code == 429
    assert from_address(site.visitor(), "198.51.100.8").sign_in("eva").status_code == 303


def test_the_audit_log_tells_who_came_in_and_who_did_not(site: OwnSite) -> None:
    visitor = site.visitor()
    visitor.sign_in("eva", "wrong-and-secret")
    visitor.sign_in("nobody-with-a-secret", "wrong")
    visitor.sign_in("eva")
    visitor.post("/sign-out", "/messages")
    eva = site.account("eva")
    with site.database.reading() as session:
        entries = list(session.scalars(select(AuditEntry).order_by(AuditEntry.id)))
        found = [(entry.event, entry.actor, entry.account_id, entry.client_address) for entry in entries]
        assert "secret" not in str([entry.details for entry in entries])
    assert found == [
        ("sign-in failed", "not signed in", eva.id, "127.0.0.1"),
        ("sign-in failed", "not signed in", None, "127.0.0.1"),
        ("signed in", "eva", eva.id, "127.0.0.1"),
        ("signed out", "eva", eva.id, "127.0.0.1"),
    ]


def test_a_session_ends_by_itself(site: OwnSite) -> None:
    visitor = site.visitor("eva")
    site.now += dt.timedelta(hours=1, minutes=59)
    assert visitor.get("/messages").status_code == 200
    site.now += dt.timedelta(hours=1, minutes=59)
    assert visitor.get("/messages").status_code == 200
    site.now += dt.timedelta(hours=2, minutes=1)
    assert visitor.get("/messages").status_code == 303


def test_a_page_is_shown_also_where_nothing_can_be_written(site: OwnSite, caplog: pytest.LogCaptureFixture) -> None:
    visitor = site.visitor("eva")
    site.now += dt.timedelta(minutes=2)
    with site.database.writing() as session:
        session.execute(
            text("CREATE TRIGGER full BEFORE UPDATE ON site_sessions BEGIN SELECT RAISE(ABORT, 'full'); END")
        )
    assert visitor.get("/account/security").status_code == 200
    assert "event=session_not_noted" in caplog.text


@pytest.mark.parametrize("value", ["1|\N{LATIN SMALL LETTER E WITH ACUTE}", "1|x", "|", "\0"])
def test_a_cookie_of_another_program_changes_nothing(site: OwnSite, value: str) -> None:
    visitor = site.visitor("eva")
    visitor.client.set_cookie("remember_token", value, domain="localhost")
    assert visitor.get("/messages").status_code == 200


def test_a_page_that_is_only_read_sets_no_cookie(site: OwnSite) -> None:
    visitor = site.visitor()
    visitor.sign_in("eva")
    assert "Set-Cookie" not in visitor.get("/messages/none").headers


def test_a_password_that_is_changed_while_it_is_checked_signs_nobody_in(
    site: OwnSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    verify = passwords.verify

    def changed_meanwhile(stored_hash: str | None, password: str) -> bool:
        is_right = verify(stored_hash, password)
        with site.database.writing() as session:
            directory.find_account(session, "eva").password_hash = "another"
        return is_right

    monkeypatch.setattr(passwords, "verify", changed_meanwhile)
    visitor = site.visitor()
    assert visitor.sign_in("eva").location == "/sign-in"
    assert visitor.get("/messages").status_code == 303


def test_a_second_factor_that_is_set_up_meanwhile_is_asked_for(site: OwnSite, monkeypatch: pytest.MonkeyPatch) -> None:
    verify = passwords.verify

    def set_up_meanwhile(stored_hash: str | None, password: str) -> bool:
        with site.database.writing() as session:
            directory.find_account(session, "eva").totp_since = site.now
        return verify(stored_hash, password)

    monkeypatch.setattr(passwords, "verify", set_up_meanwhile)
    visitor = site.visitor()
    assert visitor.sign_in("eva").location == "/sign-in"
    assert visitor.get("/messages").status_code == 303
