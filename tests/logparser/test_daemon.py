import dataclasses
import datetime as dt
import logging
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sendproof_core.clock import monotonic_seconds
from sendproof_core.database import Database
from sendproof_core.schema import Attempt, DeliveryDay, OpenConversation, QueueFile, ReadingPosition, SearchEntry
from sendproof_core.service_notify import ServiceNotifier
from sendproof_core.source_names import import_name
from sendproof_logparser import derive
from sendproof_logparser.daemon import Daemon, Stopped, _counts
from sendproof_logparser.metrics import Metrics
from sendproof_logparser.store import Written
from sendproof_logparser.tail import Wakeup
from sendproof_testing.log_story import NOTES, STORY
from sendproof_testing.record_reading import HOST, NOW, Machine, admitted

_LIFETIME_SECONDS = 5 * 86_400
_MINUTE, _DAY = dt.timedelta(minutes=1), dt.timedelta(days=1)


class _Running:
    """A machine's daemon, whose clock stands still unless it is set, and what it tells systemd."""

    def __init__(self, machine: Machine, folder: Path, metrics: Metrics | None = None) -> None:
        self.now = NOW
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(folder / "notify"))
        self._socket.setblocking(False)
        store = machine.store()
        self.reader = machine.reader(store)
        self.wakeup = Wakeup([])
        self.daemon = Daemon(
            reader=self.reader,
            store=store,
            host=HOST,
            clock=lambda: self.now,
            poll_seconds=0.05,
            queue_lifetime_seconds=_LIFETIME_SECONDS,
            wakeup=self.wakeup,
            notifier=ServiceNotifier({"NOTIFY_SOCKET": str(folder / "notify")}, 1, monotonic_seconds),
            metrics=metrics,
        )
        self._thread = threading.Thread(target=self.daemon.run)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self.wakeup.stop()
        if self._thread.is_alive():
            self._thread.join(10)
        assert not self._thread.is_alive()

    def told(self) -> list[str]:
        """What was told since the last time."""
        found = []
        while True:
            try:
                found.append(self._socket.recv(4096).decode())
            except BlockingIOError:
                return found

    def close(self) -> None:
        self.stop()
        self.wakeup.close()
        self.reader.close()
        self._socket.close()


@pytest.fixture
def running(machine: Machine, tmp_path: Path) -> Iterator[_Running]:
    made = _Running(machine, tmp_path, Metrics())
    yield made
    made.close()


def _wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 15
    while not condition():
        assert time.monotonic() < deadline, "it did not come about in time"
        time.sleep(0.01)


def _take_away(database: Database) -> None:
    with database.writing_connection() as connection:
        connection.exec_driver_sql("ALTER TABLE attempts RENAME TO attempts_away")


def _bring_back(database: Database) -> None:
    with database.writing_connection() as connection:
        connection.exec_driver_sql("ALTER TABLE attempts_away RENAME TO attempts")


def test_a_stop_ends_the_wait_for_a_database_that_is_away_with_nothing_stored_and_nothing_lost(
    machine: Machine, running: _Running
) -> None:
    machine.log(*STORY)
    machine.note(*NOTES)
    _take_away(machine.database)
    running.wakeup.stop()
    with pytest.raises(Stopped):
        running.daemon.read_once()
    assert machine.rows(QueueFile) == machine.rows(ReadingPosition) == machine.rows(OpenConversation) == []
    _bring_back(machine.database)
    machine.read()
    assert len(machine.rows(Attempt)) == 3


def test_a_database_that_is_away_is_waited_for(
    machine: Machine, running: _Running, caplog: pytest.LogCaptureFixture
) -> None:
    machine.log(*STORY)
    _take_away(machine.database)
    with caplog.at_level(logging.WARNING):
        running.start()
        _wait_for(lambda: "event=database-away" in caplog.text)
    assert machine.rows(QueueFile) == []
    _bring_back(machine.database)
    _wait_for(lambda: len(machine.rows(Attempt)) == 3)
    assert any(text.startswith("STATUS=the database is away") for text in running.told())


