"""`sendproof logs`: reads log files by hand, into the record or past it. Follows no log: the daemon does.

`logs parse` needs neither settings nor a database.
"""

import contextlib
import datetime as dt
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import click
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    ProgressColumn,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)

from sendproof_core.commands_context import Context
from sendproof_core.commands_status import status
from sendproof_core.database_url import Program
from sendproof_core.errors import UserError
from sendproof_core.hostile_text import visible
from sendproof_logparser import derive, parse_tables, status_json
from sendproof_logparser.chunk import Chunk
from sendproof_logparser.imported_file import ImportedFile, StandardInput
from sendproof_logparser.importing import Imported, Importer
from sendproof_logparser.parse_tables import StatusTable
from sendproof_logparser.parsing import Counts, FileParser, Render, Writer, identify
from sendproof_logparser.syslog_line import LineReader, ReaderOfGivenYear
from sendproof_logparser.time_zone import time_zone

_STANDARD_INPUT = Path("-")
_DAMAGED_STATUS = 1
_NDJSON, _TABLE = "ndjson", "table"
# Of a table that goes to a file or another program.
_WIDTH_WITHOUT_TERMINAL = 160
_NAME_CELLS = 40

# Octets done, and in all, of one file; None: not known.
_Show = Callable[[int, int | None], None]


@click.group()
def logs() -> None:
    """Postfix's logs: what they say, and what the record has of them."""


logs.add_command(status)


@logs.command("parse")
@click.option("--format", "form", type=click.Choice([_NDJSON, _TABLE]), help="Default: ndjson; of a summary, text.")
@click.option("--year", type=click.IntRange(1970, 9000), metavar="YEAR", help="Of the first line, where it names none.")
@click.option("--zone", default="", metavar="ZONE", help="Of stamps that name none. Default: this machine's.")
@click.option("--summary", is_flag=True, help="Print counts, and the lines that no rule knows.")
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.pass_context
def parse(
    context: click.Context, /, files: Sequence[Path], form: str | None, year: int | None, zone: str, summary: bool
) -> None:
    """Print the delivery status lines of log files.

    "-" is standard input; a file may be gzipped. Neither settings nor a database are needed.
    """
    if sys.stdout is None or (_STANDARD_INPUT in files and sys.stdin is None):
        raise UserError("standard input or output is closed; nothing can be read or written.")
    _refuse_what_cannot_be_read(files)
    stamps_zone = time_zone(zone, "--zone")
    counts = Counts()
    table = StatusTable(_width()) if form == _TABLE and not summary else None
    if table is not None:
        _write([table.head()])
    damages = []
    for number, path in enumerate(files, 1):
        render = None if summary else table.row if table is not None else _json(path)
        with _bar(path, number, len(files), is_wanted=not sys.stdout.isatty()) as show:
            damages.append(_parse_file(path, counts, render, lambda chunk: _reader(chunk, year, stamps_zone), show))
    if summary:
        _write([parse_tables.summary_json(counts)] if form == _NDJSON else list(parse_tables.summary(counts)))
    _tell_of_damage(context, files, damages)


@logs.command("import")
@click.option(
    "--year", type=click.IntRange(1970, 9000), metavar="YEAR", help="Of each file's first line, as for parse."
)
@click.option("--zone", default="", metavar="ZONE", help="Of stamps that name none. Default: [logparser] time_zone.")
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.pass_context
def import_(context: click.Context, /, files: Sequence[Path], year: int | None, zone: str) -> None:
    """Read old log files into the record, the one that was written first before the others.

    What is there already is not recorded again: the command can be stopped and given again, also while
    sendproof-logparser runs.
    """
    _refuse_what_cannot_be_read(files)
    installation: Context = context.obj
    importer = Importer(installation.file, installation.database(Program.LOGPARSER), year=year, zone=zone)
    files = sorted(files, key=lambda path: path.stat().st_mtime_ns)
    damages = []
    for number, path in enumerate(files, 1):
        with _bar(path, number, len(files), is_wanted=True) as show:
            imported = importer.read(path, show)
        damages.append(imported.damage)
        added = f"lines read {imported.lines:,}, attempts added {imported.attempts:,}"
        unknown = f"lines that no rule knows {imported.unknown_lines:,}"
        click.echo(f"{visible(str(path))}: {added}, {unknown}{_span(imported)}")
    importer.finish()
    _tell_of_damage(context, files, damages)


