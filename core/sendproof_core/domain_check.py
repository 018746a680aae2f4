"""Look at a domain in DNS: what is there, beside what should be there. Stores nothing, decides nothing.

`domain_records` judges. Every look has an end: what was not answered after ``[dns] timeout_seconds`` in all is unknown.
"""

import datetime as dt
import time
from collections.abc import Callable, Sequence

import dns.exception
import dns.name
import dns.nameserver
import dns.rdatatype
import dns.rdtypes.ANY.TXT
import dns.resolver

from sendproof_core import domain_records, settings, spf_record
from sendproof_core.dns_answers import ABSENT, UNKNOWN, Answer, Presence
from sendproof_core.domain_records import Checked, Finding, Setup, Wanted
from sendproof_core.settings import DnsSettings

# Of the whole time, so that one server that is silent does not leave the others unasked.
_LONGEST_QUESTION_SECONDS = 2.0
# How far up a policy is looked for; names have at most 127 labels.
_DMARC_PARENTS = 7

Monotonic = Callable[[], float]


class Questions:
    """The questions of one look, which share their time; each is asked once."""

    def __init__(self, dns_settings: DnsSettings, monotonic_seconds: Monotonic = time.monotonic) -> None:
        self._monotonic_seconds = monotonic_seconds
        self._ends = monotonic_seconds() + dns_settings.timeout_seconds
        self._resolver = _resolver(dns_settings)
        self._answers: dict[tuple[str, str], Answer] = {}

    def ask(self, name: str, record_type: str) -> Answer:
        """The records of a name; CNAMEs are followed, unless they are what is asked for."""
        key = (name.lower(), record_type)
        if key not in self._answers:
            self._answers[key] = self._ask(name, record_type)
        return self._answers[key]

    def _ask(self, name: str, record_type: str) -> Answer:
        left = min(self._ends - self._monotonic_seconds(), _LONGEST_QUESTION_SECONDS)
        if left <= 0 or self._resolver is None:
            return UNKNOWN
        try:
            found = self._resolver.resolve(dns.name.from_text(name), record_type, search=False, lifetime=left)
        except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
            return ABSENT
        except (dns.name.LabelTooLong, dns.name.NameTooLong, dns.name.EmptyLabel, dns.name.BadEscape):
            return ABSENT  # no name that DNS could have
        except (dns.exception.DNSException, OSError, ValueError):
            return UNKNOWN
        return Answer(Presence.PRESENT, tuple(_text(record) for record in found))


def look(wanted: Wanted, setup: Setup, questions: Questions, now: dt.datetime) -> Checked:
    """Look at everything that a domain should have."""
    ask = questions.ask
    published = domain_records.keys_to_publish(wanted, setup)
    keys = [(key, domain_records.dkim_name(wanted.name, key.selector)) for key in published]
    cnames = tuple((key, ask(name, "CNAME")) for key, name in keys)
    challenge = ABSENT
    if wanted.challenge is not None:
        challenge = ask(domain_records.challenge_name(wanted.name), "TXT")
    findings: list[Finding] = []
    if domain_records.asks_for_text(wanted, setup):
        findings.append(domain_records.judge_challenge(wanted, challenge))
    for (key, name), (_, cname) in zip(keys, cnames, strict=True):
        findings.append(domain_records.judge_key(wanted, key, setup, cname, ask(name, "TXT")))
    dmarc = domain_records.judge_dmarc(wanted.name, _dmarc_answers(wanted.name, questions))
    mx = ask(wanted.name, "MX")
    addresses = () if mx.presence is Presence.PRESENT else (ask(wanted.name, "A"), ask(wanted.name, "AAAA"))
    # The last of all: it may lead to many names of others.
    if setup.spf_include is not None:
        reading = spf_record.read(wanted.name, setup.spf_include, ask)
        findings.append(domain_records.judge_spf(wanted.name, setup.spf_include, reading))
    findings += [dmarc, domain_records.judge_mx(wanted.name, mx, addresses)]
    proof = domain_records.is_proof(wanted, setup, cnames, challenge)
    return Checked(at=now, proof=proof, findings=tuple(findings))


def still_holds(wanted: Wanted, setup: Setup, questions: Questions) -> Presence:
    """Whether an account's records are in DNS still: its proof, or one of its keys."""
    names = [(key, domain_records.dkim_name(wanted.name, key.selector)) for key in wanted.published_keys]
    cnames = tuple((key, questions.ask(name, "CNAME")) for key, name in names)
    challenge = questions.ask(domain_records.challenge_name(wanted.name), "TXT")
    proof = domain_records.is_proof(wanted, setup, cnames, challenge)
    if proof is not Presence.ABSENT:
        return proof
    for key, name in names:
        answer = questions.ask(name, "TXT")
        if not answer.is_known:
            return Presence.UNKNOWN
        if any(domain_records.is_same_key(key, text) for text in answer.values):
            return Presence.PRESENT
    return Presence.ABSENT


def _dmarc_answers(domain: str, questions: Questions) -> tuple[tuple[str, Answer], ...]:
    """From the domain upwards to the first that has a policy, the top-level domain included."""
    labels = domain.split(".")
    parents = [".".join(labels[start:]) for start in range(1, len(labels))]
    answers: list[tuple[str, Answer]] = []
    for name in (domain, *parents[-_DMARC_PARENTS:]):
        answer = questions.ask(f"_dmarc.{name}", "TXT")
        answers.append((name, answer))
        if not answer.is_known or any(domain_records.is_dmarc(text) for text in answer.values):
            break
    return tuple(answers)


def _resolver(dns_settings: DnsSettings) -> dns.resolver.Resolver | None:
    if not dns_settings.servers:
        try:
            return dns.resolver.Resolver()
        except dns.resolver.NoResolverConfiguration:
            return None
    resolver = dns.resolver.Resolver(configure=False)
    servers: Sequence[tuple[str, int]] = [settings.server_address(server) for server in dns_settings.servers]
    resolver.nameservers = [dns.nameserver.Do53Nameserver(address, port) for address, port in servers]
    return resolver


def _text(record: object) -> str:
    """A record as text; TXT strings are joined, and octets beyond ASCII escaped as DNS does."""
    if isinstance(record, dns.rdtypes.ANY.TXT.TXT):
        return b"".join(record.strings).decode("utf-8", "backslashreplace")
    return str(record)
