import datetime as dt
import itertools
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sendproof_core.journal_records import JournalRecord, Opened, Refused, Withdrawn
from sendproof_core.states import RecipientState
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
from sendproof_logparser.local_relay import LocalRelays
from sendproof_logparser.process import Process
from sendproof_logparser.queue_file import QueueFileCopy, QueueFiles, RecipientCopy, Wanted
from sendproof_testing.record_reading import NOW, admitted, copied

_T = dt.datetime(2026, 11, 22, 12, 0, tzinfo=dt.UTC)
_HOST = "relay.example"
_SHORT, _SHORT_2, _SHORT_3 = "4F5C64474F", "4F5C644750", "4F5C644751"
_LONG = "4jXGhv32rHzJLdv"
_MX = "mx.example.net[192.0.2.1]:25"
_OURSELVES = "127.0.0.1[127.0.0.1]:10024"
_FINAL = (RecipientState.DELIVERED, RecipientState.BOUNCED, RecipientState.EXPIRED, RecipientState.CANCELLED)
_HAPPENINGS = ("sent", "deferred", "bounced", "SOFTBOUNCE", "handed-on", *Disposition)
_PUT_OFF = "delivery temporarily suspended: connect to mx.example.net[192.0.2.1]:25: Connection refused"


class _Said(NamedTuple):
    """A line of the mail log, understood."""

    at: dt.datetime
    process: Process
    event: Event


_Step = _Said | JournalRecord


def _by(daemon: str, *, instance: str = "postfix", service: str = "", pid: int = 7) -> Process:
    return Process(_HOST, "/".join(filter(None, (instance, service, daemon))), pid, instance, daemon)


def _said(
    event: Event, seconds: float = 0, *, by: str = "smtpd", instance: str = "postfix", service: str = ""
) -> _Said:
    return _Said(_T + dt.timedelta(seconds=seconds), _by(by, instance=instance, service=service), event)


def _status(
    to: str,
    status: str = "sent",
    *,
    orig_to: str | None = None,
    seconds: float = 0,
    of: str = _SHORT,
    by: str = "smtp",
    relay: str = "none",
    text: str = "text",
    service: str = "",
) -> _Said:
    line = StatusLine(of, to, orig_to, relay, None, 1.0, (0, 0, 0, 1), "2.0.0", status, text)
    return _said(line, seconds, by=by, service=service)


def _disposed(disposition: Disposition, seconds: float = 0, of: str = _SHORT) -> _Said:
    return _said(Disposed(of, disposition), seconds, by="qmgr")


def _client(
    seconds: float = 0,
    of: str = _SHORT,
    *,
    client: str = "localhost[127.0.0.1]",
    login: str | None = None,
    copy_of: str | None = None,
    instance: str = "postfix",
    service: str = "",
) -> _Said:
    return _said(ClientSeen(of, client, login, copy_of), seconds, instance=instance, service=service)


def _active(seconds: float = 0, of: str = _SHORT) -> _Said:
    return _said(QueueActive(of, "max@own.example", 100, 1), seconds, by="qmgr")


def _files(*steps: _Step, own_addresses: tuple[str, ...] = (), edges: tuple[str, ...] = ()) -> QueueFiles:
    """What steps do to queue files, all in one batch. The same line said again is the same line."""
    files = QueueFiles([], LocalRelays(own_addresses, edges))
    for number, step in enumerate(steps):
        if isinstance(step, _Said):
            files.apply([(number, step.at, step.process, step.event, None)], [repr(one) for one in steps])
        else:
            files.note((number, step))
    return files


def _applied(*steps: _Step) -> list[QueueFileCopy]:
    return _files(*steps).all()


def _one(*steps: _Step) -> QueueFileCopy:
    (life,) = _applied(*steps)
    return life


def _states(*steps: _Step) -> list[tuple[str, str | None, str]]:
    return [
        (recipient.address, recipient.final_address, str(recipient.state))
        for life in _applied(*steps)
        for recipient in life.recipients
    ]


