"""Rows of the record on days of one's choice, for tests of partitions and retention. Makes no day up by itself."""

import datetime as dt
import itertools
import uuid
from dataclasses import dataclass, field

from sqlalchemy.orm import Session

from sendproof_core import record_days
from sendproof_core.identity import new_message_id
from sendproof_core.schema import Attempt, Delivery, Message, Open, QueueFile, Recipient, Refusal, SearchEntry


@dataclass
class DatedRecord:
    """Adds rows to a session. Ids carry their days, unless ``is_dated`` is off: then they are as before the days."""

    session: Session
    is_dated: bool = True
    numbers: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))

    def message(self, at: dt.datetime) -> uuid.UUID:
        """A message that the milter admitted, and its entry in the search."""
        message_id = new_message_id(at)
        self.session.add(
            Message(
                id=message_id, account_id=1, login="max", credential_label="laptop", submitted_at=at,
                envelope_sender="max@own.example", size_bytes=1, recipient_count=1, signatures=[], pixel="inserted",
            )
        )  # fmt: skip
        self.session.flush()
        self.entry(at, message_id=message_id)
        return message_id

    def entry(self, at: dt.datetime, *, message_id: uuid.UUID | None = None, refusal_id: int | None = None) -> None:
        """Of the search, without words."""
        number = int(at.timestamp() * 1000) << 20 | next(self.numbers)
        self.session.add(SearchEntry(id=number, message_id=message_id, refusal_id=refusal_id, counted=[]))
        self.session.flush()

    def queue_file(
        self,
        at: dt.datetime,
        *,
        message_id: uuid.UUID | None = None,
        ended_at: dt.datetime | None = None,
        parent: QueueFile | None = None,
        host: str = "edge1",
    ) -> QueueFile:
        """With one recipient, one conversation and one attempt. ``ended_at`` None: it is in the queue still."""
        number = next(self.numbers)
        file = QueueFile(
            id=self._id(at, number), host=host, instance="postfix", queue_id=f"4Z{number}", born_at=at,
            message_id=message_id, removed_at=ended_at,
            parent_queue_id=parent.queue_id if parent is not None else None,
            parent_host=parent.host if parent is not None and parent.host != host else None,
        )  # fmt: skip
        self.session.add(file)
        self.session.flush()
        state = "deferred" if ended_at is None else "delivered"
        recipient = Recipient(
            id=self._id(at, number), queue_file_id=file.id, address="anna@example.net", number=1, state=state,
            state_at=ended_at or at,
        )  # fmt: skip
        delivery = Delivery(
            id=self._id(at, number), queue_file_id=file.id, service="postfix/smtp", pid=7, began_at=at, dialogue=[],
            troubles=[],
        )  # fmt: skip
        self.session.add_all([recipient, delivery])
        self.session.flush()
        self.session.add(
            Attempt(
                id=number, recipient_id=recipient.id, delivery_id=delivery.id, attempted_at=ended_at or at,
                service="postfix/smtp", status="sent", dsn="2.0.0", relay="mx", delay_seconds=1.0, delays_seconds=[],
                text="250 ok", line_key=number,
            )
        )  # fmt: skip
        self.session.flush()
        return file

    def refusal(self, at: dt.datetime) -> int:
        """A message that was refused, and its entry in the search."""
        number = next(self.numbers)
        row_id = self._id(at, number)
        self.session.add(
            Refusal(
                id=row_id, account_id=1, login="max", refused_at=at, host="edge1", envelope_sender="max@own.example",
                recipients=[], reason="quota", reply="452 no", line_key=number,
            )
        )  # fmt: skip
        self.session.flush()
        self.entry(at, refusal_id=row_id)
        return row_id

    def opened(self, at: dt.datetime, message_id: uuid.UUID) -> None:
        """A request for its pixel."""
        self.session.add(
            Open(message_id=message_id, recipient_number=1, opened_at=at, grade="person", user_agent="Mozilla")
        )
        self.session.flush()

    def _id(self, at: dt.datetime, number: int) -> int:
        return record_days.dated_id(record_days.day_number(at), number) if self.is_dated else number
