import time
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sendproof_logparser import (
    grammar,
    grammar_delivery,
    grammar_others,
    grammar_queue,
    grammar_submission,
    grammar_words,
)
from sendproof_logparser.events import IRRELEVANT, ClientSeen, Disposition, Event, Irrelevant, StatusLine, TlsSession
from sendproof_testing.log_records import LogRecord, lines_not_run, log_records
from sendproof_testing.record_reading import LOGS

_DAEMONS = (
    "smtp", "lmtp", "smtpd", "cleanup", "qmgr", "bounce", "pickup", "postsuper", "local", "tlsmgr", "newdaemon",
    "postscreen", "dovecot", "amavis", "rsyslogd", "systemd-journald",
)  # fmt: skip
_RECORD_BEGINNINGS = (
    "", "4jXGhv32rHzJLdv: ", "4F5C64474F: to=<", "4F5C64474F: to=<a@b>, relay=", "4F5C64474F: from=<", "> h[1]:25: ",
    "4F5C64474F: client=", "NOQUEUE: ", "warning: ", "4F5C64474F: milter-reject: ", "connect to ",
    "4F5C64474F: reject: header ", "NOQUEUE: reject: RCPT from u[1]: 5", "message repeated 2 times: [ ",
    "warning: u[1]: SASL PLAIN authentication failed: ", "auth: sql(", "auth: sql(a,1): unknown user",
    "(1) Passed CLEAN, <a> -> <b>", "(1) Passed CLEAN, <a> -> <b>, Queue-ID: 4F5C64474F", "action '", "imuxsock",
    "Trusted TLS connection established to h[1]:25", "h[1]:25: ", "4F5C64474F: uid=0 from=<",
    "4F5C64474F: client=u[1], sasl_method=PLAIN, sasl_username=", "4F5C64474F: client=u[1], orig_queue_id=",
)  # fmt: skip
_PIECES = (
    '"', "\\", '"\\', "<", ">", ", orig_to=<", ", a=", '">', "[", "(", ", relay=", "550-", " to=<", "; from=<",
    " helo=<", " from x[1]; from=<", ": ", "message repeated 2 times: [ ", ",<a>", ", a: b", ", sasl_username=", "1",
    ": 1 ", "a", "A", " proto=", '" to=<"', "content ", "queued_as: ", "/ABCDE", "_",
    " messages lost due to rate-limiting",
)  # fmt: skip


def _read(record: LogRecord) -> tuple[str | None, dict[str, Any]]:
    known = grammar.instance_and_daemon(record.tag) if record.tag else None
    if known is None:
        return "other program", {}
    event = grammar.parse(known[1], record.text)
    if event is None or isinstance(event, Irrelevant):
        return event and "irrelevant", {}
    return type(event).__name__, event._asdict()


@pytest.mark.parametrize("record", list(log_records()), ids=lambda record: record.text[:60])
def test_each_line_of_the_corpus_is_what_stands_above_it(record: LogRecord) -> None:
    kind, fields = _read(record)
    wanted = {name: tuple(value) if isinstance(value, list) else value for name, value in record.expected.items()}
    assert {"event": kind} | {name: fields[name] for name in wanted if name != "event"} == wanted


def test_every_kind_of_event_and_disposition_is_in_the_corpus() -> None:
    read = [_read(record) for record in log_records()]
    assert {kind.__name__ for kind in get_args(Event)} <= {kind for kind, _ in read}
    assert {fields.get("disposition") for _, fields in read} >= set(Disposition)


def test_every_program_that_is_read_is_in_the_corpus() -> None:
    seen = {known[1] for record in log_records() if (known := grammar.instance_and_daemon(record.tag))}
    assert set(grammar._READERS) - seen == set()


def test_every_line_of_the_grammar_is_run_by_the_corpus() -> None:
    """So that no alternative of it goes without a line. The tables' tests are beside those of the modules."""
    records = list(log_records())

    def read_all() -> None:
        for record in records:
            _read(record)
            grammar.reader(record.tag)
            grammar.speaks_smtp(record.tag)
            grammar.may_be_kept(record.text)

    grammar.instance_and_daemon.cache_clear()
    grammar_delivery._remembered.clear()
    some_event = TlsSession("", "")
    grammar_delivery._remembered.update(
        (str(number), some_event) for number in range(grammar_delivery.REMEMBERED_TEXTS)
    )
    modules = (grammar, grammar_delivery, grammar_others, grammar_queue, grammar_submission, grammar_words)
    assert lines_not_run(modules, read_all) == []


