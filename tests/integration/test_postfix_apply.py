"""`sendproof postfix` beside a Postfix that runs: the sandbox's, and a stock one."""

import smtplib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from sendproof_core import settings
from sendproof_postfix import plan, postconf
from sendproof_postfix.apply import apply, revert
from sendproof_postfix.plan import Instance
from sendproof_testing import mail
from sendproof_testing.operators_postfix import CORPUS, OperatorsPostfix
from sendproof_testing.ports import PortBlock
from sendproof_testing.sandbox import Sandbox

pytestmark = pytest.mark.integration

_START_SECONDS = 30.0


@pytest.fixture
def ports() -> Iterator[PortBlock]:
    block = PortBlock()
    yield block
    block.release()


def test_the_sandbox_has_what_it_needs(sandbox: Sandbox) -> None:
    found = plan.plan(Instance.of(settings.load(sandbox.installation.config)))
    assert (found.changes, found.conflicts) == ((), ())


def _answers(port: int) -> bool:
    try:
        with smtplib.SMTP("127.0.0.1", port, timeout=10):
            return True
    except OSError:
        return False


def test_a_running_postfix_serves_our_ports_after_apply_and_its_own_only_after_revert(
    tmp_path: Path, ports: PortBlock, sandbox: Sandbox
) -> None:
    made = OperatorsPostfix(tmp_path, CORPUS["stock"])
    theirs, ours = ports.take(), ports.take()
    _listen_on(made, theirs, tmp_path / "log")
    instance = made.with_settings(
        submission_port=f"127.0.0.1:{ours}",
        submissions_port="",
        resubmit_port=ports.take(),
        tls_certificate=sandbox.installation.certificate,
        tls_key=sandbox.installation.certificate_key,
    )
    before = made.tree()
    subprocess.run(["/usr/sbin/postfix", "-c", made.directory, "start"], check=True, timeout=60)
    try:
        mail.wait_until(lambda: _answers(theirs), _START_SECONDS, "the operator's port")
        done = apply(instance)
        assert done.reloaded
        mail.wait_until(lambda: _answers(ours), _START_SECONDS, "our submission service")
        assert _answers(theirs)
        assert not apply(instance).reloaded
        assert revert(instance).reloaded
        mail.wait_until(lambda: not _answers(ours), _START_SECONDS, "the end of our submission service")
        assert _answers(theirs)
        assert made.tree() == before
    finally:
        subprocess.run(["/usr/sbin/postfix", "-c", made.directory, "stop"], check=True, timeout=60)
    assert not postconf.is_running(made.directory)


def _listen_on(made: OperatorsPostfix, port: int, log: Path) -> None:
    """Before anything of ours: the operator's Postfix on a free port, with a log of its own."""
    log.mkdir()
    for folder in (log, *log.parents[:4]):
        folder.chmod(folder.stat().st_mode | 0o055)
    master = made.directory / "master.cf"
    master.write_text(
        master.read_text().replace("smtp      inet  n       -       y", f"127.0.0.1:{port} inet n - n")
        + "postlog unix-dgram n - n - 1 postlogd\n"
    )
    with (made.directory / "main.cf").open("a") as main:
        main.write(f"maillog_file = {log}/mail.log\nmaillog_file_prefixes = {log}\n")
