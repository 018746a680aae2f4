import datetime as dt
import json
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sendproof_core.errors import UserError
from sendproof_logparser.journald import CHUNK_OCTETS, Journald, JournalLineReader
from sendproof_logparser.position import Position

# Debian has it in a package of that name.
_JOURNAL_WRITER = "/lib/systemd/systemd-journal-remote"
_BEGIN = 1_700_000_000_123_456
_DROPPED = "a596d6fe7bfa4994828e72309e95d61e"
_Read = tuple[dt.datetime, tuple[str, str, int], str]


class _Journal:
    """A folder with a journal, written by systemd's own program, and read; what was read is one list."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.position: Position | None = None
        self.read_lines: list[_Read] = []
        self._count = 0

    def write(self, *entries: dict[str, str | bytes], file: str = "system.journal") -> None:
        """In the journal export format (systemd: docs/JOURNAL_EXPORT_FORMATS.md)."""
        text = bytearray()
        for entry in entries:
            self._count += 1
            fields: dict[str, str | bytes] = {
                "__REALTIME_TIMESTAMP": str(_BEGIN + self._count * 1_000_000),
                "__MONOTONIC_TIMESTAMP": str(self._count),
                "_BOOT_ID": "1" * 32,
                **entry,
            }
            for name, value in fields.items():
                if isinstance(value, str) and "\n" not in value:
                    text += f"{name}={value}\n".encode()
                    continue
                octets = value.encode() if isinstance(value, str) else value
                text += name.encode() + b"\n" + len(octets).to_bytes(8, "little") + octets + b"\n"
            text += b"\n"
        subprocess.run(
            [_JOURNAL_WRITER, "-o", self.folder / file, "-"], input=bytes(text), check=True, capture_output=True
        )

    def say(self, *texts: str) -> None:
        self.write(*(_line(text) for text in texts))

    def read_anew(self) -> list[str]:
        """Read with a new reader that begins at the last position; the texts of everything read so far."""
        self.drain(Journald(self.folder, self.position))
        return [text for _, _, text in self.read_lines]

    def drain(self, journald: Journald) -> None:
        reader = _reader()
        while (chunk := journald.read()) is not None:
            for line in chunk.texts:
                read = reader.read(line)
                assert read is not None
                self.read_lines.append(read)
            self.position = chunk.position
            assert chunk.modified_at == reader.newest


def _line(text: str | bytes, **others: str) -> dict[str, str | bytes]:
    process = {"SYSLOG_IDENTIFIER": "postfix/smtp", "SYSLOG_PID": "12", "_PID": "99", "_HOSTNAME": "relay.example.net"}
    return {"SYSLOG_FACILITY": "2", **process, **others, "MESSAGE": text}


def _reader() -> JournalLineReader[tuple[str, str, int]]:
    def identify(host: str, program: str, pid: int) -> tuple[str, str, int]:
        return host, program, pid

    return JournalLineReader(identify)


@pytest.fixture
def journal(tmp_path: Path) -> _Journal:
    return _Journal(tmp_path)


@pytest.mark.integration
def test_each_mail_line_is_read_once_with_its_moment_and_process(journal: _Journal) -> None:
    journal.write(_line("one"), _line("of cron", SYSLOG_FACILITY="9"), _line("two", SYSLOG_PID="13"))
    assert journal.read_anew() == ["one", "two"]
    journal.say("three")
    assert journal.read_anew() == journal.read_anew() == ["one", "two", "three"]
    assert [line[1] for line in journal.read_lines] == [
        ("relay.example.net", "postfix/smtp", pid) for pid in (12, 13, 12)
    ]
    first = dt.datetime(2023, 11, 14, 22, 13, 21, 123456, dt.UTC)
    assert [line[0] - first for line in journal.read_lines] == [dt.timedelta(seconds=seconds) for seconds in (0, 2, 3)]


@pytest.mark.integration
def test_what_the_journal_says_of_lines_that_it_dropped_is_read(journal: _Journal) -> None:
    text = "Suppressed 17 messages from postfix.service"
    journal.write({"MESSAGE": text, "MESSAGE_ID": _DROPPED, "SYSLOG_IDENTIFIER": "systemd-journald", "_PID": "5"})
    assert journal.read_anew() == [text]
    assert journal.read_lines[0][1] == ("", "systemd-journald", 5)


@pytest.mark.integration
def test_octets_that_are_no_text_do_no_harm(journal: _Journal) -> None:
    journal.write(_line(b"tw\xffo"), _line(b"\x01\0\x02"), _line("new\nline"))
    assert journal.read_anew() == ["tw\N{REPLACEMENT CHARACTER}o", "\x01\x02", "new\nline"]


@pytest.mark.integration
def test_a_rotated_journal_loses_nothing(journal: _Journal) -> None:
    journal.say("one")
    journald = Journald(journal.folder, None)
    journal.drain(journald)
    journal.say("two")
    (journal.folder / "system.journal").rename(journal.folder / "system@1.journal")
    journal.say("three")
    journal.drain(journald)
    assert [text for _, _, text in journal.read_lines] == ["one", "two", "three"]


@pytest.mark.integration
def test_lines_after_a_gap_are_all_read_and_the_gap_is_said(
    journal: _Journal, caplog: pytest.LogCaptureFixture
) -> None:
    journal.say("one")
    assert journal.read_anew() == ["one"]
    (journal.folder / "system.journal").unlink()
    journal.write(_line("three"), _line("four"), file="later.journal")
    assert journal.read_anew() == ["one", "three", "four"]
    assert "event=journal-lost" in caplog.text


@pytest.mark.integration
def test_lines_of_one_moment_in_several_files_are_read_once(journal: _Journal) -> None:
    """Once, the reader began again and again with the line of the other file."""
    moments = [str(_BEGIN + number) for number in (1, 1, 2)]
    for file in ("one.journal", "two.journal"):
        entries = [_line(f"{file} {number}", __REALTIME_TIMESTAMP=moment) for number, moment in enumerate(moments)]
        for entry in entries:
            entry["__MONOTONIC_TIMESTAMP"] = entry["__REALTIME_TIMESTAMP"]
        journal.write(*entries, file=file)
    wanted = sorted(f"{file}.journal {number}" for file in ("one", "two") for number in range(3))
    assert sorted(journal.read_anew()) == sorted(journal.read_anew()) == wanted


@pytest.mark.integration
def test_much_is_read_in_chunks(journal: _Journal) -> None:
    wanted = [f"{number} {'x' * 1900}" for number in range(4000)]
    journal.say(*wanted)
    journald = Journald(journal.folder, None)
    chunk = journald.read()
    assert chunk is not None
    assert len(chunk.data) < CHUNK_OCTETS + 4000
    assert journald.unread_octets() > 0
    assert journal.read_anew() == wanted
    journal.drain(journald)
    assert journald.unread_octets() == 0


@pytest.mark.integration
def test_a_journal_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="No such file or directory"):
        Journald(tmp_path / "absent", None).read()
    position = Position("", 0, 0, 0, "no cursor")
    with pytest.raises(UserError, match="cursor"):
        Journald(tmp_path, position).read()


def test_a_missing_journalctl_is_said() -> None:
    with pytest.raises(UserError, match="install systemd"):
        Journald(None, None, program="/absent/journalctl").read()


@pytest.mark.parametrize(
    ("fields", "who", "text"),
    [
        ({"MESSAGE": "x", "SYSLOG_IDENTIFIER": "a/b", "SYSLOG_PID": "1", "_PID": "2"}, ("", "a/b", 1), "x"),
        ({"MESSAGE": "x", "SYSLOG_IDENTIFIER": "a", "_PID": "2", "_HOSTNAME": "h"}, ("h", "a", 2), "x"),
        ({"MESSAGE": [120, 255, 0], "_COMM": "c"}, ("", "c", 0), "x\N{REPLACEMENT CHARACTER}"),
        ({"MESSAGE": ["one", "two"], "SYSLOG_PID": "99999999999"}, ("", "", 0), "one"),
        ({"MESSAGE": None, "SYSLOG_PID": "x"}, ("", "", 0), ""),  # longer than journalctl gives
    ],
)
def test_every_shape_of_a_field_is_read(fields: dict[str, object], who: tuple[str, str, int], text: str) -> None:
    line = json.dumps({"__REALTIME_TIMESTAMP": "1700000000123456", **fields})
    assert _reader().read(line) == (dt.datetime(2023, 11, 14, 22, 13, 20, 123456, dt.UTC), who, text)


@pytest.mark.parametrize(
    "line",
    [
        "",
        "{",
        "[]",
        "1",
        "{}",
        '{"__REALTIME_TIMESTAMP":"x"}',
        '{"__REALTIME_TIMESTAMP":"9' + "9" * 30 + '"}',
        "[" * 9999,
    ],
)
def test_what_is_no_line_of_the_journal_is_none(line: str) -> None:
    assert _reader().read(line) is None


_VALUES = st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists)


@given(st.dictionaries(st.sampled_from(["MESSAGE", "_PID", "SYSLOG_PID", "_HOSTNAME", "SYSLOG_IDENTIFIER"]), _VALUES))
def test_no_entry_makes_it_fail(fields: dict[str, object]) -> None:
    read = _reader().read(json.dumps({"__REALTIME_TIMESTAMP": "1", **fields}))
    assert read is not None
    assert "\0" not in read[2]
