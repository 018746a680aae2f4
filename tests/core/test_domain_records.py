import dataclasses
import datetime as dt
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sendproof_core import dkim_keys, domain_records
from sendproof_core.dns_answers import ABSENT, UNKNOWN, Answer, Presence
from sendproof_core.domain_records import Checked, Finding, Key, Problem, Setup, Subject, Verdict, Wanted
from sendproof_core.spf_record import SpfReading
from sendproof_core.states import KeyState

_NOW = dt.datetime(2026, 11, 22, 13, 3, 5, tzinfo=dt.UTC)
_RSA = Key("sp1", dkim_keys.RSA_SHA256, KeyState.ACTIVE, "MIIBIjAN")
_ED25519 = Key("sp1-ed25519", dkim_keys.ED25519_SHA256, KeyState.PENDING, "11qYAYKxCr")
_RETIRED = Key("old", dkim_keys.RSA_SHA256, KeyState.RETIRED, "MIIBold")
_WANTED = Wanted("own.example", "c0ffee", (_RETIRED, _RSA, _ED25519))
_BY_CNAME = Setup("keys.relay.example", "_spf.relay.example")
_BY_TEXT = Setup()


def _there(*values: str) -> Answer:
    return Answer(Presence.PRESENT, values)


def test_what_to_publish_by_cname() -> None:
    found = [
        (item.subject.value, item.name, item.type, item.wanted) for item in domain_records.unseen(_WANTED, _BY_CNAME)
    ]
    assert found == [
        ("dkim", "sp1._domainkey.own.example", "CNAME", "sp1.c0ffee.keys.relay.example"),
        ("dkim", "sp1-ed25519._domainkey.own.example", "CNAME", "sp1-ed25519.c0ffee.keys.relay.example"),
        # Not before the one that is there was seen: two would be an error.
        ("spf", "own.example", "TXT", None),
        ("dmarc", "_dmarc.own.example", "TXT", "v=DMARC1; p=none"),
    ]


def test_what_to_publish_without_a_zone_of_the_provider() -> None:
    found = [(item.subject.value, item.name, item.wanted) for item in domain_records.unseen(_WANTED, _BY_TEXT)]
    assert found == [
        ("proof", "_sendproof-challenge.own.example", "sendproof-challenge=c0ffee"),
        ("dkim", "sp1._domainkey.own.example", "v=DKIM1; k=rsa; p=MIIBIjAN"),
        ("dkim", "sp1-ed25519._domainkey.own.example", "v=DKIM1; k=ed25519; p=11qYAYKxCr"),
        ("dmarc", "_dmarc.own.example", "v=DMARC1; p=none"),
    ]
    claimed = dataclasses.replace(_WANTED, keys=domain_records.FIRST_KEYS)
    assert [item.subject for item in domain_records.unseen(claimed, _BY_TEXT)] == [Subject.PROOF, Subject.DMARC]


def test_the_providers_own_domain_needs_no_proof_and_has_its_keys_itself() -> None:
    own = dataclasses.replace(_WANTED, challenge=None)
    assert [item.type for item in domain_records.unseen(own, _BY_CNAME)] == ["TXT"] * 4
    assert domain_records.is_proof(own, _BY_CNAME, (), ABSENT) is Presence.ABSENT


@pytest.mark.parametrize(
    ("text", "is_same"),
    [
        ("v=DKIM1; k=rsa; p=MIIBIjAN", True),
        ("p=MIIB IjAN", True),
        ("k=rsa;p=MII\tBIjAN;", True),
        ("v=DKIM1; k=ed25519; p=MIIBIjAN", False),
        ("v=DKIM1; k=rsa; p=MIIBIjAn", False),
        ("v=DKIM1; k=rsa; p=", False),
        ("v=DKIM1; k=rsa; p=other; p=MIIBIjAN", False),
        ("MIIBIjAN", False),
        ("", False),
    ],
)
def test_a_key_is_the_same_however_it_is_written(text: str, is_same: bool) -> None:
    assert domain_records.is_same_key(_RSA, text) is is_same


