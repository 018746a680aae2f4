"""The demo is a promise of the README: it must end well by itself."""

import os
import re
import subprocess
import sys

import pytest

from sendproof_testing import demo

pytestmark = [pytest.mark.integration]


def test_the_demo_shows_four_transcripts_and_ends_well() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "sendproof_testing.demo"],
        env={**os.environ, "DEMO_EXIT": "1", "COLUMNS": "110"},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for address, label in zip(demo.RECIPIENTS, ("ACCEPTED", "ACCEPTED", "BOUNCED", "DEFERRED"), strict=True):
        heading = next(line for line in done.stdout.splitlines() if line.startswith(f" To {address}"))
        assert heading.endswith(label)
    assert "It was greylisted first" in done.stdout
    assert len(re.findall(r"│ pass\b", done.stdout)) == 2
    assert "password" in done.stdout
