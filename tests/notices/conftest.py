"""What the tests of the notices share: an empty database, a record to fill, a submission server."""

import datetime as dt
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sendproof_core.database import Database
from sendproof_testing import notice_record
from sendproof_testing.submission_server import SubmissionServer, running_submission_server


@pytest.fixture
def now() -> dt.datetime:
    return notice_record.NOW


@pytest.fixture
def database(sqlite_database: Database) -> Database:
    return sqlite_database


@pytest.fixture
def record_recipient(database: Database) -> Callable[..., int]:
    return notice_record.recorder(database)


@pytest.fixture
def submission_server(tmp_path: Path) -> Iterator[SubmissionServer]:
    with running_submission_server(tmp_path, login="notices", password="a secret of notices") as server:
        yield server
