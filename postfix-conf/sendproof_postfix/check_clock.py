"""Whether clocks agree: this machine's with the world's, the database's with this machine's, the log's with both."""

import datetime as dt
from collections.abc import Iterator
from pathlib import Path

from sqlalchemy import func, select

from sendproof_core import log_health, wording
from sendproof_core.log_health import SourceHealth
from sendproof_postfix.doctor import CannotLook, Finding, Verdicts
from sendproof_postfix.doctor_postfix import run
from sendproof_postfix.doctor_subject import Subject

_SYSTEMD = Path("/run/systemd/system")
_SMALL = 2.0
_LARGE = 60.0
# Stamps of a log without fractions are up to a second old, and a reader looks each second.
_AHEAD = dt.timedelta(seconds=10)
# Zones differ by quarters of an hour at least.
_ZONE_STEP = dt.timedelta(minutes=14)
_SECONDS = 10.0


def look(subject: Subject, verdicts: Verdicts) -> Iterator[Finding]:
    """All three."""
    yield judge_synchronised(_synchronised(), verdicts)
    now = subject.now()
    database = subject.database
    if database.engine.dialect.name == "postgresql":
        with database.reading() as session:
            theirs = session.scalar(select(func.clock_timestamp()))
        if isinstance(theirs, dt.datetime):
            yield judge_database((theirs - subject.now()).total_seconds(), verdicts)
    with database.reading() as session:
        sources = log_health.read(session, now, newest=1).sources
    for source in sources:
        if source.host == subject.host and not source.is_import:
            yield from judge_stamps(source, _written_at(source), now, verdicts)


def judge_synchronised(answer: bool | None, verdicts: Verdicts) -> Finding:
    """What the machine says of its clock; None: nothing."""
    if answer is None:
        return verdicts.note(
            "nothing here says whether the clock is synchronised.",
            "Where it is the host's business (containers), look there; else install chrony or systemd-timesyncd.",
        )
    if not answer:
        return verdicts.warning(
            "the clock is not synchronised.",
            "Start chrony or systemd-timesyncd: transcripts are evidence, and limits end at certain hours.",
        )
    return verdicts.ok("the clock is synchronised.")


def judge_database(ahead_seconds: float, verdicts: Verdicts) -> Finding:
    """How far the database's clock is from ours."""
    away = abs(ahead_seconds)
    where = "ahead of" if ahead_seconds > 0 else "behind"
    if away < _SMALL:
        return verdicts.ok("the database's clock agrees with this machine's.")
    said = f"the database's clock is {away:.0f} seconds {where} this machine's."
    remedy = "Synchronise both machines' clocks."
    return verdicts.error(said, remedy) if away >= _LARGE else verdicts.warning(said, remedy)


def judge_stamps(
    source: SourceHealth, written_at: dt.datetime | None, now: dt.datetime, verdicts: Verdicts
) -> Iterator[Finding]:
    """Whether a log's stamps were read as what they are. ``written_at``: when the last line was, if known."""
    if source.last_line_at is None:
        return
    zone = (
        "Look at the zone of the log's stamps: [logparser] time_zone says what those are that name none, and has to "
        "be that of whoever writes the log."
    )
    if source.last_line_at > now + _AHEAD:
        ahead = wording.duration((source.last_line_at - now).total_seconds())
        yield verdicts.error(f"the last line of {source.name} is from the future: {ahead} from now.", zone)
    elif written_at is not None and written_at - source.last_line_at > _ZONE_STEP:
        behind = wording.duration((written_at - source.last_line_at).total_seconds())
        yield verdicts.warning(
            f"the last line of {source.name} was written {behind} after the time that it names.", zone
        )


def _written_at(source: SourceHealth) -> dt.datetime | None:
    """When the file of a source was last written to, if everything in it was read."""
    path = Path(source.name.partition(":")[2])
    try:
        facts = path.stat()
    except OSError:
        return None
    if source.cursor or not facts.st_size or facts.st_size != source.offset:
        return None
    return dt.datetime.fromtimestamp(facts.st_mtime, dt.UTC)


def _synchronised() -> bool | None:
    if _SYSTEMD.exists():
        try:
            if run("systemd-detect-virt", "--container", "--quiet", seconds=_SECONDS).returncode == 0:
                return None  # the clock is that of the machine around it
            said = run("timedatectl", "show", "--property=NTPSynchronized", "--value", seconds=_SECONDS)
            if said.returncode == 0 and said.stdout.strip() in ("yes", "no"):
                return said.stdout.strip() == "yes"
        except CannotLook:
            pass
    try:
        said = run("chronyc", "-c", "tracking", seconds=_SECONDS)
    except CannotLook:
        return None
    fields = said.stdout.strip().split(",")
    return None if said.returncode != 0 else fields[-1] != "Not synchronised"