@pytest.mark.parametrize(
    ("cname", "txt", "verdict", "problem"),
    [
        (_there("SP1.c0ffee.Keys.Relay.example."), _there(_RSA.record_text or ""), Verdict.GOOD, Problem.NONE),
        (_there("sp1.c0ffee.keys.relay.example."), ABSENT, Verdict.WAITING, Problem.OUR_ZONE_LACKS_KEY),
        (_there("sp1.c0ffee.keys.relay.example."), UNKNOWN, Verdict.WAITING, Problem.OUR_ZONE_LACKS_KEY),
        (_there("sp1.0ther.keys.relay.example."), _there("x"), Verdict.WRONG, Problem.OTHER_VALUE),
        (ABSENT, ABSENT, Verdict.MISSING, Problem.NOT_THERE),
        (ABSENT, _there("something"), Verdict.WRONG, Problem.OTHER_VALUE),
        (ABSENT, UNKNOWN, Verdict.UNKNOWN, Problem.NO_ANSWER),
        (UNKNOWN, UNKNOWN, Verdict.UNKNOWN, Problem.NO_ANSWER),
    ],
)
def test_a_keys_cname(cname: Answer, txt: Answer, verdict: Verdict, problem: Problem) -> None:
    finding = domain_records.judge_key(_WANTED, _RSA, _BY_CNAME, cname, txt)
    assert (finding.verdict, finding.problem, finding.selector) == (verdict, problem, "sp1")


@pytest.mark.parametrize(
    ("cname", "challenge", "proof"),
    [
        (_there("sp1.c0ffee.keys.relay.example"), ABSENT, Presence.PRESENT),
        (_there("sp1.c0ffee.keys.relay.example"), UNKNOWN, Presence.PRESENT),
        (_there("x.example."), _there("sendproof-challenge=c0ffee"), Presence.PRESENT),
        (_there("x.example."), _there("c0ffee", "sendproof-challenge=c0ffee1"), Presence.ABSENT),
        (ABSENT, ABSENT, Presence.ABSENT),
        (ABSENT, UNKNOWN, Presence.UNKNOWN),
        (UNKNOWN, ABSENT, Presence.UNKNOWN),
    ],
)
def test_a_proof_is_seen_absent_or_not_known(cname: Answer, challenge: Answer, proof: Presence) -> None:
    assert domain_records.is_proof(_WANTED, _BY_CNAME, ((_RSA, cname),), challenge) is proof


def _spf(**values: object) -> Finding:
    ordinary: dict[str, object] = {
        "records": ("v=spf1 include:_spf.relay.example -all",),
        "includes": True,
        "lookups": 1,
    }
    return domain_records.judge_spf("own.example", "_spf.relay.example", SpfReading(**{**ordinary, **values}))  # type: ignore[arg-type] # by name


@pytest.mark.parametrize(
    ("values", "verdict", "problem"),
    [
        ({}, Verdict.GOOD, Problem.INCLUDED),
        ({"lookups": 10, "void_lookups": 2}, Verdict.GOOD, Problem.INCLUDED),
        ({"lookups": 11}, Verdict.WRONG, Problem.TOO_MANY_LOOKUPS),
        ({"void_lookups": 3}, Verdict.WRONG, Problem.TOO_MANY_VOID),
        ({"broken_include": "x.example"}, Verdict.WRONG, Problem.BROKEN_INCLUDE),
        ({"bad_term": "foo"}, Verdict.WRONG, Problem.MALFORMED),
        ({"includes": False}, Verdict.WRONG, Problem.NOT_INCLUDED),
        ({"includes": False, "is_known": False}, Verdict.UNKNOWN, Problem.NO_ANSWER),
        ({"is_known": False}, Verdict.UNKNOWN, Problem.NO_ANSWER),
        ({"records": ()}, Verdict.MISSING, Problem.NOT_THERE),
        ({"records": (), "is_known": False}, Verdict.UNKNOWN, Problem.NO_ANSWER),
        ({"records": ("v=spf1 -all", "v=spf1 mx -all")}, Verdict.WRONG, Problem.SEVERAL),
    ],
)
def test_an_spf_record(values: dict[str, object], verdict: Verdict, problem: Problem) -> None:
    finding = _spf(**values)
    assert (finding.verdict, finding.problem) == (verdict, problem)


def test_the_record_to_publish_is_theirs_with_our_part() -> None:
    assert _spf(records=()).wanted == "v=spf1 include:_spf.relay.example ~all"
    assert _spf(records=("v=spf1 mx -all",), includes=False).wanted == "v=spf1 mx include:_spf.relay.example -all"
    assert _spf().wanted == "v=spf1 include:_spf.relay.example -all"


