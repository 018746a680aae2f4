import importlib.util
import itertools
import random
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sendproof_testing.record_reading import NOW

_PROGRAM = Path(__file__).with_name("fuzz_log.py")
_CHUNKS = (1, 16, 128, 4096)


def _program() -> ModuleType:
    spec = importlib.util.spec_from_file_location("fuzz_log", _PROGRAM)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


_FUZZ = _program()
_LINES = _FUZZ.seeds()
_bits = st.binary(max_size=60) | st.sampled_from([piece.encode() for piece in _FUZZ.PIECES])
_damaged = st.builds(
    lambda line, at, bit, cut: line[:at] + bit + line[at + cut :],
    st.sampled_from(_LINES), st.integers(0, 300), _bits, st.integers(0, 40),
)  # fmt: skip
_lines = st.sampled_from(_LINES) | _damaged | _bits
_inputs = st.lists(_lines, max_size=5).map(b"\n".join)
_long_inputs = st.lists(_lines, min_size=1, max_size=60).map(b"\n".join)


@pytest.mark.integration
def test_twenty_seconds_of_damaged_lines_find_nothing(tmp_path: Path) -> None:
    # The same ones each time: `make fuzz` looks for others.
    program = [sys.executable, str(_PROGRAM), "--seconds", "20", "--seed", "1", "--folder", str(tmp_path)]
    result = subprocess.run(program, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr[-4000:]


def test_the_corpus_itself_keeps_every_promise() -> None:
    assert _FUZZ.finding_in(b"\n".join(_LINES)) is None


@settings(deadline=None)
@given(_inputs)
def test_every_line_is_read_or_refused(raw: bytes) -> None:
    """And in time, and read again it is the same."""
    _FUZZ.check(raw)


_LONG_ID = re.compile(rb"[0-9B-DF-HJ-NP-TV-Zb-df-hj-np-tv-z]{10,}z[0-9A-Za-z]+")


@settings(deadline=None)
@given(st.sampled_from(_FUZZ._DAEMONS), st.text() | st.sampled_from(_FUZZ.PIECES))
def test_every_text_is_an_event_or_none(daemon: str, text: str) -> None:
    _FUZZ.check_text(daemon, text)


@pytest.mark.parametrize("piece", _FUZZ.PIECES)
def test_no_piece_that_repeats_makes_a_line_slow(piece: str) -> None:
    """After every beginning that the corpus has, up to each character that ends a word there."""
    chance = random.Random(piece)
    lines = [line.decode("utf-8", "replace").partition("]: ")[2] for line in chance.sample(_LINES, 25)]
    for line, daemon in itertools.product(lines, chance.sample(_FUZZ._DAEMONS, 5)):
        beginning = line[: chance.choice([0, *(place for place, letter in enumerate(line) if not letter.isalnum())])]
        _FUZZ.check_text(daemon, beginning + piece * (_FUZZ.OCTETS // len(piece)))


def test_a_broken_promise_is_a_finding_that_can_be_had_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = _program()
    monkeypatch.setattr(program, "SLOWEST_SECONDS", -1.0)  # no line is that fast
    found = program.run(5.0, 1, tmp_path)
    assert found.read_bytes() == b"\n".join(_LINES)
    assert "took" in program.finding_in(found.read_bytes())


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> Any:  # of a module that is loaded from its path
    return _FUZZ.Records(tmp_path_factory.mktemp("records"))


@pytest.mark.parametrize("octets", _CHUNKS)
@settings(max_examples=12, deadline=None)
@given(raw=_long_inputs)
def test_the_record_does_not_depend_on_how_much_is_there_at_a_time(records: Any, octets: int, raw: bytes) -> None:
    # What is there when reading begins tells the year of stamps without one, by the moments in long queue ids.
    raw = _LONG_ID.sub(b"4F5C64474F", raw + b"\n")[: 300 + 60 * octets]
    with records.machine() as whole, records.machine() as cut:
        whole.maillog.write_bytes(raw)
        whole.read(NOW)
        store = cut.store()
        reader = cut.reader(store)
        for begin in range(0, len(raw), octets):
            with cut.maillog.open("ab") as file:
                file.write(raw[begin : begin + octets])
            while (batch := reader.read(NOW)) is not None:
                store.write(batch)
        reader.close()
        assert cut.everything() == whole.everything()
