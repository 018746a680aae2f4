"""Follow each recipient from the queue file that was submitted to the one that holds it now. Pure.

A copy for one recipient, a content filter, an alias that leads elsewhere, an administrator's requeue: each makes
another queue file, and what becomes of a recipient there is what became of it. `links.CONTINUES` names these ways;
notifications are no such way. `transcript_queries` loads the queue files.
"""

import datetime as dt
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from sendproof_core.addresses import address_key
from sendproof_core.links import LinkKind
from sendproof_core.states import RecipientState

_DEPTH = 10
# How local(8) begins, where it delivers here (local/mailbox.c, file.c, command.c).
DELIVERED_HERE = "delivered to "
# smtpd.c "queued as X", local/forward.c "forwarded as X"; a filter may have made several: amavis' "queued as X/Y".
_NAMED = re.compile(r"\b(?:queued|forwarded) as ([0-9A-Za-z/]{5,80})")


@dataclass(frozen=True)
class ChainFile:
    """A queue file. ``parent_id``: the queue file that it comes from, as the record has it; ``kind``: how."""

    id: int
    host: str
    instance: str
    queue_id: str
    born_at: dt.datetime
    parent_id: int | None
    kind: LinkKind | None
    evidence: str | None
    # Our journal names it; of mail that no journal speaks of, the first. Else only a link leads to it.
    is_of_message: bool


@dataclass(frozen=True)
class ChainRecipient:
    """A recipient of a queue file. ``number``: of RCPT TO, where the journal names it."""

    id: int
    file: ChainFile
    address: str
    final_address: str | None
    number: int | None
    state: RecipientState

    @cached_property
    def keys(self) -> frozenset[str]:
        """What the recipient is called, in any spelling."""
        return frozenset(address_key(address) for address in (self.address, self.final_address) if address)


@dataclass(frozen=True)
class Way:
    """One recipient's way: ``steps`` from the first queue file to the one that holds it now."""

    steps: tuple[ChainRecipient, ...]
    # As the sender wrote it, and where it leads if that is another address.
    address: str
    final_address: str | None
    number: int | None
    state: RecipientState

    @property
    def last(self) -> ChainRecipient:
        """Where the mail is, or came to its end."""
        return self.steps[-1]


def named_queue_ids(text: str) -> tuple[str, ...]:
    """The queue ids under which a status line says that the mail goes on."""
    return tuple(queue_id for found in _NAMED.finditer(text) for queue_id in found[1].split("/"))


def ways(
    files: Sequence[ChainFile], recipients: Sequence[ChainRecipient], sent_texts: Mapping[int, Sequence[str]]
) -> list[Way]:
    """Every recipient that the sender wrote, in the order of RCPT TO, each with where it is now.

    ``files``: all of one message; ``recipients``: all of theirs. ``sent_texts``: by recipient, what its status lines
    with ``status=sent`` say; those of recipients whose queue file has no child may be left out.
    """
    return _Chain(files, recipients, sent_texts).ways()


