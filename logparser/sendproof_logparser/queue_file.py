"""What changes do to queue files and their recipients, on working copies. Pure: `store` loads and saves them.

Owns two rules: which life of a queue id a line belongs to, and which state a recipient may take next.
"""

import datetime as dt
import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field

from sendproof_core.addresses import address_key
from sendproof_core.identity import SPLIT_SERVICE, QueueFileKey
from sendproof_core.journal_records import Admitted, Copied, Opened, Refused
from sendproof_core.states import RecipientState
from sendproof_logparser import queue_id
from sendproof_logparser.grammar import Disposition, StatusLine
from sendproof_logparser.transcript import (
    Attempted,
    Change,
    DeliveryKey,
    DeliveryState,
    QueueFileDisposed,
    QueueFileFacts,
)

# The mail log has whole seconds, the journal microseconds, and their writers do not wait for each other.
_SLACK = dt.timedelta(seconds=2)

_HANDED_ON = "handed-on"

_OPEN_STATES = (RecipientState.QUEUED, RecipientState.DEFERRED, RecipientState.HELD, RecipientState.UNKNOWN)
# (state, what happened) -> next state. What is not here changes nothing: a final state stays.
_NEXT: dict[tuple[RecipientState, str], RecipientState] = {
    **{(state, _HANDED_ON): RecipientState.QUEUED for state in _OPEN_STATES},
    # A status line is evidence in every state that is not final, also where we had given up (`unknown`).
    **{(state, "sent"): RecipientState.DELIVERED for state in _OPEN_STATES},
    **{(state, "bounced"): RecipientState.BOUNCED for state in _OPEN_STATES},
    **{(state, "deferred"): RecipientState.DEFERRED for state in _OPEN_STATES},
    # global/bounce.c with soft_bounce=yes: logged as a bounce, kept in the queue
    **{(state, "SOFTBOUNCE"): RecipientState.DEFERRED for state in _OPEN_STATES},
    # `postsuper -d` and `-h` do not stop a delivery that is under way.
    (RecipientState.CANCELLED, "sent"): RecipientState.DELIVERED,
    **{(state, Disposition.EXPIRED): RecipientState.EXPIRED for state in _OPEN_STATES},
    **{(state, Disposition.DELETED): RecipientState.CANCELLED for state in _OPEN_STATES},
    **{(state, Disposition.DISCARDED): RecipientState.CANCELLED for state in _OPEN_STATES},
    **{(state, Disposition.REJECTED): RecipientState.CANCELLED for state in _OPEN_STATES},
    **{(state, Disposition.HELD): RecipientState.HELD for state in _OPEN_STATES},
    (RecipientState.HELD, Disposition.RELEASED): RecipientState.QUEUED,
    # The queue manager removes a file when every recipient is done with: lines are missing, and we do not guess.
    **{(state, Disposition.REMOVED): RecipientState.UNKNOWN for state in _OPEN_STATES},
}
_ENDS = frozenset((Disposition.REMOVED, Disposition.DELETED, Disposition.DISCARDED, Disposition.REJECTED))


@dataclass(slots=True, eq=False)
class RecipientCopy:
    """A row of `recipients`. ``id`` is None until it is stored."""

    id: int | None
    address: str
    final_address: str | None
    number: int | None
    state: RecipientState
    state_at: dt.datetime
    changed: bool = True

    def take(self, happened: str, at: dt.datetime) -> None:
        """Let a status line's status, or a `Disposition` of the queue file, happen."""
        after = _NEXT.get((self.state, happened))
        if after is not None and (after is not self.state or at > self.state_at):
            self.state, self.state_at, self.changed = after, at, True


