"""What the world finds in DNS of us: the keys that we sign with, and the names of the addresses that we send from.

`domain_records` judges keys. What DNS did not answer is said as such, and never taken for missing.
"""

import ipaddress
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import dns.reversename

from sendproof_core import domain_directory, domain_records, domain_review
from sendproof_core.dns_answers import Answer, Presence
from sendproof_core.domain_check import Questions
from sendproof_core.domain_directory import OwnDomain
from sendproof_core.domain_records import Key, Setup, Verdict
from sendproof_core.states import KeyState
from sendproof_postfix.doctor import CannotLook, Finding, Severity, Verdicts
from sendproof_postfix.doctor_postfix import PostfixConfiguration
from sendproof_postfix.doctor_subject import Subject

# Of customers' domains that are looked at now; the timer of `sendproof domain check --all` looks at all.
_LOOKED_AT = 20
_SHOWN = 5
_LONGEST_SECONDS = 25.0
_SIGNING = (KeyState.ACTIVE, KeyState.RETIRING)
# Documentation addresses (RFC 5737, RFC 3849): nothing is sent there, the kernel only says what it would send from.
_FAR = ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1"))

Ask = Callable[[str, str], Answer]


@dataclass(frozen=True)
class KeySeen:
    """A key that signs, or did so until lately, and what DNS has of it."""

    domain: str
    is_providers: bool
    selector: str
    state: KeyState
    verdict: Verdict


def look_at_keys(
    subject: Subject, verdicts: Verdicts, monotonic_seconds: Callable[[], float] = time.monotonic
) -> Iterator[Finding]:
    """The keys that sign, yours first."""
    begun = monotonic_seconds()
    with subject.database.reading() as session:
        everything = [own for own in domain_directory.everything(session) if own.is_proved and _signing(own)]
    providers = [own for own in everything if own.account_id is None]
    customers = [own for own in everything if own.account_id is not None]
    setup = domain_review.setup_of(subject.dns)
    seen: list[KeySeen] = []
    number = 0
    for own in [*providers, *customers[:_LOOKED_AT]]:
        # What is silent for one is likely to be silent for the next: not every one waits its whole time.
        if number >= 2 and all(one.verdict is Verdict.UNKNOWN for one in seen):
            break
        # Each may take [dns] timeout_seconds: what was found is to be said before this check's own time is over.
        if number and monotonic_seconds() - begun > _LONGEST_SECONDS:
            break
        seen += keys_seen(own, setup, Questions(subject.dns).ask)
        number += 1
    yield from judge_keys(seen, verdicts)
    if number < len(everything):
        yield verdicts.note(
            f"domains whose keys were not looked at now: {len(everything) - number}.",
            "`sendproof domain check --all` looks at all of them.",
        )


def _signing(own: OwnDomain) -> list[Key]:
    return [key for key in own.wanted.keys if key.state in _SIGNING and key.public_key is not None]


def keys_seen(own: OwnDomain, setup: Setup, ask: Ask) -> list[KeySeen]:
    """Look one domain's keys up."""
    found = []
    for key in _signing(own):
        name = domain_records.dkim_name(own.name, key.selector)
        judged = domain_records.judge_key(own.wanted, key, setup, ask(name, "CNAME"), ask(name, "TXT"))
        found.append(KeySeen(own.name, own.account_id is None, key.selector, KeyState(key.state), judged.verdict))
    return found


def judge_keys(seen: Sequence[KeySeen], verdicts: Verdicts) -> Iterator[Finding]:
    """What to say of them: the provider's own are its matter, customers' are theirs."""
    if not seen:
        yield verdicts.warning(
            "no domain has a key that signs: mail goes out without a signature.",
            "`sendproof domain add NAME` makes keys for a domain of yours; `sendproof domain activate` lets them sign.",
        )
        return
    lost = [one for one in seen if one.verdict not in (Verdict.GOOD, Verdict.UNKNOWN)]
    unknown = [one for one in seen if one.verdict is Verdict.UNKNOWN]
    for group, severity, whose in (
        ([one for one in lost if one.is_providers and one.state is KeyState.ACTIVE], Severity.ERROR, "yours"),
        ([one for one in lost if one.is_providers and one.state is KeyState.RETIRING], Severity.WARNING, "yours"),
        ([one for one in lost if not one.is_providers], Severity.WARNING, "customers'"),
    ):
        if group:
            command = f"sendproof domain check {group[0].domain}"
            yield Finding(
                verdicts.check,
                severity,
                f"keys ({whose}) that sign, and that DNS does not have: {len(group)}.",
                f"Receivers find the signature broken. `{command}` says what is there and what should be.",
                tuple(f"{one.selector}._domainkey.{one.domain}: {one.verdict.value}" for one in group[:_SHOWN]),
            )
    if unknown:
        yield verdicts.warning(
            f"keys of which DNS did not say whether they are there: {len(unknown)}.",
            "Look whether the name servers of this machine (or [dns] servers) answer.",
            (f"{one.selector}._domainkey.{one.domain}" for one in unknown[:_SHOWN]),
        )
    good = len(seen) - len(lost) - len(unknown)
    if good:
        yield verdicts.ok(f"keys that sign and are in DNS as they should be: {good}.")