class _Chain:
    """The queue files of one message as a tree."""

    def __init__(
        self,
        files: Sequence[ChainFile],
        recipients: Sequence[ChainRecipient],
        sent_texts: Mapping[int, Sequence[str]],
    ) -> None:
        self._files = {file.id: file for file in files}
        self._held: dict[int, list[ChainRecipient]] = {}
        for recipient in sorted(recipients, key=_order):
            self._held.setdefault(recipient.file.id, []).append(recipient)
        self._texts = sent_texts
        # By recipient: who of a child's recipients goes on for it.
        self._next: dict[int, list[ChainRecipient]] = {}
        # A message to a thousand has a thousand children: what is looked for in a parent is found by name.
        parents: dict[int, _Parents] = {}
        for file_id in self._held:
            parent_id = self._parent(file_id)
            if parent_id is not None:
                if parent_id not in parents:
                    parents[parent_id] = _Parents(self._held[parent_id], sent_texts)
                self._assign(parents[parent_id], self._files[file_id])

    def ways(self) -> list[Way]:
        roots = [file_id for file_id in self._held if self._parent(file_id) is None]
        if not roots and self._held:  # whatever the record says, something was first
            roots = [min(self._held, key=lambda file_id: (self._files[file_id].born_at, file_id))]
        first = sorted((recipient for file_id in roots for recipient in self._held[file_id]), key=_order)
        # Several names behind one alias have its number.
        written: dict[int, str] = {}
        for recipient in first:
            if recipient.number is not None:
                written.setdefault(recipient.number, recipient.address)
        found = [steps for recipient in first for steps in self._follow((recipient,))]
        # A copy that our journal names is a recipient of the sender's, also where nobody in its parent fits.
        assigned = {recipient.id for following in self._next.values() for recipient in following}
        assigned.update(recipient.id for recipient in first)
        everyone = [recipient for held in self._held.values() for recipient in held]
        strays = [r for r in everyone if r.file.is_of_message and r.id not in assigned]
        found += [(recipient,) for recipient in self._living(strays)]
        made = [self._way(steps, written) for steps in found]
        return sorted(made, key=lambda way: (way.number is None, way.number or 0, way.steps[0].id))

    def _parent(self, file_id: int) -> int | None:
        """The nearest queue file above of which recipients are known."""
        for _ in range(_DEPTH):
            parent = self._files.get(self._files[file_id].parent_id or 0)
            if parent is None:
                return None
            if parent.id in self._held:
                return parent.id
            file_id = parent.id
        return None

    def _way(self, steps: tuple[ChainRecipient, ...], written: dict[int, str]) -> Way:
        numbers = [step.number for step in steps if step.number is not None]
        number = numbers[0] if numbers else None
        address = written.get(number, steps[0].address) if number is not None else steps[0].address
        leads_to = steps[-1].final_address or steps[-1].address
        if address_key(leads_to) == address_key(address):
            leads_to = steps[0].final_address or address
        is_same = address_key(leads_to) == address_key(address)
        state = steps[-1].state
        if state is RecipientState.QUEUED and self._stays_here(steps[-1]):
            state = RecipientState.DELIVERED
        return Way(steps, address, None if is_same else leads_to, number, state)

    def _follow(self, steps: tuple[ChainRecipient, ...]) -> list[tuple[ChainRecipient, ...]]:
        here = steps[-1]
        known = {step.id for step in steps}
        nexts = [r for r in self._living(self._next.get(here.id, [])) if r.id not in known]
        if not nexts or len(steps) > _DEPTH:
            return [steps]
        found = [further for following in nexts for further in self._follow((*steps, following))]
        if self._stays_here(here):
            found.insert(0, steps)
        return found

    def _stays_here(self, recipient: ChainRecipient) -> bool:
        """local(8): a .forward file may keep the mail here and send it on as well."""
        return any(text.startswith(DELIVERED_HERE) for text in self._texts.get(recipient.id, ()))

    def _living(self, recipients: list[ChainRecipient]) -> list[ChainRecipient]:
        """A copy that was answered 451 is made again: the one that lives counts, else the newest."""
        best: dict[tuple[int | None, str], ChainRecipient] = {}
        for recipient in sorted(recipients, key=_liveliness):
            best[recipient.number, address_key(recipient.final_address or recipient.address)] = recipient
        chosen = {recipient.id for recipient in best.values()}
        return [recipient for recipient in recipients if recipient.id in chosen]

    def _assign(self, parents: "_Parents", child: ChainFile) -> None:
        """Say of each of a queue file's recipients from whom of its parent's it comes."""
        named = parents.named(child.queue_id)
        left: list[ChainRecipient] = []
        taken: set[int] = set()
        for recipient in self._held[child.id]:
            parent = parents.same_as(recipient, named) or parents.same_as(recipient)
            if parent is None and len(named) == 1:
                parent = parents.at(*named)
            if parent is None:
                left.append(recipient)
            else:
                taken.add(parent.id)
                self._next.setdefault(parent.id, []).append(recipient)
        # One is left on each side: an address was rewritten on the way.
        if len(left) == 1 and (free := parents.only_one_beside(taken)) is not None:
            self._next.setdefault(free.id, []).append(left[0])


class _Parents:
    """The recipients of one queue file, found by what they are called and by what their status lines name.

    Places are in the order of the recipients: of several that fit, the first counts.
    """

    def __init__(self, recipients: Sequence[ChainRecipient], sent_texts: Mapping[int, Sequence[str]]) -> None:
        self._all = recipients
        self._by_key: dict[str, list[int]] = {}
        self._by_number: dict[int, list[int]] = {}
        self._named: dict[str, set[int]] = {}
        for place, recipient in enumerate(recipients):
            for key in recipient.keys:
                self._by_key.setdefault(key, []).append(place)
            if recipient.number is not None:
                self._by_number.setdefault(recipient.number, []).append(place)
            for text in sent_texts.get(recipient.id, ()):
                for queue_id in named_queue_ids(text):
                    self._named.setdefault(queue_id, set()).add(place)

    def at(self, place: int) -> ChainRecipient:
        return self._all[place]

    def named(self, queue_id: str) -> set[int]:
        """Of whom a status line says that the mail goes on under that queue id."""
        return self._named.get(queue_id, set())

    def same_as(self, recipient: ChainRecipient, among: set[int] | None = None) -> ChainRecipient | None:
        """Who has its address and number, else its address, else its number. ``among``: None for all."""
        by_number = set(self._by_number.get(recipient.number, ()) if recipient.number is not None else ())
        by_address = {place for key in recipient.keys for place in self._by_key.get(key, ())}
        if among is not None:
            by_number, by_address = by_number & among, by_address & among
        found = by_address & by_number or by_address or by_number
        return self._all[min(found)] if found else None

    def only_one_beside(self, taken: set[int]) -> ChainRecipient | None:
        """The one whose id is not among those; None if there are several, or none."""
        free = (recipient for recipient in self._all if recipient.id not in taken)
        first, second = next(free, None), next(free, None)
        return first if second is None else None


def _order(recipient: ChainRecipient) -> tuple[bool, int, int]:
    return recipient.number is None, recipient.number or 0, recipient.id


def _liveliness(recipient: ChainRecipient) -> tuple[bool, dt.datetime, int]:
    return recipient.state is not RecipientState.CANCELLED, recipient.file.born_at, recipient.id
