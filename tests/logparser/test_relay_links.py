"""Two edges, each with its own log and logparser, and one record: a recipient is followed from one to the other."""

import dataclasses
import datetime as dt
import shutil
import tempfile
import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Uuid, bindparam, text
from sqlalchemy.orm import Session

from sendproof_core import schema_version, transcript_json, transcript_queries
from sendproof_core.database import Database, open_database
from sendproof_core.links import LinkKind
from sendproof_core.queue_times import QueueTimes
from sendproof_core.states import RecipientState
from sendproof_core.transcript_story import tell_all
from sendproof_core.transcripts import Transcript
from sendproof_logparser import derive, relay_links
from sendproof_logparser.relay_links import Candidate, Sent
from sendproof_testing.record_reading import NOW, Machine, admitted, derive_all, record_of

_EDGE_A, _EDGE_B = "edge-a.example", "edge-b.example"
_ADDRESS_B = "198.51.100.2"
_HANDED_ON = "250 2.0.0 Ok: queued as 4dDmB7Relayed"
_MESSAGE = admitted("4dDmA7Submit", "anna@example.net", "cora@example.org", host=_EDGE_A)
_LOG_A = (
    "12:00:00 edge-a postfix/submission/smtpd[60]: 4dDmA7Submit: client=home[203.0.113.9], sasl_username=max",
    "12:00:00 edge-a postfix/cleanup[61]: 4dDmA7Submit: message-id=<7f3c@own.example>",
    "12:00:01 edge-a postfix/qmgr[62]: 4dDmA7Submit: from=<max@own.example>, size=512, nrcpt=2 (queue active)",
    "12:00:02 edge-a postfix/smtp[63]: 4dDmA7Submit: to=<anna@example.net>, relay=edge-b.example[198.51.100.2]:25,"
    f" delay=1, delays=0/0/0/1, dsn=2.0.0, status=sent ({_HANDED_ON})",
    "12:00:02 edge-a postfix/smtp[64]: 4dDmA7Submit: to=<cora@example.org>, relay=mx.example.org[192.0.2.2]:25,"
    " delay=1, delays=0/0/0/1, dsn=2.0.0, status=sent (250 2.0.0 Ok: queued as 4theirs123)",
    "12:00:02 edge-a postfix/qmgr[62]: 4dDmA7Submit: removed",
)
_LOG_B = (
    "12:00:01 edge-b postfix/smtpd[60]: 4dDmB7Relayed: client=edge-a.example[198.51.100.1]",
    "12:00:01 edge-b postfix/cleanup[61]: 4dDmB7Relayed: message-id=<7f3c@own.example>",
    "12:00:02 edge-b postfix/qmgr[62]: 4dDmB7Relayed: from=<max@own.example>, size=700, nrcpt=1 (queue active)",
    "12:00:03 edge-b postfix/smtp[63]: 4dDmB7Relayed: to=<anna@example.net>, relay=none, delay=2, delays=0/0/2/0,"
    " dsn=4.4.1, status=deferred (connect to mx.example.net[192.0.2.1]:25: Connection refused)",
    "12:05:03 edge-b postfix/smtp[63]: 4dDmB7Relayed: to=<anna@example.net>, relay=mx.example.net[192.0.2.1]:25,"
    " delay=302, delays=300/0/1/1, dsn=2.0.0, status=sent (250 2.0.0 Ok: queued as 4dDmMxTook)",
    "12:05:03 edge-b postfix/qmgr[62]: 4dDmB7Relayed: removed",
)


class Edges:
    """Two machines with one record."""

    def __init__(self, folder: Path, database: Database, *, named: bool = False) -> None:
        """``named``: A's settings name B's address."""
        self.database = database
        for name in ("a", "b"):
            (folder / name).mkdir()
        self.a, self.b = Machine(folder / "a", database, _EDGE_A), Machine(folder / "b", database, _EDGE_B)
        self.a.settings = dataclasses.replace(self.a.settings, edges=(_ADDRESS_B,) if named else ())
        self.a.note(_MESSAGE)

    def log_a(self, lines: Sequence[str] = _LOG_A) -> None:
        self.a.log(*(f"Nov 22 {line}" for line in lines))

    def log_b(self, lines: Sequence[str] = _LOG_B) -> None:
        self.b.log(*(f"Nov 22 {line}" for line in lines))

    def finish(self) -> None:
        self.a.read()
        self.b.read()
        derive_all(self.database)

    def transcript(self) -> Transcript:
        with self.database.reading() as session:
            found = transcript_queries.load_transcript(session, _MESSAGE.message_id)
        assert found is not None
        return found

    def state_of_anna(self) -> RecipientState:
        return self.transcript().recipients[0].state

    def said(self) -> dict[str, Any]:
        """The record, and everything that is shown of it."""
        told = transcript_json.transcript(self.transcript(), QueueTimes(), NOW)
        return {**record_of(self.database), "transcript": told, "sums": sums(self.database)}