def _links(*steps: _Step, own_addresses: tuple[str, ...] = ()) -> dict[str, tuple[str | None, str | None, str | None]]:
    """Of the queue files that have a parent."""
    return {
        life.queue_id: (life.parent_queue_id, life.link_kind, life.link_evidence)
        for life in _files(*steps, own_addresses=own_addresses).all()
        if life.parent_queue_id is not None
    }


@given(st.sampled_from(_FINAL), st.lists(st.sampled_from(_HAPPENINGS)))
def test_a_final_outcome_never_changes(state: RecipientState, happenings: list[str]) -> None:
    """Except that a cancelled message's delivery may have been under way."""
    recipient = RecipientCopy(1, "a@example.net", None, 1, state, _T)
    for happened in happenings:
        recipient.take(happened, _T + dt.timedelta(seconds=1))
    delivered_after_all = state is RecipientState.CANCELLED and "sent" in happenings
    assert recipient.state is (RecipientState.DELIVERED if delivered_after_all else state)


@pytest.mark.parametrize(
    ("steps", "state"),
    [
        (
            [_status("a@example.net", "deferred"), _disposed(Disposition.EXPIRED), _disposed(Disposition.REMOVED)],
            "expired",
        ),
        ([_status("a@example.net", "deferred"), _disposed(Disposition.DELETED)], "cancelled"),
        ([_status("a@example.net", "deferred"), _disposed(Disposition.REMOVED)], "unknown"),
        ([_status("a@example.net", "deferred"), _disposed(Disposition.REMOVED), _status("a@example.net")], "delivered"),
        ([_status("a@example.net", "deferred"), _disposed(Disposition.HELD)], "held"),
        (
            [_status("a@example.net", "deferred"), _disposed(Disposition.HELD), _disposed(Disposition.RELEASED)],
            "queued",
        ),
        ([_status("a@example.net", "SOFTBOUNCE")], "deferred"),
        ([_status("a@example.net", by="discard")], "cancelled"),
        # of a notification to nobody
        ([_status("a@example.net", by="qmgr")], "cancelled"),
        ([_status("a@example.net"), _disposed(Disposition.REMOVED)], "delivered"),
        ([_status("a@example.net", "deferred"), _disposed(Disposition.REQUEUED)], "queued"),
        ([_status("a@example.net", "deferred"), _disposed(Disposition.REJECTED)], "cancelled"),
        ([_status("a@example.net", "deferred", by="qmgr")], "deferred"),
    ],
)
def test_what_happens_decides_the_state(steps: list[_Said], state: str) -> None:
    """Also within one second, which is all that most logs tell apart."""
    assert [found for _, _, found in _states(*steps)] == [state]
    later = [step._replace(at=step.at + dt.timedelta(minutes=number)) for number, step in enumerate(steps)]
    assert [found for _, _, found in _states(*later)] == [state]


def test_a_deferral_renews_the_time_of_the_state() -> None:
    life = _one(_status("a@example.net", "deferred"), _status("a@example.net", "deferred", seconds=60))
    assert life.recipients[0].state_at == _T + dt.timedelta(seconds=60)


@pytest.mark.parametrize(
    ("known", "late"),
    [
        ([_status("a@example.net", "deferred", seconds=600)], [_status("a@example.net", "deferred")]),
        (
            [_status("a@example.net", "deferred", seconds=600)],
            [_disposed(Disposition.HELD, 60), _disposed(Disposition.RELEASED, 120)],
        ),
        ([_disposed(Disposition.HELD, 600)], [_status("a@example.net", "deferred", seconds=60)]),
        ([_disposed(Disposition.HELD, 600)], [_disposed(Disposition.RELEASED, 60)]),
        (
            [_disposed(Disposition.HELD, 500), _disposed(Disposition.RELEASED, 600)],
            [_status("a@example.net", "deferred", seconds=60), _disposed(Disposition.HELD, 70)],
        ),
        ([_disposed(Disposition.REQUEUED, 600)], [_status("a@example.net", "deferred", seconds=60)]),
        ([_status("a@example.net", "deferred", seconds=600)], [_active(30)]),
    ],
)
def test_old_lines_that_are_read_late_do_not_undo_a_newer_state(known: list[_Said], late: list[_Said]) -> None:
    """An older file is read, or imported, after a newer one: the state is as if they had come in order."""
    begin: list[_Step] = [_client(), admitted(_SHORT, "a@example.net")]
    in_order = _one(*begin, *late, *known).recipients[0]
    found = _one(*begin, *known, *late).recipients[0]
    assert (found.state, found.state_at) == (in_order.state, in_order.state_at)


