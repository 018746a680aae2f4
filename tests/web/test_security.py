import datetime as dt
import re

import pyotp
import pytest
from werkzeug.test import TestResponse

from sendproof_core.mail_requests import Letter
from sendproof_testing import own_site
from sendproof_testing.own_site import OwnSite
from sendproof_testing.sample_record import PASSWORD
from sendproof_testing.visitor import Visitor
from sendproof_web.access import FRESH

NEW = "violet tractor under rain"
PAGE = "/account/security"
PASSWORD_PAGE, ADDRESS_PAGE, FACTOR_PAGE = f"{PAGE}/password", f"{PAGE}/address", f"{PAGE}/second-factor"


def change_password(visitor: Visitor, old: str = PASSWORD, new: str = NEW, repeat: str = NEW) -> TestResponse:
    return visitor.post(PASSWORD_PAGE, PASSWORD_PAGE, old=old, password=new, repeat=repeat)


def set_up_second_factor(site: OwnSite, visitor: Visitor) -> tuple[str, list[str]]:
    """The secret that the app has, and the recovery codes that were shown."""
    assert visitor.post(FACTOR_PAGE, FACTOR_PAGE).status_code == 303
    found = re.search(r'id="totp-secret">([A-Z2-7]+)<', visitor.get(FACTOR_PAGE).text)
    assert found
    answer = visitor.post(f"{FACTOR_PAGE}/confirm", FACTOR_PAGE, code=pyotp.TOTP(found[1]).at(site.now))
    assert answer.status_code == 200
    assert answer.headers["Cache-Control"] == "no-store"
    return found[1], re.findall(r"[a-z2-7]{4}(?:-[a-z2-7]{4}){3}", answer.text)


def test_the_page_says_what_one_signs_in_with(site: OwnSite) -> None:
    page = site.visitor("eva").get(PAGE).text
    assert "eva@eva.example" in page
    assert "Confirmed" in page
    assert "The password alone signs in." in page
    assert "a forgotten password cannot be replaced" in site.visitor("max").get(PAGE).text


def test_a_new_password_needs_the_old_one_and_signs_every_other_browser_out(site: OwnSite) -> None:
    visitor, other, eve = site.visitor("eva"), site.visitor("eva"), site.visitor("eve")
    before = visitor.client.get_cookie("sendproof")
    assert change_password(visitor).location == PAGE
    assert visitor.client.get_cookie("sendproof") != before
    assert "every other browser is signed out" in visitor.get(PAGE).text
    assert [one.get("/messages").status_code for one in (visitor, other, eve)] == [200, 303, 200]
    assert site.visitor().sign_in("eva").status_code == 422
    assert site.visitor().sign_in("eva", NEW).status_code == 303
    (letter,) = site.letters()
    assert (letter.kind, letter.to_address) == (Letter.PASSWORD_CHANGED, "eva@eva.example")


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"old": "not the password"}, "This is not your current password."),
        ({"old": ""}, "Your current password, please."),
        ({"new": "short", "repeat": "short"}, "too short"),
        ({"new": "eva@eva.example", "repeat": "eva@eva.example"}, "from your login or address"),
        ({"repeat": "something else"}, "The two passwords differ"),
    ],
)
def test_a_password_that_is_refused_changes_nothing(site: OwnSite, values: dict[str, str], words: str) -> None:
    before = site.account("eva").password_hash
    answer = change_password(site.visitor("eva"), **values)
    assert answer.status_code == 422
    assert words in answer.text
    assert NEW not in answer.text
    assert site.account("eva").password_hash == before
    assert site.letters() == []


def test_the_old_password_cannot_be_guessed_here_either(site: OwnSite) -> None:
    visitor = site.visitor("eva")
    assert [change_password(visitor, old="wrong").status_code for _ in range(6)] == [422] * 5 + [429]


def test_an_address_is_in_force_once_it_is_confirmed_and_the_one_before_is_told(site: OwnSite) -> None:
    visitor = site.visitor("eva")
    assert visitor.post(ADDRESS_PAGE, ADDRESS_PAGE, address="eva@new.example").location == PAGE
    assert site.account("eva").address == "eva@eva.example"
    (letter,) = site.letters()
    assert (letter.kind, letter.to_address) == (Letter.CONFIRM_ADDRESS, "eva@new.example")
    path = site.path_in(letter)
    stranger = site.visitor()
    for _ in range(3):
        page = stranger.get(path)
        assert page.status_code == 200
        assert "eva@new.example" in page.text
    assert site.account("eva").address == "eva@eva.example"
    assert stranger.post(path, path).status_code == 303
    assert site.account("eva").address == "eva@new.example"
    assert site.letters()[-1].to_address == "eva@eva.example"
    assert site.letters()[-1].data == {"login": "eva", "new_address": "eva@new.example"}
    assert stranger.get(path).status_code == 404