def test_every_line_of_a_verbose_log_is_understood() -> None:
    for line in (LOGS / "dialogue.log").read_text(encoding="utf-8").splitlines():
        tag, _, text = line.split(" ", 4)[-1].partition("]: ")
        known = grammar.instance_and_daemon(tag.partition("[")[0])
        assert known, line
        assert grammar.parse(known[1], text) is not None, line


@given(st.sampled_from(_DAEMONS), st.sampled_from(_RECORD_BEGINNINGS), st.text())
def test_no_text_makes_it_fail(daemon: str, beginning: str, text: str) -> None:
    grammar.parse(daemon, beginning + text)


@given(
    st.sampled_from(_DAEMONS),
    st.sampled_from(_RECORD_BEGINNINGS),
    st.lists(st.sampled_from((*_PIECES, *_RECORD_BEGINNINGS)), max_size=30),
)
def test_no_heap_of_fields_makes_it_fail(daemon: str, beginning: str, pieces: list[str]) -> None:
    grammar.parse(daemon, beginning + "".join(pieces))


@pytest.mark.parametrize("beginning", _RECORD_BEGINNINGS)
def test_no_text_makes_it_slow(beginning: str) -> None:
    for piece in _PIECES:
        text = beginning + piece * (100_000 // len(piece))
        for daemon in _DAEMONS:
            begun = time.process_time()
            grammar.parse(daemon, text)
            assert time.process_time() - begun < 0.1, (daemon, piece)


@given(st.text(), st.text(), st.sampled_from(("550", "250 2.0.0 ok", "> , relay=h[1]:25, delay=1")))
def test_no_recipient_and_no_reply_passes_for_a_field(quoted: str, reply: str, words: str) -> None:
    local_part = '"' + quoted.replace("\\", "\\\\").replace('"', '\\"') + words + '"'
    text = f"{words} {reply}"
    line = (
        f"4F5C64474F: to=<{local_part}@example.net>, relay=none, delay=0, delays=0/0/0/0, dsn=5.0.0, "
        f"status=bounced ({text})"
    )
    event = grammar.parse("smtp", line)
    assert isinstance(event, StatusLine)
    assert (event.recipient, event.relay) == (f"{local_part}@example.net", "none")
    assert (event.status, event.text) == ("bounced", text)


@pytest.mark.parametrize(
    "text",
    [
        "smtpd_sasl_authenticate: sasl_method PLAIN, init_response AGEAYg==",
        "send attr seed = c2VjcmV0",
        "input attribute value: c2VjcmV0",
        "> mx.example.net[192.0.2.1]:25: AUTH PLAIN AGEAYg==",
        "private/tlsmgr: wanted attribute: seed",
    ],
)
def test_verbose_text_may_not_be_kept(text: str) -> None:
    assert not grammar.may_be_kept(text)


def test_smtp_says_nothing_unknown_without_severity_or_queue_id() -> None:
    """So that no verbose line of a later version, secrets and all, is kept as an unknown one."""
    assert grammar.parse("smtp", "verbose words of a later version: c2VjcmV0") is IRRELEVANT


def test_what_a_daemons_reader_says_is_what_is_parsed() -> None:
    text = "4F5C64474F: client=localhost[127.0.0.1]"
    assert grammar.reader("smtpd")(text) == grammar.parse("smtpd", text)
    assert isinstance(grammar.parse("smtpd", text), ClientSeen)


@pytest.mark.parametrize(
    ("tag", "known"),
    [
        ("postfix/submission/smtpd", ("postfix", "smtpd")),
        ("postfix-out/10025/smtpd", ("postfix-out", "smtpd")),
        ("mail_out/bounce", ("mail_out", "bounce")),
        ("/postfix-script", ("postfix-script", "postfix-script")),
        ("postfix/newdaemon", ("postfix", "newdaemon")),
        ("dovecot", ("", "dovecot")),
        ("rsyslogd-2177", ("", "rsyslogd")),
        ("systemd-journal", ("", "systemd-journald")),
        ("amavisd-new", ("", "amavis")),
        ("/usr/sbin/amavisd", ("", "amavis")),
        ("sshd", None),
        ("smtpd", None),
        ("", None),
    ],
)
def test_the_daemon_is_the_last_part_of_the_tag(tag: str, known: tuple[str, str] | None) -> None:
    assert grammar.instance_and_daemon(tag) == known


def test_smtp_conversations_are_held_by_smtp_and_lmtp() -> None:
    assert [daemon for daemon in _DAEMONS if grammar.speaks_smtp(daemon)] == ["smtp", "lmtp"]
