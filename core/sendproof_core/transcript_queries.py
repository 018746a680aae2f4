"""The record read as transcripts: the queries of the command line, the site and the demo. Reads only."""

import contextlib
import datetime as dt
import uuid

from sqlalchemy import ColumnElement, func, not_, or_, select
from sqlalchemy.orm import Session

from sendproof_core.addresses import address_key
from sendproof_core.identity import SPLIT_SERVICE
from sendproof_core.schema import Attempt, Delivery, Message, Open, QueueFile, Recipient, Refusal
from sendproof_core.states import RecipientState
from sendproof_core.transcripts import (
    MACHINE,
    AttemptView,
    DialogueLine,
    MessageSummary,
    MessageView,
    OpenView,
    RecipientView,
    RefusalView,
    Transcript,
)


def find_message(session: Session, text: str, account_id: int | None = None) -> uuid.UUID | None:
    """The message with that id of ours, queue id, or Message-ID (with or without its angle brackets); the newest.

    ``account_id``: only that account's messages; None: any.
    """
    wanted: list[ColumnElement[bool]] = [
        QueueFile.queue_id == text,
        Message.message_id_header == text,
        Message.message_id_header == f"<{text}>",
    ]
    with contextlib.suppress(ValueError):  # no id of ours, so one of the others
        wanted.append(Message.id == uuid.UUID(text))
    query = (
        select(Message.id)
        .join(QueueFile, QueueFile.message_id == Message.id, isouter=True)
        .where(or_(*wanted))
        .order_by(Message.submitted_at.desc())
        .limit(1)
    )
    if account_id is not None:
        query = query.where(Message.account_id == account_id)
    return session.scalar(query)


def load_transcript(session: Session, message_id: uuid.UUID, account_id: int | None = None) -> Transcript | None:
    """The whole transcript; None if there is no such message (or it is another account's)."""
    message = session.get(Message, message_id)
    if message is None or (account_id is not None and message.account_id != account_id):
        return None
    queue_file = session.scalar(
        select(QueueFile)
        .where(QueueFile.message_id == message_id)
        # Of a message that was split: the first one, not a copy.
        .order_by(QueueFile.parent_queue_id.is_not(None), QueueFile.born_at)
        .limit(1)
    )
    recipients: tuple[RecipientView, ...] = ()
    if queue_file is not None:
        opens = _opens(session, message_id)
        rows = session.execute(
            select(Recipient, QueueFile)
            .join(QueueFile, QueueFile.id == Recipient.queue_file_id)
            .where(QueueFile.message_id == message_id)
            .order_by(Recipient.number.is_(None), Recipient.number, Recipient.id)
        )
        found = [(recipient, of) for recipient, of in rows]
        kept = _without_copied(found) if message.split else found
        written = _as_written(found)
        recipients = tuple(
            _recipient(session, recipient, of, written.get(recipient.id, recipient.address), opens)
            for recipient, of in kept
        )
    return Transcript(_message(message, queue_file), recipients)


