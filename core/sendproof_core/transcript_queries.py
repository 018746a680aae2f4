"""The record read as transcripts: the queries of the command line, the site and the demo. Reads only."""

import contextlib
import datetime as dt
import functools
import re
import uuid
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, bindparam, exists, func, literal, null, or_, select, true, union
from sqlalchemy.orm import Session, aliased

from sendproof_core import chains, record_days
from sendproof_core.chains import ChainFile, ChainRecipient
from sendproof_core.identity import SPLIT_SERVICE
from sendproof_core.links import CONTINUES, LinkEvidence, LinkKind
from sendproof_core.portions import portions
from sendproof_core.queue_file_parents import is_named_as_parent, is_relayed_life
from sendproof_core.record_ids import file_span, is_open, is_recipient, is_within
from sendproof_core.schema import (
    Attempt,
    BigId,
    Delivery,
    LogGap,
    Message,
    Open,
    QueueFile,
    Recipient,
    Refusal,
)
from sendproof_core.states import RecipientState
from sendproof_core.transcripts import (
    MACHINE,
    AttemptView,
    DialogueLine,
    GapView,
    HopView,
    MessageSummary,
    MessageView,
    Namesake,
    OpenView,
    OriginView,
    Outline,
    RecipientView,
    RecordId,
    RefusalView,
    Transcript,
)

# Of values in one IN (...): far below SQLite's 32,766 and PostgreSQL's 65,535.
_AT_A_TIME = 10_000
# From queue file to queue file: more is a loop.
_DEPTH = 10
# Queue files of one name that are looked at.
_NAMESAKES = 100
_GAPS = 50
_GAPS_SPAN = dt.timedelta(days=30)


def find(
    session: Session,
    text: str,
    *,
    account_id: int | None = None,
    host: str | None = None,
    before: dt.datetime | None = None,
) -> tuple[Namesake, ...]:
    """What has that name, newest first: several lives of a short queue id, several hosts, one Message-ID used again.

    Names are: our id, its Message-ID (with or without angle brackets), the queue id of any queue file that comes from
    it (a copy, what a filter gave back, a bounce); if none fits, the queue id that the receiving server gave it.
    ``account_id``: only that account's messages; None: the operator asks, and finds mail of which only the mail log
    speaks as well, and a bounce of such mail as itself.
    """
    for namesakes in _names(session, text, account_id):
        fitting = tuple(
            namesake
            for namesake in namesakes
            if host in (None, namesake.host) and (before is None or namesake.at < before)
        )
        if fitting:
            return fitting
    return ()


def find_message(session: Session, text: str, account_id: int | None = None) -> uuid.UUID | None:
    """The message with that name (`find`), the newest, if several have it; nothing that the milter did not admit."""
    for namesakes in _names(session, text, account_id):
        for namesake in namesakes:
            if isinstance(namesake.id, uuid.UUID):
                return namesake.id
    return None


def _names(session: Session, text: str, account_id: int | None) -> Iterator[list[Namesake]]:
    """The better kind of name first."""
    headers = (text, f"<{text}>")
    wanted: list[ColumnElement[bool]] = [Message.message_id_header.in_(headers)]
    with contextlib.suppress(ValueError):  # no id of ours, so one of the others
        wanted.append(Message.id == uuid.UUID(text))
    messages, files = _climb(session, QueueFile.queue_id == text)
    yield _namesakes(session, [*wanted, Message.id.in_(messages)], files, account_id)
    if account_id is None and text:
        messages, files = _climb(session, QueueFile.message_id_header.in_(headers))
        yield _namesakes(session, [Message.id.in_(messages)], files, account_id)
    tried = select(Attempt.recipient_id).where(Attempt.remote_queue_id == text).limit(_NAMESAKES)
    recipients = is_recipient(session.scalars(tried).all())
    received = session.scalars(select(Recipient.queue_file_id).where(recipients)).all()
    messages, files = _climb(session, QueueFile.id.in_(received))
    yield _namesakes(session, [Message.id.in_(messages)], files, account_id)


