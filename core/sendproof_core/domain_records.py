"""The records that a domain should have, and what to say of those that it has. Pure: asks no DNS, stores nothing.

A finding says what was seen beside what should be there. It has no sentence: `Problem` names what is the matter, and
who shows it has the words.
"""

import dataclasses
import datetime as dt
import enum
import re
from dataclasses import dataclass, field
from typing import Any

from sendproof_core import dkim_keys, spf_record
from sendproof_core.dns_answers import Answer, Presence
from sendproof_core.spf_record import SpfReading
from sendproof_core.states import KeyState

CHALLENGE_LABEL = "_sendproof-challenge"
_CHALLENGE_TEXT = "sendproof-challenge="
FIRST_DMARC = "v=DMARC1; p=none"
# The keys that every customer's domain gets when it is proved, by selector.
FIRST_SELECTORS = {"sp1": dkim_keys.RSA_SHA256, "sp1-ed25519": dkim_keys.ED25519_SHA256}
_SHOWN_VALUES = 10
_SHOWN_CHARACTERS = 1000
_DMARC = re.compile(r"v\s*=\s*DMARC1\s*(?:;|$)")
_POLICIES = ("none", "quarantine", "reject")


class Subject(enum.StrEnum):
    """What a record is for."""

    PROOF = "proof"
    DKIM = "dkim"
    SPF = "spf"
    DMARC = "dmarc"
    MX = "mx"


class Verdict(enum.StrEnum):
    """What there is to say of one record."""

    GOOD = "good"
    # Right as far as its owner can do anything: the rest is ours.
    WAITING = "waiting"
    WRONG = "wrong"
    MISSING = "missing"
    # DNS did not answer: never the same as missing.
    UNKNOWN = "unknown"


class Problem(enum.StrEnum):
    """What is the matter with a record, or why it is good. In braces: what `Finding.values` holds."""

    NONE = "none"
    NO_ANSWER = "no-answer"
    NOT_THERE = "not-there"
    OTHER_VALUE = "other-value"
    OUR_ZONE_LACKS_KEY = "our-zone-lacks-key"
    KEY_DIRECTLY = "key-directly"  # good: the key itself is published, not the CNAME
    SEVERAL = "several"  # {count}
    NOT_INCLUDED = "not-included"
    TOO_MANY_LOOKUPS = "too-many-lookups"  # {lookups, most}
    TOO_MANY_VOID = "too-many-void"  # {lookups, most}
    MALFORMED = "malformed"  # {term}
    BROKEN_INCLUDE = "broken-include"  # {name}
    INCLUDED = "included"  # good; {lookups, most}
    POLICY = "policy"  # good; {policy}
    INHERITED_POLICY = "inherited-policy"  # good; {policy, name}
    TAKES_NO_MAIL = "takes-no-mail"
    ONLY_ADDRESS = "only-address"  # good: no MX, but an address


@dataclass(frozen=True)
class Finding:
    """One record: what should be there, what was seen, and what that means.

    ``wanted`` is None where nothing has to be published. ``seen`` is hostile text.
    """

    subject: Subject
    name: str
    type: str
    wanted: str | None
    seen: tuple[str, ...]
    verdict: Verdict
    problem: Problem
    values: dict[str, Any] = field(default_factory=dict)
    selector: str | None = None


@dataclass(frozen=True)
class Checked:
    """What one look at DNS gave. ``proof``: whether the account was seen to own the domain."""

    at: dt.datetime
    proof: Presence
    findings: tuple[Finding, ...]


@dataclass(frozen=True)
class Setup:
    """What the provider's settings say: `settings.DnsSettings` has the words."""

    dkim_zone: str | None = None
    spf_include: str | None = None


@dataclass(frozen=True)
class Key:
    """A DKIM key that is published or to be. ``public_key`` is None before it is made: when the domain is proved."""

    selector: str
    algorithm: str
    state: KeyState
    public_key: str | None

    @property
    def record_text(self) -> str | None:
        """The text of its TXT record; of a retired key, the one that revokes it."""
        if self.public_key is None:
            return None
        published = "" if self.state is KeyState.RETIRED else self.public_key
        return dkim_keys.record_text(self.algorithm, published)


@dataclass(frozen=True)
class Wanted:
    """A domain as its owner wants it. ``challenge`` is None for the provider's own, which need no proof."""

    name: str
    challenge: str | None
    keys: tuple[Key, ...]

    @property
    def published_keys(self) -> tuple[Key, ...]:
        """The keys whose records should be there."""
        return tuple(key for key in self.keys if key.state is not KeyState.RETIRED)


