"""The same traffic, logged by postlogd, by rsyslog in both of its forms and by journald, is the same record."""

import datetime as dt
from collections.abc import Mapping
from pathlib import Path

import pytest

from sendproof_core import clock, schema_version
from sendproof_core.database import open_database
from sendproof_testing import log_copies, system_logs
from sendproof_testing.log_faults import Reader
from sendproof_testing.log_oracle import LogOracle
from sendproof_testing.record_values import Values, record_values, unlike

pytestmark = [pytest.mark.integration]

TRAFFIC = Path(__file__).parents[1] / "corpus" / "logs" / "traffic.log"
WRITTEN_AT = dt.datetime(2026, 11, 22, 11, 21, tzinfo=dt.UTC)


@pytest.fixture(scope="module")
def lines() -> list[bytes]:
    original = TRAFFIC.read_bytes().splitlines()
    return list(log_copies.multiplied(original, 1, WRITTEN_AT, ends_at=clock.now()))


@pytest.fixture(scope="module")
def sources(lines: list[bytes], tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    """What stands in the settings for each way of logging."""
    folder = tmp_path_factory.mktemp("twins")
    messages = system_logs.as_logged(lines, clock.now())
    postlogd = folder / "postlogd.log"
    postlogd.write_bytes(b"\n".join(lines) + b"\n")
    traditional, rfc_3339 = system_logs.through_rsyslog(messages, folder)
    journal = system_logs.through_journald(messages, folder)
    return {
        "postlogd": f'maillogs = ["{postlogd}"]',
        "traditional": f'maillogs = ["{traditional}"]',
        "rfc 3339": f'maillogs = ["{rfc_3339}"]',
        "journald": f'journald = true\njournald_directory = "{journal}"',
    }


@pytest.fixture(scope="module")
def postlogd(sources: Mapping[str, str], lines: list[bytes], tmp_path_factory: pytest.TempPathFactory) -> Values:
    """The record of postlogd's own form, which says what the log says."""
    oracle = LogOracle()
    oracle.take(lines)
    return read(sources["postlogd"], tmp_path_factory.mktemp("postlogd"), oracle)


def read(source: str, folder: Path, oracle: LogOracle | None = None) -> Values:
    """The record of a fresh reader."""
    url = f"sqlite:///{folder}/sendproof.db"
    database = open_database(url)
    schema_version.upgrade(database)
    config = folder / "sendproof.toml"
    config.write_text(
        f'[host]\nname = "edge1.relay.example"\n[database]\nurl = "{url}"\n[logparser]\ntime_zone = "UTC"\n{source}\n'
    )
    Reader(config, folder / "logparser.out").run_once()
    if oracle is not None:
        differences = oracle.differences(database)
        assert not differences, "\n".join(differences)
    values = record_values(database, whole_seconds=True)
    database.close()
    return values


@pytest.mark.parametrize("form", ["traditional", "rfc 3339", "journald"])
def test_the_form_of_the_log_makes_no_difference(
    form: str, sources: Mapping[str, str], postlogd: Values, tmp_path: Path
) -> None:
    differences = unlike(postlogd, read(sources[form], tmp_path))
    assert not differences, "\n".join(differences)
