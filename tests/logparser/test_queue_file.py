import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sendproof_core.identity import QueueFileKey
from sendproof_core.states import RecipientState
from sendproof_logparser.grammar import Disposition, StatusLine
from sendproof_logparser.queue_file import QueueFileCopy, QueueFiles, RecipientCopy
from sendproof_logparser.transcript import Attempted, QueueFileDisposed, QueueFileFacts
from sendproof_testing.record_reading import admitted

_T = dt.datetime(2026, 11, 22, 12, 0, tzinfo=dt.UTC)
_SHORT = QueueFileKey("relay.example", "postfix", "4F5C64474F")
_LONG = QueueFileKey("relay.example", "postfix", "4jXGhv32rHzJLdv")
_FINAL = (RecipientState.DELIVERED, RecipientState.BOUNCED, RecipientState.EXPIRED, RecipientState.CANCELLED)
_HAPPENINGS = ("sent", "deferred", "bounced", "SOFTBOUNCE", *Disposition)


def _status(
    to: str,
    status: str = "sent",
    *,
    orig_to: str | None = None,
    seconds: int = 0,
    key: QueueFileKey = _SHORT,
    daemon: str = "smtp",
) -> Attempted:
    line = StatusLine(key.queue_id, to, orig_to, "none", None, 1.0, (0, 0, 0, 1), "2.0.0", status, "text")
    return Attempted(key, _T + dt.timedelta(seconds=seconds), "postfix/smtp", daemon, line, None)


def _disposed(disposition: Disposition, seconds: int = 0, key: QueueFileKey = _SHORT) -> QueueFileDisposed:
    return QueueFileDisposed(key, _T + dt.timedelta(seconds=seconds), disposition)


def _facts(seconds: int = 0, key: QueueFileKey = _SHORT) -> QueueFileFacts:
    return QueueFileFacts(key, _T + dt.timedelta(seconds=seconds), client="localhost[127.0.0.1]")


def _applied(*changes: Attempted | QueueFileDisposed | QueueFileFacts | object) -> list[QueueFileCopy]:
    files = QueueFiles()
    for change in changes:
        files.apply(change)  # type: ignore[arg-type] # tests pass every kind of change
    return files.all()


def _states(*changes: object) -> list[tuple[str, str | None, str]]:
    return [
        (recipient.address, recipient.final_address, str(recipient.state))
        for life in _applied(*changes)
        for recipient in life.recipients
    ]


@given(st.sampled_from(_FINAL), st.lists(st.sampled_from(_HAPPENINGS)))
def test_a_final_outcome_never_changes(state: RecipientState, happenings: list[str]) -> None:
    """Except that a cancelled message's delivery may have been under way."""
    recipient = RecipientCopy(1, "a@example.net", None, 1, state, _T)
    for happened in happenings:
        recipient.take(happened, _T + dt.timedelta(seconds=1))
    delivered_after_all = state is RecipientState.CANCELLED and "sent" in happenings
    assert recipient.state is (RecipientState.DELIVERED if delivered_after_all else state)


@pytest.mark.parametrize(
    ("changes", "state"),
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
        ([_status("a@example.net", daemon="discard")], "cancelled"),
        ([_status("a@example.net"), _disposed(Disposition.REMOVED)], "delivered"),
    ],
)
def test_what_happens_decides_the_state(changes: list[object], state: str) -> None:
    assert [found for _, _, found in _states(*changes)] == [state]


def test_a_deferral_renews_the_time_of_the_state() -> None:
    (life,) = _applied(_status("a@example.net", "deferred"), _status("a@example.net", "deferred", seconds=60))
    assert life.recipients[0].state_at == _T + dt.timedelta(seconds=60)


def test_the_sender_s_own_spelling_names_the_recipient() -> None:
    journal, status = admitted(_SHORT.queue_id, "Anna@Example.NET"), _status("anna@example.net")
    wanted = [("Anna@Example.NET", None, "delivered")]
    assert _states(journal, status) == _states(status, journal) == wanted


def test_an_alias_is_the_recipient_and_its_target_the_final_address() -> None:
    journal, status = (
        admitted(_SHORT.queue_id, "info@own.example"),
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
    assert _states(*statuses) == _states(admitted(_SHORT.queue_id, "info@own.example"), *statuses) == wanted


def test_a_recipient_named_twice_is_one() -> None:
    (life,) = _applied(admitted(_SHORT.queue_id, "a@example.net", "b@example.net", "a@EXAMPLE.net"))
    assert [(row.address, row.number) for row in life.recipients] == [("a@example.net", 1), ("b@example.net", 2)]


@pytest.mark.parametrize("disposition", Disposition)
def test_a_recipient_whom_the_journal_names_late_is_in_the_same_state(disposition: Disposition) -> None:
    journal, disposed = admitted(_SHORT.queue_id, "a@example.net"), _disposed(disposition)
    assert _states(journal, disposed) == _states(_facts(), disposed, journal)


def test_a_short_queue_id_begins_a_new_life_after_it_was_removed() -> None:
    lives = _applied(
        _facts(), _status("a@example.net"), _disposed(Disposition.REMOVED, 1), _disposed(Disposition.REMOVED, 1),
        _facts(1435), _status("b@example.net", seconds=1436), _disposed(Disposition.REMOVED, 1437),
    )  # fmt: skip
    assert [[recipient.address for recipient in life.recipients] for life in lives] == [
        ["a@example.net"],
        ["b@example.net"],
    ]


def test_a_long_queue_id_has_one_life() -> None:
    removed = _disposed(Disposition.REMOVED, key=_LONG)
    (life,) = _applied(_facts(key=_LONG), removed, _facts(1435, key=_LONG), admitted(_LONG.queue_id, "a@example.net"))
    assert life.born_at == dt.datetime(2026, 11, 22, 4, 45, 19, 429535, dt.UTC)


def test_the_journal_joins_the_life_in_which_it_was_written() -> None:
    at = _T + dt.timedelta(seconds=1436.4)
    lives = _applied(
        _facts(), _disposed(Disposition.REMOVED, 1), _facts(1435), _disposed(Disposition.REMOVED, 1437),
        admitted(_SHORT.queue_id, "b@example.net", number=2, at=at), admitted(_SHORT.queue_id, "a@example.net"),
    )  # fmt: skip
    assert [[recipient.address for recipient in life.recipients] for life in lives] == [
        ["a@example.net"],
        ["b@example.net"],
    ]


def test_a_long_upload_joins_the_journal_s_life_with_its_first_line() -> None:
    at = _T + dt.timedelta(minutes=5)
    (life,) = _applied(
        admitted(_SHORT.queue_id, "a@example.net", at=at), _facts(), _status("a@example.net", seconds=301)
    )
    assert (life.born_at, life.key.instance) == (_T, "postfix")


def test_instances_are_told_apart() -> None:
    other = QueueFileKey("relay.example", "postfix-out", _SHORT.queue_id)
    assert len(_applied(_facts(), _facts(key=other))) == 2


def test_the_journal_alone_does_not_know_the_instance() -> None:
    (life,) = _applied(admitted(_SHORT.queue_id, "a@example.net"))
    assert life.key.instance == ""
    (life,) = _applied(admitted(_SHORT.queue_id, "a@example.net"), _facts())
    assert life.key.instance == "postfix"
