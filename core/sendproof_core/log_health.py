"""How well the mail is accounted for: what was read, what was not understood, what is missing. Reads only.

For the operator of all accounts; the sender's view of a message is `transcript_queries`.
"""

import datetime as dt
import uuid
from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import ColumnElement, and_, false, func, or_, select
from sqlalchemy.orm import Session

from sendproof_core import record_ids
from sendproof_core.schema import LogGap, QueueFile, ReadingPosition, Recipient, UnknownLine
from sendproof_core.source_names import host_of, is_import
from sendproof_core.states import RecipientState

# States in which Postfix still has the recipient, as far as the record knows.
OPEN_STATES = (RecipientState.QUEUED, RecipientState.DEFERRED, RecipientState.HELD)
# A message's first line and the journal's are written within this time, by writers that do not wait for each other.
_SLACK = dt.timedelta(seconds=60)
_NEWEST = 20


@dataclass(frozen=True)
class SourceHealth:
    """How far one source was read. ``name``: see `source_names`."""

    name: str
    lines_read: int
    # When rows of it were last stored.
    read_at: dt.datetime
    # Everything that was in it at this time has been read; None: not known, or an import.
    read_up_to: dt.datetime | None
    # How long ago that is: seconds while the logparser runs and keeps up.
    behind_seconds: float | None
    last_line_at: dt.datetime | None
    offset: int
    # Instead of an offset, where the source is journald.
    cursor: str | None

    @property
    def host(self) -> str:
        """The machine that it belongs to."""
        return host_of(self.name)

    @property
    def is_import(self) -> bool:
        """Whether it is an old file that was read by command."""
        return is_import(self.name)


@dataclass(frozen=True)
class UnknownLineView:
    """A line that no rule knows. ``daemon`` None: of no program that we know, or a journal's."""

    source: str
    offset: int
    read_at: dt.datetime
    daemon: str | None
    line: str


@dataclass(frozen=True)
class Gap:
    """The system log says that it dropped lines. ``lines`` None: it does not say how many."""

    host: str
    source: str
    begins_at: dt.datetime | None
    ends_at: dt.datetime
    lines: int | None
    text: str


@dataclass(frozen=True)
class UnheardMessage:
    """A message (or one recipient's copy) that the milter admitted and of which no line of the mail log speaks."""

    message_id: uuid.UUID
    host: str
    queue_id: str
    born_at: dt.datetime


@dataclass(frozen=True)
class LogHealth:
    """What an operator looks at. Lists are newest first and bounded; counts are of everything."""

    # By name
    sources: tuple[SourceHealth, ...]
    # "": of no program that we know, or a journal's
    unknown_lines_by_daemon: Mapping[str, int]
    newest_unknown_lines: tuple[UnknownLineView, ...]
    gap_count: int
    gaps: tuple[Gap, ...]
    # In state `unknown`, and nothing says that they were handed on.
    silent_recipients: int
    unheard_count: int
    admitted_without_a_line: tuple[UnheardMessage, ...]
    # All of `OPEN_STATES`, also those that nobody is in
    open_recipients: Mapping[RecipientState, int]


def read(session: Session, now: dt.datetime, newest: int = _NEWEST) -> LogHealth:
    """Look at the record of all hosts; ``newest``: how long each list may be."""
    rows = session.scalars(select(ReadingPosition))
    sources = tuple(sorted((_source(row, now) for row in rows), key=lambda source: source.name))
    unheard = or_(false(), *(is_unheard(host, moment) for host, moment in read_up_to(sources).items()))
    return LogHealth(
        sources=sources,
        unknown_lines_by_daemon=_unknown_lines_by_daemon(session),
        newest_unknown_lines=_newest_unknown_lines(session, newest),
        gap_count=session.scalar(select(func.count()).select_from(LogGap)) or 0,
        gaps=_gaps(session, newest),
        silent_recipients=_silent_recipients(session),
        unheard_count=session.scalar(select(func.count()).select_from(QueueFile).where(unheard)) or 0,
        admitted_without_a_line=_admitted_without_a_line(session, unheard, newest),
        open_recipients=count_open(session),
    )


