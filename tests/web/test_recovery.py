import datetime as dt

import pyotp
import pytest

from sendproof_core import directory, site_accounts
from sendproof_core.audit import COMMAND
from sendproof_core.mail_requests import Letter
from sendproof_testing.own_site import OwnSite
from sendproof_testing.visitor import Visitor
from sendproof_web import two_factor
from sendproof_web.services import services

NEW = "violet tractor under rain"


def ask(site: OwnSite, name: str, what: str = "password", visitor: Visitor | None = None) -> tuple[int, str | None]:
    answer = (visitor or site.visitor()).post("/forgotten", "/forgotten", what=what, name=name)
    return answer.status_code, answer.location


def reset_path(site: OwnSite) -> str:
    ask(site, "eva")
    return site.path_in(site.letters(Letter.RESET)[-1])


@pytest.mark.parametrize("name", ["eva", "eva@eva.example", " EVA@eva.example "])
def test_by_login_or_address_a_link_is_mailed_to_the_address_of_the_account(site: OwnSite, name: str) -> None:
    assert ask(site, name) == (303, "/forgotten/sent")
    (letter,) = site.letters()
    assert (letter.kind, letter.to_address, letter.data) == (Letter.RESET, "eva@eva.example", {"login": "eva"})
    assert "Look into your mail" in site.visitor().get("/forgotten/sent").text


@pytest.mark.parametrize("name", ["nobody", "nobody@nowhere.example", "max", "' OR 1=1 --", "x" * 300])
def test_who_is_not_known_or_has_no_address_is_answered_alike(site: OwnSite, name: str) -> None:
    assert ask(site, name) == (303, "/forgotten/sent")
    assert site.letters() == []


def test_a_forgotten_login_comes_with_all_that_the_address_has(site: OwnSite) -> None:
    with site.database.writing() as session:
        max_ = directory.find_account(session, "max")
        site_accounts.confirm_address(session, max_, "Eva@eva.example", COMMAND, site.now)
    ask(site, "eva@eva.example", "login")
    (letter,) = site.letters()
    assert (letter.kind, letter.data) == (Letter.LOGINS, {"logins": ["eva", "max"]})
    assert letter.link_id is None
    ask(site, "eva@EVA.example")
    assert {one.data["login"] for one in site.letters(Letter.RESET)} == {"eva", "max"}


def test_a_link_sets_a_new_password_once_and_signs_every_browser_out(site: OwnSite) -> None:
    before, path = site.visitor("eva"), reset_path(site)
    visitor = site.visitor()
    for _ in range(3):
        assert "eva" in visitor.get(path).text
    answer = visitor.post(path, path, password=NEW, repeat=NEW)
    assert answer.location == "/sign-in"
    assert before.get("/messages").status_code == 303
    assert "Your new password is set" in visitor.get("/sign-in").text
    assert visitor.get(path).status_code == 404
    assert visitor.sign_in("eva").status_code == 422
    assert visitor.sign_in("eva", NEW).location == "/messages"
    assert [letter.kind for letter in site.letters()] == [Letter.RESET, Letter.PASSWORD_CHANGED]
    assert site.audited()[:2] == ["reset asked", "password reset"]


def test_a_new_password_makes_an_end_of_all_other_links(site: OwnSite) -> None:
    first, second = reset_path(site), reset_path(site)
    visitor = site.visitor()
    assert visitor.post(second, second, password=NEW, repeat=NEW).status_code == 303
    assert visitor.get(first).status_code == 404


def test_a_link_is_good_for_an_hour(site: OwnSite) -> None:
    path = reset_path(site)
    site.now += dt.timedelta(minutes=59)
    assert site.visitor().get(path).status_code == 200
    site.now += dt.timedelta(minutes=1)
    assert site.visitor().get(path).status_code == 404


@pytest.mark.parametrize(
    ("password", "repeat", "words"),
    [
        ("short", "short", "too short"),
        ("eva@eva.example", "eva@eva.example", "from your login or address"),
        (NEW, NEW + "!", "The two passwords differ"),
        ("", "", "A new password, please."),
    ],
)
def test_a_refused_password_leaves_the_link_good(site: OwnSite, password: str, repeat: str, words: str) -> None:
    path = reset_path(site)
    answer = site.visitor().post(path, path, password=password, repeat=repeat)
    assert answer.status_code == 422
    assert words in answer.text
    assert site.visitor().get(path).status_code == 200


