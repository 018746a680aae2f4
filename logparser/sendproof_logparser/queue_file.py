"""What facts and notes do to queue files and their recipients, on working copies. Pure: `store` loads and saves them.

Owns three rules: which life of a queue id a line belongs to, which state a recipient may take next, and which queue
file comes out of which.
"""

import datetime as dt
import re
import uuid
import zlib
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from sendproof_core.addresses import address_key
from sendproof_core.identity import SPLIT_SERVICE
from sendproof_core.journal_records import Admitted, Copied, Opened, Refused, Withdrawn
from sendproof_core.links import CONTINUES, LinkEvidence, LinkKind
from sendproof_core.states import RecipientState
from sendproof_logparser import local_relay, queue_id
from sendproof_logparser.events import (
    ClientSeen,
    Disposed,
    Disposition,
    Event,
    Filtered,
    MessageIdSeen,
    NotificationSent,
    PickedUp,
    QueueActive,
    SignInFailed,
    StatusLine,
    SubmissionRefused,
)
from sendproof_logparser.process import Process
from sendproof_logparser.transcript import Conversation, Fact, Note

# The mail log has whole seconds, the journal microseconds, and their writers do not wait for each other.
_SLACK = dt.timedelta(seconds=2)
_NO_SLACK = dt.timedelta(0)

# What keeps two lives apart that begin at the same moment.
_TICK = dt.timedelta(microseconds=1)
_MANY_TICKS = 1000 * _TICK

_BY_RELAY = frozenset((LinkKind.COPY, LinkKind.FILTER))
# Our journal speaks of a message at its end, which can be so long after its first line.
_LONGEST_UPLOAD = dt.timedelta(minutes=30)

_HANDED_ON = "handed-on"
_SUSPENDED = "delivery temporarily suspended: "  # qmgr/qmgr_deliver.c
# Daemons that put a recipient off without trying (qmgr/qmgr_deliver.c, error(8)).
_WITHOUT_TRYING = frozenset(("qmgr", "oqmgr", "nqmgr", "error", "retry"))

_OPEN_STATES = (RecipientState.QUEUED, RecipientState.DEFERRED, RecipientState.HELD, RecipientState.UNKNOWN)
_FINAL = frozenset((RecipientState.DELIVERED, RecipientState.BOUNCED, RecipientState.EXPIRED, RecipientState.CANCELLED))
# (state, what happened) -> next state. What is not here changes nothing: a final state stays.
_NEXT: dict[tuple[str, str], RecipientState] = {
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
    **{(state, Disposition.REQUEUED): RecipientState.QUEUED for state in _OPEN_STATES},
    (RecipientState.HELD, Disposition.RELEASED): RecipientState.QUEUED,
    # The queue manager removes a file when every recipient is done with: lines are missing, and we do not guess.
    **{(state, Disposition.REMOVED): RecipientState.UNKNOWN for state in _OPEN_STATES},
}
_ENDS = frozenset(
    (Disposition.REMOVED, Disposition.DELETED, Disposition.DISCARDED, Disposition.REJECTED, Disposition.REQUEUED)
)
# The strongest first: a queue file has one parent, and better evidence replaces weaker.
_STRENGTH = {
    evidence: -rank
    for rank, evidence in enumerate(
        (
            # Made where nothing better speaks of a parent on the same host (`relay_links`).
            LinkEvidence.RELAYED_AS,
            LinkEvidence.JOURNAL,
            LinkEvidence.ORIGINAL_QUEUE_ID,
            LinkEvidence.ORIGINAL_ID,
            LinkEvidence.NOTIFICATION,
            LinkEvidence.FORWARDED_AS,
            LinkEvidence.FILTER_LINE,
            LinkEvidence.QUEUED_AS,
        )
    )
}