def _namesakes(
    session: Session, wanted: Sequence[ColumnElement[bool]], files: Iterable[QueueFile], account_id: int | None
) -> list[Namesake]:
    """What fits one of the conditions."""
    fitting = (select(Message.id, Message.submitted_at, Message.account_id).where(one) for one in wanted)
    # Else SQLite would go through all messages of the account, and not ask for each name.
    named = union(*fitting).cte("named").prefix_with("MATERIALIZED")
    query = select(named.c.id, named.c.submitted_at)
    if account_id is not None:
        query, files = query.where(named.c.account_id == account_id), ()
    found = session.execute(query.order_by(named.c.submitted_at.desc()).limit(_NAMESAKES)).all()
    its_host = select(QueueFile.message_id, QueueFile.host).where(QueueFile.message_id.in_([row.id for row in found]))
    hosts = {row.message_id: row.host for row in session.execute(its_host)} if found else {}
    namesakes = [Namesake(row.id, row.submitted_at, hosts.get(row.id)) for row in found]
    namesakes += [Namesake(file.id, file.born_at, file.host) for file in files]
    return sorted(namesakes, key=lambda namesake: namesake.at, reverse=True)


def messages_of(session: Session, file_ids: Collection[int]) -> set[uuid.UUID]:
    """The messages that queue files belong to, come from or are about."""
    return _climb(session, QueueFile.id.in_(list(file_ids)), None)[0] if file_ids else set()


def _climb(
    session: Session, wanted: ColumnElement[bool], limit: int | None = _NAMESAKES
) -> tuple[set[uuid.UUID], list[QueueFile]]:
    """What queue files belong to, or come from: up the links to the first that the journal names.

    The messages, and where there is none, the queue files at the top: what a notification is about is another mail.
    """
    messages: set[uuid.UUID] = set()
    tops: dict[int, QueueFile] = {}
    # Each with what is at the top if nothing above belongs to a message: nothing above a notification.
    newest = select(QueueFile).where(wanted).order_by(QueueFile.born_at.desc()).limit(limit)
    climbing: list[tuple[QueueFile, QueueFile | None]] = [(file, None) for file in session.scalars(newest)]
    for depth in range(_DEPTH + 1):
        above: list[tuple[QueueFile, QueueFile | None]] = []
        for file, below in climbing:
            if file.message_id is not None:
                messages.add(file.message_id)
                continue
            parent = _parent(session, file) if depth < _DEPTH else None
            is_notification = file.link_kind is not None and file.link_kind not in CONTINUES
            notification = file if below is None and is_notification else below
            if parent is not None:
                above.append((parent, notification))
            else:
                top = notification or file
                tops[top.id] = top
        climbing = above
    return messages, list(tops.values())


def _parent(session: Session, child: QueueFile) -> QueueFile | None:
    """A short queue id has several lives: the one in which the child was born, or the one that was relayed."""
    if child.parent_queue_id is None:
        return None
    is_its_life: ColumnElement[bool] = QueueFile.born_at <= child.born_at
    if child.parent_host is not None:
        is_its_life = QueueFile.message_id_header == child.message_id_header
    return session.scalar(
        select(QueueFile)
        .where(
            QueueFile.queue_id == child.parent_queue_id,
            QueueFile.host == (child.parent_host or child.host),
            QueueFile.id != child.id,
            is_its_life,
            *_earlier_days(session, child),
        )
        .order_by(QueueFile.born_at.desc())
        .limit(1)
    )


def _earlier_days(session: Session, child: QueueFile) -> list[ColumnElement[bool]]:
    day = record_days.day_of_id(child.id)
    if not day or not _is_in_days(session):
        return []
    first = record_days.first_id(max(day - record_days.LONGEST_LIFE_DAYS, 1))
    return [is_within(QueueFile, first, record_days.first_id(day + 2))]  # clocks of two hosts


def _is_in_days(session: Session) -> bool:
    """Whether the record lies in partitions (`partitions`)."""
    return session.get_bind().dialect.name == "postgresql"


