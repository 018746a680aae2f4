import datetime as dt

import pytest
from flask import Flask

from sendproof_testing.visitor import Visitor
from sendproof_web import locale


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("de-AT,de;q=0.9,en;q=0.5", "de"),
        ("fr,de;q=0.3", "de"),
        ("fr", "en"),
        ("en-GB,de;q=0.5", "en"),
        ("", "en"),
        ("x\x1b,;;q=zz", "en"),
    ],
)
def test_a_visitor_reads_the_language_that_the_browser_asks_for(stranger: Visitor, asked: str, expected: str) -> None:
    page = stranger.client.get("/sign-in", headers={"Accept-Language": asked}).text
    assert f'<html lang="{expected}">' in page


def test_a_visitors_own_choice_goes_before_the_browsers(stranger: Visitor) -> None:
    answer = stranger.client.post("/language/de", data={"next": "/sign-in?next=/messages"})
    assert (answer.status_code, answer.location) == (303, "/sign-in?next=/messages")
    page = stranger.client.get("/sign-in", headers={"Accept-Language": "en"}).text
    assert '<html lang="de">' in page


@pytest.mark.parametrize("back", ["//elsewhere.example", "https://elsewhere.example/", "/\\elsewhere", ""])
def test_the_choice_leads_nowhere_else(stranger: Visitor, back: str) -> None:
    assert stranger.client.post("/language/de", data={"next": back}).location == "/"


def test_a_language_that_we_do_not_have_is_not_found(stranger: Visitor) -> None:
    assert stranger.client.post("/language/tlh").status_code == 404
    stranger.client.set_cookie("language", "tlh")
    assert '<html lang="en">' in stranger.get("/sign-in").text


def test_only_the_choice_sets_the_cookie(stranger: Visitor) -> None:
    assert "language=" not in str(stranger.get("/sign-in").headers)


@pytest.mark.parametrize(
    ("language", "day", "full"), [("en", "3 Nov", "3 Nov 2025"), ("de", "3. Nov.", "3. Nov. 2025")]
)
def test_days_are_written_as_the_language_does(app: Flask, language: str, day: str, full: str) -> None:
    with app.test_request_context("/", headers={"Accept-Language": language}):
        assert locale.day(dt.date(2025, 11, 3), dt.date(2025, 11, 22)) == day
        assert locale.day(dt.date(2025, 11, 3), dt.date(2026, 11, 22)) == full
        assert locale.number(1204.5) == ("1,204.5" if language == "en" else "1.204,5")