FIRST_KEYS = tuple(Key(selector, name, KeyState.PENDING, None) for selector, name in FIRST_SELECTORS.items())


def dkim_name(domain: str, selector: str) -> str:
    """Where a key's record is (RFC 6376 section 3.6.2.1)."""
    return f"{selector}._domainkey.{domain}"


def cname_target(selector: str, challenge: str, dkim_zone: str) -> str:
    """What the customer's CNAME points to, in the provider's zone."""
    return f"{selector}.{challenge}.{dkim_zone}"


def challenge_name(domain: str) -> str:
    """Where the TXT record is that proves who owns a domain."""
    return f"{CHALLENGE_LABEL}.{domain}"


def challenge_text(challenge: str) -> str:
    """What it says."""
    return _CHALLENGE_TEXT + challenge


def unseen(wanted: Wanted, setup: Setup) -> tuple[Finding, ...]:
    """The records to publish, before anybody looked."""
    nothing = Answer(Presence.UNKNOWN)
    findings = [judge_key(wanted, key, setup, nothing, nothing) for key in keys_to_publish(wanted, setup)]
    if asks_for_text(wanted, setup):
        findings.insert(0, judge_challenge(wanted, nothing))
    if setup.spf_include is not None:
        findings.append(judge_spf(wanted.name, setup.spf_include, SpfReading(is_known=False)))
    findings.append(judge_dmarc(wanted.name, ((wanted.name, nothing),)))
    return tuple(findings)


def current(wanted: Wanted, setup: Setup, checked: Checked | None) -> tuple[Finding, ...]:
    """What was last seen of the records that are wanted now: keys and settings may have changed since."""
    if checked is None:
        return unseen(wanted, setup)
    ours = (Subject.PROOF, Subject.DKIM)
    seen = {(finding.subject, finding.name, finding.type, finding.wanted): finding for finding in checked.findings}
    published = [finding for finding in unseen(wanted, setup) if finding.subject in ours]
    return (
        *(seen.get((item.subject, item.name, item.type, item.wanted), item) for item in published),
        *(finding for finding in checked.findings if finding.subject not in ours),
    )


def keys_to_publish(wanted: Wanted, setup: Setup) -> tuple[Key, ...]:
    """The keys of which there is something to publish: a CNAME always, the key itself once it is made."""
    keys = wanted.published_keys
    return tuple(key for key in keys if key.public_key is not None) if asks_for_text(wanted, setup) else keys


def asks_for_text(wanted: Wanted, setup: Setup) -> bool:
    """Whether the proof is a TXT record of its own: where no CNAME can be it."""
    return wanted.challenge is not None and setup.dkim_zone is None


def is_proof(wanted: Wanted, setup: Setup, cnames: tuple[tuple[Key, Answer], ...], challenge: Answer) -> Presence:
    """Whether one of the records is there that only the owner of the domain can have made for this account."""
    if wanted.challenge is None:
        return Presence.ABSENT
    answers = [challenge]
    if challenge_text(wanted.challenge) in challenge.values:
        return Presence.PRESENT
    if setup.dkim_zone is not None:
        for key, answer in cnames:
            answers.append(answer)
            if _is_same_name(answer, cname_target(key.selector, wanted.challenge, setup.dkim_zone)):
                return Presence.PRESENT
    return Presence.ABSENT if all(answer.is_known for answer in answers) else Presence.UNKNOWN


def judge_challenge(wanted: Wanted, answer: Answer) -> Finding:
    """The TXT record that proves who owns the domain."""
    text = challenge_text(wanted.challenge or "")
    verdict, problem = _verdict(answer, text in answer.values)
    return _finding(Subject.PROOF, challenge_name(wanted.name), "TXT", text, answer, verdict, problem)


def judge_key(wanted: Wanted, key: Key, setup: Setup, cname: Answer, txt: Answer) -> Finding:
    """A key's record. ``txt``: what a receiver gets at the key's name, wherever a CNAME leads."""
    name = dkim_name(wanted.name, key.selector)
    is_served = key.record_text is not None and any(is_same_key(key, text) for text in txt.values)
    if wanted.challenge is not None and setup.dkim_zone is not None:
        return _judge_cname(name, wanted.challenge, setup.dkim_zone, key, cname, txt, is_served=is_served)
    verdict, problem = _verdict(txt, is_served)
    return _finding(Subject.DKIM, name, "TXT", key.record_text, txt, verdict, problem, selector=key.selector)