@dataclass(slots=True, eq=False)
class QueueFileCopy:
    """A row of `queue_files` with its recipients. ``instance`` is "" while only the journal has spoken of it."""

    id: int | None
    key: QueueFileKey
    born_at: dt.datetime
    message_id: uuid.UUID | None = None
    message_id_header: str | None = None
    envelope_sender: str | None = None
    client: str | None = None
    login: str | None = None
    size_bytes: int | None = None
    recipient_count: int | None = None
    parent_queue_id: str | None = None
    disposition: Disposition | None = None
    disposed_at: dt.datetime | None = None
    removed_at: dt.datetime | None = None
    recipients: list[RecipientCopy] = field(default_factory=list)
    changed: bool = True
    _by_address: dict[str, list[RecipientCopy]] = field(default_factory=dict)

    def restore(self, recipient: RecipientCopy) -> None:
        """Take a stored recipient in."""
        self.recipients.append(recipient)
        self._by_address.setdefault(address_key(recipient.address), []).append(recipient)

    def add(self, address: str, number: int | None, at: dt.datetime) -> RecipientCopy:
        """A new recipient, in the state that the queue file is in."""
        recipient = RecipientCopy(None, address, None, number, RecipientState.QUEUED, at)
        if self.disposition is not None and self.disposed_at is not None:
            recipient.take(self.disposition, self.disposed_at)
        self.restore(recipient)
        return recipient

    def recipient_of(self, line: StatusLine, at: dt.datetime) -> RecipientCopy:
        """Whom a status line speaks of; a new recipient if nobody fits."""
        named = line.original_recipient
        alias = self.find(named) if named is not None else None
        if alias is not None and alias.final_address is None and alias.address != line.recipient:
            alias.final_address, alias.changed = line.recipient, True
        if alias is not None and (alias.final_address is None or _same(alias.final_address, line.recipient)):
            return alias
        known = self.find(line.recipient)
        if known is not None:
            return known
        # One alias may stand for several recipients: the first has the alias's name, the others their own.
        recipient = self.add(named if named is not None and alias is None else line.recipient, None, at)
        if recipient.address != line.recipient:
            recipient.final_address = line.recipient
        return recipient

    def find(self, address: str) -> RecipientCopy | None:
        """The recipient with that address; one that differs only in the local part's case, if there is no other."""
        candidates = self._by_address.get(address_key(address), [])
        exact = (recipient for recipient in candidates if _local(recipient.address) == _local(address))
        return next(exact, candidates[0] if candidates else None)


def _local(address: str) -> str:
    """RFC 5321 section 2.4: only the domain is without case."""
    return address.rpartition("@")[0]


def _same(one: str, other: str) -> bool:
    """Postfix itself prints orig_to only where the two differ in more than case (global/log_adhoc.c)."""
    return address_key(one) == address_key(other)


