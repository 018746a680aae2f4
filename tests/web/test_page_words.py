import datetime as dt
import re

import pytest
from flask import Flask

from sendproof_core import transcript_story
from sendproof_core.states import RecipientState
from sendproof_testing.sample_record import OFFER_ID, SENT_AT
from sendproof_testing.visitor import Visitor
from sendproof_web import page_words


def test_times_are_the_readers_own_with_utc_beside_them(max_: Visitor) -> None:
    page = max_.get(f"/messages/{OFFER_ID}").text
    assert (
        '<time datetime="2026-11-22T13:03:05.214+00:00" title="2026-11-22 13:03:05 UTC">22 Nov 2026 14:03:05 CET</time>'
    ) in page


def test_the_list_names_the_day_where_it_is_not_today(max_: Visitor) -> None:
    times = re.findall(r"<time [^>]+>([^<]+)</time>", max_.get("/messages").text)
    assert times[:2] == ["14:03", "13:43"]
    assert "21 Nov 14:03" in times


@pytest.mark.parametrize(
    ("language", "full", "short"),
    [
        ("en", "22 Nov 2026 13:03:05 UTC", "21 Nov 13:03"),
        ("de", "22. Nov. 2026 13:03:05 UTC", "21. Nov. 13:03"),
    ],
)
def test_a_visitor_without_an_account_reads_utc(app: Flask, language: str, full: str, short: str) -> None:
    with app.test_request_context("/", headers={"Accept-Language": language}):
        assert page_words._full_time(SENT_AT) == full
        assert page_words._when(SENT_AT - dt.timedelta(days=1)) == short


def test_states_have_their_word_in_the_readers_language_for_all_of_them(app: Flask) -> None:
    with app.test_request_context("/"):
        for state in RecipientState:
            assert page_words._state_label(state) == transcript_story.state_label(state)
        assert page_words._state_label(RecipientState.QUEUED, test_mode=True).text == "TEST"


def test_a_chart_whose_times_are_midnights_is_one_of_days(app: Flask) -> None:
    days = {"x": [1795305600, 1795392000]}
    hours = {"x": [1795305600, 1795309200]}
    with app.test_request_context("/"):
        assert page_words._chart_days(days)
        assert not page_words._chart_days(hours)
        assert page_words._chart_zone(days) == "UTC"
        assert page_words._chart_time(1795305600, True) == "22 Nov 2026"
        assert page_words._chart_time(1795309200, False) == "01:00"
