"""What becomes of a charge. How the ledger carries it out: test_quota_store."""

import dataclasses
import datetime as dt
import uuid
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sendproof_milter.reconciliation import OpenCharge, QueueFileSigns, Verdict, verdict
from sendproof_testing.submissions import NOW

_ID, _OTHER_ID = uuid.UUID(int=1), uuid.UUID(int=2)
_LONG, _SHORT = "4Zabc12345zkL", "3F2A8C01"
_MINUTE, _HOUR, _DAY = dt.timedelta(minutes=1), dt.timedelta(hours=1), dt.timedelta(days=1)
_CHARGE = OpenCharge(_ID, _LONG, NOW)
_SHORT_CHARGE = dataclasses.replace(_CHARGE, queue_id=_SHORT)


def _sign(**changes: Any) -> QueueFileSigns:
    """The client's line and cleanup's were read, the queue manager's was not."""
    return dataclasses.replace(QueueFileSigns(_LONG, None, NOW - _MINUTE, None, None, None), **changes)


def _refused(**changes: Any) -> QueueFileSigns:
    """As a milter's failure or a withdrawn message is kept."""
    return _sign(**({"disposition": "rejected", "removed_at": NOW} | changes))


@pytest.mark.parametrize(
    ("sign", "expected"),
    [
        (_sign(), Verdict.WAIT),
        (_sign(size_bytes=900), Verdict.SETTLED),
        (_sign(size_bytes=900, disposition="removed", removed_at=NOW + _HOUR), Verdict.SETTLED),
        (_sign(size_bytes=900, disposition="held"), Verdict.SETTLED),
        (_sign(size_bytes=0), Verdict.SETTLED),
        # the queue manager's first line is missing; its last one, or an operator's, says as much
        (_sign(disposition="removed", removed_at=NOW), Verdict.SETTLED),
        (_sign(disposition="deleted", removed_at=NOW), Verdict.SETTLED),
        (_refused(), Verdict.TAKE_BACK),
        (_refused(message_id=_ID), Verdict.TAKE_BACK),
        (_refused(disposition="discarded"), Verdict.TAKE_BACK),
        # what follows the queue manager's line undoes nothing
        (_refused(size_bytes=900), Verdict.SETTLED),
        # refused by another milter, or held: cleanup says it while the message is still coming in
        (_sign(disposition="held"), Verdict.WAIT),
    ],
)
def test_evidence_counts_at_once_however_little_was_read(sign: QueueFileSigns, expected: Verdict) -> None:
    for read_up_to in (None, NOW - _DAY, NOW):
        assert verdict(_CHARGE, [sign], read_up_to) is expected


@pytest.mark.parametrize(
    ("read_up_to", "expected"),
    [
        (None, Verdict.WAIT),
        (NOW - _DAY, Verdict.WAIT),
        (NOW + _HOUR - dt.timedelta(microseconds=1), Verdict.WAIT),
        (NOW + _HOUR, Verdict.TAKE_BACK),
        (NOW + 30 * _DAY, Verdict.TAKE_BACK),
    ],
)
def test_without_any_sign_a_charge_waits_until_an_hour_more_was_read(
    read_up_to: dt.datetime | None, expected: Verdict
) -> None:
    assert verdict(_CHARGE, [], read_up_to) is expected


def test_a_queue_file_without_the_queue_manager_waits_as_long_as_postfix_keeps_mail() -> None:
    assert verdict(_CHARGE, [_sign()], NOW + 6 * _DAY - _MINUTE) is Verdict.WAIT
    assert verdict(_CHARGE, [_sign()], NOW + 6 * _DAY) is Verdict.TAKE_BACK
    assert verdict(_CHARGE, [_sign()], None) is Verdict.WAIT


@pytest.mark.parametrize("disposition", ["held", "released"])
def test_a_held_message_stands_once_it_is_certain_that_nobody_refused_it(disposition: str) -> None:
    held = _sign(disposition=disposition)
    assert verdict(_CHARGE, [held], NOW + _HOUR) is Verdict.SETTLED
    assert verdict(_CHARGE, [held, _refused()], NOW + _HOUR) is Verdict.TAKE_BACK


