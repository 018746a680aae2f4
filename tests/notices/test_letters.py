"""Every letter that the site may ask for has words, its link, and survives what strangers type."""

import datetime as dt
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sendproof_core.mail_requests import Letter as Kind
from sendproof_notices import letters, mail
from sendproof_notices.words import Words

ENGLISH = Words("en", dt.UTC)
SITE = "https://mail.relay.example"
LINK = f"{SITE}/reset/" + "A" * 43
DATA: dict[str, Any] = {
    "login": "max", "logins": ["max", "maria"], "plan": "personal", "new_address": "new@home.example",
    "client_address": "192.0.2.7", "on": True, "label": "Laptop", "reason": "Bulk mail",
}  # fmt: skip
WITH_LINK = {Kind.CONFIRM_SIGN_UP, Kind.INVITATION, Kind.CONFIRM_ADDRESS, Kind.CONFIRM_SENDER_ADDRESS, Kind.RESET}


@pytest.mark.parametrize("kind", Kind)
def test_every_letter_has_words_and_the_link_only_if_it_is_to_have_one(kind: Kind) -> None:
    letter = letters.write(kind, DATA, LINK if kind in WITH_LINK else None, ENGLISH, SITE)
    assert letter.subject
    for form in (mail.as_text(letter), mail.as_html(letter, "en")):
        assert (LINK in form) == (kind in WITH_LINK)
        assert SITE in form


@pytest.mark.parametrize("kind", Kind)
def test_what_a_request_lacks_is_left_out(kind: Kind) -> None:
    text = mail.as_text(letters.write(kind, {}, LINK, ENGLISH, SITE))
    assert "None" not in text
    assert "%(" not in text


@given(st.sampled_from(Kind), st.text(max_size=80))
def test_what_strangers_type_is_text(kind: Kind, typed: str) -> None:
    data = dict.fromkeys(DATA, typed)
    page = mail.as_html(letters.write(kind, data, LINK, ENGLISH, SITE), "en")
    assert "<script" not in page.lower()


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (Kind.LOGINS, "Login: max, maria"),
        (Kind.SUSPENDED, "Reason: Bulk mail"),
        (Kind.CREDENTIAL_ADDED, "For: Laptop"),
        (Kind.ADDRESS_CHANGED, "New address: new@home.example"),
        (Kind.PASSWORD_CHANGED, "From the internet address: 192.0.2.7"),
        (Kind.SECOND_FACTOR_CHANGED, "now asks for a code"),
    ],
)
def test_a_letter_says_what_it_is_about(kind: Kind, words: str) -> None:
    assert words in mail.as_text(letters.write(kind, DATA, None, ENGLISH, SITE))


def test_a_second_factor_that_was_switched_off_is_said_so() -> None:
    letter = letters.write(Kind.SECOND_FACTOR_CHANGED, {**DATA, "on": False}, None, ENGLISH, SITE)
    assert letter.subject == "The second factor is switched off"