def sums(database: Database) -> list[tuple[Any, ...]]:
    query = "SELECT domain, messages, recipients, delivered, deferred, bounced FROM delivery_days ORDER BY domain"
    with database.engine.connect() as connection:
        return [tuple(row) for row in connection.exec_driver_sql(query)]


@pytest.fixture
def edges(either_database: Database, tmp_path: Path) -> Edges:
    return Edges(tmp_path, either_database)


@pytest.fixture
def named_edges(either_database: Database, tmp_path: Path) -> Edges:
    return Edges(tmp_path, either_database, named=True)


# --- followed -------------------------------------------------------------------------------------------------------


def test_a_recipient_is_followed_to_the_edge_that_delivers(edges: Edges) -> None:
    edges.log_a()
    edges.log_b()
    edges.finish()
    anna, cora = edges.transcript().recipients
    assert (anna.state, cora.state) == (RecipientState.DELIVERED, RecipientState.DELIVERED)
    assert [attempt.relay for attempt in anna.attempts] == ["none", "mx.example.net[192.0.2.1]:25"]
    assert {attempt.host for attempt in anna.attempts} == {_EDGE_B}
    (hop,) = anna.hops
    assert (hop.kind, hop.from_queue_id, hop.queue_id) == (LinkKind.RELAY, "4dDmA7Submit", "4dDmB7Relayed")
    assert (hop.host, cora.hops) == (_EDGE_B, ())


def test_the_story_names_the_other_edge_and_whose_logs_it_rests_on(edges: Edges) -> None:
    edges.log_a()
    edges.log_b()
    edges.finish()
    story, _ = tell_all(edges.transcript(), QueueTimes(), dt.UTC, NOW)
    (relayed,) = [entry for entry in story.timeline if entry.label == "relayed"]
    assert relayed.detail[0] == "to our server edge-b.example, as 4dDmB7Relayed"
    assert "of the mail logs of edge-a.example and edge-b.example" in story.evidence
    assert "journal of edge-a.example" in story.evidence
    assert all("edge-b.example postfix/smtp: 4dDmB7Relayed" in line for line in story.log_lines)


def test_the_statistics_count_a_relayed_recipient_once_where_it_came_to(edges: Edges) -> None:
    edges.log_a()
    edges.a.read()
    derive_all(edges.database)
    edges.log_b()
    edges.finish()
    assert [row[:4] for row in sums(edges.database) if row[0]] == [("example.net", 1, 1, 1), ("example.org", 1, 1, 1)]


def test_every_name_of_it_leads_to_the_one_message(edges: Edges) -> None:
    edges.log_a()
    edges.log_b()
    edges.finish()
    with edges.database.reading() as session:
        for name in ("4dDmA7Submit", "4dDmB7Relayed", "4dDmMxTook", "<7f3c@own.example>"):
            assert [one.id for one in transcript_queries.find(session, name)] == [_MESSAGE.message_id]


# --- what one log alone proves --------------------------------------------------------------------------------------


def test_of_an_edge_that_the_settings_name_a_hop_is_no_delivery_before_its_log_was_read(named_edges: Edges) -> None:
    named_edges.log_a(_LOG_A[:-1])
    named_edges.finish()
    assert named_edges.state_of_anna() is RecipientState.QUEUED
    named_edges.log_a(_LOG_A[-1:])
    named_edges.finish()
    anna = named_edges.transcript().recipients[0]
    assert anna.state is RecipientState.UNKNOWN
    assert [(hop.kind, hop.queue_id, hop.host) for hop in anna.hops] == [(LinkKind.RELAY, "4dDmB7Relayed", None)]
    named_edges.log_b(_LOG_B[:-2])
    named_edges.finish()
    assert named_edges.state_of_anna() is RecipientState.DEFERRED
    named_edges.log_b(_LOG_B[-2:])
    named_edges.finish()
    assert named_edges.state_of_anna() is RecipientState.DELIVERED


def test_a_server_that_is_not_in_the_record_has_taken_the_mail_over(edges: Edges) -> None:
    edges.log_a()
    edges.finish()
    anna = edges.transcript().recipients[0]
    assert (anna.state, anna.hops) == (RecipientState.DELIVERED, ())
    assert anna.attempts[0].relay == "edge-b.example[198.51.100.2]:25"


