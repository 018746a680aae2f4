"""What the rounds of the edges' measurement are said to show."""

import datetime as dt

from bench.edges_report import FLOOR_MANY, FLOOR_ONE, MANY, ONE, RECORDED, SENT, Memory, Report
from bench.figures import Effort
from bench.machine import Machine

NOW = dt.datetime(2026, 11, 22, 8, 0, tzinfo=dt.UTC)
RATES = {MANY: 900.0, ONE: 600.0, FLOOR_MANY: 1_800.0, FLOOR_ONE: 1_200.0, RECORDED: 20_000.0, SENT: 100.0}


def report(error: int = 0) -> Report:
    rates = {what: {edges: [edges * rate, 9e9, edges * rate] for edges in (1, 2, 3)} for what, rate in RATES.items()}
    memory = [Memory(100.0, 50.0, 120.0), Memory(110.0, 60.0, 130.0), Memory(500.0, 90.0, 400.0)]
    machine = Machine("Example CPU", 2, {})
    return Report(rates, {1: 0, 2: error, 3: 0}, memory, 200, "15.14", Effort(3, 100, 0), machine, NOW)


def row(title: str, error: int = 0) -> list[str]:
    (line,) = (line for line in report(error).markdown().splitlines() if line.startswith(f"| {title}"))
    return [cell.strip() for cell in line.strip("|").split("|")][1:]


def test_each_number_of_edges_has_its_medians_beside_the_peer() -> None:
    assert row("one PostgreSQL") == ["1 edge", "2 edges", "3 edges"]
    assert row("**charges/s, many accounts**") == ["900 (0.50 x)", "1,800 (0.50 x)", "2,700 (0.50 x)"]
    assert row("UPDATEs/s of pgbench, one row") == ["1,200", "2,400", "3,600"]
    assert row("**recorded rows/s**") == ["20,000", "40,000", "60,000"]


def test_an_error_of_the_quota_is_shown() -> None:
    assert row("quota error") == ["0", "0", "0"]
    assert row("quota error", error=3) == ["0", "3", "0"]
    assert {figure.value for figure in report(3).figures() if figure.name.startswith("quota error")} == {0, 3}


def test_memory_is_that_of_one_edge() -> None:
    assert "110 MB milter (two workers, keeper) + 60 MB logparser" in report().markdown()
    values = {figure.name: figure.value for figure in report().figures()}
    assert values["memory of an edge"] == 170


def test_only_charges_have_a_peer() -> None:
    peers = {figure.name.rpartition(", ")[0]: figure.ratio for figure in report().figures()}
    assert peers[MANY] == peers[ONE] == 0.5
    assert peers[RECORDED] is peers[FLOOR_MANY] is None
