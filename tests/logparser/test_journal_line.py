import datetime as dt
import json
import uuid
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sendproof_core.journal_records import Admitted, Opened, Refused, to_line
from sendproof_logparser import journal_line
from sendproof_testing.record_reading import NOW, admitted

_OPENED = Opened(at=NOW, message_id=uuid.UUID(int=1), recipient_number=1, grade="proxy", user_agent="Mozilla/5.0")
_REFUSED = Refused(
    at=NOW, host="relay.example", queue_id=None, account_id=None, login="max", envelope_sender="max@own.example",
    recipients=("anna@example.net",), subject=None, reason="quota", reply="452 4.7.1 Over the limit",
)  # fmt: skip


@pytest.mark.parametrize("record", [admitted("4F5C64474F", "anna@example.net"), _OPENED, _REFUSED])
def test_a_sound_line_is_its_record(record: Admitted | Opened | Refused) -> None:
    assert journal_line.parse(to_line(record)) == record


def test_text_that_no_database_takes_is_mended() -> None:
    line = to_line(admitted("4F5C64474F", "an\0na@example.net", subject="a\0b \ud800"))
    record = journal_line.parse(line)
    assert isinstance(record, Admitted)
    assert (record.recipients, record.subject) == (("anna@example.net",), "ab ?")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("size_bytes", "many"), ("size_bytes", -1), ("size_bytes", 2**40), ("size_bytes", True), ("login", None),
        ("recipients", 1), ("signatures", [{"domain": 1, "selector": "s", "algorithm": "a"}]),
        ("account_id", 1.5),
        ("subject", {}), ("at", "2026-11-22T13:03:05"), ("message_id", "x"),
    ],
)  # fmt: skip
def test_a_value_of_a_wrong_kind_makes_the_line_unknown(name: str, value: Any) -> None:
    values = json.loads(to_line(admitted("4F5C64474F", "anna@example.net")))
    assert journal_line.parse(json.dumps(values | {name: value}).encode()) is None


@given(st.binary())
def test_no_octets_make_it_fail(line: bytes) -> None:
    assert journal_line.parse(line) is None


@given(
    st.dictionaries(
        st.sampled_from(list(json.loads(to_line(_OPENED)))), st.none() | st.integers() | st.text() | st.lists(st.text())
    )
)
def test_no_json_makes_it_fail(values: dict[str, Any]) -> None:
    whole = json.loads(to_line(_OPENED)) | values
    record = journal_line.parse(json.dumps(whole).encode())
    assert record is None or isinstance(record.at, dt.datetime)
