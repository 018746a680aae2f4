import pytest
from flask import Flask

from sendproof_web import services


def test_an_application_without_its_services_is_a_bug() -> None:
    app = Flask("empty")
    with app.app_context(), pytest.raises(KeyError):
        services.services()