class RecipientCopy:
    """A row of `recipients`. ``id`` is None until it is stored."""

    # The mail went on in another queue file: what becomes of the recipient is said there.
    handed_on_at: dt.datetime | None = None
    suspended_at: dt.datetime | None = None
    suspended_because: str | None = None
    suspensions = 0
    changed = True
    # Of the attempts that are stored or came in this batch: (when, `line_key`); None: there are none.
    _attempt_keys: set[tuple[dt.datetime, int]] | None = None

    def __init__(
        self,
        row_id: int | None,
        address: str,
        final_address: str | None,
        number: int | None,
        state: str,
        state_at: dt.datetime,
    ) -> None:
        self.id = row_id
        self.address = address
        self.final_address = final_address
        self.number = number
        self.state = state
        self.state_at = state_at

    def take(self, happened: str, at: dt.datetime) -> None:
        """Let a status line's status, or a `Disposition` of the queue file, happen."""
        after = _NEXT.get((self.state, happened))
        if after is None or (self.handed_on_at is not None and happened == Disposition.REMOVED):
            return
        if after == self.state:
            if at <= self.state_at:
                return
        elif after not in _FINAL and at < self.state_at - (
            _SLACK if self.state == RecipientState.QUEUED else _NO_SLACK
        ):
            return  # an old line, read late
        self.state, self.state_at, self.changed = after, at, True

    def suspend(self, at: dt.datetime, reason: str) -> None:
        """The queue manager does not try at the moment: no attempt."""
        self.take("deferred", at)
        if self.suspended_at is None or at > self.suspended_at:
            self.suspended_at, self.suspended_because, self.changed = at, reason, True
            self.suspensions += 1

    def is_new_attempt(self, at: dt.datetime, line_key: int) -> bool:
        """Whether that status line was not there yet."""
        key = (at, line_key)
        if self._attempt_keys is None:
            self._attempt_keys = {key}
            return True
        if key in self._attempt_keys:
            return False
        self._attempt_keys.add(key)
        return True


class QueueFileCopy:
    """A row of `queue_files` with its recipients. ``instance`` is "" while only others have spoken of it.

    A class with defaults: of most queue files half of it is unknown.
    """

    id: int | None = None
    message_id: uuid.UUID | None = None
    message_id_header: str | None = None
    envelope_sender: str | None = None
    client: str | None = None
    login: str | None = None
    size_bytes: int | None = None
    recipient_count: int | None = None
    parent_queue_id: str | None = None
    link_kind: str | None = None
    link_evidence: str | None = None
    disposition: str | None = None
    disposed_at: dt.datetime | None = None
    removed_at: dt.datetime | None = None
    changed = True
    _by_address: dict[str, list[RecipientCopy]] | None = None

    def __init__(self, host: str, instance: str, queue_id: str, born_at: dt.datetime, *, is_long: bool) -> None:
        self.host = host
        self.instance = instance
        self.queue_id = queue_id
        self.born_at = born_at
        self.is_long = is_long
        self.recipients: list[RecipientCopy] = []

    @classmethod
    def of_row(cls, host: str, instance: str, name: str, born_at: dt.datetime) -> "QueueFileCopy":
        """A stored one, of which more is known."""
        return cls(host, instance, name, born_at, is_long=queue_id.birth(name) is not None)

    def restore(self, recipient: RecipientCopy) -> None:
        """Take a stored recipient in."""
        self.recipients.append(recipient)
        if self._by_address is not None:
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
        if named is None:
            if not self.recipients:
                return self.add(line.recipient, None, at)
            if len(self.recipients) == 1 and self.recipients[0].address == line.recipient:
                return self.recipients[0]
        alias = self.find(named) if named is not None else None
        if alias is not None and alias.final_address is None and alias.address != line.recipient:
            alias.final_address, alias.changed = line.recipient, True
        if alias is not None and (alias.final_address is None or _same(alias.final_address, line.recipient)):
            return alias
        known = self.find(line.recipient)
        if known is not None:
            return known
        # One alias may stand for several recipients: the first has the alias's name, the others their own.
        number = alias.number if alias is not None else None
        recipient = self.add(named if named is not None and alias is None else line.recipient, number, at)
        if recipient.address != line.recipient:
            recipient.final_address = line.recipient
        return recipient

    def find(self, address: str) -> RecipientCopy | None:
        """The recipient with that address; one that differs only in the local part's case, if there is no other."""
        if not self.recipients:
            return None
        if self._by_address is None:
            self._by_address = {}
            for recipient in self.recipients:
                self._by_address.setdefault(address_key(recipient.address), []).append(recipient)
        candidates = self._by_address.get(address_key(address), [])
        exact = (recipient for recipient in candidates if _local(recipient.address) == _local(address))
        return next(exact, candidates[0] if candidates else None)

    def link(self, parent_queue_id: str, kind: LinkKind, evidence: LinkEvidence) -> None:
        """Say where it comes from, unless there is evidence as good already."""
        known = self.link_evidence
        if known is not None and _STRENGTH[LinkEvidence(known)] >= _STRENGTH[evidence]:
            return
        self.parent_queue_id, self.link_kind, self.link_evidence = parent_queue_id, kind.value, evidence.value
        self.changed = True

    def was_alive(self, at: dt.datetime) -> bool:
        """Whether it was in the queue at that moment, as far as is known."""
        return self.born_at <= at + _SLACK and (self.removed_at is None or self.removed_at >= at - _SLACK)