def test_old_lines_that_are_read_late_still_say_how_it_ended() -> None:
    deferred = _status("a@example.net", "deferred", seconds=600)
    for late, state in (("sent", "delivered"), ("bounced", "bounced")):
        assert _states(_client(), deferred, _status("a@example.net", late))[0][2] == state


def test_the_sender_s_own_spelling_names_the_recipient() -> None:
    journal, status = admitted(_SHORT, "Anna@Example.NET"), _status("anna@example.net")
    wanted = [("Anna@Example.NET", None, "delivered")]
    assert _states(journal, status) == _states(status, journal) == wanted


def test_an_alias_is_the_recipient_and_its_target_the_final_address() -> None:
    journal, status = (
        admitted(_SHORT, "info@own.example"),
        _status("max@own.example", orig_to="info@own.example"),
    )
    wanted = [("info@own.example", "max@own.example", "delivered")]
    assert _states(journal, status) == _states(status, journal) == wanted


def test_an_alias_of_several_leaves_nobody_out() -> None:
    statuses = [
        _status("max@own.example", orig_to="info@own.example"),
        _status("eve@own.example", "deferred", orig_to="info@own.example"),
        _status("eve@own.example", "bounced", orig_to="info@own.example"),
    ]
    wanted = [("info@own.example", "max@own.example", "delivered"), ("eve@own.example", None, "bounced")]
    assert _states(*statuses) == _states(admitted(_SHORT, "info@own.example"), *statuses) == wanted


def test_a_recipient_named_twice_is_one() -> None:
    life = _one(admitted(_SHORT, "a@example.net", "b@example.net", "a@EXAMPLE.net"))
    assert [(row.address, row.number) for row in life.recipients] == [("a@example.net", 1), ("b@example.net", 2)]


@pytest.mark.parametrize("disposition", Disposition)
def test_a_recipient_whom_the_journal_names_late_is_in_the_same_state(disposition: Disposition) -> None:
    journal, disposed = admitted(_SHORT, "a@example.net"), _disposed(disposition)
    assert _states(journal, disposed) == _states(_client(), disposed, journal)


def test_a_short_queue_id_begins_a_new_life_after_it_was_removed() -> None:
    lives = _applied(
        _client(), _status("a@example.net"), _disposed(Disposition.REMOVED, 1), _disposed(Disposition.REMOVED, 1),
        _client(1435), _status("b@example.net", seconds=1436), _disposed(Disposition.REMOVED, 1437),
    )  # fmt: skip
    assert [[recipient.address for recipient in life.recipients] for life in lives] == [
        ["a@example.net"],
        ["b@example.net"],
    ]


@pytest.mark.parametrize("first", [_client(1435), _said(MessageIdSeen(_SHORT, "<x@own.example>"), 1435, by="cleanup"),
                                   _said(PickedUp(_SHORT, "root", None), 1435, by="pickup")])  # fmt: skip
def test_each_line_with_which_a_queue_file_begins_begins_a_new_life(first: _Said) -> None:
    lives = _applied(_client(), _status("a@example.net"), _disposed(Disposition.REMOVED, 1), first)
    assert [life.born_at for life in lives] == [_T, _T + dt.timedelta(seconds=1435)]