def test_a_stop_while_the_database_is_away_ends_the_program_as_any_other(machine: Machine, running: _Running) -> None:
    """Whether a batch or something else waits for it."""
    machine.log(*STORY)
    _take_away(machine.database)
    running.start()
    told: list[str] = []

    def is_waiting() -> bool:
        told.extend(running.told())
        return any("away" in text for text in told)

    _wait_for(is_waiting)
    running.stop()
    assert running.told()[-1] == "STOPPING=1"
    assert machine.rows(QueueFile) == []


def test_reading_once_all_that_is_there_ends_when_told_so_while_the_database_is_away(
    machine: Machine, running: _Running
) -> None:
    machine.log(*STORY)
    _take_away(machine.database)
    timer = threading.Timer(0.2, running.wakeup.stop)
    timer.start()
    running.daemon.read_all()
    timer.join()
    assert machine.rows(QueueFile) == []


def test_all_that_is_there_is_read(machine: Machine, running: _Running) -> None:
    machine.log(*STORY)
    machine.note(*NOTES)
    running.daemon.read_all()
    assert len(machine.rows(Attempt)) == 3
    assert not running.daemon.read_once()


def test_systemd_hears_that_it_began_and_that_it_ends(machine: Machine, running: _Running) -> None:
    machine.log(*STORY)
    running.start()
    _wait_for(lambda: len(machine.rows(Attempt)) == 3)
    running.stop()
    told = running.told()
    assert (told[0], told[-1]) == ("READY=1", "STOPPING=1")
    assert told.count("READY=1") == told.count("STOPPING=1") == 1
    assert "STATUS=0 octets unread" in told


def test_it_is_ready_once_the_database_is_there(machine: Machine, running: _Running) -> None:
    with machine.database.writing_connection() as connection:
        connection.exec_driver_sql("ALTER TABLE reading_positions RENAME TO positions_away")
    running.start()
    told: list[str] = []

    def is_waiting() -> bool:
        told.extend(running.told())
        return any("away" in text for text in told)

    _wait_for(is_waiting)
    assert "READY=1" not in told
    with machine.database.writing_connection() as connection:
        connection.exec_driver_sql("ALTER TABLE positions_away RENAME TO reading_positions")
    _wait_for(lambda: "READY=1" in running.told())


def _read_up_to(machine: Machine) -> set[dt.datetime | None]:
    return {row.read_up_to for row in machine.rows(ReadingPosition)}


def test_it_says_until_when_everything_was_read(machine: Machine, running: _Running) -> None:
    """Not while lines are waiting, and not more often than is of use."""
    machine.log(*STORY)
    machine.note(*NOTES)
    assert running.daemon.read_once()
    assert _read_up_to(machine) == {None}
    running.start()
    _wait_for(lambda: _read_up_to(machine) == {NOW})
    running.now = NOW + dt.timedelta(seconds=9)
    time.sleep(0.2)
    assert _read_up_to(machine) == {NOW}
    running.now = later = NOW + dt.timedelta(seconds=10)
    _wait_for(lambda: _read_up_to(machine) == {later})


def test_recipients_of_whom_nothing_is_heard_become_unknown(machine: Machine, running: _Running) -> None:
    """Those that Postfix keeps no longer, and those that it never spoke of."""
    machine.note(admitted("4F5C644751", "unheard@example.net"))
    machine.log(
        "Nov 22 12:00:01 relay postfix/smtp[7]: 4F5C644752: to=<silent@example.net>, relay=none, delay=1,"
        " delays=0/0/0/1, dsn=4.0.0, status=deferred (later)"
    )
    running.start()
    _wait_for(lambda: machine.states() == {"unheard@example.net": "unknown", "silent@example.net": "deferred"})
    running.now = NOW + 7 * _DAY
    _wait_for(lambda: machine.states() == {"unheard@example.net": "unknown", "silent@example.net": "unknown"})


def test_where_no_mail_log_is_read_nobody_is_missed_in_it(machine: Machine, tmp_path: Path) -> None:
    machine.settings = dataclasses.replace(machine.settings, maillogs=())
    machine.note(admitted("4F5C644751", "a@example.net"))
    running = _Running(machine, tmp_path)
    running.start()
    _wait_for(lambda: _read_up_to(machine) == {NOW})
    running.now = later = NOW + _DAY
    _wait_for(lambda: _read_up_to(machine) == {later})
    running.close()
    assert machine.states() == {"a@example.net": "queued"}


