"""Joins what one edge handed to another: the queue file there comes out of the one here. Behind the reading.

Each edge's log is read by a logparser of its own, at any time, so only the record has both sides; whichever comes
second makes the link. Three things have to agree: the queue id in the reply, the Message-ID, and that the one was born
while the other had the mail. Nothing here knows addresses, and what a receiving server outside calls its queue
files fits none of ours.
"""

import datetime as dt
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, and_, or_, select, text, true, update
from sqlalchemy.orm import Session

from sendproof_core import record_days, record_ids
from sendproof_core.links import LinkEvidence, LinkKind
from sendproof_core.schema import Attempt, QueueFile, Recipient
from sendproof_core.states import RecipientState
from sendproof_logparser import queue_id

# As far as two hosts' clocks, and a log's whole seconds, may be apart.
CLOCKS = dt.timedelta(minutes=5)
# How long a queue file may have waited before it was relayed, as far as is looked for it (maximal_queue_lifetime: 5).
_WAITED = dt.timedelta(days=30)
_DAY = dt.timedelta(days=1)
# First and last, in which queue files were born (`record_days`); None: any.
_Days = tuple[int, int] | None


class Sent(NamedTuple):
    """A recipient of whom a status line says that a server has the mail as ``remote_queue_id``."""

    recipient_id: int
    at: dt.datetime
    remote_queue_id: str
    file_id: int
    host: str
    queue_id: str
    born_at: dt.datetime
    message_id_header: str
    # What its queue file comes from itself.
    parent_host: str | None
    parent_queue_id: str | None
    is_handed_on: bool


class Candidate(NamedTuple):
    """A queue file that another host may have relayed: nobody submitted it here."""

    file_id: int
    host: str
    queue_id: str
    born_at: dt.datetime
    message_id_header: str
    # Of the link that was made before, if any.
    parent_host: str | None = None
    parent_queue_id: str | None = None


@dataclass(frozen=True)
class Link:
    """``child`` holds what was sent of ``sent``, all of one queue file."""

    child: Candidate
    sent: tuple[Sent, ...]

    @property
    def is_made(self) -> bool:
        """Whether the record says all of it already."""
        return self.child.parent_host is not None and all(one.is_handed_on for one in self.sent)


def join(session: Session, file_ids: Collection[int]) -> set[int]:
    """Link what these queue files relayed, or were relayed as; which have become children.

    ``session``: of a transaction that may write. What is linked already stays as it is.
    """
    days = record_days.span_of_ids(file_ids)
    children = list(_candidates(session, QueueFile.id.in_(file_ids), days))
    sent = list(_sent(session, QueueFile.id.in_(file_ids), days))
    if children:
        born = [child.born_at for child in children]
        before = _days(min(born) - _WAITED, max(born) + _DAY)
        sent += _sent(session, Attempt.remote_queue_id.in_({child.queue_id for child in children}), before)
    if sent:
        after = _days(min(one.born_at for one in sent) - _DAY, max(one.at for one in sent) + _DAY)
        children += _candidates(session, QueueFile.queue_id.in_({one.remote_queue_id for one in sent}), after)
    links = [link for link in decide(set(children), set(sent)) if not link.is_made]
    if links:
        _lock(session, {host for link in links for host in (link.child.host, link.sent[0].host)})
    return {link.child.file_id for link in links if _write(session, link)}


def decide(candidates: Collection[Candidate], sent: Collection[Sent]) -> list[Link]:
    """Which queue file comes from which, each from one."""
    by_name: dict[tuple[str, str], list[Candidate]] = {}
    for candidate in candidates:
        by_name.setdefault((candidate.queue_id, candidate.message_id_header), []).append(candidate)
    claims: dict[Candidate, list[Sent]] = {}
    for one in sorted(sent, key=lambda one: (one.at, one.recipient_id)):
        fitting = [
            child for child in by_name.get((one.remote_queue_id, one.message_id_header), ()) if _fits(one, child)
        ]
        if fitting:  # of a short queue id's lives, the newest that there was
            claims.setdefault(max(fitting, key=lambda child: (child.born_at, child.file_id)), []).append(one)
    return list(_of_one_parent(claims))


def _fits(sent: Sent, child: Candidate) -> bool:
    if child.host == sent.host or (sent.parent_host, sent.parent_queue_id) == (child.host, child.queue_id):
        return False
    if child.parent_host is not None and (child.parent_host, child.parent_queue_id) != (sent.host, sent.queue_id):
        return False
    return sent.born_at - CLOCKS <= child.born_at <= sent.at + CLOCKS


def _of_one_parent(claims: dict[Candidate, list[Sent]]) -> Iterator[Link]:
    for child, claiming in claims.items():
        first = min(claiming, key=lambda one: (abs(one.at - child.born_at), one.host, one.file_id))
        yield Link(child, tuple(one for one in claiming if one.file_id == first.file_id))


