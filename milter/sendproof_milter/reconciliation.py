"""Charges and the record agree in the end: which charge stands, which is taken back, what is charged late.

Decides by values; the ledger and the record are `quota_store`'s matter, passed in as a `Ledger`.
"""

import datetime as dt
import enum
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

# The mail log has whole seconds, the ledger microseconds.
_SLACK = dt.timedelta(seconds=2)
# A message that was charged and of which the log says nothing for this long never came to be: smtpd logs a queue file
# before it asks the milter anything.
_SILENCE = dt.timedelta(hours=1)
# A queue file without a word of the queue manager may wait for its turn as long as Postfix keeps mail
# (maximal_queue_lifetime, 5 days), and a day longer.
_STANDSTILL = dt.timedelta(days=6)
# How far back messages without a charge are looked for: from what was read last, but never as far as charges are kept.
_LOOK_BACK = dt.timedelta(days=2)
_LONGEST_LOOK_BACK = dt.timedelta(days=30)
# How long settled charges are kept, and use after the end of its window: the site charts it.
CHARGES_KEPT = dt.timedelta(days=62)
USE_KEPT = dt.timedelta(days=400)
_AT_A_TIME = 500


@dataclass(frozen=True, slots=True)
class OpenCharge:
    """A charge of which it is not known yet whether Postfix queued its message."""

    message_id: uuid.UUID
    queue_id: str
    charged_at: dt.datetime


@dataclass(frozen=True, slots=True)
class QueueFileSigns:
    """What the record says of one queue file. ``message_id`` None: the journal's line was not read, or not written."""

    queue_id: str
    message_id: uuid.UUID | None
    born_at: dt.datetime
    removed_at: dt.datetime | None
    # Of the queue manager's line
    size_bytes: int | None
    disposition: str | None

    @property
    def is_queued(self) -> bool:
        """Whether the queue manager had it, or an operator took it out of the queue."""
        return self.size_bytes is not None or self.disposition in {"removed", "deleted", "expired"}

    @property
    def is_refused(self) -> bool:
        """Whether it never came as far as the queue: refused (by a milter that failed, too), withdrawn or discarded."""
        return self.size_bytes is None and self.disposition in {"rejected", "discarded"}

    @property
    def is_held(self) -> bool:
        """Whether it is where the queue manager does not look."""
        return self.disposition in {"held", "released"}


@dataclass(frozen=True, slots=True)
class ReadUpTo:
    """How far a host's logs and journals were read. None: not known."""

    # Everything of all sources
    everything: dt.datetime | None
    # Of the source that is furthest
    anything: dt.datetime | None


@dataclass(frozen=True, slots=True)
class LateCharge:
    """A message that Postfix queued and no charge stands for. ``addresses``: as far as the record knows them."""

    account_id: int
    time_zone: str
    message_id: uuid.UUID
    host: str
    queue_id: str
    recipients: int
    addresses: tuple[str, ...]
    submitted_at: dt.datetime


class Verdict(enum.Enum):
    """What becomes of a charge."""

    SETTLED = enum.auto()
    TAKE_BACK = enum.auto()
    WAIT = enum.auto()


@dataclass(frozen=True)
class Reconciled:
    """How many charges were found right, taken back, and made for messages that had none."""

    settled: int
    taken_back: int
    charged_late: int


class Ledger(Protocol):
    """What `reconcile` needs of the database."""

    def read_up_to(self, host: str) -> ReadUpTo:
        """How far this host's sources were read."""

    def open_charges(self, host: str, until: dt.datetime, after: OpenCharge | None, limit: int) -> list[OpenCharge]:
        """This host's charges that are not settled, up to ``until``, in order; those that follow ``after``."""

    def signs(self, host: str, charges: Sequence[OpenCharge]) -> list[QueueFileSigns]:
        """The queue files of these messages, and those with these queue ids on this host."""

    def settle(self, message_ids: Sequence[uuid.UUID], now: dt.datetime) -> int:
        """Say of charges that they stand; how many were open."""

    def uncharge_all(self, message_ids: Iterable[uuid.UUID]) -> int:
        """Take charges back; how many there were."""

    def missing_charges(self, host: str, since: dt.datetime) -> list[LateCharge]:
        """Messages that this host's queue manager had since then, and nobody charged."""

    def charge_late(self, charges: Sequence[LateCharge], now: dt.datetime) -> int:
        """Charge them without looking at limits; how many had no charge."""

    def forget(self, host: str, now: dt.datetime) -> None:
        """Delete what nobody asks for any more."""