def load_transcript(session: Session, record_id: RecordId, account_id: int | None = None) -> Transcript | None:
    """The whole transcript; None if there is nothing of that id.

    ``account_id``: only if it is a message of that account's; mail of which only the mail log speaks is nobody's.
    """
    head = session.get(Message, record_id) if isinstance(record_id, uuid.UUID) else session.get(QueueFile, record_id)
    if head is None or (account_id is not None and (isinstance(head, QueueFile) or head.account_id != account_id)):
        return None
    record = _load_chains(session, [record_id])
    first = record.first_file(record_id)
    view = _of_file(head) if isinstance(head, QueueFile) else _message(head, first)
    if first is None:
        return Transcript(view, ())
    found = record.ways(record_id)
    opens = _opens(session, record_id) if isinstance(record_id, uuid.UUID) else {}
    attempts = _attempts(session, {step.id: step.file for way in found for step in way.steps})
    recipients = tuple(_recipient(way, record.rows[way.last.id], attempts, opens) for way in found)
    hosts = {first.host, *(step.file.host for way in found for step in way.steps)}
    return Transcript(replace(view, gaps=_gaps(session, hosts, view.submitted_at)), recipients)


def load_outlines(session: Session, message_ids: Collection[uuid.UUID]) -> tuple[Outline, ...]:
    """Several messages without their conversations: a few queries for all; what is no message is left out."""
    heads = session.scalars(select(Message).where(Message.id.in_(list(message_ids)))).all()
    record = _load_chains(session, [head.id for head in heads])
    opened = _opened(session, [head.id for head in heads])
    found = {head.id: record.ways(head.id) for head in heads}
    steps = {step.id: step.file for ways in found.values() for way in ways for step in way.steps}
    attempts = _attempts(session, steps, with_conversations=False)
    return tuple(
        Outline(
            _message(head, record.first_file(head.id)),
            tuple(_recipient(way, record.rows[way.last.id], attempts, {}) for way in found[head.id]),
            tuple(file.queue_id for file in record.files.get(head.id, {}).values()),
            head.id in opened,
        )
        for head in heads
    )


def list_messages(
    session: Session, account_id: int, *, limit: int, before: dt.datetime | None = None
) -> tuple[MessageSummary, ...]:
    """An account's messages, newest first; ``before``: only older ones (for the next page)."""
    query = select(Message).where(Message.account_id == account_id)
    if before is not None:
        query = query.where(Message.submitted_at < before)
    return summaries(session, session.scalars(query.order_by(Message.submitted_at.desc()).limit(limit)).all())


def summaries(session: Session, heads: Sequence[Message | QueueFile]) -> tuple[MessageSummary, ...]:
    """The lines of a list, in the order of ``heads``: a few queries for all of them.

    ``heads``: messages, and first queue files of mail of which only the mail log speaks.
    """
    record = _load_chains(session, [head.id for head in heads])
    ids = [head.id for head in heads if isinstance(head, Message)]
    opened = _opened(session, ids)
    return tuple(_summary(head, record, opened) for head in heads)


def _opened(session: Session, ids: Sequence[uuid.UUID]) -> set[uuid.UUID]:
    """Those that somebody opened, as far as a pixel can tell."""
    of_these = is_open(ids, _is_in_days(session))
    by_someone = select(Open.message_id).where(of_these, Open.grade != MACHINE).distinct()
    return set(session.scalars(by_someone))


def _summary(head: Message | QueueFile, record: "_Chains", opened: set[uuid.UUID]) -> MessageSummary:
    first = record.first_file(head.id)
    # An alias that leads to several recipients is named once for each of their states.
    recipients = tuple(dict.fromkeys((way.address, way.state) for way in record.ways(head.id)))
    host, queue_id = (first.host, first.queue_id) if first else (None, None)
    if isinstance(head, QueueFile):
        return MessageSummary(
            head.id, head.born_at, None, recipients, opened=False, host=host, queue_id=queue_id, login=head.login
        )
    return MessageSummary(
        head.id,
        head.submitted_at,
        head.subject,
        recipients,
        head.id in opened,
        head.test_mode,
        host,
        queue_id,
        head.login,
    )


def count_messages(session: Session, account_id: int) -> int:
    """How many messages an account has in the record."""
    return session.scalar(select(func.count()).select_from(Message).where(Message.account_id == account_id)) or 0


