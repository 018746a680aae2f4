"""What the operator sees of the record."""

import datetime as dt
from collections.abc import Callable

from sendproof_core import clock
from sendproof_core.database import Database
from sendproof_core.schema import LogGap, QueueFile, ReadingPosition, Recipient, UnknownLine
from sendproof_core.source_names import import_name, source_name
from sendproof_core.states import RecipientState

Command = Callable[..., str]
ESCAPE = "\x1b[31m"
AT = dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.UTC)


def position(name: str, read_up_to: dt.datetime | None, lines_read: int) -> ReadingPosition:
    return ReadingPosition(
        source=name,
        fingerprint="",
        fingerprint_octets=0,
        inode=1,
        offset=1_234_567,
        lines_read=lines_read,
        read_at=clock.now(),
        read_up_to=read_up_to,
        last_line_at=AT,
    )


def test_each_source_says_how_far_it_was_read_and_how_far_behind_that_is(
    ready: Command, sqlite_database: Database
) -> None:
    now = clock.now()
    with sqlite_database.writing() as session:
        session.add(position(source_name("edge1", "/var/log/mail.log"), now, 98_765))
        session.add(position(source_name("edge2", "/var/log/mail.log"), now - dt.timedelta(hours=3), 7))
        session.add(position(import_name("edge1", "/old/mail.log.1"), None, 12))
    lines = ready("status").splitlines()
    assert lines[0].split() == ["LINES", "OCTETS", "LAST", "LINE", "(UTC)", "BEHIND", "SOURCE"]
    assert "98,765  1,234,567  2026-01-02 03:04:05  0 s     edge1:/var/log/mail.log" in lines
    assert "    12  1,234,567  2026-01-02 03:04:05  import  edge1:import:/old/mail.log.1" in lines
    assert "     7  1,234,567  2026-01-02 03:04:05  3 h     edge2:/var/log/mail.log" in lines
    warnings = [line for line in lines if "is sendproof-logparser running" in line]
    assert warnings == ["edge2:/var/log/mail.log is 3 h behind: is sendproof-logparser running on edge2?"]


def test_before_anything_was_read_that_is_said(ready: Command) -> None:
    output = ready("status")
    assert "nothing was read yet" in output
    assert "lines that no rule knows: 0" in output
    assert "recipients that Postfix still has: 0 queued, 0 deferred, 0 held" in output


def test_what_was_not_understood_is_counted_by_daemon_and_shown_harmless(
    ready: Command, sqlite_database: Database
) -> None:
    with sqlite_database.writing() as session:
        for number in range(15):
            line = f"odd {ESCAPE} line {number}"
            daemon = "smtpd" if number else None
            session.add(UnknownLine(source="edge1:/log", offset=number, read_at=AT, line=line, daemon=daemon))
    output = ready("status")
    assert "lines that no rule knows: 15" in output
    assert "  14 of smtpd" in output
    assert "  1 of other programs and journals" in output
    assert "  edge1:/log at octet 14: odd \\x1b[31m line 14\n" in output
    assert "at octet 4:" not in output
    assert "\x1b" not in output


def test_what_the_system_log_lost_is_shown_with_its_moments(ready: Command, sqlite_database: Database) -> None:
    with sqlite_database.writing() as session:
        ends = AT + dt.timedelta(minutes=1)
        text = f"rsyslogd: {ESCAPE} 17 messages lost"
        session.add(LogGap(host="edge1", source="s", begins_at=AT, ends_at=ends, lines=17, text=text, line_key=1))
        session.add(LogGap(host="edge1", source="s", begins_at=None, ends_at=AT, lines=None, text=text, line_key=2))
    output = ready("status")
    assert "times that the system log lost lines: 2" in output
    assert "  2026-01-02 03:04:05 to 2026-01-02 03:05:05 UTC  edge1: rsyslogd: \\x1b[31m 17 messages lost" in output
    assert "  2026-01-02 03:04:05 UTC  edge1: rsyslogd" in output
    assert "\x1b" not in output


def test_recipients_of_whom_nothing_is_known_are_counted(ready: Command, sqlite_database: Database) -> None:
    with sqlite_database.writing() as session:
        session.add(QueueFile(id=1, host="edge1", instance="postfix", queue_id="4Zabc", born_at=AT))
        session.flush()
        for name, state in (("a", RecipientState.UNKNOWN), ("b", RecipientState.UNKNOWN), ("c", RecipientState.HELD)):
            session.add(Recipient(queue_file_id=1, address=f"{name}@far.example", state=state, state_at=AT))
    output = ready("status")
    assert "recipients of whom the log does not say what became of them: 2" in output
    assert "recipients that Postfix still has: 0 queued, 0 deferred, 1 held" in output


def test_each_part_is_graded_and_what_is_not_well_has_advice(ready: Command) -> None:
    lines = ready("status").splitlines()
    assert any(line.startswith("good  database:") for line in lines)
    bad = next(number for number, line in enumerate(lines) if line.startswith("BAD   log readers:"))
    assert "Start sendproof-logparser" in lines[bad + 1]
