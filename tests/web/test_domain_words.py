"""Every finding has a sentence, and none of them shows raw what DNS said."""

import datetime as dt
import itertools

import pytest
from flask import Flask

from sendproof_core import domain_records
from sendproof_core.dns_answers import Presence
from sendproof_core.domain_directory import OwnDomain
from sendproof_core.domain_records import Checked, Finding, Problem, Subject, Verdict, Wanted
from sendproof_testing.sample_record import HOSTILE
from sendproof_web import domain_words

_NOW = dt.datetime(2026, 11, 22, 13, 3, 5, tzinfo=dt.UTC)
_VALUES = {"count": 2, "lookups": 11, "most": 10, "term": HOSTILE, "name": HOSTILE, "policy": "none"}
# Which problems a record can have: `domain_records` gives no others.
_CAN_BE = {
    Subject.PROOF: {Problem.NONE, Problem.NO_ANSWER, Problem.NOT_THERE, Problem.OTHER_VALUE},
    Subject.DKIM: {
        Problem.NONE,
        Problem.NO_ANSWER,
        Problem.NOT_THERE,
        Problem.OTHER_VALUE,
        Problem.OUR_ZONE_LACKS_KEY,
        Problem.KEY_DIRECTLY,
    },
    Subject.SPF: {
        Problem.NO_ANSWER,
        Problem.NOT_THERE,
        Problem.SEVERAL,
        Problem.NOT_INCLUDED,
        Problem.MALFORMED,
        Problem.TOO_MANY_LOOKUPS,
        Problem.TOO_MANY_VOID,
        Problem.BROKEN_INCLUDE,
        Problem.INCLUDED,
    },
    Subject.DMARC: {
        Problem.NO_ANSWER,
        Problem.NOT_THERE,
        Problem.SEVERAL,
        Problem.MALFORMED,
        Problem.POLICY,
        Problem.INHERITED_POLICY,
    },
    Subject.MX: {Problem.NONE, Problem.NO_ANSWER, Problem.NOT_THERE, Problem.ONLY_ADDRESS, Problem.TAKES_NO_MAIL},
}


def _finding(subject: Subject, problem: Problem, verdict: Verdict = Verdict.WRONG) -> Finding:
    return Finding(subject, "n.example", "TXT", None, (), verdict, problem, _VALUES)


def test_every_problem_is_one_that_some_record_can_have() -> None:
    assert set(itertools.chain.from_iterable(_CAN_BE.values())) == set(Problem)


@pytest.mark.parametrize("subject", Subject)
def test_every_problem_has_its_sentence(app: Flask, subject: Subject) -> None:
    with app.test_request_context():
        sentences = {problem: domain_words.sentence(_finding(subject, problem)) for problem in _CAN_BE[subject]}
    assert len(set(sentences.values())) == len(sentences)
    for sentence in sentences.values():
        assert "%(" not in sentence
        assert "\x1b" not in sentence
        assert "\u202e" not in sentence


def test_every_subject_and_verdict_has_its_words(app: Flask) -> None:
    with app.test_request_context():
        assert all(domain_words.why(_finding(subject, Problem.NONE)) for subject in Subject)
        assert len({domain_words.title(_finding(subject, Problem.NONE)) for subject in Subject}) == len(Subject)
        labels = [domain_words.label(_finding(Subject.SPF, Problem.NONE, verdict)) for verdict in Verdict]
    assert len({label.text for label in labels}) == len(Verdict)
    assert {label.tone for label in labels} == {"good", "waiting", "bad", "unsure"}


def _own(proved: bool, *verdicts: Verdict) -> OwnDomain:
    findings = tuple(_finding(Subject.SPF, Problem.NONE, verdict) for verdict in verdicts)
    checked = Checked(_NOW, Presence.ABSENT, findings) if verdicts else None
    wanted = Wanted("own.example", "c0ffee", domain_records.FIRST_KEYS)
    return OwnDomain("own.example", 1, _NOW, _NOW if proved else None, wanted, None, checked)


@pytest.mark.parametrize(
    ("domain", "text"),
    [
        (_own(False, Verdict.GOOD), "Not proved yet"),
        (_own(True), "Not looked at yet"),
        (_own(True, Verdict.GOOD, Verdict.WRONG, Verdict.UNKNOWN), "Something is to do"),
        (_own(True, Verdict.GOOD, Verdict.WAITING), "Nearly there"),
        (_own(True, Verdict.GOOD, Verdict.UNKNOWN), "Not all is known"),
        (_own(True, Verdict.GOOD), "All is right"),
    ],
)
def test_a_domain_is_as_good_as_its_worst_record(app: Flask, domain: OwnDomain, text: str) -> None:
    with app.test_request_context():
        assert domain_words.state(domain).text == text
