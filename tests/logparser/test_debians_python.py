"""The grammar reads the same on the Python that the programs run on as on the one that the tests run on.

Python before 3.11.5, and so Debian 12's, lets a match fail where a possessive quantifier stands after a group that
begins to match and then does not (python/cpython#106052): `(?>(...)*)` says the same and is right on both.
"""

import re
import subprocess
import sys
from pathlib import Path

import pytest

import sendproof_core
import sendproof_logparser
from sendproof_testing.log_records import log_records

DEBIANS_PYTHON = Path("/usr/bin/python3")
PACKAGES = [Path(str(package.__file__)).parent for package in (sendproof_core, sendproof_logparser)]
READ = """
import re, sys
from sendproof_logparser import grammar, syslog_line
shapes = {name: value for name, value in sorted(vars(syslog_line).items()) if isinstance(value, re.Pattern)}
for line in sys.stdin.read().split("\\0"):
    tag, _, text = line.partition("\\x01")
    known = grammar.instance_and_daemon(tag)
    print(repr(known and (known, grammar.parse(known[1], text))))
    for name, shape in shapes.items():
        found = shape.match(text)
        print(name, found and found.span())
"""


def read(python: str, lines: str) -> list[str]:
    path = ":".join(str(folder.parent) for folder in PACKAGES)
    command = [python, "-c", READ]
    done = subprocess.run(
        command, input=lines, capture_output=True, text=True, check=False, env={"PYTHONPATH": path, "LANG": "C.UTF-8"}
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.skipif(not DEBIANS_PYTHON.exists(), reason="no Debian")
def test_each_line_of_the_corpus_reads_the_same_on_debians_python() -> None:
    lines = "\0".join(f"{record.tag}\x01{record.text}" for record in log_records() if record.tag)
    ours = read(sys.executable, lines)
    assert len(ours) > 100
    assert any("StatusLine" in line for line in ours)
    assert read(str(DEBIANS_PYTHON), lines) == ours


def test_no_pattern_has_a_possessive_quantifier_after_a_group() -> None:
    found = [
        f"{path.name}: {line.strip()}"
        for package in PACKAGES[0].parents[1].glob("*/sendproof_*")
        for path in package.rglob("*.py")
        for line in path.read_text(encoding="utf-8").splitlines()
        if re.search(r"(?<!\\)\)(?:[*+?]|\{\{?[0-9,]+\}?\})\+", line) and not line.lstrip().startswith("#")
    ]
    assert found == []