@pytest.mark.parametrize(
    ("line", "other"),
    [
        (_LOG_B[1], _LOG_B[1].replace("7f3c", "8f3c")),  # another Message-ID
        (_LOG_B[1], "12:00:01 edge-b postfix/smtpd[60]: disconnect from edge-a.example[198.51.100.1]"),  # none
        (_LOG_B[0], f"{_LOG_B[0]}, sasl_method=PLAIN, sasl_username=max"),  # submitted there
        (_LOG_B[0], "12:00:01 edge-b postfix/pickup[59]: 4dDmB7Relayed: uid=0 from=<root>"),  # made there
    ],
)
def test_a_queue_file_that_only_has_the_name_is_another_mail(edges: Edges, line: str, other: str) -> None:
    edges.log_a()
    edges.log_b([other if one == line else one for one in _LOG_B])
    edges.finish()
    anna = edges.transcript().recipients[0]
    assert (anna.state, anna.hops) == (RecipientState.DELIVERED, ())
    assert anna.attempts[0].relay == "edge-b.example[198.51.100.2]:25"


def test_a_queue_file_that_another_edge_names_by_xforward_is_linked_to_that_edge(edges: Edges) -> None:
    edges.log_a()
    edges.log_b([f"{_LOG_B[0]}, orig_queue_id=4dDmA7Submit, orig_client=home[203.0.113.9]", *_LOG_B[1:]])
    edges.finish()
    assert edges.state_of_anna() is RecipientState.DELIVERED
    assert len(edges.transcript().recipients[0].attempts) == 2


def test_a_queue_file_that_a_journal_names_while_the_lock_is_waited_for_is_not_linked(
    edges: Edges, monkeypatch: pytest.MonkeyPatch
) -> None:
    edges.log_a()
    edges.log_b()

    def named_meanwhile(session: Session, _hosts: object) -> None:
        session.execute(text("UPDATE queue_files SET login = 'max', message_id = :id WHERE queue_id = '4dDmB7Relayed'")
                        .bindparams(bindparam("id", uuid.uuid4(), type_=Uuid)))  # fmt: skip

    monkeypatch.setattr(relay_links, "_lock", named_meanwhile)
    edges.finish()
    assert edges.state_of_anna() is RecipientState.DELIVERED


# --- in any order ---------------------------------------------------------------------------------------------------


def _interleavings() -> st.SearchStrategy[list[str]]:
    """Lines of each log in their order, read and derived from at any moment between them."""
    events = ["a"] * len(_LOG_A) + ["b"] * len(_LOG_B) + ["read a", "read b", "derive"] * 3
    return st.permutations(events)


@pytest.fixture(scope="module")
def expected(sqlite_template: Path) -> dict[str, Any]:
    with _new_edges(sqlite_template, named=False) as edges:
        edges.log_a()
        edges.log_b()
        edges.finish()
        assert edges.state_of_anna() is RecipientState.DELIVERED
        return edges.said()


class _new_edges:  # noqa: N801 - used as a function
    def __init__(self, template: Path, *, named: bool) -> None:
        self._template, self._named = template, named

    def __enter__(self) -> Edges:
        self._folder = tempfile.TemporaryDirectory()
        folder = Path(self._folder.name)
        shutil.copy(self._template, folder / "sendproof.db")
        self._database = open_database(f"sqlite:///{folder}/sendproof.db")
        return Edges(folder, self._database, named=self._named)

    def __exit__(self, *_: object) -> None:
        self._database.close()
        self._folder.cleanup()


@settings(max_examples=25, deadline=None)
@given(_interleavings(), st.booleans())
def test_in_whatever_order_two_logs_are_read_the_record_is_the_same(
    sqlite_template: Path, expected: dict[str, Any], events: list[str], named: bool
) -> None:
    with _new_edges(sqlite_template, named=named) as edges:
        left_a, left_b = iter(_LOG_A), iter(_LOG_B)
        for event in events:
            match event:
                case "a":
                    edges.log_a([next(left_a)])
                case "b":
                    edges.log_b([next(left_b)])
                case "read a":
                    edges.a.read()
                case "read b":
                    edges.b.read()
                case _:
                    derive_all(edges.database)
        edges.finish()
        assert edges.said() == expected


@pytest.mark.parametrize("first", ["a", "b"])
def test_either_log_may_be_read_first(edges: Edges, first: str, expected: dict[str, Any]) -> None:
    steps = [(edges.log_a, edges.a), (edges.log_b, edges.b)]
    for log, machine in steps if first == "a" else reversed(steps):
        log()
        machine.read()
        derive_all(edges.database)
    said = edges.said()
    assert (said["transcript"], said["sums"]) == (expected["transcript"], expected["sums"])


