"""Each file of tests/corpus/logs/situations: its lines are the events, and its record is the one, that stand in it."""

import dataclasses
import datetime as dt
import gzip
import itertools
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from sendproof_logparser import grammar
from sendproof_logparser.events import IRRELEVANT
from sendproof_logparser.reader import Reader
from sendproof_logparser.store import Store
from sendproof_logparser.syslog_line import LineReader
from sendproof_testing import situations
from sendproof_testing.record_reading import HOST, Machine
from sendproof_testing.situations import LogLine, Said, Situation

_ALL = situations.load_all()
_THAT_GROW = [situation for situation in _ALL if situation.setup.get("grows", True)]
_WITHOUT_UNKNOWN_LINES = [
    situation for situation in _THAT_GROW if not any("unknown" in said for said in situation.record)
]
# Rotation knows nothing of what the lines mean: some situations are enough, with dialogue, several files, odd stamps.
_TO_BE_ROTATED = [
    situation
    for situation in _THAT_GROW
    if situation.name.startswith(("01-connection-reuse-with-dialogue", "23-", "24-hour", "24-new-year", "25-"))
]
# What the record must not have unless the situation says so.
_QUIET_QUEUE_FILE: Said = {"parent": None, "parent_host": None, "link": None, "evidence": None}
_QUIET_RECIPIENT: Said = {"final_address": None, "suspended": [0, None]}
_QUIET_DELIVERY: Said = {"tls": None, "troubles": []}


def _id(situation: Situation) -> str:
    return situation.name


every_situation = pytest.mark.parametrize("situation", _ALL, ids=_id)
every_growing_situation = pytest.mark.parametrize("situation", _THAT_GROW, ids=_id)


# --- events ---------------------------------------------------------------------------------------------------------


@every_situation
def test_each_line_is_what_stands_above_it(situation: Situation) -> None:
    for lines in situation.files.values():
        for line, (kind, fields) in zip(lines, _events(situation, lines), strict=True):
            if line.expected is None:
                assert kind is not None, f"no rule knows the line {line.raw!r}"
                continue
            wanted = {name: _plain(value) for name, value in line.expected.items() if name != "event"}
            got = {name: fields.get(name, "no such field") for name in wanted}
            assert {"event": kind} | got == {"event": line.expected["event"]} | wanted, line.raw


def _events(situation: Situation, lines: list[LogLine]) -> Iterator[tuple[str | None, dict[str, Any]]]:
    texts = [line.raw.decode("utf-8", "replace") for line in lines]
    reader = LineReader(
        lambda host, program, pid: (host, program, pid),
        ZoneInfo(situation.time_zone),
        None,
        latest=situation.modified_at,
        beginning="\n".join(texts),
    )
    for text in texts:
        found = reader.read(text)
        if found is None:
            yield "no log line", {}
            continue
        at, (host, program, pid), said = found
        known = grammar.instance_and_daemon(program)
        event = grammar.parse(known[1], said) if known is not None else IRRELEVANT
        fields: dict[str, Any] = {"at": at.isoformat(), "host": host, "program": program, "pid": pid}
        fields["instance"] = known[0] if known is not None else None
        if known is None:
            yield "other program", fields
        elif event is None or event is IRRELEVANT:
            yield event and "irrelevant", fields
        else:
            assert isinstance(event, tuple)
            values = {name: _plain(value) for name, value in zip(event._fields, event, strict=True)}
            yield type(event).__name__, values | fields