def _local(address: str) -> str:
    """RFC 5321 section 2.4: only the domain is without case."""
    return address.rpartition("@")[0]


def _same(one: str, other: str) -> bool:
    """Postfix itself prints orig_to only where the two differ in more than case (global/log_adhoc.c)."""
    return address_key(one) == address_key(other)


class Attempt(NamedTuple):
    """A delivery status line that was a real attempt, not seen before. ``delivery``: what it came out of, if any."""

    at: dt.datetime
    process: Process
    line: StatusLine
    recipient: RecipientCopy
    delivery: Conversation | None
    line_key: int


class Refusal(NamedTuple):
    """What Postfix or Dovecot refused at submission."""

    at: dt.datetime
    host: str
    event: SubmissionRefused | SignInFailed
    daemon: str
    line_key: int


class Wanted:
    """Which queue files a batch may be about: what `store` has to load for it.

    Of whatever host: queue ids that two hosts share are rare.
    """

    def __init__(self) -> None:
        self.queue_ids: set[str] = set()
        # Of these, also what is known to come out of them.
        self.parents: set[str] = set()

    def add_facts(self, facts: Sequence[Fact], relays: local_relay.LocalRelays) -> None:
        """What facts speak of."""
        # The first field of an event is its queue id, or a client's name in the few that have none.
        self.queue_ids.update([fact[3][0] for fact in facts if fact[3][0] is not None])  # type: ignore[misc] # as above
        for fact in facts:
            event = fact[3]
            if type(event) is StatusLine:
                if event.status == "sent" and _may_go_on(fact[2], event, relays):
                    child = _named_child(fact[2], event)
                    if child is not None:
                        self.queue_ids.add(child[0])
                    self.parents.add(event.queue_id)
            elif type(event) is NotificationSent:
                self.queue_ids.add(event.child_queue_id)
            elif type(event) is Filtered:
                self.queue_ids.update(event.child_queue_ids)

    def add_notes(self, notes: Iterable[Note]) -> None:
        """What journals speak of."""
        for _, record in notes:
            if isinstance(record, Admitted | Copied | Withdrawn):
                self.queue_ids.add(record.queue_id)


