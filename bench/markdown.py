"""Tables in Markdown, and where a file includes one. Reads and writes nothing."""

from collections.abc import Sequence

from bench.process_times import REPOSITORY

from sendproof_core.errors import UserError

# Where the tables of the last run are kept until `make bench-readme`.
LAST_RUN = REPOSITORY / "build"


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """The first column is words, the others are numbers; aligned for those who read the source."""
    widths = [max(len(row[column]) for row in (header, *rows)) for column in range(len(header))]

    def line(cells: Sequence[str]) -> str:
        first, *others = (
            cell.rjust(width) if column else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(cells, widths, strict=True))
        )
        return f"| {' | '.join((first, *others))} |"

    rule = "|".join("-" * (width + 1) + (":" if column else "-") for column, width in enumerate(widths))
    return "\n".join([line(header), f"|{rule}|", *map(line, rows)]) + "\n"


def included(page: str, name: str, content: str) -> str:
    """The page with this content between its markers ``<!-- NAME -->`` and ``<!-- /NAME -->``.

    Raises:
        UserError: it does not have each of them once, in this order.
    """
    begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    before, has_begin, rest = page.partition(begin)
    _, has_end, after = rest.partition(end)
    if not has_begin or not has_end or begin in rest or end in before + after:
        raise UserError(f"the page must have a line {begin} and, below it, a line {end}, each once; write them.")
    return f"{before}{begin}\n{content.strip()}\n{end}{after}"