def test_a_confirmation_needs_the_button_of_our_page(site: OwnSite) -> None:
    visitor = site.visitor("eva")
    visitor.post(ADDRESS_PAGE, ADDRESS_PAGE, address="eva@new.example")
    path = site.path_in(site.letters()[0])
    assert site.visitor().client.post(path).status_code == 400
    assert site.account("eva").address == "eva@eva.example"


@pytest.mark.parametrize("address", ["", "eva", "a@b.example\nBcc: x@y.example", "<script>@x.example"])
def test_what_is_no_address_is_refused_beside_its_field(site: OwnSite, address: str) -> None:
    answer = site.visitor("eva").post(ADDRESS_PAGE, ADDRESS_PAGE, address=address)
    assert answer.status_code == 422
    assert 'aria-invalid="true"' in answer.text
    assert "<script>@" not in answer.text
    assert site.letters() == []


def test_an_account_does_not_write_to_others_without_end(site: OwnSite) -> None:
    visitor = site.visitor("eva")
    answers = [
        visitor.post(ADDRESS_PAGE, ADDRESS_PAGE, address=f"n{number}@new.example").status_code for number in range(6)
    ]
    assert answers == [303] * 5 + [429]


def test_with_a_second_factor_the_password_alone_does_not_sign_in(site: OwnSite) -> None:
    visitor, other = site.visitor("eva"), site.visitor("eva")
    secret, codes = set_up_second_factor(site, visitor)
    assert len(codes) == 10
    assert [visitor.get("/messages").status_code, other.get("/messages").status_code] == [200, 303]
    assert site.letters()[0].data["on"] is True
    site.now += dt.timedelta(seconds=30)
    later = site.visitor()
    assert later.sign_in("eva").location == "/sign-in/code"
    assert later.get("/messages").status_code == 303
    wrong = later.post("/sign-in/code", "/sign-in/code", code="000000")
    assert wrong.status_code == 422
    assert "This code is wrong" in wrong.text
    assert later.post("/sign-in/code", "/sign-in/code", code=pyotp.TOTP(secret).at(site.now)).location == "/messages"
    assert later.get("/messages").status_code == 200


def test_a_recovery_code_signs_in_once_and_says_how_many_are_left(site: OwnSite) -> None:
    _, codes = set_up_second_factor(site, site.visitor("eva"))
    first = site.visitor()
    first.sign_in("eva")
    assert first.post("/sign-in/code", "/sign-in/code", code=codes[0]).location == "/messages"
    assert "9 are left" in first.get("/messages").text
    second = site.visitor()
    second.sign_in("eva")
    assert second.post("/sign-in/code", "/sign-in/code", code=codes[0]).status_code == 422
    assert "recovery code used" in site.audited()


def test_the_secret_is_shown_until_it_is_in_force_and_never_after(site: OwnSite) -> None:
    visitor = site.visitor("eva")
    assert visitor.get(f"{FACTOR_PAGE}/code.svg").status_code == 404
    assert visitor.post(FACTOR_PAGE, FACTOR_PAGE).status_code == 303
    picture = visitor.get(f"{FACTOR_PAGE}/code.svg")
    assert (picture.status_code, picture.mimetype) == (200, "image/svg+xml")
    assert picture.headers["Cache-Control"] == "no-store"
    secret, _ = set_up_second_factor(site, visitor)
    assert visitor.get(f"{FACTOR_PAGE}/code.svg").status_code == 404
    assert secret not in visitor.get(FACTOR_PAGE).text


def test_a_wrong_first_code_leaves_it_off(site: OwnSite) -> None:
    visitor = site.visitor("eva")
    visitor.post(FACTOR_PAGE, FACTOR_PAGE)
    answer = visitor.post(f"{FACTOR_PAGE}/confirm", FACTOR_PAGE, code="000000")
    assert answer.status_code == 422
    assert "This code is wrong" in answer.text
    assert site.account("eva").totp_since is None
    assert site.visitor().sign_in("eva").location == "/messages"


def test_the_second_factor_can_be_switched_off_again(site: OwnSite) -> None:
    visitor = site.visitor("eva")
    set_up_second_factor(site, visitor)
    assert visitor.post(f"{FACTOR_PAGE}/off", FACTOR_PAGE).location == PAGE
    assert site.visitor().sign_in("eva").location == "/messages"
    assert [letter.data["on"] for letter in site.letters(Letter.SECOND_FACTOR_CHANGED)] == [True, False]