@pytest.mark.postgres
def test_two_logparsers_that_write_and_derive_at_once_give_the_same_record(
    postgres_url: str, tmp_path: Path, expected: dict[str, Any]
) -> None:
    """Each with connections of its own, a line at a time."""
    database, other = open_database(postgres_url), open_database(postgres_url)
    schema_version.upgrade(database)
    edges = Edges(tmp_path, database)
    edges.b.database = other

    def work(log: Callable[[Sequence[str]], None], machine: Machine, lines: Sequence[str]) -> None:
        for line in lines:
            log([line])
            machine.read()
            derive.run(machine.store().session)

    jobs = ((edges.log_a, edges.a, _LOG_A), (edges.log_b, edges.b, _LOG_B))
    with ThreadPoolExecutor() as threads:
        for done in [threads.submit(work, *job) for job in jobs]:
            done.result(timeout=60)
    edges.finish()
    said = edges.said()
    assert (said["transcript"], said["sums"]) == (expected["transcript"], expected["sums"])
    database.close()
    other.close()


def test_a_link_that_a_logparser_wrote_over_is_made_again(edges: Edges) -> None:
    """One writes whole rows as it has read them before: what it has touched is noted, and looked at once more."""
    edges.log_a()
    edges.log_b()
    edges.finish()
    before = edges.said()
    with edges.database.writing() as session:
        session.execute(
            text(
                "UPDATE queue_files SET parent_queue_id = NULL, link_kind = NULL, link_evidence = NULL"
                " WHERE queue_id = '4dDmB7Relayed'"
            )
        )
        session.execute(
            text("UPDATE recipients SET state = 'delivered', handed_on_at = NULL WHERE handed_on_at IS NOT NULL")
        )
        session.execute(text("INSERT INTO record_changes (queue_file_id) SELECT id FROM queue_files"))
    derive_all(edges.database)
    assert edges.said() == before


# --- what belongs together ------------------------------------------------------------------------------------------

_AT = dt.datetime(2026, 11, 22, 12, 0, tzinfo=dt.UTC)


def _sent(recipient_id: int = 1, *, host: str = "a", file_id: int = 1, at: dt.datetime = _AT) -> Sent:
    return Sent(recipient_id, at, "B0001", file_id, host, "A0001", _AT, "<1@own>", None, None, is_handed_on=False)


def _child(file_id: int = 7, host: str = "b", born_at: dt.datetime = _AT) -> Candidate:
    return Candidate(file_id, host, "B0001", born_at, "<1@own>")


def _decided(children: Sequence[Candidate], sent: Sequence[Sent]) -> list[tuple[int, list[int]]]:
    return [
        (link.child.file_id, [one.recipient_id for one in link.sent]) for link in relay_links.decide(children, sent)
    ]


def test_all_recipients_that_went_on_in_one_queue_file_go_on_there() -> None:
    assert _decided([_child()], [_sent(1), _sent(2)]) == [(7, [1, 2])]


def test_a_queue_file_of_the_same_host_is_no_other_edges() -> None:
    assert _decided([_child(host="a")], [_sent()]) == []


@pytest.mark.parametrize(("minutes", "fits"), [(-6, False), (-4, True), (0, True), (60, True), (64, True), (66, False)])
def test_what_went_on_was_born_while_the_other_edge_had_the_mail(minutes: int, fits: bool) -> None:
    child = _child(born_at=_AT + dt.timedelta(minutes=minutes))
    assert bool(_decided([child], [_sent(at=_AT + dt.timedelta(hours=1))])) is fits


def test_of_several_lives_of_a_short_queue_id_it_is_the_newest_that_there_was() -> None:
    lives = [_child(number, born_at=_AT + dt.timedelta(minutes=number)) for number in (1, 20, 40)]
    assert _decided(lives, [_sent(at=_AT + dt.timedelta(minutes=21))]) == [(20, [1])]


def test_a_queue_file_comes_from_one_and_two_do_not_come_from_each_other() -> None:
    far = _sent(2, host="c", file_id=2, at=_AT + dt.timedelta(minutes=3))
    assert _decided([_child()], [far, _sent(1)]) == [(7, [1])]
    assert _decided([_child()], [_sent()._replace(parent_host="b", parent_queue_id="B0001")]) == []


def test_what_is_linked_stays_where_it_is() -> None:
    linked = _child()._replace(parent_host="a", parent_queue_id="A0001")
    assert _decided([linked], [_sent(2, host="c", file_id=2)]) == []
    (link,) = relay_links.decide([linked], [_sent()._replace(is_handed_on=True)])
    assert link.is_made
