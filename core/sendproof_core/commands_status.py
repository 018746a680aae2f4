"""`sendproof status`: how well the mail is accounted for, for the operator. Changes nothing."""

from collections.abc import Iterator

import click

from sendproof_core import clock, health, health_words
from sendproof_core.commands_context import Context, show_table
from sendproof_core.health import Grade, Health
from sendproof_core.hostile_text import visible
from sendproof_core.log_health import Gap, LogHealth, SourceHealth
from sendproof_core.settings import SiteSettings

_SHOWN = 10
# A logparser that runs says at least every ten seconds that it has read everything.
_LATE_SECONDS = 60
# Words that stand out in a column.
_MARKS = {Grade.GOOD: "good", Grade.WATCH: "WATCH", Grade.BAD: "BAD", Grade.UNSURE: "?"}
_UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"))


@click.command("status")
@click.pass_obj
def status(context: Context) -> None:
    """How far the logs were read, what was not understood, of whom nothing is known, and how each part is."""
    certificates = context.file.table(SiteSettings).certificates if "site" in context.file.tables else ()
    found = health.read(context.database(), certificates, clock.now(), _SHOWN)
    _show_sources(found.logs.sources)
    for line in _findings(found.logs):
        click.echo(line)
    click.echo()
    _show_parts(found)


def _show_parts(found: Health) -> None:
    """Each part with its worst finding's mark; of what is not well, also what to do."""
    for reading in found.readings:
        part, mark = health_words.PARTS[reading.part].lower(), _MARKS[reading.grade]
        click.echo(f"{mark:<6}{part + ':':<14}{visible(health_words.sentence(reading))}")
        if reading.grade is not Grade.GOOD and (advice := health_words.advice(reading)):
            click.echo(f"{'':<20}{visible(advice)}")


def _show_sources(sources: tuple[SourceHealth, ...]) -> None:
    if not sources:
        click.echo("nothing was read yet: is sendproof-logparser running?")
        return
    lines = _to_the_right("LINES", [f"{source.lines_read:,}" for source in sources])
    octets = _to_the_right("OCTETS", ["" if source.cursor else f"{source.offset:,}" for source in sources])
    last = ["" if source.last_line_at is None else f"{source.last_line_at:%Y-%m-%d %H:%M:%S}" for source in sources]
    behind = [_behind(source) for source in sources]
    names = [visible(source.name) for source in sources]
    rows = list(zip(lines[1:], octets[1:], last, behind, names, strict=True))
    show_table((lines[0], octets[0], "LAST LINE (UTC)", "BEHIND", "SOURCE"), rows)
    for source in sources:
        if source.behind_seconds is not None and source.behind_seconds > _LATE_SECONDS and not source.is_import:
            name, duration = visible(source.name), _duration(source.behind_seconds)
            click.echo(f"{name} is {duration} behind: is sendproof-logparser running on {visible(source.host)}?")


def _findings(logs: LogHealth) -> Iterator[str]:
    yield ""
    yield "recipients that Postfix still has: " + ", ".join(
        f"{count:,} {state}" for state, count in logs.open_recipients.items()
    )
    yield f"recipients of whom the log does not say what became of them: {logs.silent_recipients:,}"
    yield f"messages that were admitted and that no line of the log speaks of: {logs.unheard_count:,}"
    for message in logs.admitted_without_a_line:
        queue_id, host = visible(message.queue_id), visible(message.host)
        yield f"  {message.born_at:%Y-%m-%d %H:%M:%S} UTC  {queue_id} on {host}"
    yield f"times that the system log lost lines: {logs.gap_count:,}"
    for gap in logs.gaps:
        yield f"  {_moments(gap)} UTC  {visible(gap.host)}: {visible(gap.text)}"
    yield f"lines that no rule knows: {sum(logs.unknown_lines_by_daemon.values()):,}"
    for daemon, count in logs.unknown_lines_by_daemon.items():
        yield f"  {count:,} of {visible(daemon) or 'other programs and journals'}"
    if logs.newest_unknown_lines:
        yield "the newest of them:"
    for line in reversed(logs.newest_unknown_lines):
        yield f"  {visible(line.source)} at octet {line.offset}: {visible(line.line)}"


def _moments(gap: Gap) -> str:
    begins = "" if gap.begins_at is None else f"{gap.begins_at:%Y-%m-%d %H:%M:%S} to "
    return f"{begins}{gap.ends_at:%Y-%m-%d %H:%M:%S}"


def _behind(source: SourceHealth) -> str:
    if source.is_import:
        return "import"
    return "unknown" if source.behind_seconds is None else _duration(source.behind_seconds)


def _duration(seconds: float) -> str:
    for unit_seconds, unit in _UNITS:
        if seconds >= unit_seconds:
            return f"{seconds / unit_seconds:.0f} {unit}"
    return f"{seconds:.0f} s"


def _to_the_right(head: str, texts: list[str]) -> list[str]:
    width = max(map(len, [head, *texts]))
    return [text.rjust(width) for text in (head, *texts)]
