import datetime as dt

import pytest

from sendproof_core.pipelining import pair
from sendproof_core.transcripts import DialogueLine

AT = dt.datetime(2026, 11, 22, 13, 0, tzinfo=dt.UTC)


def lines(*spoken: str) -> tuple[DialogueLine, ...]:
    return tuple(DialogueLine(AT, text.startswith("S "), text[2:]) for text in spoken)


def belongs(*spoken: str) -> list[str | None]:
    return [one.recipient for one in pair(lines(*spoken)).spoken]


ONE_BY_ONE = (
    "S 220 mx.example.net ESMTP", "C EHLO relay.example", "S 250-mx.example.net", "S 250 DSN",
    "C MAIL FROM:<max@own.example>", "S 250 Ok", "C RCPT TO:<a@x.example>", "S 250 Ok", "C DATA", "S 354 Go ahead",
    "C .", "S 250 queued", "C QUIT", "S 221 Bye",
)  # fmt: skip
PIPELINED = (
    "C MAIL FROM:<max@own.example>", "C RCPT TO:<a@x.example> ORCPT=rfc822;a@x.example", "C RCPT TO:<b@x.example>",
    "C DATA", "S 250 Ok", "S 250-2.1.5 first line", "S 250 2.1.5 second line", "S 550 5.1.1 unknown", "S 354 Go ahead",
    "C .", "C QUIT", "S 250 queued",
)  # fmt: skip


def test_a_reply_belongs_to_the_command_before_it() -> None:
    assert belongs(*ONE_BY_ONE) == [None] * 6 + ["a@x.example"] * 2 + [None] * 6
    assert pair(lines(*ONE_BY_ONE)).is_certain


def test_pipelined_replies_come_in_the_order_of_the_commands_each_with_all_its_lines() -> None:
    a, b = "a@x.example", "b@x.example"
    assert belongs(*PIPELINED) == [None, a, b, None, None, a, a, b, None, None, None, None]
    assert pair(lines(*PIPELINED)).is_certain


def test_over_lmtp_each_recipient_that_was_taken_has_a_reply_of_its_own_after_the_final_dot() -> None:
    spoken = (
        "S 220 ready", "C LHLO relay.example", "S 250 PIPELINING", "C MAIL FROM:<max@own.example>",
        "C RCPT TO:<a@x.example>", "C RCPT TO:<b@x.example>", "C RCPT TO:<c@x.example>", "C DATA", "S 250 Ok",
        "S 250 Ok", "S 550 unknown", "S 250 Ok", "S 354 Go ahead", "C .", "C QUIT", "S 250 Saved", "S 452 full",
        "S 221 Bye",
    )  # fmt: skip
    assert belongs(*spoken)[-3:] == ["a@x.example", "c@x.example", None]
    assert pair(lines(*spoken)).is_certain


@pytest.mark.parametrize("lost", [number for number, text in enumerate(PIPELINED) if text != "C QUIT"])
def test_a_line_that_is_missing_is_noticed(lost: int) -> None:
    spoken = PIPELINED[:lost] + PIPELINED[lost + 1 :]
    # The first line of a reply in two may be missing: nothing is out of order then.
    assert pair(lines(*spoken)).is_certain == PIPELINED[lost].startswith("S 250-")


def test_what_is_no_reply_makes_it_uncertain() -> None:
    assert not pair(lines("C MAIL FROM:<max@own.example>", "S hello")).is_certain
    assert not pair(lines("C RCPT TO a@x.example", "S 250 Ok", "C QUIT")).is_certain
    assert not pair(lines("C QUIT", "S 221 Bye", "S 250 one more")).is_certain


def test_a_server_may_end_it_at_any_time() -> None:
    assert pair(lines("C MAIL FROM:<max@own.example>", "C RCPT TO:<a@x.example>", "S 421 closing")).is_certain
    assert pair(lines("C RCPT TO:<a@x.example>", "S 250 Ok", "S 421 closing")).is_certain
    assert pair(()).is_certain