def test_a_long_queue_id_has_one_life() -> None:
    removed = _disposed(Disposition.REMOVED, of=_LONG)
    life = _one(_client(of=_LONG), removed, _client(1435, of=_LONG), admitted(_LONG, "a@example.net"))
    assert life.born_at == dt.datetime(2026, 11, 22, 4, 45, 19, 429535, dt.UTC)


def test_the_journal_joins_the_life_in_which_it_was_written() -> None:
    at = _T + dt.timedelta(seconds=1436.4)
    lives = _applied(
        _client(), _disposed(Disposition.REMOVED, 1), _client(1435), _disposed(Disposition.REMOVED, 1437),
        admitted(_SHORT, "b@example.net", number=2, at=at), admitted(_SHORT, "a@example.net"),
    )  # fmt: skip
    assert [[recipient.address for recipient in life.recipients] for life in lives] == [
        ["a@example.net"],
        ["b@example.net"],
    ]


def test_a_long_upload_joins_the_journal_s_life_with_its_first_line() -> None:
    at = _T + dt.timedelta(minutes=5)
    life = _one(admitted(_SHORT, "a@example.net", at=at), _client(), _status("a@example.net", seconds=301))
    assert (life.born_at, life.instance) == (_T, "postfix")


def test_instances_are_told_apart() -> None:
    assert len(_applied(_client(), _client(instance="postfix-out"))) == 2


def test_the_journal_alone_does_not_know_the_instance() -> None:
    assert _one(admitted(_SHORT, "a@example.net")).instance == ""
    assert _one(admitted(_SHORT, "a@example.net"), _client()).instance == "postfix"


# --- attempts and suspensions ---


def test_the_same_status_line_is_one_attempt_however_often_it_is_read() -> None:
    first, again = _status("a@example.net", "deferred"), _status("a@example.net", "deferred", seconds=1)
    files = _files(first, again, first, again)
    assert [(attempt.at, attempt.recipient.address) for attempt in files.attempts] == [
        (_T, "a@example.net"),
        (_T + dt.timedelta(seconds=1), "a@example.net"),
    ]


def test_two_attempts_of_one_second_are_two_if_their_lines_differ() -> None:
    files = _files(_status("a@example.net", "deferred", text="450 one"), _status("a@example.net", text="250 two"))
    assert [attempt.line.text for attempt in files.attempts] == ["450 one", "250 two"]


def test_a_stored_attempt_is_known_again() -> None:
    first = _status("a@example.net")
    stored = _files(first).attempts[0]
    life = QueueFileCopy.of_row(_HOST, "postfix", _SHORT, _T)
    recipient = RecipientCopy(1, "a@example.net", None, None, RecipientState.DELIVERED, _T)
    assert recipient.is_new_attempt(stored.at, stored.line_key)
    life.restore(recipient)
    files = QueueFiles([life], LocalRelays())
    files.apply([(0, first.at, first.process, first.event, None)], [repr(first)])
    assert files.attempts == []


@pytest.mark.parametrize("daemon", ["qmgr", "oqmgr", "error", "retry"])
def test_a_suspended_delivery_is_no_attempt_and_counts_once(daemon: str) -> None:
    first, second = (_status("a@example.net", "deferred", seconds=at, by=daemon, text=_PUT_OFF) for at in (60, 120))
    files = _files(_status("a@example.net", "deferred"), first, first, second, first, second)
    (recipient,) = files.all()[0].recipients
    assert len(files.attempts) == 1
    assert (recipient.suspensions, recipient.suspended_at) == (2, _T + dt.timedelta(seconds=120))
    assert recipient.suspended_because == "connect to mx.example.net[192.0.2.1]:25: Connection refused"
    assert (recipient.state, recipient.state_at) == ("deferred", _T + dt.timedelta(seconds=120))


def test_a_suspension_by_any_other_words_is_none_the_less_one() -> None:
    files = _files(_status("a@example.net", "deferred", by="retry", text="mail transport unavailable"))
    (recipient,) = files.all()[0].recipients
    assert (recipient.suspended_because, recipient.suspensions) == ("mail transport unavailable", 1)
    assert files.attempts == []