@logs.command("index")
@click.option("--rebuild", is_flag=True, help="Forget what was derived, and derive all of it again.")
@click.pass_context
def index(context: click.Context, /, *, rebuild: bool) -> None:
    """Derive what is still to be derived from the record: what the search finds, and the statistics.

    sendproof-logparser does so by itself, a moment behind its reading. The command can be stopped and given again.
    """
    installation: Context = context.obj
    database = installation.database(Program.LOGPARSER)
    if rebuild:
        with database.writing() as session:
            waiting = derive.begin_anew(session)
    else:
        with database.reading() as session:
            waiting = derive.count_open(session)
    done = 0
    with _progress(is_wanted=True) as progress:
        task = progress.add_task("deriving", total=waiting)
        while taken := derive.run(database.writing, derive.LARGE_STEP):
            done += taken
            progress.update(task, completed=done)
    click.echo(f"derived from {done:,} changes of the record")


def _span(imported: Imported) -> str:
    """What the stamps were taken to mean: a year may be missing in them."""
    if imported.begins_at is None or imported.ends_at is None:
        return ""
    return f", from {imported.begins_at:%Y-%m-%d %H:%M} to {imported.ends_at:%Y-%m-%d %H:%M} UTC"


def _parse_file(
    path: Path,
    counts: Counts,
    render: Render | None,
    begin: Callable[[Chunk], LineReader[Writer | None]],
    show: _Show,
) -> str | None:
    """Read one file, and write what it says to standard output; where it is damaged."""
    with contextlib.closing(StandardInput() if path == _STANDARD_INPUT else ImportedFile(path, None)) as source:
        parser = None
        while (chunk := source.read()) is not None:
            if parser is None:
                parser = FileParser(str(path), begin(chunk), counts, render)
            _write(parser.take(chunk))
            show(source.done_octets, source.total_octets)
        if parser is not None and not parser.is_log:
            raise UserError(f"{visible(str(path))} is no mail log: none of its lines begins as a log's lines do.")
        return source.damage


def _reader(chunk: Chunk, year: int | None, zone: dt.tzinfo) -> LineReader[Writer | None]:
    """For the file that the chunk is the beginning of."""
    if year is not None:
        return ReaderOfGivenYear(identify, zone, year, chunk.modified_at)
    beginning = chunk.head.decode("utf-8", "replace")
    return LineReader(identify, zone, None, latest=chunk.modified_at, beginning=beginning)


def _json(path: Path) -> Render:
    where = status_json.place(str(path))
    return lambda number, at, keys, line: status_json.json_line(where, number, at, keys, line)


def _refuse_what_cannot_be_read(files: Sequence[Path]) -> None:
    """Raises UserError, before anything is written."""
    for path in files:
        if path != _STANDARD_INPUT:
            ImportedFile(path, None).close()


def _width() -> int:
    return shutil.get_terminal_size((_WIDTH_WITHOUT_TERMINAL, 24)).columns


def _write(lines: list[str]) -> None:
    if not lines:
        return
    try:
        out = sys.stdout.buffer
        out.write(("\n".join(lines) + "\n").encode("utf-8", "replace"))
        out.flush()
    except BrokenPipeError:  # whoever reads has enough
        raise
    except OSError as error:
        raise UserError(f"the output cannot be written: {error.strerror}.") from None


def _tell_of_damage(context: click.Context, files: Sequence[Path], damages: Sequence[str | None]) -> None:
    """Say where files are damaged; the status says that something is missing."""
    for path, damage in zip(files, damages, strict=True):
        if damage is not None:
            click.echo(f"sendproof: {visible(str(path))} is damaged: {damage}", err=True)
    if any(damages):
        context.exit(_DAMAGED_STATUS)


@contextlib.contextmanager
def _bar(path: Path, number: int, of: int, *, is_wanted: bool) -> Iterator[_Show]:
    """A progress bar on standard error, where that is a terminal."""
    name = "standard input" if path == _STANDARD_INPUT else visible(path.name)
    label = parse_tables.cut(name, _NAME_CELLS) + (f" ({number} of {of})" if of > 1 else "")
    with _progress(DownloadColumn(), is_wanted=is_wanted) as progress:
        task = progress.add_task(label, total=None)

        def show(done_octets: int, total_octets: int | None) -> None:
            progress.update(task, completed=done_octets, total=total_octets)

        yield show


def _progress(*more: ProgressColumn, is_wanted: bool) -> Progress:
    """On standard error, where that is a terminal."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TaskProgressColumn(), *more)
    disabled = not (is_wanted and console.is_terminal)
    return Progress(
        *columns, TimeRemainingColumn(), console=console, transient=True, disable=disabled, redirect_stdout=False
    )