class QueueFiles:
    """The queue files that a batch is about, and what the batch adds to them."""

    def __init__(self, loaded: Iterable[QueueFileCopy], relays: local_relay.LocalRelays) -> None:
        """``loaded``: every life of every queue id that the batch may be about, and what comes out of them."""
        self._relays = relays
        self._lives: dict[tuple[str, str], list[QueueFileCopy]] = {}
        # By host and queue id: the queue files in which its mail goes on
        self._continued: dict[tuple[str, str], list[QueueFileCopy]] = {}
        for copy in loaded:
            self._lives.setdefault((copy.host, copy.queue_id), []).append(copy)
            if copy.parent_queue_id is not None and copy.link_kind in CONTINUES:
                self._continued.setdefault((copy.host, copy.parent_queue_id), []).append(copy)
        for lives in self._lives.values():
            if len(lives) > 1:
                lives.sort(key=_birth)
        self.attempts: list[Attempt] = []
        self.queue_file_of: dict[Conversation, QueueFileCopy] = {}
        self.refusals: list[Refusal] = []
        self.admitted: list[Admitted] = []
        self.copied: list[Copied] = []
        self.refused: list[Refused] = []
        self.opened: list[Opened] = []

    def all(self) -> list[QueueFileCopy]:
        """Every life, loaded or new."""
        return [life for lives in self._lives.values() for life in lives]

    def apply(self, facts: Iterable[Fact], lines: Sequence[str]) -> None:
        """Carry facts out. ``lines``: of their portion, which their numbers count."""
        handlers = _HANDLERS
        for number, at, process, event, delivery in facts:
            if type(event) is StatusLine:
                self._attempt(at, process, event, delivery, lines[number])
            elif (handler := handlers.get(type(event))) is not None:
                handler(self, at, process, event, lines[number])

    def note(self, note: Note) -> None:
        """Carry out what a journal says."""
        _, record = note
        match record:
            case Admitted():
                self._admit(record)
            case Copied():
                self._copy(record)
            case Refused():
                self.refused.append(record)
            case Opened():
                self.opened.append(record)
            case Withdrawn():
                self._end(self._life(record.host, "", record.queue_id, record.at), Disposition.REJECTED, record.at)

    def _attempt(
        self, at: dt.datetime, process: Process, event: StatusLine, delivery: Conversation | None, line: str
    ) -> None:
        queue_file = self._life(process.host, process.instance, event.queue_id, at)
        recipient = queue_file.recipient_of(event, at)
        if recipient.state == RecipientState.UNKNOWN and queue_file.removed_at is None:
            # We had given it up too early.
            recipient.state, recipient.state_at, recipient.changed = RecipientState.QUEUED, at, True
        happened = event.status
        if happened == "deferred" and process.daemon in _WITHOUT_TRYING:
            recipient.suspend(at, event.text.removeprefix(_SUSPENDED))
            return
        line_key = _key(line)
        if not recipient.is_new_attempt(at, line_key):
            return
        if happened == "sent":
            # discard(8) says "sent" and delivers nothing; so does the queue manager of a notification to nobody.
            if process.daemon in {"discard", "qmgr"}:
                happened = Disposition.DISCARDED
            elif self._relays.is_edge(event.relay):
                happened = _HANDED_ON  # what follows from that edge's log, `relay_links` says
            elif _may_go_on(process, event, self._relays):
                if self._goes_on(queue_file, process, event, at):
                    happened, recipient.handed_on_at, recipient.changed = _HANDED_ON, at, True
                elif process.program.endswith(SPLIT_SERVICE) or self._relays.is_declared(event.relay):
                    happened = _HANDED_ON  # of the copy itself nothing is known yet
        recipient.take(happened, at)
        self.attempts.append(Attempt(at, process, event, recipient, delivery, line_key))
        if delivery is not None:
            self.queue_file_of[delivery] = queue_file

    def _goes_on(self, queue_file: QueueFileCopy, process: Process, event: StatusLine, at: dt.datetime) -> bool:
        """Whether "sent" means that the mail is still here, under another queue id; links the two."""
        named = _named_child(process, event)
        child = None
        if named is not None:
            child_id, kind, evidence = named
            child = self._child(queue_file, child_id, kind, at)
            # Who says so is ourselves: that its own lines were not read yet, or are lost, makes it no delivery.
            if child is None and (kind is LinkKind.FORWARD or self._relays.is_declared(event.relay)):
                child = self._new(process.host, "", child_id, at)
            if child is not None:
                child.link(queue_file.queue_id, kind, evidence)
                return True
        if process.daemon == "local":
            return False  # local(8) names the child itself
        children = self._continued.get((queue_file.host, queue_file.queue_id), ())
        return any(child.link_kind in _BY_RELAY and queue_file.was_alive(child.born_at) for child in children)

    def _child(self, parent: QueueFileCopy, child_id: str, kind: LinkKind, at: dt.datetime) -> QueueFileCopy | None:
        """The queue file that a reply names, if it is one of ours: receiving servers' ids look the same."""
        for life in reversed(self._lives.get((parent.host, child_id), [])):
            if life.born_at > at + _SLACK or life.born_at < parent.born_at - _SLACK or life is parent:
                continue
            if kind is LinkKind.FORWARD or (life.client is not None and self._relays.holds(life.client)):
                return life
        return None

    def _client(self, at: dt.datetime, process: Process, event: ClientSeen, _line: str) -> None:
        if event.queue_id is None:
            return
        queue_file = self._life(process.host, process.instance, event.queue_id, at, begins=True)
        if event.client != queue_file.client:
            queue_file.client, queue_file.changed = event.client, True
        if event.login is not None and event.login != queue_file.login:
            queue_file.login, queue_file.changed = event.login, True
        if event.original_queue_id is not None:
            kind = LinkKind.COPY if process.takes_copies else LinkKind.FILTER
            queue_file.link(event.original_queue_id, kind, LinkEvidence.ORIGINAL_QUEUE_ID)
            self._continued.setdefault((process.host, event.original_queue_id), []).append(queue_file)

    def _picked_up(self, at: dt.datetime, process: Process, event: PickedUp, _line: str) -> None:
        queue_file = self._life(process.host, process.instance, event.queue_id, at, begins=True)
        if queue_file.envelope_sender is None:  # the queue manager says it with its domain
            queue_file.envelope_sender, queue_file.changed = event.sender, True
        if event.original_queue_id is not None:
            queue_file.link(event.original_queue_id, LinkKind.REQUEUE, LinkEvidence.ORIGINAL_ID)

    def _message_id(self, at: dt.datetime, process: Process, event: MessageIdSeen, _line: str) -> None:
        queue_file = self._life(process.host, process.instance, event.queue_id, at, begins=True)
        header = event.message_id_header
        if header is not None and header != queue_file.message_id_header:
            queue_file.message_id_header, queue_file.changed = header, True

    def _active(self, at: dt.datetime, process: Process, event: QueueActive, _line: str) -> None:
        queue_file = self._life(process.host, process.instance, event.queue_id, at)
        if queue_file.recipient_count is None or queue_file.size_bytes is None:
            queue_file.envelope_sender = event.sender
            queue_file.size_bytes = event.size_bytes
            queue_file.recipient_count = event.recipient_count
            queue_file.changed = True
        if queue_file.removed_at is None:
            for recipient in queue_file.recipients:
                if recipient.state == RecipientState.UNKNOWN:  # we had given it up too early
                    recipient.state, recipient.state_at, recipient.changed = RecipientState.QUEUED, at, True

    def _notified(self, at: dt.datetime, process: Process, event: NotificationSent, _line: str) -> None:
        child = self._life(process.host, process.instance, event.child_queue_id, at)
        child.link(event.queue_id, LinkKind(event.kind), LinkEvidence.NOTIFICATION)

    def _filtered(self, at: dt.datetime, process: Process, event: Filtered, _line: str) -> None:
        for child_id in event.child_queue_ids:
            child = self._life(process.host, "", child_id, at)
            child.link(event.queue_id, LinkKind.FILTER, LinkEvidence.FILTER_LINE)
            self._continued.setdefault((process.host, event.queue_id), []).append(child)

    def _dispose(self, at: dt.datetime, process: Process, event: Disposed, _line: str) -> None:
        self._end(self._life(process.host, process.instance, event.queue_id, at), event.disposition, at)

    def _refuse(self, at: dt.datetime, process: Process, event: SubmissionRefused, line: str) -> None:
        if event.whole_message and event.queue_id is not None:
            queue_file = self._life(process.host, process.instance, event.queue_id, at)
            self._end(queue_file, Disposition.REJECTED, at)
            if event.login is None and queue_file.login is not None:
                event = event._replace(login=queue_file.login)
        if event.login is not None or process.takes_submissions:
            self.refusals.append(Refusal(at, process.host, event, process.daemon, _key(line)))

    def _sign_in_failed(self, at: dt.datetime, process: Process, event: SignInFailed, line: str) -> None:
        self.refusals.append(Refusal(at, process.host, event, process.daemon, _key(line)))

    def _end(self, queue_file: QueueFileCopy, disposition: Disposition, at: dt.datetime) -> None:
        if disposition in _ENDS:
            if queue_file.removed_at is not None:
                return  # said twice
            queue_file.removed_at = at
        elif queue_file.disposed_at is not None and at < queue_file.disposed_at:
            return  # an old line, read late
        if queue_file.disposition not in _LASTING:
            queue_file.disposition, queue_file.disposed_at = disposition.value, at
        queue_file.changed = True
        for recipient in queue_file.recipients:
            recipient.take(disposition, at)

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
        queue_file.link(record.parent_queue_id, LinkKind.COPY, LinkEvidence.JOURNAL)
        known = queue_file.find(record.recipient)
        if known is None:
            queue_file.add(record.recipient, number, record.at)
        elif known.number is None and number is not None:
            known.number, known.changed = number, True

    def _life(self, host: str, instance: str, queue_id: str, at: dt.datetime, *, begins: bool = False) -> QueueFileCopy:
        """The life that a line of the mail log belongs to; a new one if it begins with it.

        ``instance``: "" where the writer does not know it. ``begins``: such a line is the first, or among the first, of
        a queue file's life.
        """
        lives = self._lives.get((host, queue_id))
        if lives is None:
            return self._new(host, instance, queue_id, at)
        first = lives[0]
        if first.is_long and first.instance == instance:
            return first
        return self._life_among(lives, instance, at, begins=begins) or self._new(host, instance, queue_id, at)

    def _life_among(
        self, all_lives: list[QueueFileCopy], instance: str, at: dt.datetime, *, begins: bool
    ) -> QueueFileCopy | None:
        lives = [life for life in all_lives if not instance or life.instance in {instance, ""}]
        if lives and lives[0].is_long:
            found: QueueFileCopy | None = lives[0]
        else:
            # A short id begins a new life after the old one was removed.
            begun = [life for life in lives if life.born_at <= at + _SLACK]
            found = begun[-1] if begun else None
            if found is None or (begins and _is_over(found, at)):
                # The journal may have spoken of it already, at the message's end, which can be long after its begin.
                latest = at + _LONGEST_UPLOAD
                later = (life for life in lives if not life.instance and life not in begun and life.born_at <= latest)
                found = next(later, None)
        if found is None:
            return None
        if not found.instance and instance:
            found.instance, found.changed = instance, True
        is_free = all(life is found or life.born_at != at for life in all_lives)
        if not found.is_long and at < found.born_at - _MANY_TICKS and is_free:
            found.born_at, found.changed = at, True
        return found

    def _admitted_life(self, record: Admitted | Copied) -> QueueFileCopy:
        """The life that the milter admitted: of any instance, because the milter is not told which."""
        lives = self._lives.get((record.host, record.queue_id), [])
        for life in lives:
            if life.message_id == record.message_id:
                return life
        for life in reversed(lives):
            if life.message_id is None and (life.is_long or life.was_alive(record.at)):
                return life
        return self._new(record.host, "", record.queue_id, record.at)

    def _new(self, host: str, instance: str, name: str, at: dt.datetime) -> QueueFileCopy:
        born = queue_id.birth(name)
        queue_file = QueueFileCopy(host, instance, name, born or at, is_long=born is not None)
        lives = self._lives.get((host, name))
        if lives is None:
            self._lives[host, name] = [queue_file]
            return queue_file
        while any(life.born_at == queue_file.born_at and _may_be_one(life, queue_file) for life in lives):
            queue_file.born_at += _TICK  # two lives are two rows
        lives.append(queue_file)
        lives.sort(key=_birth)
        return queue_file