@pytest.mark.parametrize(("daemon", "status"), [("smtp", "deferred"), ("error", "bounced"), ("local", "deferred")])
def test_what_was_tried_or_ended_is_an_attempt(daemon: str, status: str) -> None:
    files = _files(_status("a@example.net", status, by=daemon))
    assert len(files.attempts) == 1
    assert files.all()[0].recipients[0].suspensions == 0


# --- links ---


_QUEUED_AS = f"250 2.0.0 Ok: queued as {_SHORT_2}"
_TAKEN_BACK = _client(1, _SHORT_2)


@pytest.mark.parametrize(
    ("steps", "link"),
    [
        ([_client(1, _SHORT_2, copy_of=_SHORT)], (_SHORT, "filter", "orig_queue_id")),
        (
            [_client(1, _SHORT_2, copy_of=_SHORT, service="sendproof-resubmit")],
            (_SHORT, "copy", "orig_queue_id"),
        ),
        ([_said(PickedUp(_SHORT_2, "max@own.example", _SHORT), 1, by="pickup")], (_SHORT, "requeue", "orig_id")),
        ([_TAKEN_BACK, _status("a@example.net", relay=_OURSELVES, text=_QUEUED_AS)], (_SHORT, "filter", "queued as")),
        ([_said(Filtered(_SHORT, (_SHORT_2,)), 1, by="amavis", instance="")], (_SHORT, "filter", "queued_as")),
        (
            [_said(MessageIdSeen(_SHORT_2, None), 1, by="cleanup"),
             _status("a@example.net", by="local", relay="local", text=f"forwarded as {_SHORT_2}")],
            (_SHORT, "forward", "forwarded as"),
        ),
        *(
            ([_said(NotificationSent(_SHORT, _SHORT_2, kind), 1, by="bounce")], (_SHORT, kind, "notification"))
            for kind in ("non-delivery", "delay", "delivery status", "postmaster")
        ),
        ([copied(admitted(_SHORT, "a@example.net", "b@example.net"), _SHORT_2, 1)], (_SHORT, "copy", "journal")),
    ],
)  # fmt: skip
def test_each_kind_of_evidence_links_a_queue_file_to_its_parent(steps: list[_Step], link: tuple[str, str, str]) -> None:
    assert _links(_client(), *steps) == {_SHORT_2: link}


_EVIDENCE: dict[str, _Step] = {
    # Each names another parent, so that one sees which of them was believed; the strongest first.
    "journal": copied(admitted("4F5C6000A1", "a@example.net", "b@example.net"), _SHORT_2, 1),
    "orig_queue_id": _client(1, _SHORT_2, copy_of="4F5C6000A2"),
    "orig_id": _said(PickedUp(_SHORT_2, "max@own.example", "4F5C6000A3"), 1, by="pickup"),
    "notification": _said(NotificationSent("4F5C6000A4", _SHORT_2, "delay"), 1, by="bounce"),
    "forwarded as": _status(
        "a@example.net", of="4F5C6000A5", by="local", relay="local", text=f"forwarded as {_SHORT_2}", seconds=1
    ),
    "queued_as": _said(Filtered("4F5C6000A6", (_SHORT_2,)), 1, by="amavis", instance=""),
    "queued as": _status("a@example.net", of="4F5C6000A7", relay=_OURSELVES, text=_QUEUED_AS, seconds=1),
}


@pytest.mark.parametrize(("strong", "weak"), list(itertools.combinations(_EVIDENCE, 2)))
def test_the_stronger_evidence_wins_in_any_order_of_arrival(strong: str, weak: str) -> None:
    parents = dict(zip(_EVIDENCE, (f"4F5C6000A{number}" for number in range(1, 8)), strict=True))
    begin = [_client(1, _SHORT_2), *(_client(0, parent) for parent in parents.values())]
    for order in ((strong, weak), (weak, strong)):
        found = _links(*begin, *(_EVIDENCE[name] for name in order))[_SHORT_2]
        assert (found[0], found[2]) == (parents[strong], strong)


