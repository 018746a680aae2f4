"""One sandbox for all tests that only send mail through it; they run on one worker, one after the other."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from sendproof_core.database import Database
from sendproof_testing import browser
from sendproof_testing.browser import Album, Browser
from sendproof_testing.sandbox import Sandbox, running


@pytest.fixture(scope="session")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    with running(tmp_path_factory.mktemp("sandbox") / "shared") as started:
        yield started


@pytest.fixture
def database(sandbox: Sandbox) -> Iterator[Database]:
    opened = sandbox.database()
    yield opened
    opened.close()


@pytest.fixture
def window() -> Iterator[Browser]:
    with browser.start() as started:
        yield started


@pytest.fixture
def album(window: Browser, tmp_path: Path) -> Album:
    return Album(window, tmp_path)


@pytest.fixture
def own_folder(tmp_path: Path) -> Path:
    """For a test that needs a sandbox of its own."""
    return tmp_path / "own"
