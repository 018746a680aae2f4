"""The site over the sample record, called without a server."""

import datetime as dt
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask

from sendproof_core.settings import SettingsFile
from sendproof_testing import sample_record, sample_site
from sendproof_testing.visitor import Visitor
from sendproof_web import services
from sendproof_web.app import create_app

NOW = sample_record.SENT_AT + dt.timedelta(minutes=40)


@pytest.fixture(scope="session")
def settings_file(tmp_path_factory: pytest.TempPathFactory) -> SettingsFile:
    return sample_site.prepare(tmp_path_factory.mktemp("site"), older_messages=60)


@pytest.fixture
def journal(settings_file: SettingsFile) -> Path:
    path = settings_file.path.parent / "web.journal"
    path.unlink(missing_ok=True)
    return path


@pytest.fixture
def images(settings_file: SettingsFile) -> Path:
    """The folder of accounts' pictures."""
    return settings_file.path.parent / "images"


@pytest.fixture(scope="session")
def app(settings_file: SettingsFile) -> Iterator[Flask]:
    made = create_app(settings_file, now=lambda: NOW)
    yield made
    with made.app_context():
        services.services().database.close()
        services.services().journal.close()


@pytest.fixture
def stranger(app: Flask) -> Visitor:
    return Visitor(app.test_client())


@pytest.fixture(scope="session")
def cookie(app: Flask) -> str:
    """What signing in gave; it takes a while on purpose, so it is done once."""
    visitor = Visitor(app.test_client())
    assert visitor.sign_in("max").status_code == 303
    found = visitor.client.get_cookie("sendproof")
    assert found
    return found.value


@pytest.fixture
def max_(app: Flask, cookie: str) -> Visitor:
    """The account with the sample's messages, signed in."""
    visitor = Visitor(app.test_client())
    visitor.client.set_cookie("sendproof", cookie)
    return visitor
