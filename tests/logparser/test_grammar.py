import dataclasses
import datetime as dt
import json
import time
from collections.abc import Iterator
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sendproof_logparser import grammar, syslog_line
from sendproof_logparser.grammar import IRRELEVANT, Disposition
from sendproof_testing.record_reading import LOGS

_NOW = dt.datetime(2026, 12, 31, tzinfo=dt.UTC)
_DAEMONS = ("smtp", "lmtp", "smtpd", "cleanup", "qmgr", "bounce", "pickup", "postsuper", "local", "tlsmgr", "newdaemon")
_RECORD_BEGINNINGS = (
    "", "4jXGhv32rHzJLdv: ", "4F5C64474F: to=<", "4F5C64474F: to=<a@b>, relay=", "4F5C64474F: from=<", "> h[1]:25: ",
    "4F5C64474F: client=", "NOQUEUE: ", "warning: ", "4F5C64474F: milter-reject: ", "connect to ",
)  # fmt: skip


def _corpus() -> Iterator[tuple[dict[str, Any], str]]:
    expected = None
    for line in (LOGS / "records.txt").read_text(encoding="utf-8").splitlines():
        if line.startswith("# {"):
            expected = json.loads(line[2:])
        elif not line.startswith("#"):
            assert expected is not None, f"no expectation above {line}"
            yield expected, line
            expected = None


def _read(line: str) -> tuple[str | None, dict[str, Any]]:
    parsed = syslog_line.parse(line, dt.UTC, _NOW)
    known = grammar.instance_and_daemon(parsed.program) if parsed else None
    if parsed is None or known is None:
        return "other program", {}
    event = grammar.parse(known[1], parsed.text)
    if event is None or event is IRRELEVANT:
        return event and "irrelevant", {}
    assert not isinstance(event, grammar.Irrelevant)
    return type(event).__name__, dataclasses.asdict(event)


@pytest.mark.parametrize(("expected", "line"), list(_corpus()))
def test_each_line_of_the_corpus_is_what_stands_above_it(expected: dict[str, Any], line: str) -> None:
    kind, fields = _read(line)
    wanted = {name: tuple(value) if isinstance(value, list) else value for name, value in expected.items()}
    assert {"event": kind} | {name: fields[name] for name in wanted if name != "event"} == wanted


def test_every_kind_of_event_and_disposition_is_in_the_corpus() -> None:
    read = [_read(line) for _, line in _corpus()]
    assert {kind.__name__ for kind in get_args(grammar.Event)} <= {kind for kind, _ in read}
    assert {fields.get("disposition") for _, fields in read} >= set(Disposition)


def test_every_line_of_a_verbose_log_is_understood() -> None:
    for line in (LOGS / "dialogue.log").read_text(encoding="utf-8").splitlines():
        assert _read(line)[0] not in {None, "other program"}, line


@given(st.sampled_from(_DAEMONS), st.sampled_from(_RECORD_BEGINNINGS), st.text())
def test_no_text_makes_it_fail(daemon: str, beginning: str, text: str) -> None:
    grammar.parse(daemon, beginning + text)


@pytest.mark.parametrize(
    "piece", ['"', "\\", '"\\', "<", ">", ", orig_to=<", ", a=", '">', "[", "(", ", relay=", "550-"]
)
@pytest.mark.parametrize("beginning", _RECORD_BEGINNINGS)
def test_no_text_makes_it_slow(beginning: str, piece: str) -> None:
    text = beginning + piece * 100_000
    begun = time.process_time()
    for daemon in _DAEMONS:
        grammar.parse(daemon, text)
    assert time.process_time() - begun < 1.0


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


def test_the_daemon_is_the_last_part_of_the_tag() -> None:
    assert grammar.instance_and_daemon("postfix/submission/smtpd") == ("postfix", "smtpd")
    assert grammar.instance_and_daemon("mail_out/bounce") == ("mail_out", "bounce")
    assert grammar.instance_and_daemon("/postfix-script") == ("postfix-script", "postfix-script")
    assert grammar.instance_and_daemon("dovecot") is None
