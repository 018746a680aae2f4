import datetime as dt
import uuid
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sendproof_core.errors import UserError
from sendproof_core.journal_records import JournalRecord, Opened, Refused, to_line
from sendproof_core.schema import (
    Attempt,
    Base,
    Delivery,
    Open,
    QueueFile,
    ReadingPosition,
    Recipient,
    Refusal,
    UnknownLine,
)
from sendproof_logparser.daemon import Daemon, Reader
from sendproof_logparser.settings import LogparserSettings
from sendproof_logparser.store import Store
from sendproof_logparser.tail import Wakeup
from sendproof_testing.record_reading import LOGS, NOW, Machine, admitted

_DIALOGUE = (LOGS / "dialogue.log").read_text(encoding="utf-8").splitlines()
_PARENT = "4jXGhv32rHzJLdv"
_MX = "mx.example.net[192.0.2.1]:25"
# Two queue ids, one of them short and reused; interrupted and reused connections; a hold, an expiry, a deletion.
_STORY = [
    "Nov 22 12:00:00 relay postfix/smtpd[3]: 4F5C64474F: client=localhost[127.0.0.1], sasl_method=PLAIN,"
    " sasl_username=max",
    "Nov 22 12:00:00 relay postfix/cleanup[4]: 4F5C64474F: message-id=<7f3c@own.example>",
    "Nov 22 12:00:00 relay postfix/qmgr[5]: 4F5C64474F: from=<max@own.example>, size=100, nrcpt=2 (queue active)",
    "Nov 22 12:00:01 relay postfix/smtp[7]: connect to mx0.example.net[192.0.2.9]:25: Connection refused",
    f"Nov 22 12:00:02 relay postfix/smtp[7]: < {_MX}: 220 mx",
    f"Nov 22 12:00:02 relay postfix/smtp[7]: > {_MX}: AUTH PLAIN c2VjcmV0",
    f"Nov 22 12:00:02 relay postfix/smtp[7]: > {_MX}: MAIL FROM:<max@own.example>",
    f"Nov 22 12:00:02 relay postfix/smtp[8]: < {_MX}: 220 mx",
    f"Nov 22 12:00:03 relay postfix/smtp[7]: 4F5C64474F: to=<a@example.net>, relay={_MX}, delay=3,"
    " delays=0/0/0/3, dsn=2.0.0, status=sent (250 2.0.0 Ok: queued as 5F5C64474F)",
    f"Nov 22 12:00:03 relay postfix/smtp[8]: 4F5C64474F: to=<b@example.net>, orig_to=<bob@own.example>, relay={_MX},"
    " delay=3, delays=0/0/0/3, dsn=4.2.0, status=deferred (host mx said: 450 later)",
    f"Nov 22 12:00:03 relay postfix/smtp[7]: > {_MX}: RSET",
    "Nov 22 12:05:00 relay postfix/qmgr[5]: 4F5C64474F: from=<max@own.example>, status=expired, returned to sender",
    "Nov 22 12:05:00 relay postfix/cleanup[4]: 4jXGhv3rKyzJLdy: message-id=<4jXGhv3rKyzJLdy@relay.example>",
    "Nov 22 12:05:00 relay postfix/bounce[6]: 4F5C64474F: sender non-delivery notification: 4jXGhv3rKyzJLdy",
    "Nov 22 12:05:00 relay postfix/qmgr[5]: 4F5C64474F: removed",
    "Nov 22 12:06:00 relay postfix/smtpd[3]: 4F5C64474F: client=localhost[127.0.0.1]",
    "Nov 22 12:06:00 relay postfix/cleanup[4]: 4F5C64474F: milter-hold: END-OF-MESSAGE from localhost[127.0.0.1]: held",
    "Nov 22 12:07:00 relay postfix/postsuper[9]: 4F5C64474F: released from hold",
    f"Nov 22 12:07:01 relay postfix/smtp[7]: > {_MX}: MAIL FROM:<max@own.example>",
    f"Nov 22 12:07:01 relay postfix/smtp[7]: 4F5C64474F: to=<c@example.net>, relay={_MX}, conn_use=2, delay=3,"
    " delays=0/0/0/3, dsn=4.0.0, status=deferred (host mx said: 450 later)",
    f"Nov 22 12:07:01 relay postfix/smtp[7]: > {_MX}: QUIT",
    "Nov 22 12:08:00 relay postfix/postsuper[9]: 4F5C64474F: removed",
    "Nov 22 12:08:00 relay postfix/qmgr[5]: 4F5C64474F: words of a later version",
]
_HELD_AT = dt.datetime(2026, 11, 22, 12, 6, 0, 500_000, dt.UTC)
_NOTES: list[JournalRecord] = [
    admitted("4F5C64474F", "a@example.net", "bob@own.example"),
    admitted("4F5C64474F", "c@example.net", "d@example.net", number=2, at=_HELD_AT),
    Opened(at=NOW, message_id=uuid.UUID(int=1), recipient_number=1, grade="proxy", user_agent="Mozilla/5.0"),
    Refused(
        at=NOW, host="relay.example", queue_id="4F5C64474F", account_id=1, login="max",
        envelope_sender="max@own.example", recipients=("anna@example.net",),
        subject=None, reason="quota", reply="452 4.7.1 Over the limit",
    ),
]  # fmt: skip


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
    machine.log(*_DIALOGUE, *_STORY)
    machine.note(*_NOTES)
    machine.read()
    before = machine.everything()
    assert machine.read() == 0
    assert machine.everything() == before


