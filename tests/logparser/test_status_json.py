"""A status line as JSON."""

import datetime as dt
import json

from hypothesis import given
from hypothesis import strategies as st

from sendproof_logparser.events import StatusLine
from sendproof_logparser.process import Process
from sendproof_logparser.relay import take_apart
from sendproof_logparser.status_json import json_line, place, process_keys, rfc3339

AT = dt.datetime(2026, 1, 2, 15, 4, 5, tzinfo=dt.UTC)
seconds = st.floats(min_value=0, max_value=999_999_999_999, allow_nan=False)
lines = st.builds(
    StatusLine,
    queue_id=st.text(max_size=40),
    recipient=st.text(),
    original_recipient=st.none() | st.text(),
    relay=st.text() | st.just("mx.example[192.0.2.1]:25"),
    conn_use=st.none() | st.integers(min_value=0),
    delay_seconds=seconds,
    delays_seconds=st.tuples(seconds, seconds, seconds, seconds),
    dsn=st.text(max_size=20),
    status=st.text(max_size=30),
    text=st.text(),
)


processes = st.builds(
    Process,
    host=st.text(),
    program=st.text(),
    pid=st.integers(min_value=1, max_value=2**31 - 1),
    instance=st.text(),
    daemon=st.text(),
)


@given(st.text(), st.integers(min_value=1), st.datetimes(timezones=st.just(dt.UTC)), processes, lines)
def test_whatever_a_line_says_it_is_one_line_of_ascii_that_says_the_same(
    file: str, number: int, at: dt.datetime, process: Process, line: StatusLine
) -> None:
    text = json_line(place(file), number, at, process_keys(process), line)
    assert text.isascii()
    assert text.isprintable()
    relay_host, relay_ip, relay_port = take_apart(line.relay)
    read = json.loads(text)
    assert dt.datetime.fromisoformat(read.pop("time")) == at
    assert read == {
        "file": file,
        "line": number,
        "host": process.host,
        "instance": process.instance,
        "service": process.program,
        "daemon": process.daemon,
        "pid": process.pid,
        **line._asdict(),
        "delays_seconds": list(line.delays_seconds),
        "relay_host": relay_host,
        "relay_ip": relay_ip,
        "relay_port": relay_port,
    }


def test_a_process_whose_number_the_logger_left_out_has_none() -> None:
    assert json.loads(f"{{{process_keys(Process('edge1', 'postfix/smtp', 0, 'postfix', 'smtp'))}}}")["pid"] is None


def test_a_moment_has_a_fraction_only_where_the_log_has_one() -> None:
    assert rfc3339(AT) == "2026-01-02T15:04:05Z"
    assert rfc3339(AT.replace(microsecond=185_000)) == "2026-01-02T15:04:05.185000Z"