@pytest.mark.parametrize(
    ("relay", "client"),
    [
        # the receiving server's queue ids look like ours
        (_MX, "localhost[127.0.0.1]"),
        ("none", "localhost[127.0.0.1]"),
        ("mx.example.net[192.0.2.127]:25", "localhost[127.0.0.1]"),
        # one of our own queue files has that id by chance: it came from outside
        (_OURSELVES, "mx.example.net[192.0.2.1]"),
    ],
)
def test_queued_as_links_nothing_that_went_to_or_came_from_elsewhere(relay: str, client: str) -> None:
    steps = [_client(), _client(1, _SHORT_2, client=client), _status("a@example.net", relay=relay, text=_QUEUED_AS)]
    assert _links(*steps) == {}
    assert ("a@example.net", None, "delivered") in _states(*steps)


def test_queued_as_links_by_our_own_addresses_too() -> None:
    relay, client = "out.relay.example[203.0.113.5]:10025", "relay.example[203.0.113.5]"
    steps = [_client(), _client(1, _SHORT_2, client=client), _status("a@example.net", relay=relay, text=_QUEUED_AS)]
    assert _links(*steps) == {}
    assert _links(*steps, own_addresses=("203.0.113.5",)) == {_SHORT_2: (_SHORT, "filter", "queued as")}


def test_what_another_edge_has_taken_over_is_on_its_way_and_what_became_of_it_is_said_there() -> None:
    relay = "edge-b.example[198.51.100.2]:25"
    sent = _status("a@example.net", relay=relay, text=_QUEUED_AS)
    removed = _disposed(Disposition.REMOVED, 1)
    for steps, state in (((sent,), "queued"), ((sent, removed), "unknown")):
        (life,) = _files(*steps, edges=("198.51.100.2",)).all()
        (recipient,) = life.recipients
        assert (recipient.state, recipient.handed_on_at) == (state, None)
    (life,) = _files(sent, removed, edges=("198.51.100.3",)).all()
    assert life.recipients[0].state == "delivered"


def test_queued_as_links_no_life_of_another_time() -> None:
    """Short queue ids come again: neither the earlier nor the later one is the child."""
    earlier = _client(-900, _SHORT_2)
    later = _client(900, _SHORT_2)
    handed_on = _status("a@example.net", relay=_OURSELVES, text=_QUEUED_AS, seconds=5)
    for steps in ([earlier], [later]):
        assert _links(*steps, _client(), handed_on) == {}
    lives = _applied(
        earlier, _disposed(Disposition.REMOVED, -890, _SHORT_2), _client(), _client(3, _SHORT_2), handed_on
    )
    assert [life.parent_queue_id for life in lives if life.queue_id == _SHORT_2] == [None, _SHORT]


def test_nothing_comes_out_of_itself() -> None:
    steps = [_client(), _status("a@example.net", relay=_OURSELVES, text=f"250 2.0.0 Ok: queued as {_SHORT}")]
    assert _links(*steps) == {}
    assert [state for _, _, state in _states(*steps)] == ["delivered"]


@pytest.mark.parametrize(
    "steps",
    [
        [_TAKEN_BACK, _status("a@example.net", relay=_OURSELVES, text=_QUEUED_AS, seconds=2)],
        [_client(1, _SHORT_2, copy_of=_SHORT), _status("a@example.net", relay=_OURSELVES, text="250 ok", seconds=2)],
        [
            _said(Filtered(_SHORT, (_SHORT_2,)), 1, by="amavis", instance=""),
            _status("a@example.net", relay=_OURSELVES, text="250 ok", seconds=2),
        ],
        [
            _said(MessageIdSeen(_SHORT_2, None), 1, by="cleanup"),
            _status("a@example.net", by="local", relay="local", text=f"forwarded as {_SHORT_2}", seconds=2),
        ],
    ],
)
@pytest.mark.parametrize("is_removed", [False, True])
def test_a_recipient_who_is_handed_on_is_not_delivered(steps: list[_Step], is_removed: bool) -> None:
    """What became of the mail, its other queue file says."""
    end = [_disposed(Disposition.REMOVED, 3)] if is_removed else []
    life = next(life for life in _applied(_client(), *steps, *end) if life.queue_id == _SHORT)
    assert [(row.state, row.handed_on_at) for row in life.recipients] == [("queued", _T + dt.timedelta(seconds=2))]