def list_refusals(
    session: Session, account_id: int, *, limit: int, before: dt.datetime | None = None
) -> tuple[RefusalView, ...]:
    """What was refused at submission, newest first; ``before``: only older ones (for the next page)."""
    query = select(Refusal).where(Refusal.account_id == account_id)
    if before is not None:
        query = query.where(Refusal.refused_at < before)
    rows = session.scalars(query.order_by(Refusal.refused_at.desc()).limit(limit))
    return tuple(refusal_view(row) for row in rows)


def refusal_view(row: Refusal) -> RefusalView:
    """A row as a value."""
    return RefusalView(
        row.refused_at,
        row.envelope_sender,
        tuple(row.recipients),
        row.subject,
        row.reason,
        row.reply,
        row.id,
        row.login,
        row.source,
        row.stage,
        row.client_address,
    )


# --- chains of queue files ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Suspension:
    """What a recipient's row has beside the columns that the chains need."""

    state_at: dt.datetime
    suspended_at: dt.datetime | None
    suspended_because: str | None
    suspensions: int


@dataclass
class _Chains:
    """The queue files of some messages, their recipients, and what was said of those that were handed on."""

    files: dict[RecordId, dict[int, ChainFile]]
    recipients: dict[int, list[ChainRecipient]]
    rows: dict[int, _Suspension]
    sent_texts: dict[int, list[str]]

    def first_file(self, record_id: RecordId) -> ChainFile | None:
        """The one that was submitted: not a copy."""
        files = [file for file in self.files.get(record_id, {}).values() if file.is_of_message]
        return min(files, key=lambda file: (file.parent_id is not None, file.born_at), default=None)

    def ways(self, record_id: RecordId) -> list[chains.Way]:
        """Where each of a message's recipients is now."""
        files = list(self.files.get(record_id, {}).values())
        recipients = [recipient for file in files for recipient in self.recipients.get(file.id, ())]
        return chains.ways(files, recipients, self.sent_texts)


def _load_chains(session: Session, record_ids: Sequence[RecordId]) -> _Chains:
    """Three queries for any number of messages; two where nothing was handed on."""
    files = _load_files(session, record_ids)
    by_id = {file.id: file for of_message in files.values() for file in of_message.values()}
    recipients: dict[int, list[ChainRecipient]] = {}
    rows: dict[int, _Suspension] = {}
    columns = (
        Recipient.id, Recipient.queue_file_id, Recipient.address, Recipient.final_address, Recipient.number,
        Recipient.state, Recipient.state_at, Recipient.suspended_at, Recipient.suspended_because,
        Recipient.suspensions,
    )  # fmt: skip
    for some in portions(by_id, _AT_A_TIME):
        for row in session.execute(select(*columns).where(Recipient.queue_file_id.in_(some))):
            file = by_id[row.queue_file_id]
            recipient = ChainRecipient(
                row.id, file, row.address, row.final_address, row.number, RecipientState(row.state)
            )
            recipients.setdefault(file.id, []).append(recipient)
            rows[row.id] = _Suspension(row.state_at, row.suspended_at, row.suspended_because, row.suspensions)
    parents = {file.parent_id for file in by_id.values() if file.parent_id is not None}
    handed = [recipient.id for parent_id in parents for recipient in recipients.get(parent_id, ())]
    sent_texts: dict[int, list[str]] = {}
    for some in portions(handed, _AT_A_TIME):
        said = select(Attempt.recipient_id, Attempt.text).where(
            Attempt.recipient_id.in_(some), Attempt.status == "sent"
        )
        for recipient_id, text in session.execute(said):
            sent_texts.setdefault(recipient_id, []).append(text)
    return _Chains(files, recipients, rows, sent_texts)


