"""Tables as CSV for spreadsheets, with cells from outside that a spreadsheet must not take for formulas. Pure.

RFC 4180, every cell quoted, UTF-8 with a byte order mark: without one, Excel reads umlauts wrong.
"""

import csv
import io
from collections.abc import Iterable, Sequence

from sendproof_core.hostile_text import visible

BYTE_ORDER_MARK = "\ufeff"
MEDIA_TYPE = "text/csv; charset=utf-8"

# What begins a formula in Excel, LibreOffice or Google Sheets; some take the full-width forms for the same.
_FORMULA = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """The whole file as text. Control characters in cells are written as escapes; no cell is a formula."""
    out = io.StringIO()
    writer = csv.writer(out, quoting=csv.QUOTE_ALL, lineterminator="\r\n")
    writer.writerow([cell(name) for name in header])
    writer.writerows([cell(text) for text in row] for row in rows)
    return BYTE_ORDER_MARK + out.getvalue()


def cell(text: str) -> str:
    """The text as a cell that is only text: an apostrophe goes before what would be a formula.

    A leading space, tab or line end is skipped by some spreadsheets before they look for a formula.
    """
    shown = visible(text)
    return f"'{shown}" if shown.lstrip(" ").startswith(_FORMULA) else shown
