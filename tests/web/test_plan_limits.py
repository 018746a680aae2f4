import dataclasses

import pytest
from flask import Flask
from werkzeug.datastructures import MultiDict

from sendproof_core.plans import QuotaLimits
from sendproof_web import plan_limits
from sendproof_web.plan_limits import PlanForm


def _form(app: Flask, **fields: str) -> PlanForm:
    with app.test_request_context():
        form = PlanForm(formdata=MultiDict({"name": "a", **fields}), meta={"csrf": False})
        form.validate()
        return form


@pytest.mark.parametrize(
    ("typed", "value"),
    [("", None), ("  ", None), ("5", 5), ("1,000", 1000), ("1.000", 1000), ("1 000", 1000), ("1'000'000", 1_000_000)],
)
def test_numbers_are_read_as_people_write_them(app: Flask, typed: str, value: int | None) -> None:
    form = _form(app, messages_per_day=typed)
    assert form.errors == {}
    assert form.limits() == QuotaLimits(messages_per_day=value)


@pytest.mark.parametrize("typed", ["0", "-1", "1.5", "1,00", "many", "²", "99999999999", "2147483648", "1e3"])
def test_what_is_no_limit_is_said(app: Flask, typed: str) -> None:
    form = _form(app, messages_per_day=typed)
    assert list(form.errors) == ["messages_per_day"]
    assert form.messages_per_day.data == typed


@pytest.mark.parametrize(
    ("typed", "octets"), [("25", 26_214_400), ("0.5", 524_288), ("0,5", 524_288), ("2047", 2_146_435_072)]
)
def test_sizes_are_in_megabytes(app: Flask, typed: str, octets: int) -> None:
    assert _form(app, message_octets=typed).limits().message_octets == octets


@pytest.mark.parametrize("typed", ["0", "2048", "x", "1.2.3", "0.00000001"])
def test_what_is_no_size_is_said(app: Flask, typed: str) -> None:
    assert list(_form(app, message_octets=typed).errors) == ["message_octets"]


@pytest.mark.parametrize("octets", [1, 1000, 10_240_000, 26_214_400, 2**31 - 1])
def test_what_a_form_shows_is_read_back_as_the_same_limits(app: Flask, octets: int) -> None:
    values = {field.name: number for number, field in enumerate(dataclasses.fields(QuotaLimits), 1)}
    limits = QuotaLimits(**{**values, "message_octets": octets})
    if octets // 1024**2 < 2048 - 1 or octets == 2**31 - 1:
        shown = plan_limits.typed(limits)
        with app.test_request_context():
            assert PlanForm(formdata=MultiDict({"name": "a", **shown}), meta={"csrf": False}).limits() == limits


def test_every_limit_has_a_name_and_a_field() -> None:
    assert set(plan_limits.NAMES) == {field.name for field in dataclasses.fields(QuotaLimits)}


def test_limits_that_are_not_set_are_not_listed(app: Flask) -> None:
    with app.test_request_context():
        words = plan_limits.limit_words(QuotaLimits(messages_per_day=1200, message_octets=26_214_400))
        assert words == [("Messages per day", "1,200"), ("Largest message", "25.0 MB")]
        assert plan_limits.value_words("messages_per_day", None) == "no limit"