def _days(first: dt.datetime, last: dt.datetime) -> _Days:
    return record_days.day_number(first), record_days.day_number(last)


def _is_of(session: Session, column: Any, days: _Days) -> ColumnElement[bool]:
    """Of an id: else PostgreSQL would look into every day. Older ids carry none, and those of SQLite."""
    if days is None or session.get_bind().dialect.name == "sqlite":
        return true()
    return record_ids.is_id_within(column, record_days.first_id(days[0]), record_days.first_id(days[1] + 1))


def _sent(session: Session, wanted: ColumnElement[bool], days: _Days) -> Iterator[Sent]:
    rows = session.execute(
        select(
            Recipient.id, Attempt.attempted_at, Attempt.remote_queue_id, QueueFile.id, QueueFile.host,
            QueueFile.queue_id, QueueFile.born_at, QueueFile.message_id_header, QueueFile.parent_host,
            QueueFile.parent_queue_id, Recipient.handed_on_at.is_not(None),
        )
        .join(Recipient, Recipient.id == Attempt.recipient_id)
        .join(QueueFile, QueueFile.id == Recipient.queue_file_id)
        .where(
            wanted,
            Attempt.status == "sent",
            Attempt.remote_queue_id.is_not(None),
            QueueFile.message_id_header.is_not(None),
            _is_of(session, Attempt.recipient_id, days),
            _is_of(session, Recipient.queue_file_id, days),
            _is_of(session, QueueFile.id, days),
        )
    )  # fmt: skip
    return (Sent._make(row) for row in rows if queue_id.is_queue_id(row[2] or ""))


def _candidates(session: Session, wanted: ColumnElement[bool], days: _Days) -> Iterator[Candidate]:
    rows = session.execute(
        select(
            QueueFile.id, QueueFile.host, QueueFile.queue_id, QueueFile.born_at, QueueFile.message_id_header,
            QueueFile.parent_host, QueueFile.parent_queue_id, QueueFile.link_kind,
        )
        .where(
            wanted,
            QueueFile.message_id.is_(None),
            QueueFile.login.is_(None),
            QueueFile.client.is_not(None),
            QueueFile.message_id_header.is_not(None),
            _may_be_linked(),
            _is_of(session, QueueFile.id, days),
        )
    ).all()  # fmt: skip
    here = _named_here(session, rows, days)
    for row in rows:
        found = Candidate(row.id, row.host, row.queue_id, row.born_at, row.message_id_header or "")
        if row.link_kind == LinkKind.RELAY:
            yield found._replace(parent_host=row.parent_host, parent_queue_id=row.parent_queue_id)
        elif row.link_kind is None or (row.host, row.parent_queue_id) not in here:
            yield found


def _may_be_linked() -> ColumnElement[bool]:
    return or_(
        QueueFile.link_kind.is_(None),
        QueueFile.link_kind == LinkKind.RELAY,
        QueueFile.link_evidence == LinkEvidence.ORIGINAL_QUEUE_ID,
    )


def _named_here(session: Session, rows: Iterable[Any], days: _Days) -> set[tuple[str, str]]:
    """With XFORWARD, an edge names the queue file of the other: those that are of the same host are no relay's."""
    names = {row.parent_queue_id for row in rows if row.link_kind not in {None, LinkKind.RELAY}}
    if not names:
        return set()
    since = None if days is None else (days[0] - 1, days[1])
    is_named = and_(QueueFile.queue_id.in_(names), _is_of(session, QueueFile.id, since))
    found = session.execute(select(QueueFile.host, QueueFile.queue_id).where(is_named))
    return {(host, name) for host, name in found}


def _lock(session: Session, hosts: Iterable[str]) -> None:
    """Their logparsers write whole rows that they have read before (`store`). SQLite has one writer anyway."""
    if session.get_bind().dialect.name == "sqlite":
        return
    for host in sorted(hosts):
        session.execute(text("SELECT pg_advisory_xact_lock(hashtext(:name))"), {"name": f"sendproof-record:{host}"})


def _write(session: Session, link: Link) -> bool:
    """Whether it still could be."""
    child, first = link.child, link.sent[0]
    if child.parent_host is None:
        made = session.connection().execute(
            update(QueueFile)
            .where(QueueFile.id == child.file_id, QueueFile.message_id.is_(None), _may_be_linked())
            .values(
                parent_host=first.host,
                parent_queue_id=first.queue_id,
                link_kind=LinkKind.RELAY.value,
                link_evidence=LinkEvidence.RELAYED_AS.value,
            )
        )
        if not made.rowcount:  # while we waited for the lock, a journal has named it
            return False
    # "Delivered" was said of the edge, before its log was read.
    for one in link.sent:
        session.execute(
            update(Recipient)
            .where(Recipient.id == one.recipient_id, Recipient.handed_on_at.is_(None))
            .values(state=RecipientState.QUEUED.value, state_at=one.at, handed_on_at=one.at)
        )
    return True