_HANDLERS: dict[type[Event], Callable[..., None]] = {
    ClientSeen: QueueFiles._client,  # noqa: SLF001 - the table of this module's own class
    PickedUp: QueueFiles._picked_up,  # noqa: SLF001 - as above
    MessageIdSeen: QueueFiles._message_id,  # noqa: SLF001 - as above
    QueueActive: QueueFiles._active,  # noqa: SLF001 - as above
    NotificationSent: QueueFiles._notified,  # noqa: SLF001 - as above
    Filtered: QueueFiles._filtered,  # noqa: SLF001 - as above
    Disposed: QueueFiles._dispose,  # noqa: SLF001 - as above
    SubmissionRefused: QueueFiles._refuse,  # noqa: SLF001 - as above
    SignInFailed: QueueFiles._sign_in_failed,  # noqa: SLF001 - as above
}
# A disposition that no later one replaces.
_LASTING = frozenset(Disposition) - {Disposition.HELD, Disposition.RELEASED}


# smtpd/smtpd.c: "250 2.0.0 Ok: queued as %s"; local/forward.c: "forwarded as %s"
_QUEUED_AS = re.compile(r"\bqueued as ([0-9A-Za-z]{5,40})\b")
_FORWARDED_AS = re.compile(r"forwarded as ([0-9A-Za-z]{5,40})")


