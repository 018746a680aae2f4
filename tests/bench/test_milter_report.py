"""What the rounds of the milter's measurement are said to show."""

import datetime as dt

import pytest
from bench import peers, ways
from bench.figures import Effort
from bench.machine import Machine
from bench.milter_report import Growth, Report, Round, size

NOW = dt.datetime(2026, 11, 22, 8, 0, tzinfo=dt.UTC)
MACHINE = Machine("Example CPU", 2, {"postfix": "3.7.11", "opendkim": "2.11.0"})


def one_round(cpu_ms: float, per_second: float, p50_ms: float, *, database_cpu_ms: float = 0.0) -> Round:
    return Round(cpu_ms, database_cpu_ms, per_second, p50_ms, p99_ms=2 * p50_ms)


def report(*, growth: tuple[Growth, ...] = ()) -> Report:
    rounds = {
        ways.BARE: [one_round(0, 800, 5)] * 3,
        peers.OPENDKIM: [one_round(2, 300, 10), one_round(4, 100, 90), one_round(2, 300, 10)],
        ways.ONE: [one_round(1, 450, 8)] * 3,
        ways.POSTGRESQL: [one_round(1.5, 400, 9, database_cpu_ms=0.5)] * 3,
    }
    return Report(rounds, Effort(3, 1_200, 0), growth, MACHINE, NOW)


def row(markdown: str, title: str) -> list[str]:
    (line,) = (line for line in markdown.splitlines() if line.startswith(f"| {title}"))
    return [cell.strip() for cell in line.strip("|").split("|")][1:]


def test_a_round_that_was_disturbed_does_not_count() -> None:
    assert row(report().markdown(), "OpenDKIM 2.11.0") == ["2.00", "1.00", "300", "1.00", "5.0", "15.0"]


def test_ours_stands_beside_opendkim() -> None:
    assert row(report().markdown(), "**Sendproof") == ["1.00", "0.50", "450", "1.50", "3.0", "11.0"]


def test_the_database_servers_cpu_time_stands_apart() -> None:
    assert row(report().markdown(), "Sendproof: everything, PostgreSQL")[:2] == ["1.50 + 0.50 server", "0.75"]
    (figure,) = (figure for figure in report().figures() if "database server" in figure.name)
    assert (figure.value, figure.unit) == (0.5, "ms/message")


def test_every_peer_has_its_figures_and_only_ours_have_a_ratio() -> None:
    ratios = {figure.name: figure.ratio for figure in report().figures() if figure.name.startswith("CPU, ")}
    assert ratios == {
        f"CPU, {peers.OPENDKIM}": None,
        f"CPU, {ways.ONE}": 0.5,
        f"CPU, {ways.POSTGRESQL}": 0.75,
    }


@pytest.mark.parametrize(("tracked", "words"), [(True, []), (False, ["Without the pixel: 100 KB."])])
def test_a_size_that_goes_out_without_the_pixel_is_named(tracked: bool, words: list[str]) -> None:
    larger = Growth(102_400, 240, report().rounds, tracked=tracked)
    markdown = report(growth=(larger,)).markdown()
    assert [word for word in ["Without the pixel: 100 KB."] if word in markdown] == words
    assert row(markdown, "100 KB") == ["2.00", "1.00", "0.50", "800", "300", "450", "1.50"]


def test_the_table_says_how_it_came_about() -> None:
    said = report().markdown()
    assert "22 Nov 2026: medians of 3 rounds in turns, each of 1,200 HTML mails of 4 KB from 8 clients" in said
    assert "Postfix 3.7.11, on 2 cores of Example CPU" in said


@pytest.mark.parametrize(("octets", "words"), [(4096, "4 KB"), (102_400, "100 KB"), (10 * 1024**2, "10 MB")])
def test_sizes_are_said_as_people_say_them(octets: int, words: str) -> None:
    assert size(octets) == words