def list_messages(
    session: Session, account_id: int, *, limit: int, before: dt.datetime | None = None
) -> tuple[MessageSummary, ...]:
    """An account's messages, newest first; ``before``: only older ones (for the next page)."""
    query = select(Message).where(Message.account_id == account_id)
    if before is not None:
        query = query.where(Message.submitted_at < before)
    messages = session.scalars(query.order_by(Message.submitted_at.desc()).limit(limit)).all()
    ids = [message.id for message in messages]
    states: dict[uuid.UUID | None, list[tuple[str, RecipientState]]] = {message_id: [] for message_id in ids}
    found: dict[uuid.UUID | None, list[tuple[Recipient, QueueFile]]] = {message_id: [] for message_id in ids}
    rows = session.execute(
        select(Recipient, QueueFile)
        .join(Recipient, Recipient.queue_file_id == QueueFile.id)
        .where(QueueFile.message_id.in_(ids))
        .order_by(Recipient.number.is_(None), Recipient.number, Recipient.id)
    )
    for recipient, queue_file in rows:
        found[queue_file.message_id].append((recipient, queue_file))
    for message in messages:
        recipients = _without_copied(found[message.id]) if message.split else found[message.id]
        written = _as_written(found[message.id])
        states[message.id] = [
            (written.get(recipient.id, recipient.address), RecipientState(recipient.state))
            for recipient, _ in recipients
        ]
    by_someone = select(Open.message_id).where(Open.message_id.in_(ids), Open.grade != MACHINE).distinct()
    opened = set(session.scalars(by_someone))
    return tuple(
        MessageSummary(
            message.id,
            message.submitted_at,
            message.subject,
            tuple(states[message.id]),
            message.id in opened,
            message.test_mode,
        )
        for message in messages
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
    return tuple(
        RefusalView(row.refused_at, row.envelope_sender, tuple(row.recipients), row.subject, row.reason, row.reply)
        for row in rows
    )


def _without_copied(found: list[tuple[Recipient, QueueFile]]) -> list[tuple[Recipient, QueueFile]]:
    """Of a message that was split: the recipients of the copies, and those of whom no copy is known yet."""
    copies = [recipient for recipient, queue_file in found if queue_file.parent_queue_id is not None]
    # A copy that was answered 451 is made again: the one that lives counts, else the newest.
    newest: dict[tuple[int | None, str], int] = {}
    for recipient, _ in sorted(found, key=_liveliness):
        newest[recipient.number, address_key(recipient.address)] = recipient.id
    numbers = {recipient.number for recipient in copies if recipient.number is not None}
    addresses = {address_key(recipient.address) for recipient in copies}
    return [
        (recipient, queue_file)
        for recipient, queue_file in found
        if (
            newest[recipient.number, address_key(recipient.address)] == recipient.id
            if queue_file.parent_queue_id is not None
            else recipient.number not in numbers
            and address_key(recipient.final_address or recipient.address) not in addresses
        )
    ]


def _as_written(found: list[tuple[Recipient, QueueFile]]) -> dict[int, str]:
    """By a copy's recipient: the address as the sender wrote it, where Postfix passed it on in another spelling."""
    submitted = {recipient.number: recipient.address for recipient, of in found if of.parent_queue_id is None}
    return {
        recipient.id: submitted[recipient.number]
        for recipient, of in found
        if of.parent_queue_id is not None
        and recipient.number in submitted
        and address_key(submitted[recipient.number]) == address_key(recipient.address)
    }


def _liveliness(row: tuple[Recipient, QueueFile]) -> tuple[bool, bool, dt.datetime, int]:
    recipient, queue_file = row
    is_copy = queue_file.parent_queue_id is not None
    return is_copy, recipient.state != RecipientState.CANCELLED.value, queue_file.born_at, recipient.id


def _message(message: Message, queue_file: QueueFile | None) -> MessageView:
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


def _opens(session: Session, message_id: uuid.UUID) -> dict[int, list[OpenView]]:
    opens: dict[int, list[OpenView]] = {}
    for row in session.scalars(select(Open).where(Open.message_id == message_id).order_by(Open.opened_at, Open.id)):
        view = OpenView(row.opened_at, row.grade, row.user_agent, row.recipient_number == 0)
        opens.setdefault(row.recipient_number, []).append(view)
    return opens


def _recipient(
    session: Session, row: Recipient, queue_file: QueueFile, address: str, opens: dict[int, list[OpenView]]
) -> RecipientView:
    attempts = session.execute(
        select(Attempt, Delivery)
        .join(Delivery, Delivery.id == Attempt.delivery_id, isouter=True)
        # That a copy was made is no attempt at the recipient.
        .where(
            Attempt.recipient_id == row.id, not_(Attempt.service.endswith(SPLIT_SERVICE) & (Attempt.status == "sent"))
        )
        .order_by(Attempt.attempted_at, Attempt.id)
    )
    own_opens = opens.get(row.number, []) if row.number else []
    return RecipientView(
        id=row.id,
        address=address,
        final_address=row.final_address,
        state=RecipientState(row.state),
        state_at=row.state_at,
        attempts=tuple(_attempt(attempt, delivery) for attempt, delivery in attempts),
        opens=tuple(sorted([*own_opens, *opens.get(0, [])], key=lambda view: view.at)),
        copy_queue_id=queue_file.queue_id if queue_file.parent_queue_id is not None else None,
    )


def _attempt(attempt: Attempt, delivery: Delivery | None) -> AttemptView:
    dialogue: tuple[DialogueLine, ...] = ()
    troubles: tuple[str, ...] = ()
    if delivery is not None:
        dialogue = tuple(
            DialogueLine(dt.datetime.fromisoformat(at), speaker == "S", text) for at, speaker, text in delivery.dialogue
        )
        troubles = tuple(text for _, text in delivery.troubles)
    return AttemptView(
        at=attempt.attempted_at,
        status=attempt.status,
        dsn=attempt.dsn,
        relay=attempt.relay,
        delay_seconds=attempt.delay_seconds,
        delays_seconds=tuple(attempt.delays_seconds),
        reply=attempt.text,
        remote_queue_id=attempt.remote_queue_id,
        tls=delivery.tls if delivery else None,
        troubles=troubles,
        dialogue=dialogue,
    )
