"""Looking at domains, against a DNS server on loopback."""

import datetime as dt
from collections.abc import Iterator

import pytest

from sendproof_core import dkim_keys, domain_check, domain_records
from sendproof_core.dns_answers import Presence
from sendproof_core.domain_check import Questions
from sendproof_core.domain_records import Checked, Finding, Key, Problem, Setup, Subject, Verdict, Wanted
from sendproof_core.settings import DnsSettings
from sendproof_core.states import KeyState
from sendproof_testing import dns_zone
from sendproof_testing.dns_zone import DnsZone

_NOW = dt.datetime(2026, 11, 22, 13, 3, 5, tzinfo=dt.UTC)
_SETUP = Setup(dkim_zone="keys.relay.example", spf_include="_spf.relay.example")
_KEY = Key("sp1", dkim_keys.RSA_SHA256, KeyState.PENDING, "MIIBIjANBgkqhkiG9w0" + "A" * 370)
_WANTED = Wanted("own.example", "c0ffee", (_KEY,))


@pytest.fixture(scope="module")
def server() -> Iterator[DnsZone]:
    with dns_zone.running() as zone:
        yield zone


@pytest.fixture
def zone(server: DnsZone) -> DnsZone:
    """With a domain that has all that it should."""
    server.clear()
    server.set("own.example", "TXT", "v=spf1 include:_spf.relay.example -all", "something else")
    server.set("own.example", "MX", "10 mail.own.example.")
    server.set("sp1._domainkey.own.example", "CNAME", "sp1.c0ffee.keys.relay.example.")
    server.set("sp1.c0ffee.keys.relay.example", "TXT", _KEY.record_text or "")
    server.set("_dmarc.own.example", "TXT", "v=DMARC1; p=reject; rua=mailto:d@own.example")
    server.set("_spf.relay.example", "TXT", "v=spf1 ip4:192.0.2.0/24 -all")
    return server


def _look(zone: DnsZone, wanted: Wanted = _WANTED, setup: Setup = _SETUP, seconds: float = 5.0) -> Checked:
    questions = Questions(DnsSettings(servers=(zone.server,), timeout_seconds=seconds))
    return domain_check.look(wanted, setup, questions, _NOW)


def _finding(checked: Checked, subject: Subject) -> Finding:
    return next(finding for finding in checked.findings if finding.subject is subject)


def test_a_domain_that_has_everything_is_good_in_every_part(zone: DnsZone) -> None:
    checked = _look(zone)
    assert checked.proof is Presence.PRESENT
    assert {finding.subject: finding.verdict for finding in checked.findings} == dict.fromkeys(
        (Subject.DKIM, Subject.SPF, Subject.DMARC, Subject.MX), Verdict.GOOD
    )
    assert _finding(checked, Subject.SPF).values == {"lookups": 1, "most": 10}


def test_a_key_longer_than_a_udp_answer_is_read(zone: DnsZone) -> None:
    zone.set("sp1.c0ffee.keys.relay.example", "TXT", _KEY.record_text or "", "x" * 900)
    assert _finding(_look(zone), Subject.DKIM).verdict is Verdict.GOOD


def test_an_unpublished_domain_lacks_everything_and_is_not_proved(zone: DnsZone) -> None:
    zone.clear()
    checked = _look(zone)
    assert checked.proof is Presence.ABSENT
    assert {finding.verdict for finding in checked.findings} == {Verdict.MISSING}


@pytest.mark.parametrize("how", ["SERVFAIL", "REFUSED", "silence"])
def test_what_was_not_answered_is_unknown_and_never_missing(zone: DnsZone, how: str) -> None:
    for name in (
        "own.example",
        "sp1._domainkey.own.example",
        "_dmarc.own.example",
        "_sendproof-challenge.own.example",
    ):
        zone.break_name(name, how)
    checked = _look(zone, seconds=0.4)
    assert checked.proof is Presence.UNKNOWN
    assert {finding.verdict for finding in checked.findings} == {Verdict.UNKNOWN}


def test_a_server_that_is_away_is_no_missing_record() -> None:
    questions = Questions(DnsSettings(servers=(f"127.0.0.1:{dns_zone.unused_port()}",), timeout_seconds=0.3))
    checked = domain_check.look(_WANTED, _SETUP, questions, _NOW)
    assert {finding.verdict for finding in checked.findings} == {Verdict.UNKNOWN}


def test_one_look_takes_no_longer_than_it_may(zone: DnsZone) -> None:
    """Each question would take its two seconds."""
    elapsed = [0.0]

    def clock() -> float:
        elapsed[0] += 1.0
        return elapsed[0]

    zone.questions.clear()
    questions = Questions(DnsSettings(servers=(zone.server,), timeout_seconds=3.0), clock)
    checked = domain_check.look(_WANTED, _SETUP, questions, _NOW)
    assert len(zone.questions) == 2
    assert _finding(checked, Subject.MX).verdict is Verdict.UNKNOWN


