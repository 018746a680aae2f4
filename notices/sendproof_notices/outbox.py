"""The outbox: which notices there are, whose turn it is, and what became of each. The only tables that notices write.

How each notice is sent once, whatever is killed whenever:

- *What* is told has a key, and the key is unique (`notice_items`): two daemons that find the same thing make one item.
- *Who* sends it: `claim` is one conditional UPDATE; it gives a lease and raises the fence. What a daemon writes later
  counts only with the fence of its own claim, except that the submission server took the mail over: that is a fact.
- *Whether* it was sent: the Message-ID is fixed when the notice is made. A claim whose lease ends without a word (the
  daemon was killed) or that ends in doubt (the connection broke off after the final dot) is not tried again: whoever
  claims it next gets it marked as doubtful, and asks the record first (`evidence`).
"""

import datetime as dt
import uuid
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import ColumnElement, Select, String, cast, delete, func, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from sendproof_core.plans import zone
from sendproof_core.schema import Account, MailRequest, Notice, NoticeItem, NoticePreferences
from sendproof_core.states import Digest, NoticeKind, NoticeState
from sendproof_notices.digest_times import latest_boundary
from sendproof_notices.findings import NEWS, Finding

# With the pauses below about five days, as long as Postfix itself keeps a message (maximal_queue_lifetime). After
# that the notice is given up, and shown so with its last error.
MAX_TRIES = 125
_FIRST_PAUSE = dt.timedelta(minutes=1)
_LONGEST_PAUSE = dt.timedelta(hours=1)
# Longer than anything is looked for: what is forgotten is never found again.
_KEPT = dt.timedelta(days=180)
_FORGOTTEN_AT_ONCE = 1_000


@dataclass(frozen=True)
class Claim:
    """A notice that is ours to send until the lease ends. ``tries``: this one included.

    ``doubtful_since``: when an earlier try began of which nobody knows how it ended; None: none did.
    """

    notice_id: int
    key: str
    kind: NoticeKind
    account_id: int | None
    to_address: str
    message_id: uuid.UUID | None
    request_id: int | None
    message_id_header: str
    created_at: dt.datetime
    tries: int
    fence: int
    lease_ends_at: dt.datetime
    doubtful_since: dt.datetime | None


def pause_after(tries: int) -> dt.timedelta:
    """How long to wait after that many failures: 1, 2, 4, ... minutes, at most an hour."""
    doublings = min(tries - 1, 6)
    return min(_FIRST_PAUSE * (1 << doublings), _LONGEST_PAUSE)


# --- putting in -----------------------------------------------------------------------------------------------------


def add(session: Session, findings: Iterable[Finding], domain: str, now: dt.datetime) -> int:
    """Make an item of each that has none yet, and notices of those that do not wait; how many notices.

    What is found together of one message and one kind is one notice. ``domain``: of the Message-IDs.
    """
    together: dict[tuple[int, uuid.UUID | None, NoticeKind], list[tuple[int, Finding]]] = {}
    for finding in findings:
        item_id = _insert(
            session,
            NoticeItem,
            key=finding.key,
            account_id=finding.account_id,
            kind=finding.kind.value,
            message_id=finding.message_id,
            recipient_id=finding.recipient_id,
            data=finding.data,
            found_at=now,
            notice_id=None,
        )
        if item_id is not None and not finding.waits:
            group = (finding.account_id, finding.message_id, finding.kind)
            together.setdefault(group, []).append((item_id, finding))
    for (account_id, message_id, kind), items in together.items():
        first = items[0][1]
        notice_id = _make(session, first.key, kind, account_id, first.to_address, message_id, domain, now)
        _put_into(session, notice_id, [item_id for item_id, _ in items])
    return len(together)


def add_letters(session: Session, domain: str, now: dt.datetime, *, limit: int) -> int:
    """Make a notice of each letter that the site asks for; how many."""
    key = _letter_key()
    query = (
        select(MailRequest.id, MailRequest.account_id, MailRequest.to_address)
        .outerjoin(Notice, Notice.key == key)
        .where(Notice.id.is_(None), MailRequest.requested_at > now - NEWS)
        .order_by(MailRequest.requested_at, MailRequest.id)
        .limit(limit)
    )
    rows = session.execute(query).all()
    for row in rows:
        _make(
            session, f"letter:{row.id}", NoticeKind.LETTER, row.account_id, row.to_address, None, domain, now,
            request_id=row.id,
        )  # fmt: skip
    return len(rows)


def has_letters(session: Session, now: dt.datetime) -> bool:
    """Whether `add_letters` would find something."""
    query = (
        select(MailRequest.id)
        .outerjoin(Notice, Notice.key == _letter_key())
        .where(Notice.id.is_(None), MailRequest.requested_at > now - NEWS)
        .limit(1)
    )
    return session.scalar(query) is not None


def _letter_key() -> ColumnElement[str]:
    return "letter:" + cast(MailRequest.id, String)