def test_of_a_queue_file_that_is_removed_only_those_are_handed_on_who_were() -> None:
    """The other one's last line is missing."""
    life = _applied(
        _client(), admitted(_SHORT, "a@example.net", "b@example.net"), _TAKEN_BACK,
        _status("a@example.net", relay=_OURSELVES, text=_QUEUED_AS, seconds=2), _disposed(Disposition.REMOVED, 3),
    )[0]  # fmt: skip
    assert [(row.address, str(row.state)) for row in life.recipients] == [
        ("a@example.net", "queued"),
        ("b@example.net", "unknown"),
    ]


def test_our_split_transport_hands_over_and_delivers_nothing() -> None:
    """Whatever the reply says. Without a line of the copy, nobody knows what became of it."""
    handed_on = _status("a@example.net", service="sendproof-split", relay=_OURSELVES, text="250 ok", seconds=2)
    assert _states(_client(), handed_on) == [("a@example.net", None, "queued")]
    assert _states(_client(), handed_on, _disposed(Disposition.REMOVED, 3)) == [("a@example.net", None, "unknown")]


def test_a_child_that_was_removed_before_its_parent_spoke_is_found() -> None:
    steps = [
        _client(), _client(1, _SHORT_2), _status("a@example.net", of=_SHORT_2, seconds=2),
        _disposed(Disposition.REMOVED, 2, _SHORT_2),
        _status("a@example.net", relay=_OURSELVES, text=_QUEUED_AS, seconds=7),
    ]  # fmt: skip
    assert _links(*steps) == {_SHORT_2: (_SHORT, "filter", "queued as")}


def test_mail_that_is_delivered_to_this_machine_for_good_is_delivered() -> None:
    """Nothing says that it goes on: LMTP to a mailbox."""
    assert _states(_client(), _status("a@example.net", by="lmtp", relay=_OURSELVES, text="250 Saved")) == [
        ("a@example.net", None, "delivered")
    ]


def test_a_queue_file_that_is_put_back_goes_on_under_another_id() -> None:
    steps = [
        _client(login="max"), _status("a@example.net"), _status("b@example.net", "deferred"),
        _disposed(Disposition.REQUEUED, 600),
        _said(PickedUp(_SHORT_2, "max@own.example", _SHORT), 601, by="pickup"),
        _status("b@example.net", of=_SHORT_2, seconds=602), _disposed(Disposition.REMOVED, 602, _SHORT_2),
    ]  # fmt: skip
    old, new = _applied(*steps)
    assert (old.disposition, old.removed_at) == ("requeued", _T + dt.timedelta(seconds=600))
    assert [(row.address, str(row.state)) for row in old.recipients] == [
        ("a@example.net", "delivered"),
        ("b@example.net", "queued"),
    ]
    assert (new.parent_queue_id, new.link_kind, new.disposition) == (_SHORT, "requeue", "removed")
    assert [(row.address, str(row.state)) for row in new.recipients] == [("b@example.net", "delivered")]


