"""From a status line in the mail log to its row in the database, while a real Postfix takes mail at a steady pace.

The sandbox's own way in, with our milter; Postfix discards the mail. What was measured is reported by
`logparser_report`.
"""

import os
import re
import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from bench import clients, postfix_queue, ways
from bench.clients import Clients, Sent
from bench.figures import Effort
from bench.logparser_report import POSTGRESQL, SQLITE, Waits
from rich.progress import Progress
from sqlalchemy import text

from sendproof_core.database import Database
from sendproof_core.errors import UserError
from sendproof_testing.installation import Keys, Options
from sendproof_testing.postgres import Cluster

_MESSAGES_PER_SECOND = 300.0
# Of the messages that the milter's bench sends in a round.
_RUNS = 3
_WARM_UP = 80
_LOOK_EVERY_SECONDS = 0.003
_PATIENCE_SECONDS = 60.0
_RECIPIENTS = (f"anna@{ways.DISCARDED}",)
_STATUS = re.compile(rb"\]: (\w+): to=<[^>]*>, .*, status=")
_NEW_ROWS = text(
    "SELECT attempts.id, queue_files.queue_id FROM attempts JOIN recipients ON recipients.id = attempts.recipient_id"
    " JOIN queue_files ON queue_files.id = recipients.queue_file_id WHERE attempts.id > :last ORDER BY attempts.id"
)


def measure(folder: Path, effort: Effort, cluster: Cluster | None, progress: Progress) -> list[Waits]:
    """Once for each database."""
    task = progress.add_task("latency: a sandbox with SQLite", total=None)
    found = [_through(folder / "latency-sqlite", SQLITE, None, effort)]
    if cluster is not None:
        progress.update(task, description="latency: a sandbox with PostgreSQL")
        with cluster.empty_database() as url:
            found.append(_through(folder / "latency-postgresql", POSTGRESQL, url, effort))
    progress.remove_task(task)
    for one in found:
        words = f"p50 {one.milliseconds(50):.0f} ms, p99 {one.milliseconds(99):.0f} ms"
        rate = f"{one.messages_per_second:.0f} messages/s"
        progress.console.print(f"latency {one.reader}: {rate}, {words}", soft_wrap=True)
    return found


def _through(folder: Path, reader: str, database_url: str | None, effort: Effort) -> Waits:
    options = Options(keys=Keys.OWN, notice_address=None, database_url=database_url)
    with ways.discarding(folder, options, ended=("notices", "web")) as sandbox, Clients() as senders:
        port = sandbox.installation.submission_port
        # As fast as it goes, so that everything is warm.
        senders.submit(clients.job(sandbox, port, _RECIPIENTS, _WARM_UP))
        postfix_queue.wait_until_empty(sandbox)
        each = clients.job(sandbox, port, _RECIPIENTS, _RUNS * effort.messages)
        job = replace(each, messages_per_second=_MESSAGES_PER_SECOND / clients.COUNT)
        database = sandbox.database()
        watch = _Watch(sandbox.installation.maillog, database)
        with ThreadPoolExecutor(1) as pool:
            sending = pool.submit(senders.submit, job)
            watch.until_all(sending, job.messages * clients.COUNT)
        watch.close()
        database.close()
        return Waits(reader, sending.result().messages_per_second, watch.seconds())


class _Watch:
    """Looks at the log and at the database again and again, and notes when what was first there."""

    def __init__(self, maillog: Path, database: Database) -> None:
        self._log = maillog.open("rb")
        self._log.seek(0, os.SEEK_END)
        self._half_line = b""
        self._database = database
        with database.reading() as session:
            self._last_row = session.scalar(text("SELECT COALESCE(MAX(id), 0) FROM attempts")) or 0
        self._written: dict[str, float] = {}
        self._visible: dict[str, float] = {}

    def until_all(self, sending: Future[Sent], messages: int) -> None:
        """Look until so many messages have a row, or until they should have.

        Raises:
            UserError: some have none.
        """
        deadline = time.perf_counter() + _PATIENCE_SECONDS
        while len(self._visible) < messages:
            self._look_at_log()
            self._look_at_rows()
            if not sending.done():
                deadline = time.perf_counter() + _PATIENCE_SECONDS
            elif time.perf_counter() > deadline:
                raise UserError(f"{len(self._visible)} of {messages} messages have a row.")
            time.sleep(_LOOK_EVERY_SECONDS)
        self._look_at_log()

    def seconds(self) -> tuple[float, ...]:
        """From the first look that saw the line to the first that saw its row."""
        return tuple(
            max(0.0, self._visible[queue_id] - written)
            for queue_id, written in self._written.items()
            if queue_id in self._visible
        )

    def close(self) -> None:
        self._log.close()

    def _look_at_log(self) -> None:
        lines = (self._half_line + self._log.read()).split(b"\n")
        now = time.perf_counter()
        self._half_line = lines.pop()
        for found in filter(None, map(_STATUS.search, lines)):
            self._written.setdefault(found[1].decode("ascii"), now)

    def _look_at_rows(self) -> None:
        with self._database.reading() as session:
            rows = session.execute(_NEW_ROWS, {"last": self._last_row}).all()
        now = time.perf_counter()
        for row_id, queue_id in rows:
            self._last_row = max(self._last_row, row_id)
            self._visible.setdefault(queue_id, now)