def test_the_story_ends_as_it_should(machine: Machine) -> None:
    machine.note(*_NOTES)
    machine.log(*_STORY)
    machine.read()
    assert machine.states() == {
        "a@example.net": "delivered", "bob@own.example": "expired",
        "c@example.net": "cancelled", "d@example.net": "cancelled",
    }  # fmt: skip
    assert [row.line for row in machine.rows(UnknownLine)] == [_STORY[-1]]
    assert (len(machine.rows(Open)), len(machine.rows(Refusal)), len(machine.rows(Delivery))) == (1, 1, 3)
    (position, _) = sorted(machine.rows(ReadingPosition), key=lambda row: row.source)
    assert (position.source, position.lines_read) == (f"relay.example:{machine.maillog}", len(_STORY))


_few = settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@_few
@given(st.lists(st.tuples(st.booleans(), st.integers(0, len(_STORY))), max_size=10))
def test_neither_batches_nor_restarts_nor_the_order_of_sources_change_the_record(
    make_machine: Callable[[], Machine], cuts: list[tuple[bool, int]]
) -> None:
    whole, cut = make_machine(), make_machine()
    whole.note(*_NOTES)
    whole.log(*_STORY)
    whole.read()
    logged = noted = 0
    for is_log, end in [*cuts, (True, len(_STORY)), (False, len(_NOTES))]:
        if is_log:
            cut.log(*_STORY[logged:end])
            logged = max(logged, end)
        else:
            cut.note(*_NOTES[noted:end])
            noted = max(noted, min(end, len(_NOTES)))
        cut.read()
    assert cut.everything() == whole.everything()


@_few
@given(
    st.lists(
        st.binary()
        | st.sampled_from([line.encode() for line in _STORY])
        | st.binary().map(lambda tail: _STORY[8].encode()[:60] + tail)
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
    machine.log(*_STORY[:9])
    machine.read()
    machine.log(*_STORY[9:12])
    machine.maillog.rename(machine.maillog.with_name("mail.log.1"))
    machine.log(*_STORY[12:])
    machine.read()
    assert len(machine.rows(Attempt)) == 3


def test_nul_octets_do_not_reach_the_record(machine: Machine) -> None:
    machine.maillog.write_bytes(_STORY[8].replace("250 2.0.0 Ok", "250 \0 Ok").encode() + b"\n")
    machine.read()
    assert [row.text for row in machine.rows(Attempt)] == ["250  Ok: queued as 5F5C64474F"]


def test_a_journal_line_that_is_none_is_kept(machine: Machine) -> None:
    machine.journal.write_bytes(b'{"event":"half\n\n' + to_line(_NOTES[0]) + b"\n")
    machine.read()
    assert [row.line for row in machine.rows(UnknownLine)] == ['{"event":"half']
    assert len(machine.rows(Recipient)) == 2


def test_an_unknown_time_zone_is_said(machine: Machine) -> None:
    with pytest.raises(UserError, match="time_zone"):
        Reader(LogparserSettings(time_zone="Mars/Olympus"), "relay", Store(machine.database, "relay"), grace_seconds=0)


def test_a_database_that_is_away_is_waited_for(machine: Machine) -> None:
    """And a stop ends the wait, with nothing stored and nothing lost."""
    machine.log(*_STORY)
    store = Store(machine.database, "relay.example")
    reader = Reader(machine.settings, "relay.example", store, grace_seconds=0)
    wakeup = Wakeup([])
    daemon = Daemon(reader, store, lambda: NOW, poll_seconds=0.1, queue_lifetime_seconds=432_000, wakeup=wakeup)
    with machine.database.writing_connection() as connection:
        connection.exec_driver_sql("ALTER TABLE attempts RENAME TO attempts_away")
    wakeup.stop()
    assert daemon.read_once()
    wakeup.close()
    reader.close()
    assert machine.rows(QueueFile) == []
    with machine.database.writing_connection() as connection:
        connection.exec_driver_sql("ALTER TABLE attempts_away RENAME TO attempts")
    machine.read()
    assert len(machine.rows(Attempt)) == 3