def test_new_recovery_codes_are_shown_once(site: OwnSite) -> None:
    visitor = site.visitor("eva")
    _, before = set_up_second_factor(site, visitor)
    answer = visitor.post(f"{PAGE}/recovery-codes", FACTOR_PAGE)
    fresh = re.findall(r"[a-z2-7]{4}(?:-[a-z2-7]{4}){3}", answer.text)
    assert len(fresh) == 10
    assert set(fresh).isdisjoint(before)
    assert fresh[0] not in visitor.get(FACTOR_PAGE).text


def test_without_a_second_factor_there_are_no_recovery_codes(site: OwnSite) -> None:
    assert site.visitor("eva").post(f"{PAGE}/recovery-codes", FACTOR_PAGE).location == FACTOR_PAGE


def session_ids(visitor: Visitor) -> list[str]:
    return re.findall(rf"{PAGE}/sessions/(\d+)/end", visitor.get(PAGE).text)


def test_one_browser_is_signed_out_by_another(site: OwnSite) -> None:
    visitor, first, second = site.visitor("eva"), site.visitor("eva"), site.visitor("eva")
    ids = session_ids(visitor)
    assert len(ids) == 2
    assert visitor.post(f"{PAGE}/sessions/{ids[0]}/end", PAGE).location == PAGE
    assert sorted(one.get("/messages").status_code for one in (first, second)) == [200, 303]
    assert visitor.post(f"{PAGE}/sessions/{ids[0]}/end", PAGE).status_code == 404


def test_nobody_signs_anothers_browser_out(site: OwnSite) -> None:
    eva, max_ = site.visitor("eva"), site.visitor("max")
    other = site.visitor("eva")
    (victim,) = session_ids(eva)
    assert max_.post(f"{PAGE}/sessions/{victim}/end", PAGE).status_code == 404
    assert other.get("/messages").status_code == 200


def test_all_other_browsers_are_signed_out_together(site: OwnSite) -> None:
    visitor, others, max_ = site.visitor("eva"), [site.visitor("eva") for _ in range(3)], site.visitor("max")
    assert visitor.post(f"{PAGE}/sessions/end-others", PAGE).location == PAGE
    assert "3 other browsers are signed out." in visitor.get(PAGE).text
    assert [one.get("/messages").status_code for one in (visitor, *others, max_)] == [200, 303, 303, 303, 200]


def test_a_browser_that_calls_itself_something_hostile_is_unknown(site: OwnSite) -> None:
    stranger = site.visitor()
    stranger.client.environ_base["HTTP_USER_AGENT"] = "<script>alert(1)</script>\x1b[31m"
    assert stranger.sign_in("eva").status_code == 303
    page = site.visitor("eva").get(PAGE).text
    assert "An unknown browser" in page
    assert "alert(1)" not in page


PATHS = [
    ("GET", PASSWORD_PAGE),
    ("POST", PASSWORD_PAGE),
    ("GET", ADDRESS_PAGE),
    ("POST", ADDRESS_PAGE),
    ("GET", FACTOR_PAGE),
    ("POST", FACTOR_PAGE),
    ("GET", f"{FACTOR_PAGE}/code.svg"),
    ("POST", f"{FACTOR_PAGE}/confirm"),
    ("POST", f"{FACTOR_PAGE}/off"),
    ("POST", f"{PAGE}/recovery-codes"),
    ("POST", f"{PAGE}/sessions/1/end"),
    ("POST", f"{PAGE}/sessions/end-others"),
]


@pytest.mark.parametrize(("method", "path"), PATHS)
def test_every_change_wants_a_fresh_password(site: OwnSite, method: str, path: str) -> None:
    visitor = site.visitor("eva")
    site.now += FRESH + dt.timedelta(seconds=1)
    answer = visitor.get(path) if method == "GET" else visitor.post(path, PAGE)
    assert answer.status_code == 303
    assert answer.location.startswith("/sign-in/again")


@pytest.mark.parametrize(("method", "path"), PATHS)
def test_no_provider_changes_how_an_account_signs_in_while_acting_as_it(site: OwnSite, method: str, path: str) -> None:
    boss = own_site.acting_as(site, "eva")
    assert "eva@eva.example" in boss.get(PAGE).text
    answer = boss.get(path) if method == "GET" else boss.post(path, PAGE)
    assert answer.status_code == 403


@pytest.mark.parametrize("number", [2**31, 2**63, 10**30])
def test_a_number_that_no_session_has_is_not_there(site: OwnSite, number: int) -> None:
    assert site.visitor("eva").post(f"{PAGE}/sessions/{number}/end", PAGE).status_code == 404
