import contextlib
import dataclasses
import datetime as dt
import json
import logging
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sendproof_core import schema_version
from sendproof_core.database import open_database
from sendproof_core.journal_records import to_line
from sendproof_core.schema import (
    Attempt,
    Base,
    Delivery,
    LogGap,
    Open,
    OpenConversation,
    QueueFile,
    ReadingPosition,
    Recipient,
    Refusal,
    UnknownLine,
)
from sendproof_logparser import journal_line, sources, transcript
from sendproof_logparser.batch import Batch
from sendproof_logparser.chunk import Chunk
from sendproof_logparser.events import DialogueLine
from sendproof_logparser.host_names import HostNames
from sendproof_logparser.journald import JournalLineReader
from sendproof_logparser.process import Process
from sendproof_logparser.reader import Identify, Lines, Log, Reader
from sendproof_testing.log_story import NOTES, STORY
from sendproof_testing.record_reading import HOST, LOGS, NOW, Machine, admitted

_DIALOGUE = (LOGS / "dialogue.log").read_text(encoding="utf-8").splitlines()
_PARENT = "4jXGhv32rHzJLdv"
_MX = "mx.example.net[192.0.2.1]:25"


def _read(machine: Machine) -> Batch:
    """What a reader that begins now understands; nothing is stored."""
    reader = machine.reader(machine.store())
    batch = reader.read(NOW)
    reader.close()
    assert batch is not None
    return batch


def test_the_dialogue_log_becomes_its_record(machine: Machine) -> None:
    machine.log(*_DIALOGUE)
    machine.read()
    parent, child = machine.rows(QueueFile)
    assert (parent.queue_id, parent.host, parent.instance, parent.envelope_sender) == (
        _PARENT,
        "relay.example",
        "postfix",
        "a@example.com",
    )
    assert (child.parent_queue_id, child.envelope_sender) == (_PARENT, "")
    assert (child.link_kind, child.link_evidence) == ("non-delivery", "notification")
    assert machine.states() == {
        "3b@sink.test": "bounced", "2b@sink.test": "delivered", "b@sink.test": "delivered", "a@example.com": "bounced",
    }  # fmt: skip
    (delivery,) = machine.rows(Delivery)
    wanted = [line.split("]: ", 1)[1] for line in _DIALOGUE if "]: > " in line or "]: < " in line]
    assert [text for _, _, text in delivery.dialogue] == [line.split(":2701: ", 1)[1] for line in wanted]
    assert [speaker for _, speaker, _ in delivery.dialogue] == ["C" if line[0] == ">" else "S" for line in wanted]
    assert delivery.tls.startswith("Untrusted TLS connection established to 127.0.0.1[127.0.0.1]:2701: TLSv1.3")
    attempts = machine.rows(Attempt)
    assert [attempt.delivery_id for attempt in attempts] == [delivery.id] * 3 + [None]
    assert [attempt.remote_queue_id for attempt in attempts] == [None, "4jXGhv3lVdzJPyT", "4jXGhv3lVdzJPyT", None]
    assert machine.rows(UnknownLine) == []


def test_reading_again_changes_nothing(machine: Machine) -> None:
    machine.log(*_DIALOGUE, *STORY)
    machine.note(*NOTES)
    machine.read()
    before = machine.everything()
    assert machine.read() == 0
    assert machine.everything() == before


def test_the_story_ends_as_it_should(machine: Machine) -> None:
    machine.note(*NOTES)
    machine.log(*STORY)
    machine.read()
    assert machine.states() == {
        "a@example.net": "delivered", "bob@own.example": "expired",
        "c@example.net": "cancelled", "d@example.net": "cancelled",
    }  # fmt: skip
    unknown = [(row.line, row.daemon, row.offset) for row in machine.rows(UnknownLine)]
    assert unknown == [(STORY[-1], "qmgr", machine.maillog.read_bytes().index(STORY[-1].encode()))]
    assert (len(machine.rows(Open)), len(machine.rows(Refusal)), len(machine.rows(Delivery))) == (1, 1, 3)
    (position, _) = sorted(machine.rows(ReadingPosition), key=lambda row: row.source)
    assert (position.source, position.lines_read) == (f"relay.example:{machine.maillog}", len(STORY))
    assert position.last_line_at == dt.datetime(2026, 11, 22, 12, 8, tzinfo=dt.UTC)