def test_a_batch_asks_for_every_queue_file_that_it_may_be_about() -> None:
    """And for what is known to come out of those that may have handed mail on."""
    relays, facts = LocalRelays(), []
    steps: list[_Said] = [
        _client(of="4F5C600001"),
        _status("a@example.net", of="4F5C600002", relay=_MX, text="250 queued as 4F5C6000FF"),
        _status("a@example.net", of="4F5C600003", relay=_OURSELVES, text="250 queued as 4F5C600004"),
        _status("a@example.net", of="4F5C600005", by="local", relay="local", text="forwarded as 4F5C600006"),
        _said(NotificationSent("4F5C6000FF", "4F5C600007", "delay"), by="bounce"),
        _said(Filtered("4F5C6000FF", ("4F5C600008", "4F5C600009")), by="amavis", instance=""),
        _said(SubmissionRefused(None, "reject", "RCPT", "x[192.0.2.9]", "no", None, None, "max", False)),
        _said(SignInFailed("x[192.0.2.9]", "max", "no")),
    ]
    for number, step in enumerate(steps):
        facts.append((number, step.at, step.process, step.event, None))
    wanted = Wanted()
    wanted.add_facts(facts, relays)
    parent = admitted("4F5C60000A", "a@example.net")
    opened = Opened(at=NOW, message_id=parent.message_id, recipient_number=1, grade="proxy", user_agent="")
    withdrawn = Withdrawn(at=NOW, host=_HOST, queue_id="4F5C60000C", message_id=parent.message_id)
    wanted.add_notes([(0, parent), (1, copied(parent, "4F5C60000B", 1)), (2, withdrawn), (3, opened)])
    assert wanted.queue_ids >= {f"4F5C6000{number:02X}" for number in range(1, 13)}
    assert wanted.parents >= {"4F5C600003", "4F5C600005"}
    assert "4F5C600002" not in wanted.parents


# --- refusals ---


def _refusal(
    queue_id: str | None = None, *, login: str | None = None, whole_message: bool = False
) -> SubmissionRefused:
    return SubmissionRefused(
        queue_id, "milter-reject", "END-OF-MESSAGE", "x[192.0.2.9]", "5.7.1 no", "max@own.example", "a@example.net",
        login, whole_message,
    )  # fmt: skip


def test_who_is_refused_at_submission_is_said_whether_or_not_he_signed_in() -> None:
    files = _files(
        _said(_refusal(), service="submission"), _said(_refusal(), service="submissions"),
        _said(_refusal(), service="smtps"), _said(_refusal(login="max")), _said(_refusal()),
    )  # fmt: skip
    assert [refusal.event.login for refusal in files.refusals] == [None, None, None, "max"]


def test_a_message_that_cleanup_refuses_has_the_login_of_its_queue_file() -> None:
    files = _files(_client(login="max"), _said(_refusal(_SHORT, whole_message=True), 1, by="cleanup"))
    (life,) = files.all()
    assert [refusal.event.login for refusal in files.refusals] == ["max"]
    assert (life.disposition, life.removed_at) == ("rejected", _T + dt.timedelta(seconds=1))


def test_one_refused_command_does_not_end_a_message() -> None:
    files = _files(_client(login="max"), _said(_refusal(_SHORT, login="max"), 1, service="submission"), _active(2))
    assert [life.removed_at for life in files.all()] == [None]
    assert len(files.refusals) == 1


def test_a_failed_sign_in_is_a_refusal_on_any_service() -> None:
    files = _files(_said(SignInFailed("x[192.0.2.9]", None, "no")), _said(SignInFailed("192.0.2.9", "max", "no"), 1))
    assert [refusal.event.login for refusal in files.refusals] == [None, "max"]


def test_what_the_journal_says_of_no_queue_file_is_handed_on() -> None:
    opened = Opened(at=NOW, message_id=admitted("x").message_id, recipient_number=1, grade="proxy", user_agent="")
    refused = Refused(
        at=NOW, host=_HOST, queue_id=None, account_id=1, login="max", envelope_sender="max@own.example",
        recipients=(), subject=None, reason="quota", reply="452 no",
    )  # fmt: skip
    files = _files(opened, refused)
    assert (files.opened, files.refused, files.all()) == ([opened], [refused], [])