def _may_go_on(process: Process, event: StatusLine, relays: local_relay.LocalRelays) -> bool:
    return process.daemon == "local" or relays.holds(event.relay)


def _named_child(process: Process, event: StatusLine) -> tuple[str, LinkKind, LinkEvidence] | None:
    """The queue id under which a status line says that the mail goes on, and how."""
    if process.daemon == "local":
        forwarded = _FORWARDED_AS.fullmatch(event.text)
        return (forwarded[1], LinkKind.FORWARD, LinkEvidence.FORWARDED_AS) if forwarded else None
    queued = _QUEUED_AS.search(event.text)
    return (queued[1], LinkKind.FILTER, LinkEvidence.QUEUED_AS) if queued else None


def _key(line: str) -> int:
    return zlib.crc32(line.encode("utf-8", "surrogateescape"))


def _is_over(life: QueueFileCopy, at: dt.datetime) -> bool:
    """Whether a line that is among the first of a life is another one's. It may also be an old line, read again."""
    return life.removed_at is not None and (at > life.removed_at or life.born_at < at == life.removed_at)


def _may_be_one(life: QueueFileCopy, other: QueueFileCopy) -> bool:
    return not life.instance or not other.instance or life.instance == other.instance


def _birth(life: QueueFileCopy) -> dt.datetime:
    return life.born_at