_few = settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@_few
@given(st.lists(st.tuples(st.booleans(), st.integers(0, len(STORY))), max_size=10))
def test_neither_batches_nor_restarts_nor_the_order_of_sources_change_the_record(
    make_machine: Callable[[], Machine], cuts: list[tuple[bool, int]]
) -> None:
    whole, cut = make_machine(), make_machine()
    whole.note(*NOTES)
    whole.log(*STORY)
    whole.read()
    logged = noted = 0
    for is_log, end in [*cuts, (True, len(STORY)), (False, len(NOTES))]:
        if is_log:
            cut.log(*STORY[logged:end])
            logged = max(logged, end)
        else:
            cut.note(*NOTES[noted:end])
            noted = max(noted, min(end, len(NOTES)))
        cut.read()
    assert cut.everything() == whole.everything()


@_few
@given(
    st.lists(
        st.binary()
        | st.sampled_from([line.encode() for line in STORY])
        | st.binary().map(lambda tail: STORY[8].encode()[:60] + tail)
    )
)
def test_no_octets_stop_the_reader(make_machine: Callable[[], Machine], lines: list[bytes]) -> None:
    machine = make_machine()
    octets = b"".join(line + b"\n" for line in lines)
    machine.maillog.write_bytes(octets)
    machine.journal.write_bytes(octets)
    machine.read()
    assert {row.lines_read for row in machine.rows(ReadingPosition)} <= {octets.count(b"\n")}


def test_no_secret_reaches_the_record(machine: Machine) -> None:
    secret = "c2VjcmV0LXNlZWQ"
    verbose = [line.replace("(32 octets of PRNG seed, base64)", secret) for line in _DIALOGUE]
    machine.log(*verbose[:-8])
    machine.log(
        *(
            f"Nov 22 04:45:19 relay postfix/{program}: {text}"
            for program in ("smtp[12127]", "smtpd[1]", "tlsmgr[1]", "qmgr[1]", "newdaemon[1]")
            for text in (
                f"send attr seed = {secret}", f"input attribute value: {secret}", f"send attr session = {secret}",
                f"> 127.0.0.1[127.0.0.1]:2701: AUTH PLAIN {secret}", f"> 127.0.0.1[127.0.0.1]:2701: {secret}",
                f"xsasl_client_first: uncoded initial reply: {secret}",
                f"smtpd_sasl_authenticate: init_response {secret}",
            )
        )
    )  # fmt: skip
    machine.log(*verbose[-8:])
    machine.read()
    with machine.database.engine.connect() as connection:
        dump = "".join(repr(connection.execute(table.select()).all()) for table in Base.metadata.sorted_tables)
    assert "delivered" in dump
    assert "AUTH PLAIN [hidden]" in dump
    assert secret not in dump
    assert "send attr" not in dump


def test_a_renamed_log_is_read_to_its_end(machine: Machine) -> None:
    machine.log(*STORY[:9])
    machine.read()
    machine.log(*STORY[9:12])
    machine.maillog.rename(machine.maillog.with_name("mail.log.1"))
    machine.log(*STORY[12:])
    machine.read()
    assert len(machine.rows(Attempt)) == 3


def test_nul_octets_do_not_reach_the_record(machine: Machine) -> None:
    machine.maillog.write_bytes(STORY[8].replace("250 2.0.0 Ok", "250 \0 Ok").encode() + b"\n")
    machine.read()
    assert [row.text for row in machine.rows(Attempt)] == ["250  Ok: queued as 5F5C64474F"]


def test_a_journal_line_that_is_none_is_kept(machine: Machine) -> None:
    machine.journal.write_bytes(b'{"event":"half\n\n' + to_line(NOTES[0]) + b"\n")
    machine.read()
    assert [row.line for row in machine.rows(UnknownLine)] == ['{"event":"half']
    assert len(machine.rows(Recipient)) == 2


