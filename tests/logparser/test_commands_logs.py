"""`sendproof logs` as an operator uses it."""

import gzip
import json
import os
import pty
import re
import shlex
import subprocess
import sys
import time
from pathlib import Path

import click.testing
import pytest
from rich.cells import cell_len
from sqlalchemy import delete, func, select

from sendproof_core.commands_context import Context
from sendproof_core.database import Database
from sendproof_core.errors import UserError
from sendproof_core.schema import Attempt, ReadingPosition, RecordChange, SearchEntry
from sendproof_logparser.commands_logs import logs
from sendproof_testing import sample_record

TRAFFIC = Path(__file__).parents[1] / "corpus" / "logs" / "dialogue.log"
_PROGRAM = [
    sys.executable,
    "-c",
    "from sendproof_core.errors import guarded; from sendproof_logparser.commands_logs import logs; guarded(logs)",
]
SENT = (
    "Jan  2 15:04:05 edge1 postfix/out/smtp[7]: 4F5C64474F: to=<max@far.example>, orig_to=<m>, "
    "relay=mx.far.example[2001:db8::25]:25, conn_use=2, delay=1.5, delays=0.1/0.2/1/0.2, dsn=2.0.0, "
    "status=sent (250 2.0.0 Ok (really): queued as 4F5C64474F)"
)
UNKNOWN = "Jan  2 15:04:06 edge1 postfix/qmgr[7]: warning: \x1b[31mthe queue is on fire"


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "mail.log"
    path.write_text(f"Jan  2 15:04:04 edge1 postfix/smtpd[7]: connect from localhost[127.0.0.1]\n{SENT}\n{UNKNOWN}\n")
    return path


def damaged() -> bytes:
    """A gzip file of a thousand status lines that lacks its end."""
    lines = (SENT.replace("max", f"max{number}").replace("4F5C6", f"{number * 7919:05X}") for number in range(1000))
    return gzip.compress("".join(f"{line}\n" for line in lines).encode())[:-2000]


def parse(*arguments: str | Path) -> click.testing.Result:
    return click.testing.CliRunner().invoke(logs, ["parse", *map(str, arguments)])


def objects(text: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in text.splitlines()]


def test_a_status_line_is_one_json_object_with_all_that_it_says(log: Path) -> None:
    done = parse("--year", "2026", "--zone", "Europe/Berlin", log)
    assert done.exit_code == 0
    assert objects(done.stdout) == [
        {
            "file": str(log),
            "line": 2,
            "time": "2026-01-02T14:04:05Z",
            "host": "edge1",
            "instance": "postfix",
            "service": "postfix/out/smtp",
            "daemon": "smtp",
            "pid": 7,
            "queue_id": "4F5C64474F",
            "recipient": "max@far.example",
            "original_recipient": "m",
            "relay": "mx.far.example[2001:db8::25]:25",
            "relay_host": "mx.far.example",
            "relay_ip": "2001:db8::25",
            "relay_port": 25,
            "conn_use": 2,
            "delay_seconds": 1.5,
            "delays_seconds": [0.1, 0.2, 1.0, 0.2],
            "dsn": "2.0.0",
            "status": "sent",
            "text": "250 2.0.0 Ok (really): queued as 4F5C64474F",
        }
    ]


def test_standard_input_and_gzipped_files_say_the_same(log: Path, tmp_path: Path) -> None:
    compressed = tmp_path / "mail.log.1.gz"
    compressed.write_bytes(gzip.compress(log.read_bytes()))
    command = [*_PROGRAM, "parse", "--year", "2026", str(log), str(compressed), "-"]
    done = subprocess.run(command, input=log.read_bytes(), capture_output=True, check=True, timeout=60)
    found = objects(done.stdout.decode())
    assert [one.pop("file") for one in found] == [str(log), str(compressed), "-"]
    assert found[0] == found[1] == found[2]


def test_the_years_are_found_without_being_told(tmp_path: Path) -> None:
    path = tmp_path / "mail.log"
    born_in_march_2023 = SENT.replace("4F5C64474F: to", "4PbMVH1gW1z3tBr: to").replace("Jan  2 15:04:05", "{}")
    path.write_text("".join(born_in_march_2023.format(day) + "\n" for day in ("Mar 15 05:00:00", "Jan  3 05:00:00")))
    days = [str(one["time"])[:10] for one in objects(parse("--zone", "UTC", path).stdout)]
    assert days == ["2023-03-15", "2024-01-03"]