@pytest.mark.parametrize(
    ("text", "verdict", "problem"),
    [
        ("v=DMARC1; p=none", Verdict.GOOD, Problem.POLICY),
        ("v=DMARC1;p=Reject", Verdict.GOOD, Problem.POLICY),
        ("v = DMARC1 ; p = quarantine", Verdict.GOOD, Problem.POLICY),
        ("v=DMARC1", Verdict.WRONG, Problem.MALFORMED),
        ("v=DMARC1; p=always", Verdict.WRONG, Problem.MALFORMED),
        ("v=DMARC12; p=none", Verdict.MISSING, Problem.NOT_THERE),
        ("p=none", Verdict.MISSING, Problem.NOT_THERE),
    ],
)
def test_a_dmarc_policy(text: str, verdict: Verdict, problem: Problem) -> None:
    finding = domain_records.judge_dmarc("own.example", (("own.example", _there(text)), ("example", ABSENT)))
    assert (finding.verdict, finding.problem) == (verdict, problem)


def test_several_policies_are_none() -> None:
    finding = domain_records.judge_dmarc("own.example", (("own.example", _there(*["v=DMARC1; p=none"] * 2)),))
    assert (finding.problem, finding.values) == (Problem.SEVERAL, {"count": 2})


def test_a_parent_that_does_not_answer_makes_it_unknown() -> None:
    finding = domain_records.judge_dmarc("a.own.example", (("a.own.example", ABSENT), ("own.example", UNKNOWN)))
    assert finding.verdict is Verdict.UNKNOWN


@pytest.mark.parametrize(
    ("mx", "addresses", "verdict", "problem"),
    [
        (_there("10 mail.own.example."), (), Verdict.GOOD, Problem.NONE),
        (_there("0 ."), (), Verdict.WRONG, Problem.TAKES_NO_MAIL),
        (ABSENT, (ABSENT, _there("2001:db8::1")), Verdict.GOOD, Problem.ONLY_ADDRESS),
        (ABSENT, (ABSENT, ABSENT), Verdict.MISSING, Problem.NOT_THERE),
        (ABSENT, (ABSENT, UNKNOWN), Verdict.UNKNOWN, Problem.NO_ANSWER),
        (UNKNOWN, (_there("192.0.2.1"), ABSENT), Verdict.UNKNOWN, Problem.NO_ANSWER),
    ],
)
def test_where_replies_go(mx: Answer, addresses: tuple[Answer, ...], verdict: Verdict, problem: Problem) -> None:
    finding = domain_records.judge_mx("own.example", mx, addresses)
    assert (finding.verdict, finding.problem) == (verdict, problem)


def test_what_is_kept_of_a_hostile_name_is_bounded() -> None:
    answer = _there(*(["x" * 60_000] * 500))
    finding = domain_records.judge_challenge(_WANTED, answer)
    assert len(finding.seen) == 10
    assert all(len(value) < 1_100 for value in finding.seen)


def test_new_keys_are_shown_as_not_looked_at_yet_beside_what_was_seen_of_the_old_ones() -> None:
    good = domain_records.judge_key(_WANTED, _RSA, _BY_TEXT, ABSENT, _there(_RSA.record_text or ""))
    mx = domain_records.judge_mx("own.example", _there("10 mail.own.example."), ())
    checked = Checked(_NOW, Presence.ABSENT, (good, mx))
    found = domain_records.current(_WANTED, _BY_TEXT, checked)
    assert [(item.subject, item.verdict) for item in found] == [
        (Subject.PROOF, Verdict.UNKNOWN),
        (Subject.DKIM, Verdict.GOOD),
        (Subject.DKIM, Verdict.UNKNOWN),
        (Subject.MX, Verdict.GOOD),
    ]


_FINDINGS = st.builds(
    Finding,
    st.sampled_from(Subject),
    st.text(),
    st.text(),
    st.none() | st.text(),
    st.lists(st.text()).map(tuple),
    st.sampled_from(Verdict),
    st.sampled_from(Problem),
    st.dictionaries(st.text(), st.text() | st.integers()),
    selector=st.none() | st.text(),
)


@given(st.builds(Checked, st.just(_NOW), st.sampled_from(Presence), st.lists(_FINDINGS).map(tuple)))
def test_what_was_seen_comes_back_from_its_row(checked: Checked) -> None:
    assert domain_records.from_json(json.loads(json.dumps(domain_records.to_json(checked)))) == checked


@pytest.mark.parametrize("document", [None, {}, {"at": "x"}, {"at": _NOW.isoformat(), "proof": "p", "findings": []}])
def test_what_another_version_kept_is_as_if_nobody_had_looked(document: dict[str, object] | None) -> None:
    assert domain_records.from_json(document) is None