def _plain(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


# --- the record -----------------------------------------------------------------------------------------------------


@every_situation
def test_the_record_says_what_stands_at_the_end(situation: Situation, make_machine: Callable[[], Machine]) -> None:
    machine = situation.prepare(make_machine())
    _write_all(machine, situation)
    machine.read(situation.now)
    missing, unexpected = _compare(situation, situations.said_by(machine))
    assert (missing, unexpected) == ([], [])


def _compare(situation: Situation, said: list[Said]) -> tuple[list[Said], list[Said]]:
    """What is wanted and not said (each with what is said instead), and what is said and not wanted."""
    left = list(said)
    missing: list[Said] = []
    for wanted in map(_with_what_goes_without_saying, situation.record):
        index = next((number for number, fact in enumerate(left) if _is_about(wanted, fact)), None)
        if index is None:
            missing.append(wanted)
            continue
        fact = left.pop(index)
        if not _fits(wanted, fact):
            missing.append({"wanted": wanted, "said": {name: fact.get(name) for name in wanted}})
    # A recipient without attempts and suspensions is named by his queue file's states.
    unexpected = [
        fact for fact in left if not ("recipient" in fact and not fact["attempts"] and _fits(_QUIET_RECIPIENT, fact))
    ]
    return missing, unexpected


_SELECTORS = ("queue_file", "recipient", "delivery", "of", "host", "instance", "life")


def _with_what_goes_without_saying(wanted: Said) -> Said:
    for kind, quiet in (
        ("queue_file", _QUIET_QUEUE_FILE),
        ("recipient", _QUIET_RECIPIENT),
        ("delivery", _QUIET_DELIVERY),
    ):
        if kind in wanted:
            return quiet | wanted
    return wanted


def _is_about(wanted: Said, fact: Said) -> bool:
    for kind in ("refusal", "gap", "unknown"):
        if kind in wanted:
            return kind in fact and _fits(wanted[kind], fact[kind])
    kind = next(name for name in ("queue_file", "recipient", "delivery") if name in wanted)
    return kind in fact and all(fact[name] == wanted[name] for name in _SELECTORS if name in wanted)


def _fits(wanted: Any, got: Any) -> bool:
    """Equal; a text may end, or begin, with "…" where the rest goes without saying."""
    if isinstance(wanted, dict) and isinstance(got, dict):
        if "states" in wanted and wanted["states"] != got["states"]:
            return False
        return all(name in got and _fits(value, got[name]) for name, value in wanted.items())
    if isinstance(wanted, list) and isinstance(got, list):
        return len(wanted) == len(got) and all(map(_fits, wanted, got))
    if isinstance(wanted, str) and isinstance(got, str):
        if wanted.endswith("…"):
            return got.startswith(wanted[:-1])
        if wanted.startswith("…"):
            return got.endswith(wanted[1:])
    return bool(wanted == got)


# --- the same record, however the lines come ------------------------------------------------------------------------


def _whole(machine: Machine, situation: Situation) -> None:
    _write_all(machine, situation)
    machine.read(situation.now)


def _half_a_line_at_a_time(machine: Machine, situation: Situation) -> None:
    for path, line in _in_order(machine, situation):
        half = len(line) // 2
        _append(path, line[:half], situation)
        machine.read(situation.now)
        _append(path, line[half:] + b"\n", situation)
    machine.read(situation.now)


def _renamed_in_the_middle(machine: Machine, situation: Situation) -> None:
    """The renamed file is still written to for a while, as by a process that has it open."""
    for path, before, still, after in _thirds(machine, situation):
        _append(path, before, situation)
        machine.read(situation.now)
        path.rename(path.with_name(f"{path.name}.1"))
        _append(path.with_name(f"{path.name}.1"), still, situation)
        _append(path, after, situation)
        machine.read(situation.now)


def _rotated_twice_and_compressed_while_nobody_read(machine: Machine, situation: Situation) -> None:
    for path, before, still, after in _thirds(machine, situation):
        _append(path, before, situation)
        machine.read(situation.now)
        first, newline, second = still.partition(b"\n")
        _append(path, first + newline, situation)
        path.rename(path.with_name(f"{path.name}.2"))
        _compress(path.with_name(f"{path.name}.2"))
        _append(path, second, situation)
        path.rename(path.with_name(f"{path.name}.1"))
        _append(path, after, situation)
        machine.read(situation.now)


def _named_by_postfix_logrotate(machine: Machine, situation: Situation) -> None:
    """`postfix logrotate`: a name with the time, and gzip a minute later."""
    for path, before, still, after in _thirds(machine, situation):
        _append(path, before + still, situation)
        machine.read(situation.now)
        old = path.with_name(f"{path.name}.20261122-030000")
        path.rename(old)
        _append(path, after, situation)
        machine.read(situation.now)
        _compress(old)
        machine.read(situation.now)


def _copied_and_truncated(machine: Machine, situation: Situation) -> None:
    for path, before, still, after in _thirds(machine, situation):
        _append(path, before, situation)
        machine.read(situation.now)
        _append(path, still, situation)
        shutil.copy(path, path.with_name(f"{path.name}.1"))
        os.truncate(path, 0)
        _append(path, after, situation)
        machine.read(situation.now)


@every_growing_situation
def test_a_restart_after_each_line_changes_nothing(situation: Situation, make_machine: Callable[[], Machine]) -> None:
    whole, other = situation.prepare(make_machine()), situation.prepare(make_machine())
    _whole(whole, situation)
    for path, line in _in_order(other, situation):
        _append(path, line + b"\n", situation)
        other.read(situation.now)
    _assert_same(other, whole)


@pytest.mark.parametrize(
    "feed",
    [
        _half_a_line_at_a_time,
        _renamed_in_the_middle,
        _rotated_twice_and_compressed_while_nobody_read,
        _named_by_postfix_logrotate,
        _copied_and_truncated,
    ],
    ids=lambda feed: feed.__name__.strip("_"),
)
@pytest.mark.parametrize("situation", _TO_BE_ROTATED, ids=_id)
def test_no_rotation_changes_the_record(
    situation: Situation, feed: Callable[[Machine, Situation], None], make_machine: Callable[[], Machine]
) -> None:
    whole, other = situation.prepare(make_machine()), situation.prepare(make_machine())
    _whole(whole, situation)
    feed(other, situation)
    _assert_same(other, whole)


@every_growing_situation
def test_one_reader_that_is_not_restarted_gives_the_same_record(
    situation: Situation, make_machine: Callable[[], Machine]
) -> None:
    whole, other = situation.prepare(make_machine()), situation.prepare(make_machine())
    _whole(whole, situation)
    _read(other, other.store(), situation, _in_order(other, situation))
    _assert_same(other, whole)


@pytest.mark.parametrize("situation", _WITHOUT_UNKNOWN_LINES, ids=_id)
def test_to_import_what_was_followed_already_changes_nothing(
    situation: Situation, make_machine: Callable[[], Machine]
) -> None:
    """An unknown line is kept for each place where it stands: there is nothing else that it could be told by."""
    whole, other = situation.prepare(make_machine()), situation.prepare(make_machine())
    _whole(whole, situation)
    _whole(other, situation)
    copies = tuple(path.with_name(f"copy-of-{path.name}") for path in other.settings.maillogs)
    for path, copy in zip(other.settings.maillogs, copies, strict=True):
        shutil.copy2(path, copy)
    other.settings = dataclasses.replace(other.settings, maillogs=copies)
    _read(other, Store(other.database, "an import", HOST, other.settings.own_addresses), situation)
    _assert_same(other, whole)


def _read(machine: Machine, store: Store, situation: Situation, lines: Iterable[tuple[Path, bytes]] = ()) -> None:
    """Read what is there with one reader, and after each further line, which is written then."""
    reader = machine.reader(store)
    _read_on(reader, store, situation)
    for path, line in lines:
        _append(path, line + b"\n", situation)
        _read_on(reader, store, situation)
    reader.close()


def _read_on(reader: Reader, store: Store, situation: Situation) -> None:
    while (batch := reader.read(situation.now)) is not None:
        store.write(batch)


def _assert_same(one: Machine, other: Machine) -> None:
    assert situations.said_by(one) == situations.said_by(other)
    assert one.everything() == other.everything()


# --- the corpus itself ----------------------------------------------------------------------------------------------


def test_every_situation_of_the_facts_is_there() -> None:
    assert {int(situation.name[:2]) for situation in _ALL} == set(range(1, 27))


@every_situation
def test_a_situation_begins_with_symptom_and_cause_and_says_something(situation: Situation) -> None:
    head = (situations.FOLDER / f"{situation.name}.txt").read_bytes().splitlines()
    assert head[0].startswith(b"# Symptom: ")
    assert any(line.startswith(b"# Cause: ") for line in head[:3])
    assert situation.record


# --- writing the files ----------------------------------------------------------------------------------------------


def _paths(machine: Machine, situation: Situation) -> Iterator[tuple[Path, list[LogLine]]]:
    folder = machine.maillog.parent
    return ((folder / name, lines) for name, lines in situation.files.items())


def _in_order(machine: Machine, situation: Situation) -> Iterator[tuple[Path, bytes]]:
    return ((path, line.raw) for path, lines in _paths(machine, situation) for line in lines)


def _thirds(machine: Machine, situation: Situation) -> Iterator[tuple[Path, bytes, bytes, bytes]]:
    """Each file with its lines in three portions, of which the last two may be none."""
    for path, lines in _paths(machine, situation):
        cuts = (0, max(1, len(lines) // 3), max(1, 2 * len(lines) // 3), len(lines))
        first, second, third = (
            b"".join(line.raw + b"\n" for line in lines[begin:end]) for begin, end in itertools.pairwise(cuts)
        )
        yield path, first, second, third


def _write_all(machine: Machine, situation: Situation) -> None:
    for path, lines in _paths(machine, situation):
        _append(path, b"".join(line.raw + b"\n" for line in lines), situation)


def _append(path: Path, octets: bytes, situation: Situation) -> None:
    """As if the situation were taking place now: what is written later is a little younger."""
    with path.open("ab") as file:
        file.write(octets)
    at = situation.modified_at - _A_WHILE + dt.timedelta(milliseconds=next(_writes))
    os.utime(path, (at.timestamp(), at.timestamp()))


_A_WHILE = dt.timedelta(hours=1)
_writes = itertools.count()


def _compress(path: Path) -> None:
    """What gzip does: the time of the file stays."""
    compressed = path.with_name(f"{path.name}.gz")
    with gzip.open(compressed, "wb") as file:
        file.write(path.read_bytes())
    shutil.copystat(path, compressed)
    path.unlink()