def test_the_octets_of_an_unknown_line_are_found_where_its_offset_says(machine: Machine) -> None:
    """Also behind NUL octets, what is no UTF-8, CR, and other programs' lines."""
    odd = [
        b"Nov 22 12:00:00 relay postfix/qmgr[5]: 4F5C64474F: \0\0 words of a later version",
        b"Nov 22 12:00:00 relay postfix/qmgr[5]: 4F5C64474F: \xff\xc3 more of them\r",
        "Nov 22 12:00:00 relay postfix/qmgr[5]: 4F5C64474F: wörter".encode(),
    ]
    lines = [b"\0\0\0", odd[0], b"Nov 22 12:00:00 relay cron[1]: \xfe\xff", odd[1], STORY[0].encode(), b"", odd[2]]
    octets = b"".join(line + b"\n" for line in lines)
    for _ in range(2):  # and in the second chunk, which does not begin at 0
        with machine.maillog.open("ab") as file:
            file.write(octets)
        machine.read()
    found = [machine.maillog.read_bytes()[row.offset :].split(b"\n", 1)[0] for row in machine.rows(UnknownLine)]
    assert found == odd * 2


def test_an_unknown_line_is_kept_with_its_daemon(machine: Machine) -> None:
    machine.log(
        "Nov 22 12:00:00 relay postfix/smtpd[5]: 4F5C64474F: words of a later version",
        "Nov 22 12:00:00 relay postfix/newdaemon[5]: other words",
        "Nov 22 12:00:00 relay cron[5]: nothing to us",
        "no log line at all",
    )
    machine.read()
    assert [row.daemon for row in machine.rows(UnknownLine)] == ["smtpd", "newdaemon"]


def test_every_line_is_counted_once(machine: Machine) -> None:
    machine.log(
        *STORY[:3],
        "Nov 22 12:00:00 relay postfix/smtpd[5]: lost connection after RCPT from localhost[127.0.0.1]",
        "Nov 22 12:00:00 relay cron[5]: nothing to us",
        "no log line at all",
        "Nov 22 12:00:00 relay postfix/smtpd[5]: 4F5C64474F: words of a later version",
        "Nov 22 12:00:00 relay rsyslogd: imuxsock[pid 2717]: begin to drop messages due to rate-limiting",
    )
    (portion,) = _read(machine).portions
    assert (len(portion.lines), len(portion.facts), len(portion.gaps)) == (8, 3, 1)
    assert (portion.irrelevant, portion.others, portion.formless, len(portion.unknown)) == (1, 1, 1, 1)


_DROPPED = "Nov 22 12:00:06 relay rsyslogd: imuxsock[pid 2717]: 412 messages lost due to rate-limiting"
_AT_12 = dt.datetime(2026, 11, 22, 12, 0, tzinfo=dt.UTC)


def _gaps(machine: Machine) -> list[tuple[str, dt.datetime | None, dt.datetime, int | None]]:
    return [(row.host, row.begins_at, row.ends_at, row.lines) for row in machine.rows(LogGap)]


@pytest.mark.parametrize("is_restarted", [False, True])
def test_lines_that_the_system_log_dropped_are_a_gap_since_the_line_before(
    machine: Machine, is_restarted: bool
) -> None:
    machine.log(STORY[3])
    if is_restarted:
        machine.read()
    machine.log(_DROPPED)
    machine.read()
    second = dt.timedelta(seconds=1)
    assert _gaps(machine) == [(HOST, _AT_12 + second, _AT_12 + 6 * second, 412)]
    assert machine.rows(UnknownLine) == []


def test_a_gap_at_the_very_beginning_has_none(machine: Machine) -> None:
    machine.log(_DROPPED, _DROPPED)
    machine.read()
    assert _gaps(machine) == [(HOST, None, _AT_12 + dt.timedelta(seconds=6), 412)]