def look_at_names(subject: Subject, verdicts: Verdicts) -> Iterator[Finding]:
    """PTR, HELO and addresses of what we send from."""
    postfix = subject.postfix
    relay = postfix.value("relayhost")
    if relay:
        raise CannotLook(f"mail leaves through {relay}: what receivers see are that server's names.")
    helo = postfix.value("smtp_helo_name") or postfix.value("myhostname")
    addresses = sending_addresses(postfix)
    if not addresses:
        raise CannotLook("this machine has no way to the outside: no address to send from.")
    ask = Questions(subject.dns).ask
    yield judge_helo(helo, (ask(helo, "A"), ask(helo, "AAAA")), addresses, verdicts)
    for address in addresses:
        yield judge_address(address, names_of(address, ask), verdicts)


def sending_addresses(postfix: PostfixConfiguration) -> tuple[str, ...]:
    """What Postfix binds to (smtp_bind_address); where it names nothing, what the kernel would send from."""
    protocols = postfix.value("inet_protocols")
    found = []
    for (family, far), parameter in zip(_FAR, ("smtp_bind_address", "smtp_bind_address6"), strict=True):
        wanted = "ipv6" if family == socket.AF_INET6 else "ipv4"
        if wanted not in protocols and "all" not in protocols:
            continue
        smtp = next((one for one in postfix.services if one.key == "smtp/unix"), None)
        address = postfix.value(parameter, smtp) or _route(family, far)
        if address:
            found.append(address.strip("[]"))
    return tuple(found)


def _route(family: int, far: str) -> str | None:
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((far, 9))
        except OSError:
            return None
        return str(probe.getsockname()[0])


@dataclass(frozen=True)
class Names:
    """What DNS says of an address: its names, and for each of them whether it leads back."""

    ptr: Answer
    leads_back: tuple[str, ...] = ()
    is_known: bool = True


def names_of(address: str, ask: Ask) -> Names:
    """Look an address up, and its names."""
    ptr = ask(dns.reversename.from_address(address).to_text(omit_final_dot=True), "PTR")
    record_type = "AAAA" if ":" in address else "A"
    answers = {name.rstrip("."): ask(name.rstrip("."), record_type) for name in ptr.values[:_SHOWN]}
    back = tuple(name for name, answer in answers.items() if _has(answer, address))
    return Names(ptr, back, all(answer.is_known for answer in answers.values()))


def judge_helo(helo: str, answers: tuple[Answer, Answer], addresses: Sequence[str], verdicts: Verdicts) -> Finding:
    """The name with which we greet other servers (RFC 5321 section 4.1.1.1: one that resolves)."""
    remedy = "Let smtp_helo_name (or myhostname) be a name of this machine with an A or AAAA record."
    if "." not in helo.strip("."):
        return verdicts.error(f"we greet other servers as {helo}, which is no full name.", remedy)
    if not any(answer.presence is Presence.PRESENT for answer in answers):
        if not all(answer.is_known for answer in answers):
            return verdicts.warning(f"DNS did not say whether {helo}, our name in HELO, exists.", "Try again.")
        return verdicts.error(f"we greet other servers as {helo}, which has no address in DNS.", remedy)
    matching = [address for address in addresses if any(_has(answer, address) for answer in answers)]
    if matching and not any(_is_public(address) for address in matching):
        return verdicts.note(
            f"we greet other servers as {helo}, which is {matching[0]} here, not public: what they find is not known.",
            "Look the name up from outside: it is to lead to the address that mail comes from.",
        )
    if not matching:
        return verdicts.note(
            f"we greet other servers as {helo}, whose address in DNS is none that we send from.",
            "Fine behind a translation of addresses (NAT); else point the name to the address that mail comes from.",
        )
    return verdicts.ok(f"we greet other servers as {helo}, which leads to this machine.")


def judge_address(address: str, names: Names, verdicts: Verdicts) -> Finding:
    """An address that we send from: large providers want a PTR record whose name leads back."""
    # Before all else: a name server of ours may have names for addresses that nobody else sees.
    if not _is_public(address):
        return verdicts.note(
            f"mail leaves from {address}, which is not public: what receivers see is not known here.",
            "Look up the PTR record of the public address, and name it in smtp_bind_address if this machine has it.",
        )
    if names.leads_back:
        return verdicts.ok(f"{address} is {names.leads_back[0]} in DNS, forwards and backwards.")
    if names.ptr.presence is Presence.UNKNOWN or (names.ptr.values and not names.is_known):
        return verdicts.warning(f"DNS did not answer what {address} is called.", "Try again; look at [dns] servers.")
    remedy = "Ask whoever gave you the address for a PTR record: many servers refuse mail without it."
    if not names.ptr.values:
        return verdicts.error(f"{address} has no name in DNS (no PTR record).", remedy)
    return verdicts.error(f"{address} is called {names.ptr.values[0]}, which does not lead back to it.", remedy)


def _is_public(address: str) -> bool:
    return ipaddress.ip_address(address.partition("%")[0]).is_global


def _has(answer: Answer, address: str) -> bool:
    wanted = ipaddress.ip_address(address.partition("%")[0])
    for value in answer.values:
        try:
            if ipaddress.ip_address(value) == wanted:
                return True
        except ValueError:
            continue
    return False
