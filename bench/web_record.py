"""A large record, as the logparser would have written it in a year, straight into a database. Measures nothing.

Accounts, receiving domains and words are as unevenly spread as those of a provider; every recipient has attempts with
their dialogue. The same number of recipients gives the same record.
"""

import bisect
import datetime as dt
import itertools
import json
import random
import uuid
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import func, insert, select, text
from sqlalchemy.orm import Session

from sendproof_core import partitions, record_days, search_entries, transcript_queries
from sendproof_core.database import Database, FixedStatements
from sendproof_core.errors import UserError
from sendproof_core.identity import SPLIT_SERVICE
from sendproof_core.schema import Account, Message, Plan, QuotaUse, Recipient, SearchEntry
from sendproof_core.search_query import OPENED, REFUSED
from sendproof_core.search_terms import Document, Field
from sendproof_core.states import Span
from sendproof_core.statistics import acceptance_bucket
from sendproof_logparser import statistics_rows
from sendproof_logparser.record_rows import (
    ATTEMPT_COLUMNS,
    DELIVERY_COLUMNS,
    MESSAGE_COLUMNS,
    QUEUE_FILE_COLUMNS,
    RECIPIENT_COLUMNS,
    REFUSAL_COLUMNS,
)
from sendproof_logparser.statistics_rows import COLUMNS, Place

_YEAR = dt.timedelta(days=365)
_ACCOUNTS = 1_000
_DOMAINS = 20_000
_WORDS = 6_000
_PEOPLE = 40_000
_PORTION = 4_000  # messages in one transaction
_RECIPIENTS_OF_A_MESSAGE = 1.44  # on average: what `_how_many` gives
_SAMPLE = 200
_SYLLABLES = ("ba", "do", "ker", "lin", "mo", "ran", "si", "tel", "ul", "ves", "wa", "zor", "fe", "gi", "hu", "pra")
_TABLES = {
    "messages": MESSAGE_COLUMNS,
    "queue_files": QUEUE_FILE_COLUMNS,
    "recipients": RECIPIENT_COLUMNS,
    "deliveries": DELIVERY_COLUMNS,
    "attempts": ATTEMPT_COLUMNS,
    "opens": ("message_id", "recipient_number", "opened_at", "grade", "user_agent"),
    "refusals": ("id", *REFUSAL_COLUMNS),
    "search_entries": ("id", "message_id", "refusal_id", "counted"),
}
_Row = tuple[Any, ...]
_NO_PASSWORD = "-"  # noqa: S105 - nothing hashes to it


@dataclass(frozen=True)
class Filled:
    """A record of which is known what is in it."""

    messages: int
    recipients: int
    # The account with the most mail.
    login: str


def fill(database: Database, recipients: int, now: dt.datetime, tell: Callable[[int], None]) -> Filled:
    """Write a record with about so many recipients into an empty database; ``tell``: how many there are by now.

    ``now``: when it ends; the newest of its mail is still under way.
    """
    with database.writing() as session:
        _people(session, now)
    _make_days(database, now)
    indexes = _drop_indexes(database)
    with database.fixed_statements() as statements:
        year = _Year(statements, recipients, now)
    for portion in year.portions():
        with database.fixed_statements() as statements:
            if not statements.is_postgresql:
                statements.rows("PRAGMA cache_size = -400000", ())
            portion.write(statements)
        tell(year.recipients)
    with database.fixed_statements() as statements:
        year.sums(statements)
    _follow_ids(database)
    _make_indexes(database, indexes)
    _check(database)
    return Filled(year.messages, year.recipients, _login(0))


def _login(number: int) -> str:
    return f"customer{number}"


