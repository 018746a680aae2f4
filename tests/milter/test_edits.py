import dataclasses
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from sendproof_core import identity
from sendproof_milter import split_stamp
from sendproof_milter.edits import Edits, edits_of
from sendproof_milter.message import Submission
from sendproof_milter.pipeline import OWN_HEADERS
from sendproof_milter.wire_safe import ChangedField
from sendproof_milter.work import TRACE_HEADER, TRACK_HEADER, Site, Work
from sendproof_testing.submissions import NOW, as_queued, sender, submission, with_fields

_SITE = Site("edge.relay.example", "https://t.relay.example", 1, {1: b"k" * 32})


def _work(message: Submission, **changes: Any) -> Work:
    work = Work(
        message, identity.new_message_id(NOW), sender(), trace="a-trace", signature_values=(b"v=1; a", b"v=1; b")
    )
    return dataclasses.replace(work, **changes)


def test_a_message_gets_its_trace_and_above_it_its_signatures_the_first_on_top() -> None:
    edits = edits_of(_work(submission()), _SITE)
    assert edits == Edits(
        (), None, ((TRACE_HEADER, "a-trace"), ("DKIM-Signature", "v=1; b"), ("DKIM-Signature", "v=1; a"))
    )
    lines = as_queued(submission(), edits).split(b"\r\n")
    assert lines[:4] == [
        b"DKIM-Signature: v=1; a",
        b"DKIM-Signature: v=1; b",
        b"X-Sendproof-Trace: a-trace",
        b"From: Max <max@own.example>",
    ]


def test_a_new_body_is_told_and_an_old_one_is_not() -> None:
    assert edits_of(_work(submission()), _SITE).body is None
    assert edits_of(_work(submission(), new_body=b"new\r\n"), _SITE).body == b"new\r\n"


def test_a_message_that_is_split_gets_a_stamp_beside_the_rest() -> None:
    work = _work(submission(recipients=("a@x.example", "b@x.example")), split=True)
    edits = edits_of(work, _SITE)
    assert (edits.changed, edits.body) == ((), None)
    assert [name for name, _ in edits.inserted] == [
        TRACE_HEADER,
        split_stamp.HEADER,
        "DKIM-Signature",
        "DKIM-Signature",
    ]
    value = dict(edits.inserted)[split_stamp.HEADER]
    stamp = split_stamp.read([value.encode("ascii")], _SITE.token_keys, NOW)
    assert stamp is not None
    assert (stamp.message_id, stamp.account_id, stamp.parent_queue_id) == (work.message_id, 1, "4Zabc123")
    assert stamp.signatures == 2
    assert [stamp.number_of(address) for address in ("a@x.example", "b@x.example", "c@x.example")] == [1, 2, 0]


def test_of_several_copies_of_our_own_fields_the_last_goes_first() -> None:
    message = with_fields((b"x-sendproof-TRACE", b"1"), (b"X-Sendproof-Track", b"no"), (b"X-Sendproof-Trace", b"2"))
    assert edits_of(_work(message), _SITE).changed == (
        ChangedField(TRACE_HEADER, 2, ""),
        ChangedField(TRACE_HEADER, 1, ""),
        ChangedField(TRACK_HEADER, 1, ""),
    )


def test_fields_that_were_made_safe_change_after_those_that_go() -> None:
    changed = ChangedField("Subject", 1, "=?utf-8?q?=C3=BC?=")
    edits = edits_of(_work(with_fields((b"X-Sendproof-Track", b"no")), changed_fields=(changed,)), _SITE)
    assert edits.changed == (ChangedField(TRACK_HEADER, 1, ""), changed)


_OWN = st.sampled_from([b"X-Sendproof-Trace", b"x-sendproof-track", b"X-SENDPROOF-SPLIT"])
_OTHERS = st.sampled_from([b"From", b"X-Sendproof-Other", b"X-Sendproof"])
_FIELDS = st.lists(st.tuples(_OWN | _OTHERS, st.sampled_from([b"a", b"b", b""]))).map(tuple)


@given(_FIELDS)
def test_every_own_field_of_a_client_goes_and_nothing_else(fields: tuple[tuple[bytes, bytes], ...]) -> None:
    edits = edits_of(_work(submission(headers=fields)), _SITE)
    own = {name.lower().encode() for name in OWN_HEADERS}
    kept = b"".join(b"%b: %b\r\n" % field for field in fields if field[0].lower() not in own)
    queued = as_queued(submission(headers=fields, body=b"body"), dataclasses.replace(edits, inserted=()))
    assert queued == kept + b"\r\nbody"


def test_a_stamp_that_a_client_made_up_does_not_reach_the_second_pass() -> None:
    message = with_fields((split_stamp.HEADER.encode(), b"1.e30=.00"), recipients=("a@x.example", "b@x.example"))
    queued = as_queued(message, edits_of(_work(message, split=True, signature_values=()), _SITE))
    assert queued.count(b"X-Sendproof-Split:") == 1
    assert b"1.e30=.00" not in queued