def add_digests(session: Session, domain: str, now: dt.datetime) -> int:
    """Make a notice of what waits for a digest that is due; how many."""
    made = 0
    for row in session.execute(_waiting(now)).all():
        boundary = latest_boundary(Digest(row.digest), now, zone(row.time_zone))
        if row.first >= boundary:
            continue
        here = boundary.astimezone(zone(row.time_zone))
        key = f"digest:{row.account_id}:{here:%Y-%m-%dT%H:%M%z}"
        notice_id = _insert(
            session, Notice, **_values(key, NoticeKind.DIGEST, row.account_id, row.notice_address, None, domain, now)
        )
        if notice_id is None:  # it was made already: what was stored too late for it waits for the next
            continue
        due = (
            NoticeItem.account_id == row.account_id,
            NoticeItem.notice_id.is_(None),
            NoticeItem.found_at > now - NEWS,
            NoticeItem.found_at < boundary,
        )
        session.execute(update(NoticeItem).where(*due).values(notice_id=notice_id))
        made += 1
    return made


def is_digest_due(session: Session, now: dt.datetime) -> bool:
    """Whether `add_digests` would find something."""
    return any(
        row.first < latest_boundary(Digest(row.digest), now, zone(row.time_zone))
        for row in session.execute(_waiting(now))
    )


def _waiting(now: dt.datetime) -> Select[*tuple[Any, ...]]:
    """By account: since when something waits for a digest."""
    digest = func.coalesce(NoticePreferences.digest, Digest.NONE.value)
    return (
        select(
            NoticeItem.account_id,
            func.min(NoticeItem.found_at).label("first"),
            Account.notice_address,
            Account.time_zone,
            digest.label("digest"),
        )
        .join(Account, Account.id == NoticeItem.account_id)
        .outerjoin(NoticePreferences, NoticePreferences.account_id == NoticeItem.account_id)
        .where(NoticeItem.notice_id.is_(None), NoticeItem.found_at > now - NEWS, Account.notice_address.is_not(None))
        .group_by(NoticeItem.account_id, Account.notice_address, Account.time_zone, digest)
        .order_by(NoticeItem.account_id)
    )


def _make(
    session: Session,
    key: str,
    kind: NoticeKind,
    account_id: int | None,
    to_address: str,
    message_id: uuid.UUID | None,
    domain: str,
    now: dt.datetime,
    *,
    request_id: int | None = None,
) -> int | None:
    """A notice that is due at once; None: there is one with that key."""
    values = _values(key, kind, account_id, to_address, message_id, domain, now)
    return _insert(session, Notice, **{**values, "request_id": request_id})


def _values(
    key: str,
    kind: NoticeKind,
    account_id: int | None,
    to_address: str,
    message_id: uuid.UUID | None,
    domain: str,
    now: dt.datetime,
) -> dict[str, Any]:
    return {
        "key": key,
        "kind": kind.value,
        "account_id": account_id,
        "to_address": to_address,
        "message_id": message_id,
        "message_id_header": new_message_id_header(domain),
        "created_at": now,
        "state": NoticeState.WAITING.value,
        "next_try_at": now,
        "tries": 0,
        "fence": 0,
    }


def new_message_id_header(domain: str) -> str:
    """The Message-ID of a notice: fixed before the first try, the same at every one."""
    return f"<notice.{uuid.uuid4().hex}@{domain}>"


def _put_into(session: Session, notice_id: int | None, item_ids: list[int]) -> None:
    session.execute(update(NoticeItem).where(NoticeItem.id.in_(item_ids)).values(notice_id=notice_id))


def _insert(session: Session, table: type[Notice] | type[NoticeItem], **values: Any) -> int | None:
    """The id of the new row; None: there is one with that key."""
    insert = postgresql.insert if session.get_bind().dialect.name == "postgresql" else sqlite.insert
    return session.scalar(insert(table).values(**values).on_conflict_do_nothing().returning(table.id))


# --- taking out -----------------------------------------------------------------------------------------------------


def claim(session: Session, domain: str, lease: dt.timedelta, now: dt.datetime) -> Claim | None:
    """Take the notice that has been due for longest, letters first; None if none is due. Commit before sending."""
    while (row := session.scalar(_due(now, letters=True)) or session.scalar(_due(now, letters=False))) is not None:
        doubtful_since = row.attempted_at if row.state == NoticeState.CLAIMED else None
        header = row.message_id_header or new_message_id_header(domain)
        values: dict[str, Any] = {
            "state": NoticeState.CLAIMED.value,
            "fence": row.fence + 1,
            "next_try_at": now + lease,
            "message_id_header": header,
        }
        if doubtful_since is None:
            values |= {"tries": row.tries + 1, "attempted_at": now}
        taken = session.execute(
            update(Notice)
            .where(Notice.id == row.id, Notice.fence == row.fence, Notice.state == row.state)
            .values(**values)
            .execution_options(synchronize_session=False)
            .returning(Notice.id)
        ).one_or_none()
        found = Claim(
            row.id,
            row.key,
            NoticeKind(row.kind),
            row.account_id,
            row.to_address,
            row.message_id,
            row.request_id,
            header,
            row.created_at,
            row.tries + (doubtful_since is None),
            row.fence + 1,
            now + lease,
            doubtful_since,
        )
        session.expire_all()
        if taken is not None:
            return found
    return None