def read_up_to(sources: tuple[SourceHealth, ...]) -> dict[str, dt.datetime]:
    """By host: until when everything of all its sources was read; hosts of which that is not known are left out."""
    moments: dict[str, list[dt.datetime | None]] = {}
    for source in sources:
        if not source.is_import:
            moments.setdefault(source.host, []).append(source.read_up_to)
    known = {host: [moment for moment in found if moment is not None] for host, found in moments.items()}
    return {host: min(found) for host, found in known.items() if len(found) == len(moments[host])}


def is_unheard(host: str, everything_read_up_to: dt.datetime) -> ColumnElement[bool]:
    """Of a `QueueFile`: our milter admitted it, and the mail log should have spoken of it long since.

    The mail log's first line gives a queue file its instance. By host and instance the unique index finds them.
    """
    return and_(
        QueueFile.host == host,
        QueueFile.instance == "",
        QueueFile.message_id.is_not(None),
        QueueFile.born_at < everything_read_up_to - _SLACK,
        QueueFile.disposition.is_(None),
    )


def is_handed_on() -> ColumnElement[bool]:
    """Of a `Recipient`, neither delivered nor given up: its mail goes on in another queue file."""
    return Recipient.handed_on_at.is_not(None)


def count_open(session: Session, host: str | None = None) -> dict[RecipientState, int]:
    """How many recipients Postfix still has, by state: those of queue files that were not removed.

    ``host``: only its; None: all hosts'.
    """
    is_open = and_(Recipient.state.in_(OPEN_STATES), ~is_handed_on())
    counts = (
        select(Recipient.state, func.count())
        .join(QueueFile, QueueFile.id == Recipient.queue_file_id)
        .where(is_open, QueueFile.removed_at.is_(None))
        .group_by(Recipient.state)
    )
    if session.get_bind().dialect.name == "postgresql":
        # To plan a join over all days takes far longer than to find the few that it is about.
        days = session.scalars(select(record_ids.file_day(Recipient.queue_file_id)).where(is_open).distinct()).all()
        if not days:
            return dict.fromkeys(OPEN_STATES, 0)
        counts = counts.where(
            *(record_ids.is_of_days(file_id, days) for file_id in (QueueFile.id, Recipient.queue_file_id))
        )
    if host is not None:
        counts = counts.where(QueueFile.host == host)
    found = {RecipientState(state): count for state, count in session.execute(counts)}
    return {state: found.get(state, 0) for state in OPEN_STATES}


def _source(row: ReadingPosition, now: dt.datetime) -> SourceHealth:
    return SourceHealth(
        name=row.source,
        lines_read=row.lines_read,
        read_at=row.read_at,
        read_up_to=row.read_up_to,
        behind_seconds=None if row.read_up_to is None else max((now - row.read_up_to).total_seconds(), 0.0),
        last_line_at=row.last_line_at,
        offset=row.offset,
        cursor=row.cursor,
    )


def _unknown_lines_by_daemon(session: Session) -> dict[str, int]:
    """The most frequent first."""
    counts = select(UnknownLine.daemon, func.count()).group_by(UnknownLine.daemon)
    found = {daemon or "": count for daemon, count in session.execute(counts)}
    return dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))


def _newest_unknown_lines(session: Session, newest: int) -> tuple[UnknownLineView, ...]:
    rows = session.scalars(select(UnknownLine).order_by(UnknownLine.id.desc()).limit(newest))
    return tuple(UnknownLineView(row.source, row.offset, row.read_at, row.daemon, row.line) for row in rows)


def _gaps(session: Session, newest: int) -> tuple[Gap, ...]:
    rows = session.scalars(select(LogGap).order_by(LogGap.ends_at.desc(), LogGap.id.desc()).limit(newest))
    return tuple(Gap(row.host, row.source, row.begins_at, row.ends_at, row.lines, row.text) for row in rows)


def _silent_recipients(session: Session) -> int:
    count = (
        select(func.count()).select_from(Recipient).where(Recipient.state == RecipientState.UNKNOWN, ~is_handed_on())
    )
    return session.scalar(count) or 0


def _admitted_without_a_line(session: Session, unheard: ColumnElement[bool], newest: int) -> tuple[UnheardMessage, ...]:
    rows = session.scalars(select(QueueFile).where(unheard).order_by(QueueFile.born_at.desc()).limit(newest))
    return tuple(
        UnheardMessage(row.message_id, row.host, row.queue_id, row.born_at)
        for row in rows
        if row.message_id is not None
    )