def test_a_question_is_asked_once_in_a_look(zone: DnsZone) -> None:
    zone.questions.clear()
    _look(zone)
    assert len(zone.questions) == len(set(zone.questions))


def test_the_cname_alone_proves_the_domain_while_our_zone_has_no_key_yet(zone: DnsZone) -> None:
    zone.set("sp1.c0ffee.keys.relay.example", "TXT")
    checked = _look(zone)
    assert checked.proof is Presence.PRESENT
    finding = _finding(checked, Subject.DKIM)
    assert (finding.verdict, finding.problem) == (Verdict.WAITING, Problem.OUR_ZONE_LACKS_KEY)
    assert finding.seen == ("sp1.c0ffee.keys.relay.example.",)


def test_a_cname_to_another_accounts_name_proves_nothing(zone: DnsZone) -> None:
    zone.set("sp1._domainkey.own.example", "CNAME", "sp1.0ther.keys.relay.example.")
    checked = _look(zone)
    assert checked.proof is Presence.ABSENT
    assert _finding(checked, Subject.DKIM).problem is Problem.OTHER_VALUE


def test_the_key_itself_works_but_does_not_prove(zone: DnsZone) -> None:
    zone.set("sp1._domainkey.own.example", "CNAME")
    zone.set("sp1._domainkey.own.example", "TXT", _KEY.record_text or "")
    checked = _look(zone)
    assert _finding(checked, Subject.DKIM).problem is Problem.KEY_DIRECTLY
    assert checked.proof is Presence.ABSENT


def test_without_a_zone_of_the_provider_a_text_record_proves(zone: DnsZone) -> None:
    setup = Setup(spf_include="_spf.relay.example")
    claimed = Wanted("own.example", "c0ffee", domain_records.FIRST_KEYS)
    zone.set("_sendproof-challenge.own.example", "TXT", "sendproof-challenge=0ther")
    checked = _look(zone, claimed, setup)
    assert checked.proof is Presence.ABSENT
    assert [finding.subject for finding in checked.findings] == [Subject.PROOF, Subject.SPF, Subject.DMARC, Subject.MX]
    zone.set("_sendproof-challenge.own.example", "TXT", "sendproof-challenge=c0ffee")
    checked = _look(zone, claimed, setup)
    assert checked.proof is Presence.PRESENT
    assert _finding(checked, Subject.PROOF).verdict is Verdict.GOOD


def test_the_policy_of_the_nearest_parent_holds(zone: DnsZone) -> None:
    wanted = Wanted("news.mail.own.example", "c0ffee", ())
    zone.set("_dmarc.mail.own.example", "TXT", "not a policy")
    zone.set("_dmarc.own.example", "TXT", "v=DMARC1; p=reject; sp=quarantine")
    finding = _finding(_look(zone, wanted), Subject.DMARC)
    assert (finding.problem, finding.values) == (
        Problem.INHERITED_POLICY,
        {"policy": "quarantine", "name": "own.example"},
    )


def test_names_that_no_dns_has_are_no_answer_of_ours(zone: DnsZone) -> None:
    zone.set("own.example", "TXT", f"v=spf1 include:a..b include:{'x' * 70}.example include:_spf.relay.example -all")
    finding = _finding(_look(zone), Subject.SPF)
    assert finding.problem is Problem.BROKEN_INCLUDE


def test_octets_beyond_ascii_are_text_somehow(zone: DnsZone) -> None:
    zone.set("_dmarc.own.example", "TXT", "v=DMARC1; p=\u202enone\x1b[31m<script>")
    finding = _finding(_look(zone), Subject.DMARC)
    assert finding.problem is Problem.MALFORMED
    assert finding.seen == ("v=DMARC1; p=\u202enone\x1b[31m<script>",)


@pytest.mark.parametrize(
    ("published", "holds"),
    [
        ("cname", Presence.PRESENT),
        ("key", Presence.PRESENT),
        ("nothing", Presence.ABSENT),
        ("silence", Presence.UNKNOWN),
    ],
)
def test_whether_an_accounts_records_are_there_still(zone: DnsZone, published: str, holds: Presence) -> None:
    name = "sp1._domainkey.own.example"
    if published != "cname":
        zone.set(name, "CNAME")
    if published == "key":
        zone.set(name, "TXT", _KEY.record_text or "")
    if published == "silence":
        zone.break_name(name)
    questions = Questions(DnsSettings(servers=(zone.server,)))
    assert domain_check.still_holds(_WANTED, _SETUP, questions) is holds