def test_a_new_password_does_not_stand_in_for_the_second_factor(site: OwnSite) -> None:
    with site.app.app_context(), site.database.writing() as session:
        eva, secrets = directory.find_account(session, "eva"), services().secrets
        two_factor.begin(session, eva, secrets)
        secret = two_factor.pending_secret(eva, secrets)
        assert secret
        two_factor.confirm(session, eva, secrets, pyotp.TOTP(secret).at(site.now), COMMAND, site.now)
    path = reset_path(site)
    visitor = site.visitor()
    visitor.post(path, path, password=NEW, repeat=NEW)
    assert visitor.get("/messages").status_code == 303
    assert visitor.sign_in("eva", NEW).location == "/sign-in/code"
    assert visitor.get("/messages").status_code == 303


def test_who_was_kept_out_by_guessers_may_come_in_with_the_new_password(site: OwnSite) -> None:
    visitor = site.visitor()
    assert [visitor.sign_in("eva", "wrong").status_code for _ in range(6)] == [422] * 5 + [429]
    path = reset_path(site)
    visitor.post(path, path, password=NEW, repeat=NEW)
    assert visitor.sign_in("eva", NEW).status_code == 303


def test_a_person_gets_three_letters_an_hour_and_nobody_is_told_that_it_was_enough(site: OwnSite) -> None:
    for _ in range(5):
        assert ask(site, "eva") == (303, "/forgotten/sent")
    assert len(site.letters()) == 3
    site.now += dt.timedelta(hours=1)
    ask(site, "eva")
    assert len(site.letters()) == 4


def test_one_network_does_not_ask_without_end(site: OwnSite) -> None:
    visitor = site.visitor()
    visitor.client.environ_base["REMOTE_ADDR"] = "203.0.113.7"
    assert [ask(site, f"n{number}", "password", visitor)[0] for number in range(21)] == [303] * 20 + [429]


def test_the_link_is_neither_logged_nor_audited(site: OwnSite, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    path = reset_path(site)
    visitor = site.visitor()
    visitor.post(path, path, password=NEW, repeat=NEW)
    assert "event=password_reset login=eva" in caplog.text
    assert path.rpartition("/")[2] not in caplog.text
    assert NEW not in caplog.text


def test_someone_elses_kind_of_link_is_gone_here(site: OwnSite) -> None:
    token = reset_path(site).rpartition("/")[2]
    for path in (f"/address/{token}", f"/invitation/{token}", f"/sign-up/{token}"):
        assert site.visitor().get(path).status_code == 404


def test_a_login_that_is_anothers_address_keeps_no_letter_from_that_person(site: OwnSite) -> None:
    with site.database.writing() as session:
        thief = directory.find_account(session, "max")
        thief.login = "eva@eva.example"
        site_accounts.confirm_address(session, thief, "thief@elsewhere.example", COMMAND, site.now)
    ask(site, "eva@eva.example")
    letters = {(one.to_address, one.data["login"]) for one in site.letters(Letter.RESET)}
    assert letters == {("eva@eva.example", "eva"), ("thief@elsewhere.example", "eva@eva.example")}
    ask(site, "eva@eva.example", "login")
    letters = {(one.to_address, *one.data["logins"]) for one in site.letters(Letter.LOGINS)}
    assert letters == {("eva@eva.example", "eva"), ("thief@elsewhere.example", "eva@eva.example")}


def test_other_spellings_of_an_address_get_no_more_letters(site: OwnSite) -> None:
    names = ["eva@eva.example", "EVA@eva.example.", '"eva"@eva.example', "eva@eva.example (1)", "eva@eva.example (2)"]
    for name in names:
        assert ask(site, name) == (303, "/forgotten/sent")
    assert len(site.letters(Letter.RESET)) <= 3


@pytest.mark.parametrize("name", ["eva\0@eva.example", "\0", "eva@eva.example\0"])
def test_what_no_database_keeps_is_nobodys_name(site: OwnSite, name: str) -> None:
    assert ask(site, name) == (303, "/forgotten/sent")
    assert site.letters() == []