def _people(session: Session, now: dt.datetime) -> None:
    session.add(Plan(id=1, name="standard", recipients_per_day=100_000))
    session.flush()
    for number in range(_ACCOUNTS):
        session.add(
            Account(
                id=number + 1, login=_login(number), password_hash=_NO_PASSWORD, plan_id=1, time_zone="Europe/Vienna",
                tracking=True, notice_address=None, created_at=now - _YEAR, suspended_at=None, suspended_reason=None,
                is_provider=number == 0,
            )
        )  # fmt: skip
    session.flush()
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0) - dt.timedelta(hours=1)
    uses = [
        {"account_id": number + 1, "span": Span.DAY, "window_begins": midnight - dt.timedelta(days=day),
         "messages": count, "recipients": count, "new_recipients": count // 9}
        for number in range(_ACCOUNTS) for day in range(60) for count in [1 + 5_000 // (number + 1)]
    ]  # fmt: skip
    session.execute(insert(QuotaUse), uses)


@dataclass
class _Portion:
    rows: defaultdict[str, list[_Row]] = field(default_factory=lambda: defaultdict(list))
    documents: list[tuple[int, Document]] = field(default_factory=list)

    def write(self, statements: FixedStatements) -> None:
        for table, columns in _TABLES.items():
            statements.insert(table, columns, self.rows[table])
        if statements.is_postgresql:
            words = [(number, document.for_postgresql()) for number, document in self.documents]
            statements.insert("search_words", ("entry_id", "words"), words)
        else:
            rows = [(number, document.for_sqlite()) for number, document in self.documents]
            statements.insert("search_words", ("rowid", "words"), rows)


class _Uneven:
    """Choices of which the first are made far more often (Zipf's law)."""

    def __init__(self, chance: random.Random, count: int, exponent: float) -> None:
        self._chance = chance
        self._sums = list(itertools.accumulate((number + 1) ** -exponent for number in range(count)))

    def __call__(self) -> int:
        return bisect.bisect_left(self._sums, self._chance.random() * self._sums[-1])


@dataclass(frozen=True)
class _Outcome:
    """What becomes of a recipient: the seconds to each attempt, and how the last ends."""

    state: str
    after_seconds: tuple[float, ...]


class _Year:
    """Makes the rows."""

    def __init__(self, keeps: FixedStatements, wanted: int, now: dt.datetime) -> None:
        self._moment, self._id, self._is_dated = keeps.moment, keeps.id, keeps.is_postgresql
        self._wanted, self._now = wanted, now
        self._chance = chance = random.Random(wanted)  # noqa: S311 - chance, no secrets
        self._account, self._domain = _Uneven(chance, _ACCOUNTS, 0.7), _Uneven(chance, _DOMAINS, 0.9)
        self._word, self._person = _Uneven(chance, _WORDS, 0.8), _Uneven(chance, _PEOPLE, 0.4)
        self._words = ["".join(chance.choices(_SYLLABLES, k=chance.randint(1, 4))) for _ in range(_WORDS)]
        self._names = [f"{chance.choice(self._words)}.{chance.choice(self._words)}" for _ in range(_PEOPLE)]
        self._domains = [f"{chance.choice(self._words)}{number}.example" for number in range(_DOMAINS)]
        self._days: dict[tuple[dt.date, str], Counter[str]] = defaultdict(Counter)
        self._times: Counter[tuple[str, dt.date, int]] = Counter()
        self._last_used: dict[str, dt.datetime] = {}
        self._file_id = self._recipient_id = self._delivery_id = self._refusal_id = 0
        self.messages = self.recipients = 0

    def portions(self) -> Iterator[_Portion]:
        """Some thousand messages each, the oldest first."""
        between = _YEAR / max(1, round(self._wanted / _RECIPIENTS_OF_A_MESSAGE))
        at, portion = self._now - _YEAR, _Portion()
        while self.recipients < self._wanted:
            at = min(at + between * self._chance.uniform(0.2, 1.8), self._now)
            self._begin(at)
            self._message(portion, at)
            if not self.messages % 100:
                self._refusal(portion, at)
            if not self.messages % _PORTION:
                yield portion
                portion = _Portion()
        yield portion

    def sums(self, statements: FixedStatements) -> None:
        """The statistics."""
        rows = [
            (day.isoformat() if not statements.is_postgresql else day, domain, *(counts[name] for name in COLUMNS))
            for (day, domain), counts in self._days.items()
        ]
        statements.insert("delivery_days", ("day", "domain", *COLUMNS), rows)
        times = [
            (domain, day.isoformat() if not statements.is_postgresql else day, bucket, count)
            for (domain, day, bucket), count in self._times.items()
        ]
        statements.insert("acceptance_times", ("domain", "day", "bucket", "recipients"), times)
        uses = [(login, self._moment(at)) for login, at in self._last_used.items()]
        statements.insert("credential_uses", ("login", "last_used_at"), uses)

    def _begin(self, at: dt.datetime) -> None:
        """Let the ids that are given from now on carry the day, where they do."""
        if self._is_dated:
            day = record_days.day_number(at)
            self._file_id, self._recipient_id, self._delivery_id, self._refusal_id = (
                record_days.dated_id(day, number)
                for number in (self._file_id, self._recipient_id, self._delivery_id, self._refusal_id)
            )

    def _subject(self) -> str:
        words = [self._words[self._word()] for _ in range(self._chance.randint(2, 6))]
        return f"{' '.join(words).capitalize()} {self._chance.randint(1, 9999)}"

    def _how_many(self) -> int:
        dice = self._chance.random()
        return 1 if dice < 0.85 else self._chance.randint(2, 4) if dice < 0.99 else self._chance.randint(5, 30)

    def _message(self, portion: _Portion, at: dt.datetime) -> None:
        chance, rows = self._chance, portion.rows
        number = self._account()
        login = _login(number)
        message_id = uuid.UUID(
            int=int(at.timestamp() * 1000) << 80 | 7 << 76 | chance.getrandbits(12) << 64 | 2 << 62
            | chance.getrandbits(62)
        )  # fmt: skip
        self.messages += 1
        self._file_id += 1
        queue_id = f"4{_base36(self._file_id):0>11}"
        sender, subject = f"office@{login}.example", self._subject()
        header = f"<{chance.getrandbits(80):020x}@{login}.example>"
        people = {f"{self._names[self._person()]}@{self._domains[self._domain()]}" for _ in range(self._how_many())}
        document, counted = Document(), Counter[Place]()
        states: list[str] = []
        replies: list[str] = []
        remote_ids: list[str] = []
        key, moment = self._id(message_id), self._moment(at)
        first_id, queue_ids = self._file_id, [queue_id]
        # Every fourth account has a pixel for each recipient: Postfix makes a copy for each.
        is_split = len(people) > 1 and number % 4 == 0
        for rcpt, address in enumerate(sorted(people), start=1):
            outcome = self._outcome(at)
            states.append(outcome.state)
            if is_split:
                queue_ids.append(self._copy(rows, at, queue_id, first_id, rcpt, address, key, login))
            self._recipient(rows, at, rcpt, address, outcome, replies, remote_ids, login)
            self._count(counted, at, address, outcome)
        is_opened = chance.random() < 0.2
        document.add_account(number + 1)
        document.add_statuses({*states, OPENED} if is_opened else set(states))
        document.add_text(Field.SUBJECT, subject)
        document.add_addresses(Field.SENDER, (sender,))
        document.add_addresses(Field.RECIPIENT, sorted(people))
        document.add_names([str(message_id), header, *queue_ids, *remote_ids])
        for reply in dict.fromkeys(replies):
            document.add_text(Field.REPLY, reply)
        rows["messages"].append(
            (key, number + 1, login, "laptop", moment, sender, header, subject, chance.randint(2_000, 60_000),
             "203.0.113.9", "TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits)", len(people), "[]", "inserted",
             "[]", len(people), is_split, False)
        )  # fmt: skip
        rows["queue_files"].append(
            ("edge1", "postfix", queue_id, moment, key, header, sender, "client[203.0.113.9]", login, 4_000,
             len(people), None, None, None, None, None, None, first_id)
        )  # fmt: skip
        if is_opened:
            opened_at = self._moment(at + dt.timedelta(minutes=chance.randint(1, 5_000)))
            rows["opens"].append((key, 0, opened_at, "person", "Mozilla/5.0 (X11; Linux x86_64)"))
        entry = search_entries.number(at, message_id)
        plain = json.dumps(statistics_rows.to_plain(counted))
        rows["search_entries"].append((entry, key, None, plain))
        portion.documents.append((entry, document))
        self._last_used[login] = at

    def _copy(
        self,
        rows: dict[str, list[_Row]],
        at: dt.datetime,
        parent: str,
        parent_id: int,
        rcpt: int,
        address: str,
        key: Any,
        login: str,
    ) -> str:
        """The first queue file hands one recipient to our own service for copies; the copy's queue id."""
        self._file_id += 1
        self._recipient_id += 1
        queue_id, moment = f"4{_base36(self._file_id):0>11}", self._moment(at)
        rows["queue_files"].append(
            ("edge1", "postfix", queue_id, moment, key, None, f"office@{login}.example", "client[203.0.113.9]", login,
             4_000, 1, parent, "copy", "orig_queue_id", None, None, None, self._file_id)
        )  # fmt: skip
        rows["recipients"].append(
            (parent_id, address, None, rcpt, "queued", moment, moment, None, None, 0, self._recipient_id)
        )
        rows["attempts"].append(
            (self._recipient_id, None, moment, f"postfix/{SPLIT_SERVICE}", "sent", "2.0.0",
             "127.0.0.1[127.0.0.1]:10026", 0.1, "[0.1, 0, 0, 0]", f"250 2.0.0 Ok: queued as {queue_id}", queue_id,
             self._recipient_id)
        )  # fmt: skip
        return queue_id

    def _outcome(self, at: dt.datetime) -> _Outcome:
        chance, dice = self._chance, self._chance.random()
        first = chance.lognormvariate(0.6, 0.8)
        is_new = self._now - at < dt.timedelta(days=2)
        if dice < 0.93:
            return _Outcome("delivered", (first,))
        if dice < 0.96:
            if is_new and chance.random() < 0.4:
                return _Outcome("deferred", (first,))
            return _Outcome("delivered", (first, chance.uniform(300, 4_000)))
        if dice < 0.995:
            return _Outcome("bounced", (first,))
        if is_new:
            return _Outcome("deferred", (first, first + 300.0, first + 900.0))
        return (
            _Outcome("expired", (first, 300.0, 3_600.0, 86_400.0, 432_000.0))
            if dice < 0.999
            else _Outcome("unknown", ())
        )

    def _recipient(
        self,
        rows: dict[str, list[_Row]],
        at: dt.datetime,
        rcpt: int,
        address: str,
        outcome: _Outcome,
        replies: list[str],
        remote_ids: list[str],
        login: str,
    ) -> None:
        self._recipient_id += 1
        self.recipients += 1
        host = f"mx1.{address.rpartition('@')[2]}"
        relay = f"{host}[198.51.100.7]:25"
        last = at
        for number, seconds in enumerate(outcome.after_seconds, start=1):
            last = at + dt.timedelta(seconds=seconds)
            is_last = number == len(outcome.after_seconds)
            status, dsn, remote_id, reply = self._reply(host, address, outcome.state if is_last else "deferred")
            self._delivery_id += 1
            rows["deliveries"].append(
                (self._file_id, "postfix/smtp", 1000 + self._delivery_id % 9000, self._moment(last),
                 f"Verified TLS connection established to {relay}: TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256"
                 " bits)", _dialogue(last, host, login, address, reply), "[]", self._delivery_id)
            )  # fmt: skip
            rows["attempts"].append(
                (self._recipient_id, self._delivery_id, self._moment(last), "postfix/smtp", status, dsn, relay,
                 round(seconds, 2), "[0.1, 0.01, 0.3, 0.2]", reply, remote_id, self._delivery_id)
            )  # fmt: skip
            replies += [relay, reply]
            if remote_id is not None:
                remote_ids.append(remote_id)
        moment = self._moment(last)
        rows["recipients"].append(
            (self._file_id, address, None, rcpt, outcome.state, moment, None, None, None, 0, self._recipient_id)
        )

    def _reply(self, host: str, address: str, state: str) -> tuple[str, str, str | None, str]:
        """Status, enhanced code, their queue id, and the words."""
        if state == "delivered":
            remote_id = f"{self._chance.getrandbits(60):x}"
            return "sent", "2.0.0", remote_id, f"250 2.0.0 Ok: queued as {remote_id}"
        said = f"host {host}[198.51.100.7] said: "
        if state == "bounced":
            words = f"550 5.1.1 <{address}>: Recipient address rejected: User unknown (in reply to RCPT TO command)"
            return "bounced", "5.1.1", None, said + words
        words = f"450 4.2.0 <{address}>: Recipient address rejected: Greylisted (in reply to RCPT TO command)"
        return ("expired" if state == "expired" else "deferred"), "4.2.0", None, said + words

    def _count(self, counted: Counter[Place], at: dt.datetime, address: str, outcome: _Outcome) -> None:
        domain = address.rpartition("@")[2]
        happened: list[tuple[dt.date, str | int]] = [(at.date(), "recipients")]
        seconds = outcome.after_seconds
        if len(seconds) > 1 or outcome.state == "deferred":
            happened.append(((at + dt.timedelta(seconds=seconds[0])).date(), "deferred"))
        last = at + dt.timedelta(seconds=seconds[-1]) if seconds else at
        if outcome.state in ("delivered", "bounced", "expired"):
            happened.append((last.date(), outcome.state))
        if outcome.state == "delivered":
            happened.append((last.date(), acceptance_bucket(round(seconds[-1], 2))))
        for day, what in happened:
            for place in ("", domain):
                counted[Place(day, place, what)] += 1
                if isinstance(what, str):
                    self._days[day, place][what] += 1
                else:
                    self._times[place, day, what] += 1
        for place in ("", domain):
            if Place(at.date(), place, "messages") not in counted:
                counted[Place(at.date(), place, "messages")] = 1
                self._days[at.date(), place]["messages"] += 1

    def _refusal(self, portion: _Portion, at: dt.datetime) -> None:
        self._refusal_id += 1
        number, subject = self._account(), self._subject()
        login = _login(number)
        address = f"{self._names[self._person()]}@{self._domains[self._domain()]}"
        reply = "452 4.7.1 Plan limit reached: 50 recipients per hour, 50 used, this message has 1"
        portion.rows["refusals"].append(
            (self._refusal_id, number + 1, login, self._moment(at), "edge1", None, f"office@{login}.example",
             json.dumps([address]), subject, "over quota", reply, "milter", None, None, None)
        )  # fmt: skip
        document = Document()
        document.add_account(number + 1)
        document.add_statuses((REFUSED,))
        document.add_text(Field.SUBJECT, subject)
        document.add_addresses(Field.SENDER, (f"office@{login}.example",))
        document.add_addresses(Field.RECIPIENT, (address,))
        document.add_text(Field.REPLY, reply)
        entry = search_entries.number(at, self._refusal_id) + 7
        portion.rows["search_entries"].append((entry, None, self._refusal_id, "[]"))
        portion.documents.append((entry, document))


_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"


def _base36(value: int) -> str:
    found = ""
    while value:
        value, digit = divmod(value, 36)
        found = _DIGITS[digit] + found
    return found


def _dialogue(at: dt.datetime, host: str, login: str, address: str, reply: str) -> str:
    lines = (
        ("S", f"220 {host} ESMTP"), ("C", "EHLO edge1.relay.example"),
        ("S", f"250-{host}"), ("S", "250-PIPELINING"), ("S", "250-SIZE 52428800"), ("S", "250-STARTTLS"),
        ("S", "250-ENHANCEDSTATUSCODES"), ("S", "250-8BITMIME"), ("S", "250 DSN"), ("C", "STARTTLS"),
        ("S", "220 2.0.0 Ready to start TLS"), ("C", "EHLO edge1.relay.example"), ("S", f"250 {host}"),
        ("C", f"MAIL FROM:<office@{login}.example> SIZE=4000"), ("C", f"RCPT TO:<{address}>"), ("C", "DATA"),
        ("S", "250 2.1.0 Ok"), ("S", "250 2.1.5 Ok"), ("S", "354 End data with <CR><LF>.<CR><LF>"), ("C", "."),
        ("S", reply.removeprefix(f"host {host}[198.51.100.7] said: ")), ("C", "QUIT"), ("S", "221 2.0.0 Bye"),
    )  # fmt: skip
    when = at.isoformat()
    return "[" + ", ".join([f'["{when}", "{speaker}", "{words}"]' for speaker, words in lines]) + "]"


# --- partitions, and indexes: quicker made at the end ---------------------------------------------------------------


def _make_days(database: Database, now: dt.datetime) -> None:
    """The partitions that the year's mail would have had, where there are partitions."""
    with database.writing_connection() as connection:
        if not partitions.existing(connection):
            return
    for day in range(record_days.day_number(now - _YEAR), record_days.day_number(now) + 1):
        with database.writing_connection() as connection:
            partitions.create(connection, day)


def _drop_indexes(database: Database) -> Sequence[str]:
    """The statements that make them again. What keeps rows unique stays."""
    with database.writing_connection() as connection:
        if connection.dialect.name == "sqlite":
            found = "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql LIKE 'CREATE INDEX%'"
        else:  # those of partitions go, and come again, with their table's
            found = (
                "SELECT relname, replace(pg_get_indexdef(oid), ' ON ONLY ', ' ON ') FROM pg_class"
                " WHERE relkind IN ('i', 'I') AND NOT relispartition AND relnamespace = 'public'::regnamespace"
                " AND pg_get_indexdef(oid) LIKE 'CREATE INDEX%'"
            )
        indexes = connection.execute(text(found)).all()
    for name, _ in indexes:
        with database.writing_connection() as connection:
            connection.execute(text(f"DROP INDEX {name}"))
    return [statement for _, statement in indexes]


def _follow_ids(database: Database) -> None:
    """Tell PostgreSQL's sequences of rows that came with their ids: a day's number is no part of theirs."""
    with database.writing_connection() as connection:
        if connection.dialect.name != "postgresql":
            return
        for table in ("queue_files", "recipients", "deliveries", "refusals"):
            number = f"coalesce(max(id % {record_days.FIRST_DATED_ID}), 0) + 1"
            connection.execute(
                text(f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), {number}, false) FROM {table}")  # noqa: S608 - our own names
            )


def _make_indexes(database: Database, statements: Sequence[str]) -> None:
    for statement in statements:
        with database.writing_connection() as connection:
            if connection.dialect.name == "postgresql":
                connection.execute(text("SET LOCAL maintenance_work_mem = '512MB'"))
            connection.execute(text(statement))
    # Nobody has SQLite look at its tables, so neither does this.
    last = "VACUUM ANALYZE" if database.engine.dialect.name == "postgresql" else "PRAGMA wal_checkpoint(TRUNCATE)"
    with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text(last))


def _check(database: Database) -> None:
    """A sample counts, and is found, as the logparser would have it: else the figures say nothing.

    Raises:
        UserError: it is not so.
    """
    with database.reading() as session:
        newest = session.scalars(select(Message.id).order_by(Message.submitted_at.desc()).limit(_SAMPLE)).all()
        oldest = session.scalars(select(Message.id).order_by(Message.submitted_at).limit(_SAMPLE)).all()
        entries = {
            entry.message_id: entry
            for entry in session.scalars(select(SearchEntry).where(SearchEntry.message_id.in_([*newest, *oldest])))
        }
        for outline in transcript_queries.load_outlines(session, [*newest, *oldest]):
            entry = entries[uuid.UUID(str(outline.message.id))]
            if statistics_rows.to_plain(statistics_rows.contribution(outline)) != entry.counted:
                raise UserError(f"{outline.message.id} counts otherwise than the logparser would count it.")
        counted = session.scalar(text("SELECT sum(recipients) FROM delivery_days WHERE domain = ''"))
        here = select(func.count()).select_from(Recipient).where(Recipient.handed_on_at.is_(None))
        if counted != session.scalar(here):
            raise UserError("the statistics do not count every recipient once.")
