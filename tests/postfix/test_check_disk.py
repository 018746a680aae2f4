"""Room on the disks."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from sendproof_postfix import check_disk
from sendproof_postfix.check_disk import Space
from sendproof_postfix.doctor import Severity
from sendproof_testing import doctor_subjects

VERDICTS = doctor_subjects.verdicts()
GIGABYTE = 10**9
_SCRIPT = """
import json, sys
from pathlib import Path
from sendproof_postfix import check_disk
from sendproof_testing import doctor_subjects
found = check_disk.look(doctor_subjects.subject(Path(sys.argv[1])), doctor_subjects.verdicts())
print(json.dumps([[one.severity, one.said] for one in found]))
"""


@pytest.mark.parametrize(
    ("space", "severity"),
    [
        (Space(100 * GIGABYTE, 50 * GIGABYTE, 1000, 900), Severity.OK),
        # A tenth of a very large disk is much.
        (Space(8000 * GIGABYTE, 400 * GIGABYTE, None, 0), Severity.OK),
        (Space(100 * GIGABYTE, 5 * GIGABYTE, 1000, 900), Severity.WARNING),
        (Space(100 * GIGABYTE, GIGABYTE // 2, 1000, 900), Severity.ERROR),
        (Space(100 * GIGABYTE, 50 * GIGABYTE, 1000, 30), Severity.WARNING),
        (Space(100 * GIGABYTE, 50 * GIGABYTE, 1000, 3), Severity.ERROR),
        (Space(100 * GIGABYTE, 50 * GIGABYTE, 1000, 900, needed_octets=60 * GIGABYTE), Severity.ERROR),
    ],
)
def test_little_room_is_a_warning_and_none_an_error(space: Space, severity: Severity) -> None:
    finding = check_disk.judge(Path("/srv"), "the queue", space, VERDICTS)
    assert finding.severity is severity
    assert "the queue (/srv)" in finding.said


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a disk of one megabyte")
def test_a_full_disk_is_found_and_what_is_on_it_named() -> None:
    with doctor_subjects.public_folder() as folder:
        doctor_subjects.postfix(folder)
        mount = 'mount -t tmpfs -o size=1m none "$1/spool" && exec "$2" -c "$3" "$1"'
        done = subprocess.run(
            ["unshare", "--mount", "sh", "-c", mount, "sh", str(folder), sys.executable, _SCRIPT],
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
    queue = next(said for severity, said in json.loads(done.stdout) if severity == "error")
    assert "the disk of the queue" in queue
    assert "takes no mail" in queue


def test_each_file_system_is_looked_at_once(tmp_path: Path) -> None:
    doctor_subjects.postfix(tmp_path, f"maillog_file = {tmp_path}/mail.log\n")
    text = f'[milter]\njournal = "{tmp_path}/not-yet/milter.journal"\n'
    (finding,) = check_disk.look(doctor_subjects.subject(tmp_path, text), VERDICTS)
    assert "the queue, the mail log, the database, the milter's journal" in finding.said
