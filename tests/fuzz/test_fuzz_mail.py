import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

_PROGRAM = Path(__file__).with_name("fuzz_mail.py")


def _program() -> ModuleType:
    spec = importlib.util.spec_from_file_location("fuzz_mail", _PROGRAM)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.integration
def test_twenty_seconds_of_mutated_mail_find_nothing(tmp_path: Path) -> None:
    # The same ones each time: `make fuzz` looks for others.
    program = [sys.executable, str(_PROGRAM), "--seconds", "20", "--seed", "1", "--folder", str(tmp_path)]
    result = subprocess.run(program, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr[-4000:]


def test_the_corpus_itself_keeps_every_promise() -> None:
    program = _program()
    assert [program.finding_in(seed) for seed in program.seeds() if program.finding_in(seed)] == []


def test_a_broken_promise_is_a_finding_that_can_be_had_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = _program()
    monkeypatch.setattr(program, "SLOWEST_SECONDS", -1.0)  # no input is that fast
    found = program.run(5.0, 1, tmp_path)
    assert found.read_bytes() == program.seeds()[0]
    assert "took" in program.finding_in(found.read_bytes())
