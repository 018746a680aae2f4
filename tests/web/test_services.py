import datetime as dt

import pytest
from flask import Flask

from sendproof_web import services


def test_an_application_without_its_services_is_a_bug() -> None:
    app = Flask("empty")
    with app.app_context(), pytest.raises(KeyError):
        services.services()


def test_five_failures_make_a_login_wait() -> None:
    throttle, now = services.sign_in_throttle(), dt.datetime(2026, 11, 22, tzinfo=dt.UTC)
    for _ in range(5):
        assert throttle.must_wait(("max", ""), now) is None
        throttle.failed(("max", ""), now)
    assert throttle.must_wait(("max", ""), now) == dt.timedelta(minutes=15)