def _load_files(session: Session, record_ids: Sequence[RecordId]) -> dict[RecordId, dict[int, ChainFile]]:
    """By message: the queue files that the journal names (else the first), and all that mail went on in from there."""
    message_ids = [record_id for record_id in record_ids if isinstance(record_id, uuid.UUID)]
    file_ids = [record_id for record_id in record_ids if isinstance(record_id, int)]
    is_in_days = _is_in_days(session)
    values: dict[str, Any] = {"message_ids": message_ids, **({"file_ids": file_ids} if file_ids else {})}
    if is_in_days:
        values["first_id"], values["end_id"] = file_span(message_ids, file_ids)
    rows = session.execute(_chain_rows(with_files=bool(file_ids), in_days=is_in_days), values)
    found: dict[RecordId, dict[int, ChainFile]] = {}
    parent_queue_ids: dict[int, str] = {}
    for row in rows:
        files = found.setdefault(row.root or row.first, {})
        known = files.get(row.id)
        if known is None:
            kind = LinkKind(row.link_kind) if row.link_kind else None
            if row.parent_queue_id is not None:
                parent_queue_ids[row.id] = row.parent_queue_id
            files[row.id] = ChainFile(
                row.id, row.host, row.instance, row.queue_id, row.born_at, row.parent_id, kind, row.link_evidence,
                is_of_message=row.depth == 0,
            )  # fmt: skip
        elif known.parent_id is None and row.parent_id is not None:
            files[row.id] = replace(known, parent_id=row.parent_id)
    for files in found.values():
        by_name = {(file.host, file.queue_id): file.id for file in files.values() if file.is_of_message}
        for file in list(files.values()):
            # Of a copy that the journal names, how it came about may not be written down.
            parent_id = by_name.get((file.host, parent_queue_ids.get(file.id, "")))
            if file.parent_id is None and file.kind is None and parent_id not in (None, file.id):
                files[file.id] = replace(file, parent_id=parent_id)
    return found


@functools.cache
def _chain_rows(*, with_files: bool, in_days: bool) -> Select[Any]:
    """The queue files of ``message_ids``, and of ``file_ids`` if wanted. Put together once: that takes 5 ms.

    ``in_days``: only from ``first_id`` on, before ``end_id`` (`record_ids.file_span`).
    """

    def is_there(file: Any) -> ColumnElement[bool]:
        return is_within(file, bindparam("first_id"), bindparam("end_id")) if in_days else true()

    is_first: ColumnElement[bool] = QueueFile.message_id.in_(bindparam("message_ids", expanding=True))
    if with_files:
        is_first = or_(is_first, QueueFile.id.in_(bindparam("file_ids", expanding=True)))
    child, later, earlier = aliased(QueueFile), aliased(QueueFile), aliased(QueueFile)
    columns = (
        "id", "host", "instance", "queue_id", "born_at", "message_id_header", "parent_queue_id", "link_kind",
        "link_evidence",
    )  # fmt: skip
    chain = (
        select(
            QueueFile.message_id.label("root"),
            QueueFile.id.label("first"),
            *(getattr(QueueFile, name) for name in columns),
            null().cast(BigId).label("parent_id"),
            literal(0).label("depth"),
        )
        .where(is_first, is_there(QueueFile))
        .cte("chain", recursive=True)
    )
    is_its_life = and_(
        child.parent_host.is_(None),
        # A short queue id has several lives: the child's parent is the newest that was there at its birth, or else the
        # first (the mail log has whole seconds).
        ~exists().where(
            later.host == chain.c.host,
            later.queue_id == chain.c.queue_id,
            later.born_at > chain.c.born_at,
            later.born_at <= child.born_at,
            is_there(later),
        ),
        or_(
            child.born_at >= chain.c.born_at,
            ~exists().where(
                earlier.host == chain.c.host,
                earlier.queue_id == chain.c.queue_id,
                earlier.born_at < chain.c.born_at,
                is_there(earlier),
            ),
        ),
    )
    is_its_child = and_(
        is_named_as_parent(chain.c, child),
        is_there(child),
        child.link_kind.in_(sorted(CONTINUES)),
        or_(is_its_life, is_relayed_life(chain.c, child)),
    )
    chain = chain.union(
        select(
            chain.c.root,
            chain.c.first,
            *(getattr(child, name) for name in columns),
            chain.c.id.label("parent_id"),
            (chain.c.depth + 1).label("depth"),
        ).where(is_its_child, chain.c.depth < _DEPTH)
    )
    return select(chain).order_by(chain.c.depth, chain.c.id)


# --- rows to values -------------------------------------------------------------------------------------------------


