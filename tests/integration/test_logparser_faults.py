"""kill -9 of the logparser at any moment, while its log grows and is rotated: the record equals what the log says.

``FAULT_ROUNDS`` and ``FAULT_SEED`` in the environment: more rounds, and other chances (`make faults`).
"""

import datetime as dt
import os
import random
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from sendproof_core import clock, schema_version
from sendproof_core.database import open_database
from sendproof_testing import log_copies
from sendproof_testing.log_faults import Reader, Rotation, Writer
from sendproof_testing.log_oracle import LogOracle
from sendproof_testing.record_values import Values, record_values, unlike

pytestmark = [pytest.mark.integration]

TRAFFIC = Path(__file__).parents[1] / "corpus" / "logs" / "traffic.log"
WRITTEN_AT = dt.datetime(2026, 11, 22, 11, 21, tzinfo=dt.UTC)
COPIES = 10_000
ROUNDS = int(os.environ.get("FAULT_ROUNDS", "12"))
SEED = int(os.environ.get("FAULT_SEED", "4"))


class Installation:
    """A log, an empty record, and the settings of a logparser for both."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder = folder
        (folder / "log").mkdir()
        self.log = folder / "log" / "mail.log"
        self.archive = folder / "archive.log"
        self.config = folder / "sendproof.toml"
        self.output = folder / "logparser.out"
        self.config.write_text(_settings(url, self.log))
        self.database = open_database(url)
        schema_version.upgrade(self.database)


def _settings(url: str, log: Path) -> str:
    return (
        f'[host]\nname = "edge1.relay.example"\n[database]\nurl = "{url}"\n'
        f'[logparser]\nmaillogs = ["{log}"]\ntime_zone = "UTC"\npoll_seconds = 0.1\nrotation_grace_seconds = 0.2\n'
    )


@pytest.fixture
def installation(tmp_path: Path, empty_database_url: str) -> Iterator[Installation]:
    made = Installation(tmp_path, empty_database_url)
    yield made
    made.database.close()


def _lines() -> Iterator[bytes]:
    """Days of traffic, of which the last ends now: more than is ever written."""
    original = TRAFFIC.read_bytes().splitlines()
    return log_copies.multiplied(original, COPIES, WRITTEN_AT, ends_at=clock.now())


def _start(reader: Reader, installation: Installation) -> float:
    """Start it for the first time; the seconds until it had read something."""
    began = time.monotonic()
    reader.start()
    reader.wait_until_reading(installation.database)
    return time.monotonic() - began


def _under_fire(reader: Reader, writer: Writer, chance: random.Random, start_seconds: float) -> None:
    """Rotate, kill the reader at any moment, rotate while it is down, start it; sometimes kill it while it starts."""
    for _ in range(chance.randint(0, 2)):
        time.sleep(chance.uniform(0, 0.2))
        writer.rotate()
    time.sleep(chance.uniform(0, start_seconds))
    reader.kill()
    for _ in range(chance.choice((0, 1, 3))):
        time.sleep(chance.uniform(0, 0.1))
        writer.rotate()
    reader.start()
    if chance.random() < 0.3:
        time.sleep(chance.uniform(0, 1.5 * start_seconds))
        reader.kill()
        reader.start()


def _read_in_one_go(installation: Installation) -> Values:
    """What a reader that nobody kills makes of the same lines."""
    folder = installation.folder / "undisturbed"
    folder.mkdir()
    undisturbed = Installation(folder, f"sqlite:///{folder}/sendproof.db")
    shutil.copy(installation.archive, undisturbed.log)
    reader = Reader(undisturbed.config, undisturbed.output)
    reader.run_once()
    values = record_values(undisturbed.database)
    undisturbed.database.close()
    return values


def _say(words: str) -> None:
    sys.stdout.write(words)
    sys.stdout.flush()


def test_the_record_equals_the_log_after_each_kill(installation: Installation) -> None:
    rounds = ROUNDS if installation.database.engine.dialect.name == "sqlite" else min(ROUNDS, 3)
    _say(f"seed {SEED}, {rounds} rounds\n")
    chance = random.Random(SEED)
    writer = Writer(installation.log, installation.archive, _lines(), random.Random(SEED))
    reader = Reader(installation.config, installation.output)
    try:
        writer.start()
        start_seconds = _start(reader, installation)
        writer.pause()
        oracle, rotations = LogOracle(), 0
        with installation.archive.open("rb") as archive:
            for number in range(1, rounds + 1):
                writer.go_on()
                _under_fire(reader, writer, chance, start_seconds)
                writer.pause()
                _say(f"round {number}: rotations {[one.name for one in writer.rotations[rotations:]]}\n")
                rotations = len(writer.rotations)
                reader.wait_until_read(installation.database, writer.lines_written)
                oracle.take(archive.read().splitlines())
                assert oracle.lines == writer.lines_written
                differences = oracle.differences(installation.database)
                assert not differences, "\n".join((f"round {number} of seed {SEED}:", *differences))
                writer.delete_old()
                _say(f"round {number}: equal after {oracle.lines:,} lines\n")
    finally:
        reader.end()
        writer.end()
    assert writer.failure is None
    assert len(set(writer.rotations)) == min(len(Rotation), len(writer.rotations)) > 1
    differences = unlike(_read_in_one_go(installation), record_values(installation.database))
    assert not differences, "\n".join(differences)


def test_the_oracle_sees_one_row_that_is_missing(tmp_path: Path) -> None:
    installation = Installation(tmp_path, f"sqlite:///{tmp_path}/sendproof.db")
    shutil.copy(TRAFFIC, installation.log)
    Reader(installation.config, installation.output).run_once()
    oracle = LogOracle()
    oracle.take(TRAFFIC.read_bytes().splitlines())
    assert oracle.differences(installation.database) == []
    with installation.database.writing() as session:
        session.execute(text("DELETE FROM attempts WHERE id = (SELECT MAX(id) FROM attempts)"))
    assert oracle.differences(installation.database) != []
    installation.database.close()
