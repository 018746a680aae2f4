"""The site over the sample record, called without a server."""

import datetime as dt
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask

from sendproof_core.settings import SettingsFile
from sendproof_testing import own_site, sample_record, sample_site
from sendproof_testing.own_site import OwnSite
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


@pytest.fixture
def max_(app: Flask) -> Visitor:
    """The account with the sample's messages, signed in."""
    return own_site.signed_in(app, "max", NOW)


@pytest.fixture
def eva(app: Flask) -> Visitor:
    """Another account, which has sent nothing, signed in."""
    return own_site.signed_in(app, "eva", NOW)


@pytest.fixture
def boss(app: Flask) -> Visitor:
    """The provider, signed in."""
    return own_site.signed_in(app, "boss", NOW)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[OwnSite]:
    """A site of the test's own, to write to, with a clock that the test sets."""
    with own_site.running(tmp_path, NOW) as made:
        yield made