def test_a_queue_file_that_carries_the_messages_id_is_evidence_under_any_queue_id() -> None:
    copy = _sign(queue_id="4Zother9999zkM", message_id=_ID, size_bytes=900, born_at=NOW + _DAY)
    assert verdict(_CHARGE, [copy], None) is Verdict.SETTLED
    assert verdict(_CHARGE, [_refused(), copy], None) is Verdict.SETTLED


def test_a_copy_that_is_refused_says_nothing_of_its_message() -> None:
    copy = _refused(queue_id="4Zother9999zkM", message_id=_ID)
    assert verdict(_CHARGE, [copy], NOW) is Verdict.WAIT
    assert verdict(_CHARGE, [copy, _refused()], NOW) is Verdict.TAKE_BACK


@pytest.mark.parametrize("sign", [_sign(size_bytes=900), _refused(), _sign()])
def test_another_messages_queue_file_is_no_evidence(sign: QueueFileSigns) -> None:
    for other in (
        dataclasses.replace(sign, message_id=_OTHER_ID),
        dataclasses.replace(sign, queue_id="4Zother9999zkM"),
    ):
        assert verdict(_CHARGE, [other], NOW) is Verdict.WAIT
        assert verdict(_CHARGE, [other], NOW + _HOUR) is Verdict.TAKE_BACK


@pytest.mark.parametrize(
    ("born", "removed", "is_ours"),
    [
        (-_MINUTE, None, True),
        (-_DAY, None, True),
        (-_MINUTE, _MINUTE, True),
        (dt.timedelta(seconds=2), None, True),
        (dt.timedelta(seconds=3), None, False),
        (-_MINUTE, dt.timedelta(seconds=-2), True),
        (-_MINUTE, dt.timedelta(seconds=-3), False),
    ],
)
def test_a_short_queue_id_counts_only_for_who_had_it_then(
    born: dt.timedelta, removed: dt.timedelta | None, is_ours: bool
) -> None:
    removed_at = None if removed is None else NOW + removed
    sign = _sign(queue_id=_SHORT, born_at=NOW + born, removed_at=removed_at, size_bytes=900)
    assert verdict(_SHORT_CHARGE, [sign], NOW) is (Verdict.SETTLED if is_ours else Verdict.WAIT)


def test_a_long_queue_id_is_never_used_again_whatever_the_times() -> None:
    for born in (NOW - 30 * _DAY, NOW + 30 * _DAY):
        assert verdict(_CHARGE, [_sign(born_at=born, removed_at=born, size_bytes=900)], NOW) is Verdict.SETTLED


_TIMES = st.timedeltas(-10 * _DAY, 10 * _DAY).map(lambda delta: NOW + delta)
_SIGNS = st.builds(
    QueueFileSigns,
    st.sampled_from([_LONG, _SHORT]),
    st.sampled_from([None, _ID, _OTHER_ID]),
    _TIMES,
    st.none() | _TIMES,
    st.sampled_from([None, 900]),
    st.sampled_from([None, "held", "released", "expired", "removed", "deleted", "discarded", "rejected"]),
)
_CHARGES = st.sampled_from([_CHARGE, _SHORT_CHARGE])


@given(_CHARGES, st.lists(_SIGNS, max_size=6), st.none() | _TIMES)
def test_a_message_that_the_queue_manager_had_is_never_taken_back(
    charge: OpenCharge, signs: list[QueueFileSigns], read_up_to: dt.datetime | None
) -> None:
    queued = _sign(message_id=_ID, size_bytes=900)
    assert verdict(charge, [*signs, queued], read_up_to) is Verdict.SETTLED


@given(_CHARGES, st.lists(_SIGNS, max_size=6), _TIMES, _TIMES)
def test_a_verdict_stands_when_more_is_read_and_nothing_else_is_found(
    charge: OpenCharge, signs: list[QueueFileSigns], one: dt.datetime, other: dt.datetime
) -> None:
    earlier, later = sorted((one, other))
    before = verdict(charge, signs, earlier)
    assert before in {Verdict.WAIT, verdict(charge, signs, later)}


@given(_CHARGES, st.lists(_SIGNS, max_size=6), st.none() | _TIMES, st.randoms())
def test_the_order_of_the_signs_does_not_matter(
    charge: OpenCharge, signs: list[QueueFileSigns], read_up_to: dt.datetime | None, chance: Any
) -> None:
    shuffled = chance.sample(signs, len(signs))
    assert verdict(charge, shuffled, read_up_to) is verdict(charge, signs, read_up_to)