def _message(message: Message, queue_file: ChainFile | None) -> MessageView:
    return MessageView(
        id=message.id,
        account_id=message.account_id,
        login=message.login,
        credential_label=message.credential_label,
        submitted_at=message.submitted_at,
        envelope_sender=message.envelope_sender,
        message_id_header=message.message_id_header,
        subject=message.subject,
        size_bytes=message.size_bytes,
        client_address=message.client_address,
        client_tls=message.client_tls,
        signatures=tuple((item["domain"], item["selector"], item["algorithm"]) for item in message.signatures),
        pixel=message.pixel,
        host=queue_file.host if queue_file else None,
        queue_id=queue_file.queue_id if queue_file else None,
        queued_at=queue_file.born_at if queue_file else None,
        wire_edits=tuple(message.wire_edits),
        test_mode=message.test_mode,
    )


# smtpd(8), client=name[address], or with smtpd_client_port_logging name[address]:port
_CLIENT = re.compile(r"\[([^\[\]]+)\](?::\d+)?$")


def _of_file(file: QueueFile) -> MessageView:
    address = _CLIENT.search(file.client or "")
    origin = None
    if file.parent_queue_id is not None and file.link_kind is not None:
        origin = OriginView(file.parent_queue_id, LinkKind(file.link_kind))
    return MessageView(
        id=file.id,
        account_id=None,
        login=file.login,
        credential_label=None,
        submitted_at=file.born_at,
        envelope_sender=file.envelope_sender,
        message_id_header=file.message_id_header,
        subject=None,
        size_bytes=file.size_bytes,
        client_address=address[1] if address else None,
        client_tls=None,
        signatures=(),
        pixel=None,
        host=file.host,
        queue_id=file.queue_id,
        queued_at=file.born_at,
        origin=origin,
    )


def _gaps(session: Session, hosts: Collection[str], since: dt.datetime) -> tuple[GapView, ...]:
    rows = session.scalars(
        select(LogGap)
        .where(LogGap.host.in_(sorted(hosts)), LogGap.ends_at >= since, LogGap.ends_at <= since + _GAPS_SPAN)
        .order_by(LogGap.ends_at, LogGap.id)
        .limit(_GAPS)
    )
    return tuple(GapView(row.host, row.source, row.begins_at, row.ends_at, row.lines, row.text) for row in rows)


def _opens(session: Session, message_id: uuid.UUID) -> dict[int, list[OpenView]]:
    opens: dict[int, list[OpenView]] = {}
    of_message = is_open([message_id], _is_in_days(session))
    for row in session.scalars(select(Open).where(of_message).order_by(Open.opened_at, Open.id)):
        view = OpenView(row.opened_at, row.grade, row.user_agent, row.recipient_number == 0, row.client_address)
        opens.setdefault(row.recipient_number, []).append(view)
    return opens


def _recipient(
    way: chains.Way, row: _Suspension, attempts: dict[int, list[AttemptView]], opens: dict[int, list[OpenView]]
) -> RecipientView:
    tried: list[AttemptView] = []
    hops: list[HopView] = []
    submitted_on = way.steps[0].file.host
    for step, following in zip(way.steps, (*way.steps[1:], None), strict=True):
        for attempt in attempts.get(step.id, ()):
            if _is_handed_on(attempt, step, following):
                hops += _handed_on(attempt, step.file) if following is None else []
            elif not _is_own_business(attempt, following):
                tried.append(attempt if step.file.host == submitted_on else replace(attempt, host=step.file.host))
        if following is not None:
            hops.append(_hop(step.file, following.file))
    own_opens = opens.get(way.number, []) if way.number else []
    return RecipientView(
        id=way.last.id,
        address=way.address,
        final_address=way.final_address,
        state=way.state,
        state_at=row.state_at,
        attempts=tuple(sorted(tried, key=lambda attempt: attempt.at)),
        opens=tuple(sorted([*own_opens, *opens.get(0, [])], key=lambda view: view.at)),
        hops=tuple(hops),
        queued_at=way.last.file.born_at if len(way.steps) > 1 else None,
        suspended_at=row.suspended_at,
        suspended_because=row.suspended_because,
        suspensions=row.suspensions,
    )


_NOT_DONE = (RecipientState.QUEUED, RecipientState.DEFERRED, RecipientState.HELD, RecipientState.UNKNOWN)


