"""The lines of the logs that no rule knows, for the operator who wants them explained or reported. Reads only."""

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from sendproof_core.log_health import UnknownLineView
from sendproof_core.schema import UnknownLine

PAGE_LENGTH = 50
# How the pages and the address name lines of no program that we know, and of journals.
OTHERS = "other"
MOST_DOWNLOADED = 10_000


@dataclass(frozen=True)
class Kind:
    """The lines of one daemon. ``daemon``: `OTHERS` for those of none that we know; ``example``: the newest."""

    daemon: str
    count: int
    newest_at: dt.datetime
    example: str


@dataclass(frozen=True)
class LinePage:
    """Lines, newest first. ``next``: the id that `find` continues ``below``; None: these are the oldest."""

    lines: tuple[UnknownLineView, ...]
    next: int | None


def kinds(session: Session) -> tuple[Kind, ...]:
    """By daemon, the most frequent first."""
    counted = select(
        UnknownLine.daemon, func.count(), func.max(UnknownLine.read_at), func.max(UnknownLine.id)
    ).group_by(UnknownLine.daemon)
    rows = session.execute(counted).all()
    examples = select(UnknownLine.id, UnknownLine.line).where(UnknownLine.id.in_([row[3] for row in rows]))
    by_id = {line_id: line for line_id, line in session.execute(examples)}  # noqa: C416 - a row is no pair to mypy
    found = [Kind(daemon or OTHERS, count, at, by_id[newest]) for daemon, count, at, newest in rows]
    return tuple(sorted(found, key=lambda kind: (-kind.count, kind.daemon)))


def find(
    session: Session, daemon: str | None = None, *, below: int | None = None, limit: int = PAGE_LENGTH
) -> LinePage:
    """A page of the lines of a daemon, or of all (None)."""
    query = select(UnknownLine).order_by(UnknownLine.id.desc()).limit(limit + 1)
    if daemon is not None:
        query = query.where(UnknownLine.daemon.is_(None) if daemon == OTHERS else UnknownLine.daemon == daemon)
    if below is not None:
        query = query.where(UnknownLine.id < below)
    rows = session.scalars(query).all()
    lines = tuple(UnknownLineView(row.source, row.offset, row.read_at, row.daemon, row.line) for row in rows[:limit])
    return LinePage(lines, rows[limit - 1].id if len(rows) > limit else None)


def download(session: Session, daemon: str | None = None) -> Iterator[UnknownLineView]:
    """The newest `MOST_DOWNLOADED` of them, oldest first."""
    return reversed(find(session, daemon, limit=MOST_DOWNLOADED).lines)