class QueueFiles:
    """The queue files that a batch is about, and what the batch adds to them."""

    def __init__(self, loaded: Iterable[QueueFileCopy] = ()) -> None:
        self._lives: dict[tuple[str, str], list[QueueFileCopy]] = {}
        for copy in loaded:
            self._lives.setdefault((copy.key.host, copy.key.queue_id), []).append(copy)
        for lives in self._lives.values():
            lives.sort(key=_birth)
        self.attempts: list[tuple[Attempted, RecipientCopy]] = []
        self.deliveries: dict[DeliveryKey, DeliveryState] = {}
        self.queue_file_of: dict[DeliveryKey, QueueFileCopy] = {}
        self.admitted: list[Admitted] = []
        self.copied: list[Copied] = []
        self.refused: list[Refused] = []
        self.opened: list[Opened] = []

    def all(self) -> list[QueueFileCopy]:
        """Every life, loaded or new."""
        return [life for lives in self._lives.values() for life in lives]

    def apply(self, change: Change) -> None:
        """Carry one change out."""
        match change:
            case Attempted():
                self._attempt(change)
            case QueueFileFacts():
                self._learn(change)
            case DeliveryState():
                self.deliveries[change.delivery] = change
            case QueueFileDisposed():
                self._dispose(change)
            case Admitted():
                self._admit(change)
            case Copied():
                self._copy(change)
            case Refused():
                self.refused.append(change)
            case Opened():
                self.opened.append(change)

    def _learn(self, facts: QueueFileFacts) -> None:
        queue_file = self._life(facts.key, facts.at, begins=facts.begins)
        for name in _FACTS:
            value = getattr(facts, name)
            if value is not None and value != getattr(queue_file, name):
                setattr(queue_file, name, value)
                queue_file.changed = True

    def _attempt(self, change: Attempted) -> None:
        queue_file = self._life(change.key, change.at, begins=False)
        recipient = queue_file.recipient_of(change.status_line, change.at)
        happened = change.status_line.status
        # discard(8) says "sent" and delivers nothing; so does the queue manager of a notification that nobody can get.
        if happened == "sent" and change.daemon in {"discard", "qmgr"}:
            happened = Disposition.DISCARDED
        # Handed back to ourselves: how the recipient fares is said of the copy, by another queue file.
        is_ours = change.service.endswith(SPLIT_SERVICE) and change.status_line.relay.startswith("127.0.0.1[")
        if happened == "sent" and is_ours:
            happened = _HANDED_ON
        recipient.take(happened, change.at)
        self.attempts.append((change, recipient))
        if change.delivery is not None:
            self.queue_file_of[change.delivery] = queue_file

    def _dispose(self, change: QueueFileDisposed) -> None:
        queue_file = self._life(change.key, change.at, begins=False)
        if change.disposition in _ENDS:
            if queue_file.removed_at is not None:
                return  # said twice
            queue_file.removed_at = change.at
        if queue_file.disposition in {None, Disposition.HELD, Disposition.RELEASED}:
            queue_file.disposition, queue_file.disposed_at = change.disposition, change.at
        queue_file.changed = True
        for recipient in queue_file.recipients:
            recipient.take(change.disposition, change.at)

    def _admit(self, record: Admitted) -> None:
        self.admitted.append(record)
        queue_file = self._admitted_life(record)
        if queue_file.message_id is None:
            queue_file.message_id, queue_file.changed = record.message_id, True
        for number, address in enumerate(record.recipients, start=1):
            known = queue_file.find(address)
            if known is None:
                queue_file.add(address, number, record.at)
            elif known.number is None:
                known.number, known.address, known.changed = number, address, True

    def _copy(self, record: Copied) -> None:
        self.copied.append(record)
        queue_file = self._admitted_life(record)
        number = record.recipient_number or None
        if queue_file.message_id is None:
            queue_file.message_id, queue_file.changed = record.message_id, True
        if queue_file.parent_queue_id is None:
            queue_file.parent_queue_id, queue_file.changed = record.parent_queue_id, True
        known = queue_file.find(record.recipient)
        if known is None:
            queue_file.add(record.recipient, number, record.at)
        elif known.number is None and number is not None:
            known.number, known.changed = number, True

    def _life(self, key: QueueFileKey, at: dt.datetime, *, begins: bool) -> QueueFileCopy:
        """The life that a line of the mail log belongs to; a new one if it begins with it."""
        lives = [
            life for life in self._lives.get((key.host, key.queue_id), ()) if life.key.instance in {key.instance, ""}
        ]
        born = queue_id.birth(key.queue_id)
        if born is not None:
            found = lives[0] if lives else None
        else:
            # A short id begins a new life after the old one was removed.
            begun = [life for life in lives if life.born_at <= at + _SLACK]
            found = begun[-1] if begun else None
            if found is None or (begins and found.removed_at is not None):
                # The journal may have spoken of it already, at the message's end, which can be long after its begin.
                found = next((life for life in lives if not life.key.instance and life not in begun), None)
        if found is None:
            return self._new(key, born or at)
        if not found.key.instance:
            found.key, found.changed = key, True
        if born is None and at < found.born_at:
            found.born_at, found.changed = at, True
        return found

    def _admitted_life(self, record: Admitted | Copied) -> QueueFileCopy:
        """The life that the milter admitted: of any instance, because the milter is not told which."""
        lives = self._lives.get((record.host, record.queue_id), [])
        for life in lives:
            if life.message_id == record.message_id:
                return life
        born = queue_id.birth(record.queue_id)
        for life in reversed(lives):
            if life.message_id is None and (born is not None or _was_alive(life, record.at)):
                return life
        return self._new(QueueFileKey(record.host, "", record.queue_id), born or record.at)

    def _new(self, key: QueueFileKey, born_at: dt.datetime) -> QueueFileCopy:
        lives = self._lives.setdefault((key.host, key.queue_id), [])
        while any(life.born_at == born_at for life in lives):  # two lives are two rows
            born_at += dt.timedelta(microseconds=1)
        queue_file = QueueFileCopy(None, key, born_at)
        lives.append(queue_file)
        lives.sort(key=_birth)
        return queue_file


_FACTS = (
    "client", "login", "message_id_header", "envelope_sender", "size_bytes", "recipient_count", "parent_queue_id",
)  # fmt: skip


def _birth(life: QueueFileCopy) -> dt.datetime:
    return life.born_at


def _was_alive(life: QueueFileCopy, at: dt.datetime) -> bool:
    return life.born_at <= at + _SLACK and (life.removed_at is None or life.removed_at >= at - _SLACK)
