"""What a monitor reads at /metrics: over all of the milter's processes, while one of them is killed."""

import contextlib
import os
import re
import signal
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest

from sendproof_core.plans import QuotaLimits
from sendproof_testing import mail, milter_processes
from sendproof_testing.customers import add_customers
from sendproof_testing.installation import ACCEPT, Options
from sendproof_testing.sandbox import Sandbox, running
from sendproof_testing.sending import send

pytestmark = [pytest.mark.integration]

_SAMPLE = re.compile(r'^sendproof_milter_(\w+)(?:\{(?:\w+="([^"]*)")?.*\})? (\S+)$', re.MULTILINE)
HTML = "Subject: Counted\r\nMIME-Version: 1.0\r\nContent-Type: text/html\r\n\r\n<html><body>Hello</body></html>\r\n"


def numbers(sandbox: Sandbox) -> dict[tuple[str, str], float]:
    """(name without our prefix, first label) -> value."""
    url = f"http://127.0.0.1:{sandbox.installation.metrics_port}/metrics"
    with contextlib.closing(urllib.request.urlopen(url, timeout=10)) as answer:
        words = answer.read().decode()
    return {(name, label): float(value) for name, label, value in _SAMPLE.findall(words)}


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """One in which nobody else sends mail."""
    with running(tmp_path_factory.mktemp("metrics") / "box", Options(keeper_seconds=1, notice_address=None)) as started:
        yield started


@pytest.fixture(scope="module")
def grown(sandbox: Sandbox) -> Iterator[dict[tuple[str, str], float]]:
    """By how much each number grew with five messages, a refusal of each kind, and a worker's death."""
    made = sandbox.installation
    database = sandbox.database()
    (customer,) = add_customers(sandbox, database, 1)
    customer.limit(QuotaLimits(recipients_per_day=2))
    theirs = f"From: {customer.login.address}\r\n{HTML}".encode()
    ours = f"From: {made.login.address}\r\n{HTML}".encode()
    before = numbers(sandbox)
    codes = [
        send(sandbox, [f"metrics1@{ACCEPT}"], theirs, login=customer.login).code,
        send(sandbox, [f"metrics2@{ACCEPT}", f"metrics3@{ACCEPT}"], theirs, login=customer.login).code,
        send(sandbox, [f"metrics4@{ACCEPT}"], ours.replace(made.login.address.encode(), b"boss@bank.example")).code,
        send(sandbox, [f"metrics{number}@{ACCEPT}" for number in (5, 6, 7)], ours).code,
        send(sandbox, [f"metrics8@{ACCEPT}"], ours).code,
    ]
    assert codes == [250, 550, 550, 250, 250]
    victim = milter_processes.workers(sandbox)[0]
    os.kill(victim, signal.SIGKILL)

    def complete() -> dict[tuple[str, str], float] | None:
        now = {key: value - before.get(key, 0) for key, value in numbers(sandbox).items()}
        is_complete = (
            now.get(("messages_total", "copied")) == 3
            and now.get(("worker_ends_total", "died"))
            and now.get(("reconciled_charges_total", "settled")) == 3
        )
        return now if is_complete else None

    yield mail.wait_until(complete, 20, "the numbers of three copies, three charges and a death")
    database.close()


def test_messages_are_counted_by_verdict(grown: dict[tuple[str, str], float]) -> None:
    counts = {label: value for (name, label), value in grown.items() if name == "messages_total" and value}
    assert counts == {"passed": 2, "split": 1, "copied": 3, "refused": 2}


def test_refusals_are_counted_by_the_limit_or_the_reason(grown: dict[tuple[str, str], float]) -> None:
    counts = {label: value for (name, label), value in grown.items() if name == "refusals_total" and value}
    assert counts == {"recipients_per_day": 1, "foreign-from": 1}


def test_charges_and_pixels_are_counted(grown: dict[tuple[str, str], float]) -> None:
    assert grown["charged_recipients_total", ""] == 1 + 3 + 1
    assert grown["pixels_total", "inserted"] == 3 + 1
    assert grown["pixels_total", "tracking-off"] == 1


def test_a_killed_worker_is_counted_and_replaced(sandbox: Sandbox, grown: dict[tuple[str, str], float]) -> None:
    assert grown["worker_ends_total", "died"] == 1
    assert ("worker_ends_total", "worn") not in grown
    mail.wait_until(lambda: len(milter_processes.workers(sandbox)) == 2, 10, "two workers again")


def test_the_dead_worker_s_numbers_stay(sandbox: Sandbox, grown: dict[tuple[str, str], float]) -> None:
    now = numbers(sandbox)
    assert all(now[key] >= value for key, value in grown.items() if not key[0].endswith("_bucket"))


def test_nothing_else_is_served_there(sandbox: Sandbox) -> None:
    url = f"http://127.0.0.1:{sandbox.installation.metrics_port}/"
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(url, timeout=10)
    assert caught.value.code == 404
    caught.value.close()


@pytest.mark.usefixtures("grown")
def test_the_steps_seconds_are_measured(sandbox: Sandbox) -> None:
    """Of one message in a few: so it comes last here, and sends until it was one's turn."""
    sender = sandbox.installation.login.address
    now = numbers(sandbox)
    for number in range(100):
        if ("step_seconds_count", "sign") in now:
            break
        assert send(sandbox, [f"step{number}@{ACCEPT}"], f"From: {sender}\r\n{HTML}".encode()).accepted
        now = numbers(sandbox)
    for step in ("who", "may", "charge", "route", "edit", "sign"):
        assert now["step_seconds_count", step] >= 1
        assert 0 < now["step_seconds_sum", step] < 60
