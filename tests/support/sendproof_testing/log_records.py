"""The corpus of log lines with what each says, and proofs that nothing of a grammar goes without a line. Reads only."""

import inspect
import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import CodeType, FrameType, ModuleType
from typing import Any, NamedTuple

_RECORDS = Path(__file__).parents[2] / "corpus" / "logs" / "records.txt"
# Deliberately not `syslog_line`: what a grammar is tested with must not depend on it.
_LINE = re.compile(r"(?:\w{3} [ \d]\d [\d:]{8}|\d{4}-\S+) \S+ (?P<tag>[^\s\[:]+)(?:\[\d+\])?:? (?P<text>.*)")


class LogRecord(NamedTuple):
    """A line of the corpus; tag and text are empty where the line is no log line at all."""

    expected: dict[str, Any]
    line: str
    tag: str
    text: str


def log_records() -> Iterator[LogRecord]:
    """Each line with the expectation that stands above it."""
    expected = None
    for line in _RECORDS.read_text(encoding="utf-8").splitlines():
        if line.startswith("# {"):
            assert expected is None, f"no line below {expected}"
            expected = json.loads(line[2:])
        elif not line.startswith("#"):
            assert expected is not None, f"no expectation above {line}"
            match = _LINE.fullmatch(line)
            yield LogRecord(expected, line, match["tag"] if match else "", match["text"] if match else "")
            expected = None


def log_texts(*daemons: str) -> list[str]:
    """The texts of the corpus that these daemons wrote, by the last part of the tag."""
    return [record.text for record in log_records() if record.tag.rpartition("/")[2] in daemons]


def phrases_without_a_line(phrases: Iterable[str], texts: Iterable[str]) -> list[str]:
    """The phrases with which none of the texts begins, a queue id in front aside."""
    beginnings = [beginning for text in texts for beginning in (text, text.partition(": ")[2])]
    return [phrase for phrase in phrases if not any(beginning.startswith(phrase) for beginning in beginnings)]


def rules_without_a_line(rules: Iterable[Any], texts: Iterable[str]) -> list[str]:
    """The names of the rules that are not the first to fit any of the texts."""
    rules = list(rules)
    hit = {next((rule.name for rule in rules if rule.pattern.fullmatch(text)), None) for text in texts}
    return [rule.name for rule in rules if rule.name not in hit]


def lines_not_run(modules: Iterable[ModuleType], run: Callable[[], object]) -> list[str]:
    """The lines inside the functions of some modules that a call does not run."""
    files = {inspect.getfile(module) for module in modules}
    ran: set[tuple[str, int]] = set()

    def trace(frame: FrameType, _event: str, _argument: object) -> Any:
        if frame.f_code.co_filename not in files:
            return None
        ran.add((frame.f_code.co_filename, frame.f_lineno))
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        run()
    finally:
        sys.settrace(before)
    return [f"{Path(file).name}:{line}" for file in sorted(files) for line in _lines(file) if (file, line) not in ran]


def _lines(file: str) -> list[int]:
    found: set[int] = set()
    codes = [compile(Path(file).read_text(encoding="utf-8"), file, "exec")]
    while codes:
        code = codes.pop()
        codes += [constant for constant in code.co_consts if isinstance(constant, CodeType)]
        if code.co_flags & inspect.CO_OPTIMIZED:  # a function's, not a class's or the module's
            found |= {line for _, _, line in code.co_lines() if line is not None and line != code.co_firstlineno}
    return sorted(found)