def test_sources_that_are_no_longer_read_are_forgotten(machine: Machine, running: _Running) -> None:
    """They would hold back for ever until when everything was read; what was imported stays known."""
    kept = {f"{HOST}:{machine.maillog}", import_name(HOST, "/old"), "edge2:/var/log/mail.log"}
    with machine.database.writing() as session:
        for source in (*kept, f"{HOST}:/former/mail.log"):
            session.add(
                ReadingPosition(
                    source=source, fingerprint="", fingerprint_octets=0, inode=0, offset=0, lines_read=0, read_at=NOW
                )
            )
    running.start()
    _wait_for(lambda: {row.source for row in machine.rows(ReadingPosition)} == kept)


def test_what_a_batch_was_is_counted(machine: Machine) -> None:
    machine.note(NOTES[0])
    machine.log(
        *STORY[:3],
        "Nov 22 12:00:00 relay postfix/smtpd[5]: lost connection after RCPT from localhost[127.0.0.1]",
        "Nov 22 12:00:00 relay cron[5]: nothing to us",
        "no log line at all",
        "Nov 22 12:00:00 relay postfix/smtpd[5]: 4F5C64474F: words of a later version",
        "Nov 22 12:00:00 relay postfix/smtpd[5]: 4F5C64474F: other words",
        "Nov 22 12:00:00 relay rsyslogd: imuxsock[pid 2717]: begin to drop messages due to rate-limiting",
        "Nov 22 12:00:06 relay rsyslogd: imuxsock[pid 2717]: 412 messages lost due to rate-limiting",
    )
    reader = machine.reader(machine.store())
    batch = reader.read(NOW)
    reader.close()
    assert batch is not None
    counts = _counts(batch, Written(rows=7, attempts=0, unknown_lines=2), 3, 0.5)
    assert (counts.understood, counts.irrelevant, counts.other_program) == (1 + 3 + 2, 1, 2)
    assert counts.unknown_by_daemon == Counter(smtpd=2)
    assert (counts.gaps, counts.lost_lines) == (2, 412)
    assert (counts.rows, counts.open_conversations, counts.seconds) == (7, 3, 0.5)


def test_the_numbers_say_what_was_stored_and_how_far_it_is(machine: Machine, running: _Running) -> None:
    machine.log(*STORY)
    machine.note(*NOTES)
    running.start()
    _wait_for(lambda: _read_up_to(machine) == {NOW})
    running.stop()
    metrics = running.daemon.metrics
    assert metrics is not None
    value = metrics._registry.get_sample_value
    lines = {
        result: value("sendproof_logparser_lines_total", {"result": result}) for result in ("understood", "unknown")
    }
    assert lines == {"understood": len(STORY) - 1 + len(NOTES), "unknown": 1}
    assert value("sendproof_logparser_unread_bytes", {"source": f"{HOST}:{machine.maillog}"}) == 0
    assert value("sendproof_logparser_open_recipients", {"state": "queued"}) == 0
    assert value("sendproof_logparser_batch_seconds_count") == 1


def _waiting(machine: Machine) -> int:
    with machine.database.reading() as session:
        return derive.count_open(session)


def test_what_follows_from_the_lines_is_derived_a_moment_after_they_were_read(
    machine: Machine, running: _Running
) -> None:
    running.start()
    machine.log(*STORY)
    machine.note(*NOTES)
    _wait_for(lambda: len(machine.rows(SearchEntry)) > 0 and _waiting(machine) == 0)
    assert machine.rows(DeliveryDay)


def test_reading_once_derives_as_well(machine: Machine, running: _Running) -> None:
    machine.log(*STORY)
    machine.note(*NOTES)
    running.daemon.read_all()
    assert machine.rows(SearchEntry)
    assert _waiting(machine) == 0


def test_while_there_is_more_to_read_something_is_derived_once_a_second(machine: Machine, running: _Running) -> None:
    machine.note(*NOTES)
    machine.log(*STORY)
    assert running.daemon.read_once()
    waiting = [_waiting(machine)]
    for number in range(3):
        machine.note(admitted(f"4jXGhx1fv9zJLd{number}", "anna@example.net", number=100 + number))
        running.now += dt.timedelta(milliseconds=400)
        assert running.daemon.read_once()
        waiting.append(_waiting(machine))
    assert waiting[0] == waiting[3] == 0
    assert 0 < waiting[1] < waiting[2]