def verdict(charge: OpenCharge, signs: Iterable[QueueFileSigns], read_up_to: dt.datetime | None) -> Verdict:
    """What becomes of a charge.

    Args:
        charge: made on one host.
        signs: queue files with the charge's message id or, on its host, its queue id; others are ignored.
        read_up_to: until when everything of that host was read; None: not known.
    """
    ours = [sign for sign in signs if _is_about(sign, charge)]
    if any(sign.is_queued for sign in ours):
        return Verdict.SETTLED
    # Not a copy for one recipient: it may be refused for a while, and its message is in the queue.
    if any(sign.is_refused and sign.queue_id == charge.queue_id for sign in ours):
        return Verdict.TAKE_BACK
    silent = dt.timedelta() if read_up_to is None else read_up_to - charge.charged_at
    if silent < _SILENCE:
        return Verdict.WAIT
    # cleanup(8) says "hold" while the message is still coming in: only now is it certain that it was not refused.
    if any(sign.is_held for sign in ours):
        return Verdict.SETTLED
    return Verdict.WAIT if ours and silent < _STANDSTILL else Verdict.TAKE_BACK


def _is_about(sign: QueueFileSigns, charge: OpenCharge) -> bool:
    if sign.message_id is not None:
        return sign.message_id == charge.message_id
    if sign.queue_id != charge.queue_id:
        return False
    # A long id is never used again; hexadecimal ones know no "z" (Postfix, global/mail_queue.h).
    return "z" in sign.queue_id or (
        sign.born_at <= charge.charged_at + _SLACK
        and (sign.removed_at is None or sign.removed_at >= charge.charged_at - _SLACK)
    )


def reconcile(ledger: Ledger, host: str, now: dt.datetime) -> Reconciled:
    """Bring this host's charges in line with the record, as far as it was read. To be called every minute.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: the database is away; what is left is found again.
    """
    read_up_to = ledger.read_up_to(host)
    settled = taken_back = 0
    after: OpenCharge | None = None
    until = read_up_to.anything or now
    while charges := ledger.open_charges(host, until, after, _AT_A_TIME):
        after = charges[-1]
        verdicts = _verdicts(charges, ledger.signs(host, charges), read_up_to.everything)
        settled += ledger.settle([key for key, value in verdicts.items() if value is Verdict.SETTLED], now)
        taken_back += ledger.uncharge_all([key for key, value in verdicts.items() if value is Verdict.TAKE_BACK])
    since = max((read_up_to.everything or now) - _LOOK_BACK, now - _LONGEST_LOOK_BACK)
    charged_late = ledger.charge_late(ledger.missing_charges(host, since), now)
    ledger.forget(host, now)
    return Reconciled(settled, taken_back, charged_late)


def _verdicts(
    charges: Sequence[OpenCharge], signs: Iterable[QueueFileSigns], read_up_to: dt.datetime | None
) -> dict[uuid.UUID, Verdict]:
    by_message: dict[uuid.UUID, list[QueueFileSigns]] = {}
    by_queue_id: dict[str, list[QueueFileSigns]] = {}
    for sign in signs:
        if sign.message_id is not None:
            by_message.setdefault(sign.message_id, []).append(sign)
        else:
            by_queue_id.setdefault(sign.queue_id, []).append(sign)
    return {
        charge.message_id: verdict(
            charge,
            [*by_message.get(charge.message_id, ()), *by_queue_id.get(charge.queue_id, ())],
            read_up_to,
        )
        for charge in charges
    }