def _with_two_logs(machine: Machine) -> Path:
    """Lets the machine read a second log as well; its path."""
    other = machine.maillog.with_name("collected.log")
    machine.settings = dataclasses.replace(machine.settings, maillogs=(machine.maillog, other))
    return other


@pytest.mark.parametrize("at_once", [True, False])
def test_the_same_lines_in_another_file_change_nothing(make_machine: Callable[[], Machine], at_once: bool) -> None:
    """One attempt, one delivery, one refusal, one gap each, however often and out of which file they are read."""
    refused = (
        "Nov 22 12:09:00 relay postfix/submission/smtpd[3]: NOQUEUE: reject: RCPT from x[203.0.113.9]: 554 5.7.1 no;"
        " from=<x@example.com> to=<y@example.net> proto=ESMTP helo=<x>"
    )
    put_off = (
        "Nov 22 12:00:04 relay postfix/error[9]: 4F5C64474F: to=<b@example.net>, orig_to=<bob@own.example>, relay=none,"
        " delay=4, delays=4/0/0/0, dsn=4.4.1, status=deferred (delivery temporarily suspended: connect to mx: refused)"
    )
    lines = [*STORY[:11], put_off, *STORY[11:-1], _DROPPED, refused]
    once, twice = make_machine(), make_machine()
    for machine in (once, twice):
        machine.note(*NOTES)
        machine.log(*lines)
    once.read()
    collected = _with_two_logs(twice)
    if not at_once:
        twice.read()
    collected.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    twice.read()
    assert len(once.rows(Attempt)) == 3
    assert len(once.rows(Delivery)) == 3
    assert len(once.rows(Refusal)) == 2
    assert twice.everything() == once.everything()


def test_who_is_in_mid_conversation_is_known_after_a_restart(machine: Machine) -> None:
    """SMTP processes, and the logins of smtpd's clients, until these leave."""
    machine.log(
        "Nov 22 12:00:00 relay postfix/submission/smtpd[3]: 4F5C64474F: client=unknown[203.0.113.9],"
        " sasl_method=PLAIN, sasl_username=max",
        f"Nov 22 12:00:01 relay postfix/smtp[7]: < {_MX}: 220 mx",
    )
    machine.read()
    open_ones = {(row.reader, row.service, row.pid) for row in machine.rows(OpenConversation)}
    assert open_ones == {(HOST, "postfix/submission/smtpd", 3), (HOST, "postfix/smtp", 7)}
    refused = (
        "Nov 22 12:00:0{} relay postfix/submission/smtpd[3]: NOQUEUE: reject: RCPT from unknown[203.0.113.9]: 550 5.7.1"
        " no; from=<max@own.example> to=<a@example.net> proto=ESMTP helo=<x>"
    )
    machine.log(refused.format(2))
    machine.read()
    machine.log(
        "Nov 22 12:00:03 relay postfix/submission/smtpd[3]: disconnect from unknown[203.0.113.9] ehlo=1 commands=1"
    )
    machine.read()
    machine.log(refused.format(4))
    machine.read()
    assert [row.login for row in machine.rows(Refusal)] == ["max", ""]
    assert [row.service for row in machine.rows(OpenConversation)] == ["postfix/smtp"]


def test_a_stored_delivery_grows_after_a_restart(machine: Machine) -> None:
    machine.log(*STORY[:9])
    machine.read()
    machine.log(STORY[10])
    machine.read()
    (delivery,) = machine.rows(Delivery)
    assert [text for _, _, text in delivery.dialogue][-1] == "RSET"


