"""What the tests of the playbooks share: Ansible's programs, with everything they write in the test's own folder."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def repository() -> Path:
    return Path(__file__).parents[2]


@pytest.fixture
def run(tmp_path: Path, repository: Path) -> Run:
    """Run one of Ansible's programs in ansible/; the extra environment goes to what it starts."""
    programs = Path(sys.executable).parent
    home = tmp_path / "ansible-home"
    home.mkdir()
    environment = {
        "PATH": f"{programs}:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": str(home),
        "LC_ALL": "C.UTF-8",
        "ANSIBLE_CONFIG": str(repository / "ansible/ansible.cfg"),
        "ANSIBLE_HOME": str(home),
        "ANSIBLE_LOCAL_TEMP": str(home / "local"),
        "ANSIBLE_REMOTE_TEMP": str(home / "remote"),
        "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_PYTHON_INTERPRETER": sys.executable,
        "XDG_CACHE_HOME": str(home / "cache"),
        "NO_COLOR": "1",
    }

    def call(program: str, *arguments: str | os.PathLike[str], **extra: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [programs / program, *arguments],
            cwd=repository / "ansible",
            env=environment | extra,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )

    return call
