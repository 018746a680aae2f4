"""A journal's line as a record that is fit to be stored. Pure.

The writers are ours, what they report came over a wire: text that no database takes (NUL, lone surrogates) is mended,
and values of a wrong type or size make the line one that is not understood.
"""

import dataclasses
import datetime as dt
import uuid
from typing import Any, get_type_hints

from sendproof_core import journal_records
from sendproof_core.journal_records import KINDS, JournalRecord, SignatureRecord

_LARGEST_INTEGER = 2**31 - 1  # of an INTEGER column


def parse(line: bytes) -> JournalRecord | None:
    """Read one line (without its newline); None if it is no sound record."""
    record = journal_records.from_line(line)
    if record is None:
        return None
    values: dict[str, Any] = {}
    for name, hint in _HINTS[type(record)].items():
        value = _mended(getattr(record, name))
        if not _is_sound(value, hint):
            return None
        values[name] = value
    return dataclasses.replace(record, **values)


_HINTS = {kind: {field.name: get_type_hints(kind)[field.name] for field in dataclasses.fields(kind)} for kind in KINDS}


def _mended(value: Any) -> Any:
    match value:
        case str():
            return value.replace("\0", "").encode("utf-8", "replace").decode("utf-8")
        case tuple():
            return tuple(_mended(item) for item in value)
        case SignatureRecord():
            return SignatureRecord(*(_mended(getattr(value, field.name)) for field in dataclasses.fields(value)))
        case _:
            return value


def _is_sound(value: Any, hint: Any) -> bool:
    match value:
        case None:
            return hint in {str | None, int | None}
        case bool():
            return bool(hint is bool)
        case str():
            return hint in {str, str | None}
        case int():
            return hint in {int, int | None} and 0 <= value <= _LARGEST_INTEGER
        case dt.datetime():
            return bool(hint is dt.datetime)
        case uuid.UUID():
            return bool(hint is uuid.UUID)
        case tuple():
            if hint == tuple[str, ...]:
                return all(isinstance(item, str) for item in value)
            return hint == tuple[SignatureRecord, ...] and all(_is_signature(item) for item in value)
        case _:
            return False


def _is_signature(value: Any) -> bool:
    return isinstance(value, SignatureRecord) and all(
        isinstance(getattr(value, field.name), str) for field in dataclasses.fields(value)
    )
