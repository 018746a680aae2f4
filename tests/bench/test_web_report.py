"""What the measurement of the site is said to show."""

import datetime as dt

from bench.machine import Machine
from bench.web_report import Loaded, Pixels, Record, Report

NOW = dt.datetime(2026, 11, 22, 8, 0, tzinfo=dt.UTC)
SMALL, LARGE = Record("SQLite", 200_000, 900.4), Record("SQLite", 2_000_000, 9_000.0)
LOADED = Loaded(tuple(number / 1000 for number in range(1, 101)), 0.012)


def report(pixels: Pixels | None = None) -> Report:
    pages = {SMALL: {"transcript": LOADED}, LARGE: {"transcript": Loaded((0.2,) * 100, 0.1)}}
    return Report(pages, pixels, Machine("Example CPU", 2, {}), NOW)


def test_each_page_stands_beside_itself_in_every_record() -> None:
    text = report().markdown()
    header, _, transcript, size = text.splitlines()[:4]
    assert [cell.strip() for cell in header.split("|")][2:4] == ["SQLite, 0.2 M", "SQLite, 2 M"]
    assert [cell.strip() for cell in transcript.split("|")][1:4] == [
        "transcript", "50 / 95 (12)", "200 / 200 (100)",
    ]  # fmt: skip
    assert [cell.strip() for cell in size.split("|")][2:4] == ["900", "9,000"]
    assert "100 of each" in text
    assert "Pixels" not in text


def test_pixels_are_told_where_they_were_measured() -> None:
    pixels = Pixels(1234.5, 8, (0.001,) * 98 + (0.02, 0.02), (0.0005,) * 100)
    assert "1,234 requests/s over 8 connections at once, p99 20 ms" in report(pixels).markdown()
    figures = {figure.name: figure.value for figure in report(pixels).figures()}
    assert figures["pixel in the server p99"] == 0.5
    assert figures["transcript p95, SQLite, 200,000 recipients"] == 95
    assert figures["transcript CPU, SQLite, 2,000,000 recipients"] == 100
    assert "pixels" not in {figure.name for figure in report().figures()}
