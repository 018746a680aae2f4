"""``make bench``, ``make bench-NAME``: measure beside peers; one JSON object a line for each figure, then tables."""

import signal
import sys
from collections.abc import Callable
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

# The repository instead of this folder, where milter.py would answer pymilter's own `import milter`.
sys.path.pop(0)
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench import clients, edges, figures, logparser, milter, web
from bench.figures import Effort, Result
from bench.markdown import LAST_RUN

from sendproof_core.errors import guarded

BENCHES: dict[str, Callable[[Effort, Progress], Result]] = {
    milter.NAME: milter.measure,
    logparser.NAME: logparser.measure,
    web.NAME: web.measure,
    edges.NAME: edges.measure,
}
_OPTIONAL = tuple(dict.fromkeys((*milter.OPTIONAL, *logparser.OPTIONAL, *web.OPTIONAL)))
_TABLE_COLUMNS = 120
# Messages and lines; recipients.
_QUICK = (80, 30_000)
_QUICK_RECIPIENTS = 20_000


@click.command()
@click.argument("names", nargs=-1, type=click.Choice(list(BENCHES)), metavar="[NAME ...]")
@click.option("--rounds", type=click.IntRange(1), default=3, show_default=True, help="Of each; their median counts.")
@click.option(
    "--messages",
    type=click.IntRange(clients.COUNT),
    default=2_000,
    show_default=True,
    help="milter: of each way, each round.",
)
@click.option(
    "--lines", type=click.IntRange(10_000), default=1_000_000, show_default=True, help="logparser: of each log, about."
)
@click.option(
    "--recipients",
    type=click.IntRange(10_000),
    default=2_000_000,
    show_default=True,
    help="web: in the large record; the smaller one has a tenth.",
)
@click.option(
    "--without", multiple=True, type=click.Choice(_OPTIONAL), metavar="NAME", help="Leave this out; repeatable."
)
@click.option("--quick", is_flag=True, help="Once and little: whether everything runs. The figures say nothing.")
def _command(
    names: tuple[str, ...],
    rounds: int,
    messages: int,
    lines: int,
    recipients: int,
    without: tuple[str, ...],
    *,
    quick: bool,
) -> None:
    """Measure NAMEs (milter, logparser, web, edges; without a name: all), beside peers where there are some."""
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))  # what was started is ended
    left_out = frozenset(without)
    effort = Effort(rounds, messages, lines, left_out, recipients)
    if quick:
        effort = Effort(1, *_QUICK, left_out, _QUICK_RECIPIENTS)
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    results: list[Result] = []
    with Progress(*columns, console=Console(stderr=True, highlight=False)) as progress:
        for name in names or BENCHES:
            result = BENCHES[name](effort, progress)
            results.append(result)
            for figure in result.figures:
                click.echo(figure.to_line())
    for result in results:
        _show(result, keep=not quick)


def _show(result: Result, *, keep: bool) -> None:
    if result.markdown is None:
        Console(highlight=False, width=_TABLE_COLUMNS).print(figures.table(result.figures))
        return
    click.echo("\n" + result.markdown)
    if keep:
        LAST_RUN.mkdir(exist_ok=True)
        (LAST_RUN / f"bench-{result.bench}.md").write_text(result.markdown, encoding="utf-8")


if __name__ == "__main__":
    guarded(_command)
