"""The record written by the logparsers of several edges at once: each reads a log of its own into one PostgreSQL."""

import itertools
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench import mail_log, record
from bench.process_times import REPOSITORY
from bench.record import Log
from sqlalchemy import text

from sendproof_core.database import open_database
from sendproof_core.errors import UserError
from sendproof_testing.postgres import Cluster

_PROGRAM = str(Path(sys.executable).parent / "sendproof-logparser")
_TABLES = ("queue_files", "recipients", "deliveries", "attempts")
_PATIENCE_SECONDS = 600


@dataclass(frozen=True)
class Recorded:
    """``rows``: that all edges together stored, of queue files, recipients, deliveries and attempts."""

    rows: int
    seconds: float

    @property
    def per_second(self) -> float:
        """With the start of the programs, to the complete record."""
        return self.rows / self.seconds


def write_logs(folder: Path, edges: int, lines: int) -> list[Log]:
    """A log of about so many lines for each edge, as a sandbox's Postfix writes them; no queue id is in two of them."""
    original = mail_log.original(folder / "sandbox", dialogue=True)
    copies = -(-lines // len(original))
    whole = folder / "whole.log"
    mail_log.write(whole, original, edges * copies * len(original))
    logs = []
    with whole.open("rb") as file:
        for number in range(1, edges + 1):
            path = folder / f"edge{number}.log"
            with path.open("wb") as log:
                for line in itertools.islice(file, copies * len(original)):
                    log.write(line.replace(b" edge1 ", b" edge%d " % number, 1))
            logs.append(record.log(path.stem, path))
    whole.unlink()
    return logs


def read(folder: Path, cluster: Cluster, logs: Sequence[Log]) -> Recorded:
    """Let a logparser for each log read it, all at once, into an empty database.

    Raises:
        UserError: a logparser failed, or the record is not what the logs say.
    """
    with record.in_postgresql(folder, logs[0].path, cluster) as made:
        settings = made.config.read_text()
        configs = []
        for log in logs:
            config = folder / f"{log.name}.toml"
            config.touch(mode=0o600)  # it holds a password
            config.write_text(settings.replace('"edge1.', f'"{log.name}.').replace(str(logs[0].path), str(log.path)))
            configs.append(config)
        began = time.perf_counter()
        running = [
            subprocess.Popen([_PROGRAM, "--config", str(config), "--once"], stderr=subprocess.PIPE, cwd=REPOSITORY)
            for config in configs
        ]
        for one in running:
            _, words = one.communicate(timeout=_PATIENCE_SECONDS)
            if one.returncode != 0:
                raise UserError(
                    f"a logparser ended with status {one.returncode}: {words.decode(errors='replace')[-500:]}"
                )
        seconds = time.perf_counter() - began
        attempts = sum(log.attempts for log in logs)
        made.check(Log("all", logs[0].path, sum(log.lines for log in logs), attempts))
        return Recorded(_rows(made.url), seconds)


def _rows(url: str) -> int:
    database = open_database(url)
    with database.reading() as session:
        counts = [session.scalar(text(f"SELECT count(*) FROM {table}")) or 0 for table in _TABLES]  # noqa: S608
    database.close()
    return sum(counts)