# A bug of ours must not stop the record.
def test_a_line_that_makes_us_fail_is_kept_and_the_next_one_is_read(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    parse = journal_line.parse
    journal, log = sources.followed(machine.settings, HOST, grace_seconds=0)
    assert isinstance(log, Log)

    def fail_on_opened(line: bytes) -> object:
        if b"opened" in line:
            raise ZeroDivisionError(line)
        return parse(line)

    def lines_of(identify: Identify, reference: dt.datetime | None, chunk: Chunk) -> Lines:
        return _FailsOnMessageId(log.lines_of(identify, reference, chunk))

    monkeypatch.setattr(journal_line, "parse", fail_on_opened)
    machine.log(*STORY[:3])
    machine.note(NOTES[2], NOTES[0])
    store = machine.store()
    reader = Reader([journal, dataclasses.replace(log, lines_of=lines_of)], HostNames(HOST), store)
    with caplog.at_level(logging.ERROR):
        batch = reader.read(NOW)
    reader.close()
    assert batch is not None
    store.write(batch)
    opened, message_id = (row.line for row in machine.rows(UnknownLine))
    assert (json.loads(opened)["event"], message_id) == ("opened", STORY[1])
    assert [row.size_bytes for row in machine.rows(QueueFile)] == [100]
    assert caplog.text.count("event=line-failed") == 2
    assert "7f3c@own.example" not in caplog.text  # what a line says may be a secret


class _FailsOnMessageId:
    """Takes lines apart as another one does, with a bug."""

    def __init__(self, lines: Lines) -> None:
        self._lines = lines
        self.newest = lines.newest
        self.latest = lines.latest

    def read(self, line: str) -> tuple[dt.datetime, Process | None, str] | None:
        if "message-id" in line:
            raise ZeroDivisionError(line)
        return self._lines.read(line)


@pytest.mark.parametrize("is_journald", [False, True])
def test_no_secret_of_a_line_that_makes_us_fail_is_kept(
    machine: Machine, is_journald: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The system journal's lines are JSON: what is said does not stand at their end."""
    text = f"> {_MX}: AUTH PLAIN c2VjcmV0LXNlZWQ"
    fields = {
        "MESSAGE": text, "SYSLOG_IDENTIFIER": "postfix/smtp", "_PID": "7", "_HOSTNAME": "relay",
        "__REALTIME_TIMESTAMP": "1795348800000000", "__CURSOR": "s=1",
    }  # fmt: skip
    machine.log(json.dumps(fields) if is_journald else f"Nov 22 12:00:00 relay postfix/smtp[7]: {text}")
    (log,) = (origin for origin in sources.followed(machine.settings, HOST, grace_seconds=0) if isinstance(origin, Log))
    if is_journald:
        log = dataclasses.replace(log, lines_of=lambda identify, at, _chunk: JournalLineReader(identify, at))

    def fail(*_arguments: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setitem(transcript.HANDLERS, DialogueLine, fail)
    store = machine.store()
    with contextlib.closing(Reader([log], HostNames(HOST), store)) as reader:
        batch = reader.read(NOW)
    assert batch is not None
    store.write(batch)
    (line,) = machine.rows(UnknownLine)
    assert line.daemon == "smtp"
    assert "c2VjcmV0LXNlZWQ" not in line.line
    assert line.line.endswith("[hidden]")
    assert is_journald or line.line == "Nov 22 12:00:00 relay postfix/smtp[7]: [hidden]"


def test_who_writes_is_told_by_tag_number_and_machine(machine: Machine) -> None:
    reader = machine.reader(machine.store())
    assert reader.identify("relay", "postfix/submission/smtpd", 5) == Process(
        HOST, "postfix/submission/smtpd", 5, "postfix", "smtpd"
    )
    assert reader.identify("Edge2.example", "rsyslogd", 0) == Process("edge2", "rsyslogd", 0, "", "rsyslogd")
    assert reader.identify("relay", "cron", 5) is None
    reader.close()


_LONG = "x" * 92  # as much of a tag as is kept ends with it


@pytest.mark.parametrize(
    "program", ["postfix/smtp", "postfix/submission/smtpd", "rsyslogd", f"postfix/{_LONG}/smtp", f"postfix/{_LONG * 5}"]
)
def test_a_process_that_was_kept_is_the_same_one(machine: Machine, program: str) -> None:
    """By what its row has: machine, tag, number."""
    reader = machine.reader(machine.store())
    process = reader.identify("relay", program, 5)
    assert process is not None
    assert len(process.program) <= 100
    assert reader.identify(process.host, process.program, process.pid) == process
    reader.close()


# Whoever may write to the system log chooses the tag.
def test_tags_that_are_the_same_as_far_as_they_are_kept_do_not_stop_the_record(machine: Machine) -> None:
    machine.log(
        f"Nov 22 12:00:00 relay postfix/{_LONG}/smtp[7]: < {_MX}: 220 mx",
        f"Nov 22 12:00:00 relay postfix/{_LONG}/lmtp[7]: < {_MX}: 220 mx",
        STORY[0],
    )
    machine.read()
    assert [row.queue_id for row in machine.rows(QueueFile)] == ["4F5C64474F"]


@pytest.mark.parametrize(
    "line",
    [
        f"Nov 22 12:00:00 relay postfix/smtp[99999999999]: < {_MX}: 220 mx",
        f"0001-01-01T00:00:00+00:00 relay postfix/smtp[7]: < {_MX}: 220 mx",
        f"9999-12-31T23:59:59+00:00 relay postfix/smtp[7]: < {_MX}: 220 mx",
        "0001-01-01T00:00:00+00:00 relay postfix/smtp[7]: 4F5C644750: to=<a@b>, relay=127.0.0.1[127.0.0.1]:25, delay=1,"
        " delays=0/0/0/1, dsn=2.0.0, status=sent (250 queued as 4F5C644751)",
        "9999-12-31T23:59:59+00:00 relay postfix/cleanup[7]: 4F5C644750: milter-reject: END-OF-MESSAGE from"
        " x[192.0.2.1]: 4.7.1 no; from=<a@b> to=<c@d> proto=ESMTP helo=<x>",
        "9999-12-31T23:59:59+00:00 relay rsyslogd: imuxsock[pid 2717]: 412 messages lost due to rate-limiting",
    ],
)
@pytest.mark.parametrize("kind", ["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def test_no_number_and_no_moment_stops_the_record(
    machine: Machine, kind: str, line: str, request: pytest.FixtureRequest
) -> None:
    if kind == "postgresql":
        machine.database.close()
        machine.database = open_database(request.getfixturevalue("postgres_url"))
        schema_version.upgrade(machine.database)
    good = STORY[0].replace("Nov 22 12:00:00", "2026-11-22T12:00:00+00:00")
    for _ in range(2):  # and after a restart
        machine.log(line, good, line)
        machine.read()
    assert "4F5C64474F" in {row.queue_id for row in machine.rows(QueueFile)}
    machine.database.close()


def test_a_line_of_an_impossible_time_does_not_spoil_the_stamps_without_a_year(machine: Machine) -> None:
    """A machine whose clock was not set yet, or somebody's invention."""
    machine.log(f"0001-01-01T00:00:00+00:00 relay postfix/smtp[7]: < {_MX}: 220 mx", *STORY)
    machine.read()
    assert len(machine.rows(Attempt)) == 3


def test_the_journal_s_host_is_named_as_the_log_s(machine: Machine) -> None:
    machine.note(admitted("4F5C64474F", "a@example.net", host="RELAY.other.example"))
    machine.log(*STORY[:3])
    machine.read()
    assert [(row.host, row.instance) for row in machine.rows(QueueFile)] == [(HOST, "postfix")]


def test_what_is_behind_is_said_for_each_source(machine: Machine) -> None:
    machine.log(*STORY)
    machine.note(*NOTES)
    reader = machine.reader(machine.store())
    journal, log = reader.source_names
    assert (journal, log) == (f"{HOST}:{machine.journal}", f"{HOST}:{machine.maillog}")
    assert reader.log_names == (log,)
    assert reader.lag()[log][0] is None
    assert reader.read(NOW) is not None
    assert reader.lag() == {journal: (None, 0), log: (_AT_12 + dt.timedelta(minutes=8), 0)}
    assert reader.open_conversations == 2
    machine.log(STORY[0])
    assert reader.unread_octets() == reader.lag()[log][1] == len(STORY[0]) + 1
    assert reader.read(NOW) is not None
    assert reader.read(NOW) is None
    reader.close()
