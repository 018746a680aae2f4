"""Every cause has a sentence and advice, and nobody is told to act who need not."""

import datetime as dt

import pytest

from sendproof_core.reply_rules import Cause
from sendproof_notices.causes import advice_refused, why_deferred, why_refused
from sendproof_notices.words import Words

ENGLISH = Words("en", dt.UTC)


@pytest.mark.parametrize("cause", Cause)
def test_every_cause_is_worded_in_whole_sentences(cause: Cause) -> None:
    why, todo = why_deferred(cause, ENGLISH)
    sentences = [why, todo, advice_refused(cause, ENGLISH), why_refused(cause, ENGLISH) or "."]
    assert all(sentence.endswith(".") and "%" not in sentence for sentence in sentences)


def test_greylisting_is_called_so_and_reassures() -> None:
    why, todo = why_deferred(Cause.GREYLISTED, ENGLISH)
    assert "greylisted" in why
    assert todo == "That is usual. Nothing is wrong, and you need not do anything."


def test_a_mailbox_that_does_not_exist_is_a_matter_of_the_address() -> None:
    assert why_refused(Cause.UNKNOWN_USER, ENGLISH) == "Their server says that there is no such mailbox."
    assert advice_refused(Cause.UNKNOWN_USER, ENGLISH).startswith("Look for a typing error")


def test_what_a_filter_refused_is_a_matter_for_their_it_department() -> None:
    assert "hand-over link" in advice_refused(Cause.BLOCKED, ENGLISH)
    assert "hand-over link" in advice_refused(Cause.OTHER, ENGLISH)
