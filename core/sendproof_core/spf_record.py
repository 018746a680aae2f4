"""Read SPF records (RFC 7208): who is included, how many look-ups a receiver makes, one more include put in.

Asks through a function that it is given, and evaluates no sender: every term counts, as if none before it had matched.
Everything that it reads comes from DNS and may be anything.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

from sendproof_core.dns_answers import Answer

# RFC 7208 section 4.6.4
MOST_LOOKUPS = 10
MOST_VOID_LOOKUPS = 2
_VERSION = re.compile(r"v=spf1(?: |$)", re.IGNORECASE)
# RFC 7208 section 12
_MODIFIER = re.compile(r"(?P<name>[a-z][a-z0-9._-]*)=(?P<value>.*)", re.IGNORECASE)
_MECHANISM = re.compile(
    r"(?P<qualifier>[+?~-]?)(?P<name>all|include|a|mx|ptr|ip4|ip6|exists)(?::(?P<value>[^/]+(?:/[^0-9/][^/]*)*))?"
    r"(?:/[0-9]{1,3})?(?://[0-9]{1,3})?",
    re.IGNORECASE,
)
_ASK = frozenset({"include", "a", "mx", "ptr", "exists"})
_NEED_VALUE = frozenset({"include", "exists", "ip4", "ip6"})
# A hostile record could send us far: what is beyond the limit anyway is not followed for long.
_FOLLOWED = 20

Ask = Callable[[str, str], Answer]


@dataclass(frozen=True)
class Term:
    """One term of a record: a mechanism, or a modifier (``is_modifier``)."""

    text: str
    qualifier: str
    name: str
    value: str
    is_modifier: bool


@dataclass(frozen=True)
class SpfReading:
    """What a domain's SPF says.

    Attributes:
        records: the texts of all its SPF records: more than one is an error (section 3.2).
        is_known: False if DNS gave no answer to any of the questions: numbers are at least so much then.
        includes: whether a receiver comes to the wanted name, before an ``all`` ends the evaluation.
        lookups: DNS look-ups that the evaluation takes at the most.
        void_lookups: those among them that found nothing.
        bad_term: the first term that no receiver understands.
        broken_include: an included name that has no record, which makes the whole an error (section 5.2).
    """

    records: tuple[str, ...] = ()
    is_known: bool = True
    includes: bool = False
    lookups: int = 0
    void_lookups: int = 0
    bad_term: str | None = None
    broken_include: str | None = None


def parse(text: str) -> tuple[tuple[Term, ...], str | None]:
    """The terms of a record after its version, and the first that is none."""
    terms: list[Term] = []
    for part in text.split(" ")[1:]:
        if not part:
            continue
        mechanism = _MECHANISM.fullmatch(part)
        if mechanism is not None:
            name = mechanism["name"].lower()
            value = (mechanism["value"] or "").rstrip(".").lower()
            if name in _NEED_VALUE and not value:
                return tuple(terms), part
            terms.append(Term(part, mechanism["qualifier"] or "+", name, value, is_modifier=False))
        elif (modifier := _MODIFIER.fullmatch(part)) is not None:
            value = modifier["value"].rstrip(".").lower()
            terms.append(Term(part, "", modifier["name"].lower(), value, is_modifier=True))
        else:
            return tuple(terms), part
    return tuple(terms), None


def records_among(texts: tuple[str, ...]) -> tuple[str, ...]:
    """Those of a name's TXT records that are SPF."""
    return tuple(text for text in texts if _VERSION.match(text))


def read(domain: str, wanted: str, ask: Ask) -> SpfReading:
    """Read a domain's record and what it includes. ``wanted``: the name that it should include."""
    answer = ask(domain, "TXT")
    records = records_among(answer.values)
    if len(records) != 1:
        return SpfReading(records=records, is_known=answer.is_known)
    walk = _Walk(wanted, ask)
    walk.follow(records[0], reachable=True)
    return SpfReading(
        records=records,
        is_known=walk.is_known,
        includes=walk.includes,
        lookups=walk.lookups,
        void_lookups=walk.void_lookups,
        bad_term=walk.bad_term,
        broken_include=walk.broken_include,
    )


def with_include(records: tuple[str, ...], name: str) -> str:
    """One record that says what these say, and includes the name: right before what ends the evaluation.

    Of several records, which is an error, every term is kept, and of those that end the evaluation the first.
    """
    kept: list[str] = []
    last: str | None = None
    for record in records:
        for part in record.split(" ")[1:]:
            terms, _ = parse(f"v=spf1 {part}")
            term = terms[0] if terms else None
            if term is not None and term.name in ("all", "redirect"):
                last = last or part
            elif part and part not in kept and not (term and term.name == "include" and term.value == name):
                kept.append(part)
    return " ".join(["v=spf1", *kept, f"include:{name}", last or "~all"])


class _Walk:
    """Through a record and those that it leads to."""

    def __init__(self, wanted: str, ask: Ask) -> None:
        self._wanted = wanted.rstrip(".").lower()
        self._ask = ask
        self.is_known = True
        self.includes = False
        self.lookups = 0
        self.void_lookups = 0
        self.bad_term: str | None = None
        self.broken_include: str | None = None

    def follow(self, record: str, *, reachable: bool) -> None:
        """Count a record's terms, and go where they lead. ``reachable``: whether a receiver comes here."""
        terms, bad = parse(record)
        self.bad_term = self.bad_term or bad
        has_all = any(term.name == "all" and not term.is_modifier for term in terms)
        for term in terms:
            if term.is_modifier:
                # Section 6.1: with an `all` in the record, it is ignored.
                if term.name == "redirect" and not has_all:
                    self._to(term, reachable=reachable)
            elif term.name == "include":
                self._to(term, reachable=reachable and term.qualifier == "+")
            elif term.name in _ASK:
                self._look_up(term)
            elif term.name == "all":
                reachable = False

    def _to(self, term: Term, *, reachable: bool) -> None:
        self.lookups += 1
        if reachable and term.value == self._wanted:
            self.includes = True
        if "%" in term.value or self.lookups > _FOLLOWED:  # a macro: another name for each mail
            return
        answer = self._ask(term.value, "TXT")
        if not answer.is_known:
            self.is_known = False
            return
        found = records_among(answer.values)
        if not answer.values:
            self.void_lookups += 1
        if len(found) != 1:
            self.broken_include = self.broken_include or term.value
            return
        self.follow(found[0], reachable=reachable)

    def _look_up(self, term: Term) -> None:
        self.lookups += 1
        if term.name == "ptr" or not term.value or "%" in term.value or self.lookups > _FOLLOWED:
            return
        answer = self._ask(term.value, "MX" if term.name == "mx" else "A")
        if not answer.is_known:
            self.is_known = False
        elif not answer.values:
            self.void_lookups += 1
