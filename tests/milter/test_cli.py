"""``sendproof-milter`` as an operator meets it: what is wrong is said in one sentence."""

import logging
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import prometheus_client.values
import pytest

from sendproof_core.errors import UserError
from sendproof_core.secrets_store import SecretsStore
from sendproof_milter.cli import serve

_PROGRAM = [sys.executable, "-c", "from sendproof_milter.cli import main; main()"]
WriteSettings = Callable[..., Path]


@pytest.fixture(autouse=True)
def _process_put_back(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The program sets the process's log up, and where its numbers live."""
    monkeypatch.setattr(prometheus_client.values, "ValueClass", prometheus_client.values.ValueClass)
    handlers, level = logging.root.handlers[:], logging.root.level
    yield
    os.environ.pop("PROMETHEUS_MULTIPROC_DIR", None)
    logging.root.handlers[:] = handlers
    logging.root.setLevel(level)


@pytest.fixture
def folder(sqlite_url: str, secrets: SecretsStore, tmp_path: Path) -> Path:
    """A folder in which a milter could start."""
    del sqlite_url, secrets
    return tmp_path


def _why_not(config: Path) -> str:
    with pytest.raises(UserError) as caught:
        serve(config)
    text = str(caught.value)
    assert "\n" not in text
    return text


def test_a_missing_settings_file(tmp_path: Path) -> None:
    assert "does not exist; name one with --config" in _why_not(tmp_path / "no.toml")


@pytest.mark.parametrize(
    ("setting", "value", "said"),
    [
        ("workers", '"two"', "[milter] workers must be a whole number, not 'two'"),
        ("workers", "0", "[milter] workers must be between 1 and 64, not 0"),
        ("journal_synchronous", "1", "[milter] journal_synchronous must be true or false"),
        ("sockets", '"/x"', "[milter] has no setting 'sockets'"),
        ("socket_group", '"no such group"', "there is no group 'no such group'"),
        ("quota_when_unavailable", '"perhaps"', "[milter] quota_when_unavailable must be one of tempfail, accept"),
        ("keeper_seconds", "0", "[milter] keeper_seconds must be between 1 and 3600"),
        ("split", '"yes"', "[milter] split must be true or false"),
        ("metrics", '"9090"', "[milter] metrics cannot be served at '9090'"),
        ("metrics", '"192.0.2.1:9090"', "[milter] metrics cannot be served at '192.0.2.1:9090'"),
    ],
)
def test_a_wrong_setting(folder: Path, write_settings: WriteSettings, setting: str, value: str, said: str) -> None:
    config = write_settings(folder)
    lines = [line for line in config.read_text().splitlines() if not line.startswith(f"{setting} ")]
    config.write_text("\n".join([*lines, f"{setting} = {value}\n"]))
    assert said in _why_not(config)


@pytest.mark.parametrize("setting", ["socket", "journal", "name", "url", "directory", "tracking_url"])
def test_a_missing_setting_is_named_with_what_it_is(folder: Path, write_settings: WriteSettings, setting: str) -> None:
    config = write_settings(folder)
    lines = [line for line in config.read_text().splitlines() if not line.startswith(f"{setting} ")]
    config.write_text("\n".join(lines))
    assert f"lacks {setting!r}. " in _why_not(config)


def test_missing_secrets(folder: Path, write_settings: WriteSettings) -> None:
    (folder / "secrets" / "tokens-1.key").unlink()
    assert "`sendproof secrets create` makes it" in _why_not(write_settings(folder))


def test_a_missing_folder_for_the_journal_or_the_socket(folder: Path, write_settings: WriteSettings) -> None:
    config = write_settings(folder)
    ordinary = config.read_text()
    for name in ("m", "milter.journal"):
        config.write_text(ordinary.replace(f"{folder}/{name}", f"{folder}/missing/{name}"))
        assert "does not exist; make it first" in _why_not(config)


def test_a_missing_folder_for_the_snapshot(folder: Path, write_settings: WriteSettings) -> None:
    config = write_settings(folder)
    config.write_text(config.read_text().replace(f"{folder}/milter.snapshot", f"{folder}/missing/milter.snapshot"))
    assert "the folder of the snapshot" in _why_not(config)
    config.write_text(config.read_text().replace(f"{folder}/missing/milter.snapshot", str(folder)))
    assert "[milter] snapshot" in _why_not(config)


def test_a_file_in_the_place_of_the_folder_of_numbers(folder: Path, write_settings: WriteSettings) -> None:
    (folder / "m.metrics").write_text("somebody's notes")
    assert f"the folder {folder}/m.metrics cannot be made" in _why_not(write_settings(folder))
    assert (folder / "m.metrics").read_text() == "somebody's notes"


def test_a_database_without_tables(folder: Path, write_settings: WriteSettings) -> None:
    (folder / "sendproof.db").unlink()
    assert "has schema none" in _why_not(write_settings(folder))


def test_a_database_that_is_none(folder: Path, write_settings: WriteSettings) -> None:
    (folder / "sendproof.db").write_bytes(b"something else" * 100)
    assert "check [database] url" in _why_not(write_settings(folder))


def test_another_milter_on_the_socket_keeps_it_and_its_numbers(folder: Path, write_settings: WriteSettings) -> None:
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(folder / "m"))
        other.listen()
        numbers = folder / "m.metrics" / "counter_1.db"
        numbers.parent.mkdir()
        numbers.touch()
        assert "another milter serves" in _why_not(write_settings(folder))
        assert (folder / "m").is_socket()
        assert numbers.exists()


def test_a_file_in_the_place_of_the_socket_stays(folder: Path, write_settings: WriteSettings) -> None:
    (folder / "m").write_text("somebody's notes")
    assert "cannot be opened" in _why_not(write_settings(folder))
    assert (folder / "m").read_text() == "somebody's notes"


def test_as_a_program_it_ends_with_status_2_and_the_sentence(tmp_path: Path) -> None:
    done = subprocess.run(
        [*_PROGRAM, "--config", str(tmp_path / "no.toml")],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONWARNINGS": "error"},
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"sendproof: the settings file {tmp_path}/no.toml does not exist; name one with --config.\n"