def _judge_cname(
    name: str, challenge: str, zone: str, key: Key, cname: Answer, txt: Answer, *, is_served: bool
) -> Finding:
    target = cname_target(key.selector, challenge, zone)
    if cname.presence is Presence.ABSENT and txt.presence is not Presence.ABSENT:
        verdict, problem = _verdict(txt, is_served)
        if is_served:
            problem = Problem.KEY_DIRECTLY
        return _finding(Subject.DKIM, name, "CNAME", target, txt, verdict, problem, selector=key.selector)
    verdict, problem = _verdict(cname, _is_same_name(cname, target))
    if verdict is Verdict.GOOD and not is_served:
        verdict, problem = Verdict.WAITING, Problem.OUR_ZONE_LACKS_KEY
    return _finding(Subject.DKIM, name, "CNAME", target, cname, verdict, problem, selector=key.selector)


def is_same_key(key: Key, text: str) -> bool:
    """Whether a TXT record publishes this very key, however it is written (RFC 6376 section 3.2)."""
    tags = _tags(text)
    published = re.sub(r"\s+", "", tags.get("p", ""))
    kind = tags.get("k", "rsa").strip().lower()
    return bool(published) and published == key.public_key and key.algorithm.startswith(kind)


def judge_spf(domain: str, include: str, reading: SpfReading) -> Finding:
    """The domain's SPF record, into which our include is to be merged."""
    records = reading.records
    # Who does not know the record that is there must not propose one in its place.
    wanted = spf_record.with_include(records, include) if records or reading.is_known else None
    good: tuple[Verdict, Problem, dict[str, Any]]
    if not records:
        good = (Verdict.MISSING, Problem.NOT_THERE, {}) if reading.is_known else _NO_ANSWER
    elif len(records) > 1:
        good = (Verdict.WRONG, Problem.SEVERAL, {"count": len(records)})
    elif reading.bad_term is not None:
        good = (Verdict.WRONG, Problem.MALFORMED, {"term": _short(reading.bad_term)})
    elif not reading.includes:
        good = (Verdict.WRONG, Problem.NOT_INCLUDED, {}) if reading.is_known else _NO_ANSWER
    else:
        wanted = records[0]
        good = _judge_evaluation(reading)
    verdict, problem, values = good
    return Finding(Subject.SPF, domain, "TXT", wanted, _shown(records), verdict, problem, values)


def _judge_evaluation(reading: SpfReading) -> tuple[Verdict, Problem, dict[str, Any]]:
    most, most_void = spf_record.MOST_LOOKUPS, spf_record.MOST_VOID_LOOKUPS
    if reading.lookups > most:
        return Verdict.WRONG, Problem.TOO_MANY_LOOKUPS, {"lookups": reading.lookups, "most": most}
    if reading.broken_include is not None:
        return Verdict.WRONG, Problem.BROKEN_INCLUDE, {"name": _short(reading.broken_include)}
    if reading.void_lookups > most_void:
        return Verdict.WRONG, Problem.TOO_MANY_VOID, {"lookups": reading.void_lookups, "most": most_void}
    if not reading.is_known:
        return _NO_ANSWER
    return Verdict.GOOD, Problem.INCLUDED, {"lookups": reading.lookups, "most": most}


def is_dmarc(text: str) -> bool:
    """Whether a TXT record is a DMARC policy; others at that name are ignored."""
    return _DMARC.match(text) is not None


def judge_dmarc(domain: str, answers: tuple[tuple[str, Answer], ...]) -> Finding:
    """The policy that holds for the domain: its own, or that of the nearest parent that has one.

    ``answers``: for each domain from this one upwards, what is at its ``_dmarc`` name.
    """
    name, seen = f"_dmarc.{domain}", answers[0][1]
    for owner, answer in answers:
        records = tuple(text for text in answer.values if is_dmarc(text))
        if not answer.is_known:
            return _finding(Subject.DMARC, name, "TXT", FIRST_DMARC, seen, Verdict.UNKNOWN, Problem.NO_ANSWER)
        if not records:
            continue
        at, wanted = Answer(Presence.PRESENT, records), records[0]
        if len(records) > 1:
            values: dict[str, Any] = {"count": len(records)}
            return _finding(Subject.DMARC, name, "TXT", wanted, at, Verdict.WRONG, Problem.SEVERAL, values)
        tags = _tags(records[0])
        policy = (tags.get("sp") or tags.get("p") if owner != domain else tags.get("p")) or ""
        if policy.lower() not in _POLICIES:
            values = {"term": _short(f"p={policy}")}
            return _finding(Subject.DMARC, name, "TXT", FIRST_DMARC, at, Verdict.WRONG, Problem.MALFORMED, values)
        values = {"policy": policy.lower()}
        if owner == domain:
            return _finding(Subject.DMARC, name, "TXT", wanted, at, Verdict.GOOD, Problem.POLICY, values)
        values["name"] = owner
        return _finding(Subject.DMARC, name, "TXT", None, at, Verdict.GOOD, Problem.INHERITED_POLICY, values)
    return _finding(Subject.DMARC, name, "TXT", FIRST_DMARC, seen, Verdict.MISSING, Problem.NOT_THERE)