def test_real_traffic_gives_as_many_objects_as_it_has_status_lines() -> None:
    found = objects(parse(TRAFFIC).stdout)
    assert len(found) == len(re.findall(r"postfix/\w+\[\d+\]: \w+: to=<.*, status=", TRAFFIC.read_text()))


def test_hostile_text_stays_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    path = tmp_path / "mail.log"
    hostile = SENT.replace("(really)", '\x1b[2J"}\\ \u2028\u202e é')
    path.write_text(hostile + "\n", encoding="utf-8")
    done = parse(path)
    assert done.stdout.isascii()
    assert done.stdout.count("\n") == 1
    assert '\x1b[2J"}\\ \u2028\u202e é' in str(objects(done.stdout)[0]["text"])
    table = parse("--format", "table", path).stdout
    assert "\x1b" not in table
    assert "\\x1b[2J" in table


def test_the_table_fits_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    for width in (40, 80, 110, 200):
        monkeypatch.setenv("COLUMNS", str(width))
        lines = parse("--format", "table", TRAFFIC).stdout.splitlines()
        assert lines[0].startswith("TIME (UTC)")
        assert max(map(cell_len, lines)) <= width
        assert len(lines) > 3


def test_the_summary_counts_and_shows_what_no_rule_knows(log: Path) -> None:
    lines = parse("--summary", log).stdout.splitlines()
    assert "    1  sent" in lines
    assert "    1  delivery status" in lines
    assert f"  {log}:3: {UNKNOWN.replace(chr(27), chr(92) + 'x1b')}" in lines
    (summary,) = objects(parse("--summary", "--format", "ndjson", log, log).stdout)
    assert summary["lines"] == 6
    assert summary["statuses"] == {"sent": 2}


def test_neither_settings_nor_a_database_are_needed(log: Path, tmp_path: Path) -> None:
    missing = tmp_path / "missing.toml"
    done = click.testing.CliRunner().invoke(logs, ["parse", str(log)], obj=Context(missing))
    assert done.exit_code == 0
    assert len(objects(done.stdout)) == 1


