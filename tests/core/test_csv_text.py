import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sendproof_core import csv_text


@pytest.mark.parametrize(
    "text",
    [
        '=HYPERLINK("https://evil.example","click")',
        "+1+cmd|' /C calc'!A0",
        "-2+3",
        "@SUM(A1:A9)",
        "  =1+1",
        "\u3000=1+1",
        "\uff1d1+1",
    ],
)
def test_what_a_spreadsheet_would_run_is_only_text(text: str) -> None:
    assert csv_text.cell(text).startswith("'")


@pytest.mark.parametrize("text", ["anna@example.net", "Re: 1 = 1", "250 2.0.0 Ok: queued as 4X-Y", "", "1,5; a"])
def test_ordinary_text_stays_as_it_is(text: str) -> None:
    assert csv_text.cell(text) == text


def test_control_characters_become_escapes() -> None:
    assert csv_text.cell("\t=1") == "\\x09=1"
    assert csv_text.cell("a\r\n=b") == "a\\x0d\\x0a=b"
    assert csv_text.cell("\x1b[31m") == "\\x1b[31m"


def test_the_file_begins_with_the_mark_that_spreadsheets_want() -> None:
    assert csv_text.table(["Subject"], [["Grüße"]]) == '\ufeff"Subject"\r\n"Grüße"\r\n'


@given(st.lists(st.tuples(st.text(), st.text()), max_size=5))
def test_every_row_is_one_line_with_its_cells_whatever_they_hold(rows: list[tuple[str, str]]) -> None:
    text = csv_text.table(["a", "b"], rows)
    read = list(csv.reader(io.StringIO(text.removeprefix("\ufeff"), newline=""), strict=True))
    assert read == [["a", "b"], *([csv_text.cell(one), csv_text.cell(two)] for one, two in rows)]
    assert len(text.split("\r\n")) == len(rows) + 2
    for row in read[1:]:
        for cell in row:
            assert not cell.strip().startswith(("=", "+", "-", "@"))