def judge_mx(domain: str, mx: Answer, addresses: tuple[Answer, ...]) -> Finding:
    """Whether replies can come back. A hint: nothing of ours depends on it."""
    if mx.presence is Presence.PRESENT:
        if all(value.split()[-1:] == ["."] for value in mx.values):  # RFC 7505
            return _finding(Subject.MX, domain, "MX", None, mx, Verdict.WRONG, Problem.TAKES_NO_MAIL)
        return _finding(Subject.MX, domain, "MX", None, mx, Verdict.GOOD, Problem.NONE)
    present = next((answer for answer in addresses if answer.presence is Presence.PRESENT), None)
    if mx.presence is Presence.UNKNOWN or (present is None and not all(answer.is_known for answer in addresses)):
        return _finding(Subject.MX, domain, "MX", None, mx, Verdict.UNKNOWN, Problem.NO_ANSWER)
    if present is not None:
        return _finding(Subject.MX, domain, "MX", None, present, Verdict.GOOD, Problem.ONLY_ADDRESS)
    return _finding(Subject.MX, domain, "MX", None, mx, Verdict.MISSING, Problem.NOT_THERE)


def to_json(checked: Checked) -> dict[str, Any]:
    """As `schema.DomainCheck.result` keeps it."""
    return {
        "at": checked.at.isoformat(),
        "proof": checked.proof.value,
        "findings": [dataclasses.asdict(finding) for finding in checked.findings],
    }


def from_json(document: dict[str, Any] | None) -> Checked | None:
    """What `to_json` made; None for what it did not make, or another version of it did."""
    if not document:
        return None
    try:
        return Checked(
            at=dt.datetime.fromisoformat(document["at"]),
            proof=Presence(document["proof"]),
            findings=tuple(_finding_of(item) for item in document["findings"]),
        )
    except (KeyError, TypeError, ValueError):
        return None


def _finding_of(item: dict[str, Any]) -> Finding:
    return Finding(
        **{
            **item,
            "subject": Subject(item["subject"]),
            "seen": tuple(item["seen"]),
            "verdict": Verdict(item["verdict"]),
            "problem": Problem(item["problem"]),
        }
    )


_NO_ANSWER: tuple[Verdict, Problem, dict[str, Any]] = (Verdict.UNKNOWN, Problem.NO_ANSWER, {})


def _verdict(answer: Answer, is_right: bool) -> tuple[Verdict, Problem]:
    if is_right:
        return Verdict.GOOD, Problem.NONE
    match answer.presence:
        case Presence.PRESENT:
            return Verdict.WRONG, Problem.OTHER_VALUE
        case Presence.ABSENT:
            return Verdict.MISSING, Problem.NOT_THERE
        case Presence.UNKNOWN:
            return Verdict.UNKNOWN, Problem.NO_ANSWER


def _finding(
    subject: Subject,
    name: str,
    record_type: str,
    wanted: str | None,
    answer: Answer,
    verdict: Verdict,
    problem: Problem,
    values: dict[str, Any] | None = None,
    *,
    selector: str | None = None,
) -> Finding:
    return Finding(
        subject, name, record_type, wanted, _shown(answer.values), verdict, problem, values or {}, selector=selector
    )


def _is_same_name(answer: Answer, name: str) -> bool:
    return any(value.rstrip(".").lower() == name.lower() for value in answer.values)


def _tags(text: str) -> dict[str, str]:
    """``a=b; c=d`` (RFC 6376 section 3.2); of a tag that comes twice, the first."""
    tags: dict[str, str] = {}
    for part in text.split(";"):
        name, equals, value = part.partition("=")
        if equals:
            tags.setdefault(name.strip().lower(), value.strip())
    return tags


def _shown(values: tuple[str, ...]) -> tuple[str, ...]:
    """A name may have hundreds of records of 64 KB: the page, and the row, have room for a few."""
    return tuple(_short(value, _SHOWN_CHARACTERS) for value in values[:_SHOWN_VALUES])


def _short(text: str, characters: int = 100) -> str:
    return text if len(text) <= characters else f"{text[:characters]}..."