def _due(now: dt.datetime, *, letters: bool) -> Select[Notice]:
    # Somebody waits for a letter before the screen.
    of_kind = Notice.kind == NoticeKind.LETTER if letters else Notice.kind != NoticeKind.LETTER
    return (
        select(Notice)
        .where(Notice.state.in_((NoticeState.WAITING, NoticeState.CLAIMED)), Notice.next_try_at <= now, of_kind)
        .order_by(Notice.next_try_at, Notice.id)
        .limit(1)
    )


def try_again(session: Session, claimed: Claim, lease: dt.timedelta, now: dt.datetime) -> Claim | None:
    """Begin another try of what was doubtful and was not taken over after all; None: it is somebody else's by now."""
    tries = claimed.tries + 1
    values = {"tries": tries, "fence": claimed.fence + 1, "attempted_at": now, "next_try_at": now + lease}
    if not _write(session, claimed, values):
        return None
    return replace(claimed, tries=tries, fence=claimed.fence + 1, lease_ends_at=now + lease, doubtful_since=None)


def mark_sent(session: Session, claimed: Claim, at: dt.datetime) -> None:
    """The submission server has taken the notice over: that is so, whoever has claimed it since."""
    session.execute(
        update(Notice)
        .where(Notice.id == claimed.notice_id, Notice.state != NoticeState.SENT)
        .values(state=NoticeState.SENT.value, sent_at=at, last_error=None, attempted_at=None)
    )


def mark_failed(session: Session, claimed: Claim, error: str, now: dt.datetime) -> None:
    """It was not taken over, for certain; the next try is after a pause. If another daemon has claimed it, nothing."""
    given_up = claimed.tries >= MAX_TRIES
    _write(
        session,
        claimed,
        {
            "state": (NoticeState.FAILED if given_up else NoticeState.WAITING).value,
            "next_try_at": now + pause_after(claimed.tries),
            "attempted_at": None,
            "last_error": error,
        },
    )


def mark_doubtful(session: Session, claimed: Claim, error: str | None, look_again_at: dt.datetime) -> None:
    """Nobody can tell yet whether it was taken over; look at the record again then."""
    values: dict[str, Any] = {"next_try_at": look_again_at}
    if error is not None:
        values["last_error"] = error
    _write(session, claimed, values)


def withdraw(session: Session, claimed: Claim, reason: str) -> None:
    """It is of no use any more; ``reason``: shown in the list of notices."""
    _write(
        session,
        claimed,
        {"state": NoticeState.WITHDRAWN.value, "attempted_at": None, "last_error": reason},
    )


def retry(session: Session, now: dt.datetime, notice_id: int | None = None) -> int:
    """Send again what was given up, and at once what waits after a failure; how many. ``notice_id``: only that one."""
    chosen: list[ColumnElement[bool]] = [
        (Notice.state == NoticeState.FAILED) | ((Notice.state == NoticeState.WAITING) & (Notice.tries > 0)),
    ]
    if notice_id is not None:
        chosen.append(Notice.id == notice_id)
    values = {"state": NoticeState.WAITING.value, "next_try_at": now, "tries": 0}
    return len(session.execute(update(Notice).where(*chosen).values(**values).returning(Notice.id)).all())


def forget(session: Session, now: dt.datetime) -> int:
    """Delete what was sent or withdrawn long ago, a part at a time; how many notices."""
    done = (NoticeState.SENT, NoticeState.WITHDRAWN)
    old = session.scalars(
        select(Notice.id)
        .where(Notice.state.in_(done), Notice.created_at < now - _KEPT)
        .order_by(Notice.id)
        .limit(_FORGOTTEN_AT_ONCE)
    ).all()
    if old:
        session.execute(delete(NoticeItem).where(NoticeItem.notice_id.in_(old)))
        session.execute(delete(Notice).where(Notice.id.in_(old)))
    stale = select(NoticeItem.id).where(NoticeItem.notice_id.is_(None), NoticeItem.found_at < now - _KEPT)
    session.execute(delete(NoticeItem).where(NoticeItem.id.in_(stale.limit(_FORGOTTEN_AT_ONCE))))
    return len(old)


def _write(session: Session, claimed: Claim, values: dict[str, Any]) -> bool:
    """Whether it is still our claim, and was written."""
    written = session.execute(
        update(Notice)
        .where(Notice.id == claimed.notice_id, Notice.fence == claimed.fence, Notice.state == NoticeState.CLAIMED.value)
        .values(**values)
        .returning(Notice.id)
    ).one_or_none()
    return written is not None