@pytest.mark.parametrize(
    "content", [b"#!/bin/sh\nexit 0\n", b"\x7fELF\x02\0\0\n\xff\n", b"name,date\nmax,2026-01-02\n"]
)
def test_what_is_no_mail_log_is_said_so(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "odd"
    path.write_bytes(content)
    for arguments in ((path,), ("--summary", path)):
        done = parse(*arguments)
        assert isinstance(done.exception, UserError)
        assert str(done.exception).startswith(f"{path} is no mail log: ")
        assert done.stdout == ""


def test_an_empty_log_is_a_log(tmp_path: Path) -> None:
    (tmp_path / "mail.log").write_bytes(b"")
    done = parse(tmp_path / "mail.log")
    assert (done.exit_code, done.stdout) == (0, "")


def test_a_file_that_cannot_be_read_is_said_before_anything_is_written(log: Path, tmp_path: Path) -> None:
    for path in (tmp_path / "missing.log", tmp_path, tmp_path / "missing.log.gz"):
        done = parse(log, path)
        assert isinstance(done.exception, UserError)
        assert str(path) in str(done.exception)
        assert done.stdout == ""


def test_a_zone_that_is_none_is_said_so(log: Path) -> None:
    assert isinstance(parse("--zone", "Europe/Berlim", log).exception, UserError)


def test_of_a_damaged_file_what_can_be_read_is_written_and_where_it_broke_is_said(tmp_path: Path) -> None:
    path = tmp_path / "mail.log.1.gz"
    path.write_bytes(damaged())
    done = parse("--year", "2026", path, path)
    assert done.exit_code == 1
    assert len(objects(done.stdout)) > 200
    assert done.stderr.splitlines()[0].startswith(f"sendproof: {path} is damaged: ")
    assert "after" in done.stderr
    assert len(done.stderr.splitlines()) == 2


def test_a_reader_that_goes_away_is_no_error_to_talk_about(tmp_path: Path) -> None:
    path = tmp_path / "mail.log"
    path.write_text(f"{SENT}\n" * 20_000)
    for options in ([], ["--format", "table"]):
        command = shlex.join([*_PROGRAM, "parse", *options, str(path)])
        done = subprocess.run(f"{command} | head -n 2", shell=True, capture_output=True, timeout=60, check=False)  # noqa: S602
        assert done.stdout.count(b"\n") == 2
        assert done.stderr == b""


def test_the_bar_is_shown_to_people_only(tmp_path: Path) -> None:
    path = tmp_path / "[bold]mail.log"
    path.write_text(f"{SENT}\n" * 20_000)
    ours, theirs = pty.openpty()
    with (tmp_path / "out").open("wb") as out:
        environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100"}
        running = subprocess.Popen([*_PROGRAM, "parse", str(path)], stdout=out, stderr=theirs, env=environment)
    os.close(theirs)
    shown = b""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            piece = os.read(ours, 65536)
        except OSError:  # the other side is closed
            break
        shown += piece
    os.close(ours)
    assert running.wait(10) == 0
    assert b"[bold]mail.log " in shown
    assert len((tmp_path / "out").read_bytes().splitlines()) == 20_000
    quiet = subprocess.run([*_PROGRAM, "parse", str(path)], capture_output=True, check=True, timeout=60)
    assert quiet.stderr == b""


@pytest.fixture
def installation(sqlite_database: Database, tmp_path: Path) -> Context:
    """What the settings file of this folder names: an empty record."""
    del sqlite_database
    settings = tmp_path / "sendproof.toml"
    settings.write_text(
        f"""
[host]
name = "edge1"
[database]
url = "sqlite:///{tmp_path}/sendproof.db"
"""
    )
    return Context(settings)


def run(installation: Context, *arguments: str | Path) -> click.testing.Result:
    return click.testing.CliRunner().invoke(logs, [*map(str, arguments)], obj=installation)


def attempts(database: Database) -> list[str]:
    with database.reading() as session:
        return sorted(session.scalars(select(Attempt.text)))


def test_old_logs_come_into_the_record_once(
    installation: Context, log: Path, tmp_path: Path, sqlite_database: Database
) -> None:
    compressed = tmp_path / "mail.log.1.gz"
    compressed.write_bytes(gzip.compress(log.read_bytes()))
    done = run(installation, "import", log, compressed)
    assert done.exception is None
    added = f"{log}: lines read 3, attempts added 1, lines that no rule knows 1, from "
    assert done.stdout.splitlines()[0].startswith(added)
    again = run(installation, "import", log)
    assert again.stdout.startswith(f"{log}: lines read 3, attempts added 0, lines that no rule knows 1, from ")
    assert attempts(sqlite_database) == ["250 2.0.0 Ok (really): queued as 4F5C64474F"]
    output = run(installation, "status").stdout
    assert "  import  " not in output
    assert "lines that no rule knows: 1" in output


def test_before_anything_was_read_the_status_says_so(installation: Context) -> None:
    assert "nothing was read yet" in run(installation, "status").stdout


def test_an_import_that_cannot_be_changes_nothing(
    installation: Context, log: Path, tmp_path: Path, sqlite_database: Database
) -> None:
    odd = tmp_path / "odd"
    odd.write_bytes(b"#!/bin/sh\nexit 0\n")
    for arguments in ((log, tmp_path / "missing.log"), (log, tmp_path), (odd,)):
        done = run(installation, "import", *arguments)
        assert isinstance(done.exception, UserError)
        assert str(arguments[-1]) in str(done.exception)
    assert attempts(sqlite_database) == []
    with sqlite_database.reading() as session:
        assert session.scalars(select(ReadingPosition)).all() == []


def test_of_a_damaged_file_what_can_be_read_is_imported(
    installation: Context, tmp_path: Path, sqlite_database: Database
) -> None:
    path = tmp_path / "mail.log.1.gz"
    path.write_bytes(damaged())
    done = run(installation, "import", path)
    assert done.exit_code == 1
    assert done.stderr.startswith(f"sendproof: {path} is damaged: ")
    assert len(attempts(sqlite_database)) > 100


def test_what_is_still_to_be_derived_is_derived_by_command_and_all_of_it_again_if_wanted(
    installation: Context, sqlite_database: Database
) -> None:
    with sqlite_database.writing() as session:
        sample_record.fill(session, older_messages=3)
        entries = session.scalar(select(func.count()).select_from(SearchEntry))
        session.add(RecordChange(message_id=sample_record.OFFER_ID))
    assert run(installation, "index").output == "derived from 1 changes of the record\n"
    assert run(installation, "index").output == "derived from 0 changes of the record\n"
    with sqlite_database.writing() as session:
        session.execute(delete(SearchEntry))
    assert f"derived from {entries} changes" in run(installation, "index", "--rebuild").output
    with sqlite_database.reading() as session:
        assert session.scalar(select(func.count()).select_from(SearchEntry)) == entries
