"""What the rounds of the logparser's measurement are said to show."""

import datetime as dt
from pathlib import Path

from bench.figures import Effort
from bench.logparser_report import PARSE, PEER, POSTGRESQL, SQLITE, Memory, Report, Round, Waits
from bench.machine import Machine
from bench.process_times import Run
from bench.record import Log, log

NOW = dt.datetime(2026, 11, 22, 8, 0, tzinfo=dt.UTC)
MACHINE = Machine("Example CPU", 2, {"postfix": "3.7.11", "pflogsumm": "1.1.5"})
LOG = Log("with dialogue", Path("mail.log"), 1_000_000, 10_000)


def one_round(cpu_seconds: float, server_cpu_seconds: float = 0.0) -> Round:
    return Round(Run(2 * cpu_seconds, cpu_seconds, 100.0), server_cpu_seconds)


def report() -> Report:
    rounds = {
        SQLITE: [one_round(2.0), one_round(9.0), one_round(2.0)],
        POSTGRESQL: [one_round(2.5, 1.5)] * 3,
        PARSE: [one_round(1.0)] * 3,
        PEER: [one_round(4.0)] * 3,
    }
    waits = Waits(SQLITE, 300.0, tuple(number / 1000 for number in range(1, 101)))
    memory = (Memory(200_000, "open messages", 321.0),)
    return Report({LOG: rounds}, memory, (waits,), Effort(3, 0, 1_000_000), MACHINE, NOW)


def row(title: str) -> list[str]:
    (line,) = (line for line in report().markdown().splitlines() if line.startswith(f"| {title}"))
    return [cell.strip() for cell in line.strip("|").split("|")][1:]


def test_ours_stands_beside_the_peer_and_a_disturbed_round_does_not_count() -> None:
    assert row("pflogsumm 1.1.5") == ["125,000", "4.00", "1.00", "100"]
    assert row("**Sendproof") == ["250,000", "2.00", "2.00", "100"]


def test_the_database_servers_cpu_time_counts() -> None:
    assert row("Sendproof: the whole record, PostgreSQL")[1:3] == ["2.50 + 1.50 server", "1.00"]


def test_percentiles_are_those_of_the_waits() -> None:
    assert row("SQLite ")[1:] == ["50", "99"]
    values = {figure.name: figure.value for figure in report().figures()}
    assert values[f"line to row p99, {SQLITE}"] == 99.0


def test_memory_is_said_for_what_it_was_measured_with() -> None:
    assert "321 MB for 200,000 open messages" in report().markdown()


def test_a_suspended_delivery_is_no_attempt(tmp_path: Path) -> None:
    begin = (
        "Nov 22 08:00:00 edge1 postfix/error[7]: 4jXRTN5jY1zJF57: to=<a@b.example>, relay=none, delay=1, delays=1/0/0/0"
    )
    path = tmp_path / "mail.log"
    path.write_text(
        f"{begin}, dsn=4.4.1, status=deferred (delivery temporarily suspended: connect to x: Connection refused)\n"
        f"{begin}, dsn=4.4.1, status=deferred (connect to x: Connection refused)\n"
    )
    assert log("some", path) == Log("some", path, 2, 1)
