import dataclasses
import datetime as dt

from flask import Flask

from sendproof_core.limit_use import LimitUse
from sendproof_core.plans import QuotaLimits
from sendproof_core.states import Span
from sendproof_web import plan_words

_TODAY = dt.date(2026, 11, 22)
_USE = LimitUse("recipients_per_day", Span.DAY, 1_430, 1_500, dt.datetime(2026, 11, 23, 0, 0, tzinfo=dt.UTC))


def test_every_limit_of_a_window_has_a_name(app: Flask) -> None:
    with app.test_request_context():
        names = [
            field.name for field in dataclasses.fields(QuotaLimits) if field.name.endswith(("hour", "day", "month"))
        ]
        assert len({plan_words.limit_name(name) for name in names}) == 7


def test_use_is_told_in_the_readers_zone(app: Flask) -> None:
    with app.test_request_context():
        told = plan_words.used_text(_USE, dt.timezone(dt.timedelta(hours=-5)), _TODAY)
        assert told == "1,430 of 1,500 used, 70 left; counts anew at 19:00"
        over = dataclasses.replace(_USE, used=1_600)
        assert "1,600 of 1,500 used, 0 left" in plan_words.used_text(over, dt.UTC, _TODAY)
        assert plan_words.used_text(dataclasses.replace(_USE, limit=None), dt.UTC, _TODAY) == "1,430 used, no limit"


def test_a_limit_that_is_reached_names_the_moment(app: Flask) -> None:
    with app.test_request_context():
        assert plan_words.reached_text(_USE, dt.UTC, _TODAY) == (
            "Recipients per day: all 1,500 are used. You can send again from 23 Nov 00:00."
        )