def _is_handed_on(attempt: AttemptView, step: ChainRecipient, following: ChainRecipient | None) -> bool:
    """Whether "sent" means that we took the mail over ourselves: never a delivery."""
    if attempt.status != "sent":
        return False
    if following is not None or attempt.service.endswith(SPLIT_SERVICE) or attempt.reply.startswith("forwarded as "):
        return True
    return step.state in _NOT_DONE and not attempt.reply.startswith(chains.DELIVERED_HERE)


def _is_own_business(attempt: AttemptView, following: ChainRecipient | None) -> bool:
    """Whether it was only our own service for copies that could not take it yet."""
    return following is not None and attempt.service.endswith(SPLIT_SERVICE)


def _hop(parent: ChainFile, child: ChainFile) -> HopView:
    kind = child.kind or LinkKind.COPY
    return HopView(
        child.born_at, kind, parent.queue_id, child.queue_id, child.evidence, parent.instance, child.instance,
        child.host if child.host != parent.host else None,
    )  # fmt: skip


# Postfix prints a relay as name[address]:port.
_LOOPBACK = re.compile(r"\[(?:127\.[0-9.]+|::1)\]")


def _handed_on(attempt: AttemptView, parent: ChainFile) -> list[HopView]:
    """What a status line says of queue files of which nothing more is known."""
    kind, evidence = LinkKind.FILTER, LinkEvidence.QUEUED_AS
    if attempt.reply.startswith("forwarded as "):
        kind, evidence = LinkKind.FORWARD, LinkEvidence.FORWARDED_AS
    elif attempt.service.endswith(SPLIT_SERVICE):
        kind = LinkKind.COPY
    elif not _LOOPBACK.search(attempt.relay):
        kind = LinkKind.RELAY
    return [
        HopView(attempt.at, kind, parent.queue_id, queue_id, evidence, parent.instance)
        for queue_id in chains.named_queue_ids(attempt.reply)
    ]


def _attempts(
    session: Session, files: dict[int, ChainFile], *, with_conversations: bool = True
) -> dict[int, list[AttemptView]]:
    """By recipient, oldest first. ``files``: by recipient. Conversations are shared, and read once."""
    found: list[Attempt] = []
    for some in portions(files, _AT_A_TIME):
        found += session.scalars(select(Attempt).where(Attempt.recipient_id.in_(some)))
    conversations: dict[int, _Conversation] = {}
    spoken = {attempt.delivery_id for attempt in found if with_conversations and attempt.delivery_id is not None}
    for some in portions(spoken, _AT_A_TIME):
        for delivery in session.scalars(select(Delivery).where(Delivery.id.in_(some))):
            conversations[delivery.id] = _conversation(delivery)
    views: dict[int, list[AttemptView]] = {}
    for attempt in sorted(found, key=lambda attempt: (attempt.attempted_at, attempt.id)):
        conversation = conversations.get(attempt.delivery_id or 0, _SILENCE)
        view = _attempt(attempt, conversation, files[attempt.recipient_id].queue_id)
        views.setdefault(attempt.recipient_id, []).append(view)
    return views


@dataclass(frozen=True)
class _Conversation:
    tls: str | None
    troubles: tuple[str, ...]
    dialogue: tuple[DialogueLine, ...]


_SILENCE = _Conversation(None, (), ())


def _conversation(delivery: Delivery) -> _Conversation:
    return _Conversation(
        delivery.tls,
        tuple(text for _, text in delivery.troubles),
        tuple(
            DialogueLine(dt.datetime.fromisoformat(at), speaker == "S", text) for at, speaker, text in delivery.dialogue
        ),
    )


def _attempt(attempt: Attempt, conversation: _Conversation, queue_id: str) -> AttemptView:
    return AttemptView(
        at=attempt.attempted_at,
        status=attempt.status,
        dsn=attempt.dsn,
        relay=attempt.relay,
        delay_seconds=attempt.delay_seconds,
        delays_seconds=tuple(attempt.delays_seconds),
        reply=attempt.text,
        remote_queue_id=attempt.remote_queue_id,
        tls=conversation.tls,
        troubles=conversation.troubles,
        dialogue=conversation.dialogue,
        service=attempt.service,
        queue_id=queue_id,
    )
