import datetime as dt
import json
import string
import uuid
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sendproof_core.journal_records import (
    Admitted,
    Copied,
    JournalRecord,
    Opened,
    Refused,
    SignatureRecord,
    from_line,
    to_line,
)

_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
_MOMENTS = st.datetimes(timezones=st.just(dt.UTC))
_NUMBERS = st.integers(0, 2**40)
_RECORDS: st.SearchStrategy[JournalRecord] = st.one_of(
    st.builds(
        Admitted,
        at=_MOMENTS,
        host=_TEXT,
        queue_id=_TEXT,
        message_id=st.uuids(),
        account_id=_NUMBERS,
        login=_TEXT,
        credential_label=_TEXT,
        envelope_sender=_TEXT,
        recipients=st.lists(_TEXT, max_size=3).map(tuple),
        message_id_header=st.none() | _TEXT,
        subject=st.none() | _TEXT,
        size_bytes=_NUMBERS,
        client_address=st.none() | _TEXT,
        client_tls=st.none() | _TEXT,
        signatures=st.lists(st.builds(SignatureRecord, _TEXT, _TEXT, _TEXT), max_size=2).map(tuple),
        body_sha256=_TEXT,
        pixel=_TEXT,
        charged_recipients=_NUMBERS,
        wire_edits=st.lists(_TEXT, max_size=2).map(tuple),
        split=st.booleans(),
        test_mode=st.booleans(),
    ),
    st.builds(
        Copied,
        at=_MOMENTS,
        host=_TEXT,
        queue_id=_TEXT,
        parent_queue_id=_TEXT,
        message_id=st.uuids(),
        recipient=_TEXT,
        recipient_number=_NUMBERS,
        signatures=st.lists(st.builds(SignatureRecord, _TEXT, _TEXT, _TEXT), max_size=2).map(tuple),
        body_sha256=_TEXT,
        pixel=_TEXT,
        wire_edits=st.lists(_TEXT, max_size=2).map(tuple),
    ),
    st.builds(
        Refused,
        at=_MOMENTS,
        host=_TEXT,
        queue_id=st.none() | _TEXT,
        account_id=st.none() | _NUMBERS,
        login=_TEXT,
        envelope_sender=_TEXT,
        recipients=st.lists(_TEXT, max_size=3).map(tuple),
        subject=st.none() | _TEXT,
        reason=_TEXT,
        reply=_TEXT,
    ),
    st.builds(
        Opened,
        at=_MOMENTS,
        message_id=st.uuids(),
        recipient_number=_NUMBERS,
        grade=_TEXT,
        user_agent=_TEXT,
        client_address=st.none() | _TEXT,
    ),
)
_OPENED = Opened(
    at=dt.datetime(2026, 11, 22, 13, 3, 5, tzinfo=dt.UTC),
    message_id=uuid.UUID(int=7),
    recipient_number=1,
    grade="person",
    user_agent="Mozilla",
)


@given(_RECORDS)
def test_a_record_is_read_as_it_was_written(record: JournalRecord) -> None:
    line = to_line(record)
    assert b"\n" not in line
    assert line.isascii()
    assert line.startswith(b'{"event":"')
    assert from_line(line) == record


def test_an_older_writers_open_names_no_address() -> None:
    values = json.loads(to_line(_OPENED))
    del values["client_address"]
    assert from_line(json.dumps(values).encode()) == _OPENED


def test_a_newer_writers_keys_are_ignored() -> None:
    values = {**json.loads(to_line(_OPENED)), "weather": "fine"}
    assert from_line(json.dumps(values).encode()) == _OPENED


@pytest.mark.parametrize(
    "changes",
    [
        {"at": None},
        {"at": "yesterday"},
        {"at": "2026-11-22T13:03:05"},  # without a zone
        {"at": 5},
        {"message_id": "7"},
        {"message_id": 7},
        {"event": "closed"},
        {"event": ["opened"]},
    ],
)
def test_a_line_with_a_wrong_value_is_none_of_ours(changes: dict[str, Any]) -> None:
    values = {**json.loads(to_line(_OPENED)), **changes}
    assert from_line(json.dumps(values).encode()) is None


@pytest.mark.parametrize("name", ["event", "at", "message_id", "grade"])
def test_a_line_that_lacks_something_is_none_of_ours(name: str) -> None:
    values = json.loads(to_line(_OPENED))
    del values[name]
    assert from_line(json.dumps(values).encode()) is None


@given(
    st.binary(max_size=60)
    | st.text(string.printable, max_size=60).map(str.encode)
    | st.sampled_from([b"", b"null", b"[]", b"1", b'"opened"', b"[" * 100_000, b"{" * 10, b"1" * 5000, b"NaN"])
)
def test_any_octets_are_a_record_or_none(line: bytes) -> None:
    assert from_line(line) is None


@given(st.integers(0, 400))
def test_a_line_that_was_cut_off_is_none_of_ours(length: int) -> None:
    line = to_line(_OPENED)
    assert from_line(line[: min(length, len(line) - 1)]) is None
