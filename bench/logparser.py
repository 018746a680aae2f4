"""The logparser beside pflogsumm, on the same mail log."""

import shutil
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench import figures, mail_log
from bench.figures import Effort, Figure, Result
from bench.process_times import Run, timed
from rich.progress import Progress
from sqlalchemy import func, select

from sendproof_core import schema_version
from sendproof_core.database import open_database
from sendproof_core.errors import UserError
from sendproof_core.schema import Attempt, UnknownLine

NAME = "logparser"
PEER = "pflogsumm"
RECORD, PARSE = "end to end into SQLite", "parse only"
_LOGPARSER = Path(sys.executable).parent / "sendproof-logparser"


@dataclass(frozen=True)
class Log:
    """A mail log to measure on."""

    name: str
    path: Path
    lines: int
    status_lines: int


def measure(effort: Effort, progress: Progress) -> Result:
    """Make the logs, then let each reader read each of them in turn, as many rounds as are asked for."""
    if shutil.which(PEER) is None:
        raise UserError(f"the Debian package {PEER} is missing; `make bench` installs it.")
    with tempfile.TemporaryDirectory(prefix="sendproof-bench-") as temporary:
        folder = Path(temporary)
        folder.chmod(0o755)
        making = progress.add_task("logparser: two sandboxes write a mail log", total=None)
        logs = []
        for name, dialogue in (("with dialogue", True), ("without dialogue", False)):
            path = folder / f"{name.replace(' ', '-')}.log"
            mail_log.write(path, effort.log_lines, dialogue=dialogue)
            logs.append(_log(name, path))
        progress.remove_task(making)
        found = [figure for log in logs for figure in _compare(log, folder, effort.rounds, progress)]
        return Result(NAME, found)


def _log(name: str, path: Path) -> Log:
    content = path.read_bytes()
    return Log(name, path, content.count(b"\n"), content.count(b", status="))


def _compare(log: Log, folder: Path, rounds: int, progress: Progress) -> list[Figure]:
    readers: dict[str, Callable[[], Run]] = {
        RECORD: lambda: _run_logparser(log, folder),
        PARSE: lambda: _run_parse_only(log, folder),
        PEER: lambda: timed([PEER, str(log.path)]),
    }
    runs: dict[str, list[Run]] = {name: [] for name in readers}
    task = progress.add_task("logparser", total=rounds * len(readers))
    for number in range(rounds):
        for name, read in readers.items():
            progress.update(task, description=f"logparser: {log.lines:,} lines {log.name}: {name}")
            run = read()
            runs[name].append(run)
            progress.console.print(
                f"logparser round {number + 1} {log.name:<16} {name:<22} {run.wall_seconds:5.1f} s, "
                f"{run.cpu_seconds:5.1f} CPU s, {run.peak_megabytes:4.0f} MB",
                soft_wrap=True,
            )
            progress.advance(task)
    progress.remove_task(task)
    return _figures(log, runs)


def _figures(log: Log, runs: dict[str, list[Run]]) -> list[Figure]:
    values: tuple[tuple[str, str, Callable[[Run], float]], ...] = (
        ("speed", "lines/s", lambda run: log.lines / run.wall_seconds),
        ("speed by CPU time", "lines/CPU s", lambda run: log.lines / run.cpu_seconds),
        ("peak memory", "MB", lambda run: run.peak_megabytes),
    )
    found = [Figure(NAME, f"lines {log.name}", log.lines, "lines")]
    for name, unit, value in values:
        peers = [value(run) for run in runs[PEER]]
        found.append(figures.alone(NAME, f"{name} {log.name}, {PEER}", unit, peers))
        for reader in (RECORD, PARSE):
            ours = [value(run) for run in runs[reader]]
            found.append(figures.beside(NAME, f"{name} {log.name}, {reader}", unit, ours, PEER, peers))
    return found


def _run_logparser(log: Log, folder: Path) -> Run:
    """The program itself, from an empty database to a complete record."""
    config, database_url = _settings(log, folder)
    run = timed([str(_LOGPARSER), "--config", str(config), "--once"])
    _check_record(log, database_url)
    return run


def _run_parse_only(log: Log, folder: Path) -> Run:
    config, _ = _settings(log, folder)
    return timed([sys.executable, "-m", "bench.parse_only", str(config)])


def _settings(log: Log, folder: Path) -> tuple[Path, str]:
    """Settings that read the log, and the URL of their fresh database."""
    for file in folder.glob("record.db*"):
        file.unlink()
    url = f"sqlite:///{folder}/record.db"
    database = open_database(url)
    schema_version.upgrade(database)
    database.close()
    config = folder / "sendproof.toml"
    config.write_text(
        f'[host]\nname = "edge1.relay.example"\n[database]\nurl = "{url}"\n[logparser]\nmaillogs = ["{log.path}"]\n'
    )
    return config, url


def _check_record(log: Log, database_url: str) -> None:
    """Every status line is an attempt, and every line was understood: else the time says nothing."""
    database = open_database(database_url)
    with database.reading() as session:
        attempts = session.scalar(select(func.count()).select_from(Attempt))
        unknown = session.scalar(select(func.count()).select_from(UnknownLine))
    database.close()
    if attempts != log.status_lines or unknown:
        raise UserError(
            f"{log.status_lines} status lines gave {attempts} attempts, and {unknown} lines were not known."
        )
