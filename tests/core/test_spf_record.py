from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sendproof_core import spf_record
from sendproof_core.dns_answers import ABSENT, UNKNOWN, Answer, Presence
from sendproof_core.spf_record import Ask, SpfReading

_OURS = "_spf.relay.example"
_OUR_RECORD = {_OURS: "v=spf1 ip4:192.0.2.0/24 -all"}


def _asking(records: Mapping[str, str | tuple[str, ...] | None], addresses: tuple[str, ...] = ()) -> Ask:
    """DNS with these TXT records; None: no answer. Names in ``addresses`` have A and MX records."""

    def ask(name: str, record_type: str) -> Answer:
        if record_type != "TXT":
            return Answer(Presence.PRESENT, ("192.0.2.1",)) if name in addresses else ABSENT
        if name not in records:
            return ABSENT
        found = records[name]
        if found is None:
            return UNKNOWN
        return Answer(Presence.PRESENT, (found,) if isinstance(found, str) else found)

    return ask


def _read(
    record: str, others: Mapping[str, str | tuple[str, ...] | None] | None = None, addresses: tuple[str, ...] = ()
) -> SpfReading:
    return spf_record.read(
        "own.example", _OURS, _asking({"own.example": record, **_OUR_RECORD, **(others or {})}, addresses)
    )


@pytest.mark.parametrize(
    "record",
    [
        "v=spf1 include:_spf.relay.example -all",
        "V=SPF1 INCLUDE:_SPF.Relay.Example. ~ALL",
        "v=spf1 mx +include:_spf.relay.example",
        "v=spf1  include:_spf.relay.example  redirect=elsewhere.example",
    ],
)
def test_a_receiver_that_comes_to_our_name_finds_us(record: str) -> None:
    assert _read(record).includes


@pytest.mark.parametrize(
    "record",
    [
        "v=spf1 -all",
        "v=spf1 -all include:_spf.relay.example",
        "v=spf1 -include:_spf.relay.example -all",
        "v=spf1 ?include:_spf.relay.example -all",
        "v=spf1 include:_spf.relay.example.evil.example -all",
        "v=spf1 redirect=_spf.relay.example -all",
    ],
)
def test_what_no_receiver_evaluates_does_not_count(record: str) -> None:
    assert not _read(record).includes


def test_an_include_within_an_include_counts_too() -> None:
    reading = _read("v=spf1 include:hoster.example -all", {"hoster.example": "v=spf1 include:_spf.relay.example ~all"})
    assert reading.includes
    assert reading.lookups == 2
    assert _read(
        "v=spf1 redirect=hoster.example", {"hoster.example": "v=spf1 include:_spf.relay.example ~all"}
    ).includes


def test_every_term_that_asks_dns_is_counted() -> None:
    """RFC 7208 section 4.6.4: include, a, mx, ptr, exists and redirect."""
    others = {"a.example": "v=spf1 a mx ptr exists:%{i}.b.example ip4:192.0.2.1 ip6:2001:db8::/32 -all"}
    reading = _read(
        "v=spf1 a:c.example/24 mx:c.example//64 include:a.example redirect=a.example", others, ("c.example",)
    )
    assert reading.lookups == 4 + 4 + 4
    assert reading.void_lookups == 0
    assert reading.bad_term is None


def test_redirect_is_ignored_where_there_is_an_all() -> None:
    """RFC 7208 section 6.1."""
    assert _read("v=spf1 redirect=_spf.relay.example ?all").lookups == 0


def test_names_that_lead_nowhere_are_void() -> None:
    reading = _read("v=spf1 a:gone.example mx:gone.example exists:gone.example -all")
    assert (reading.lookups, reading.void_lookups) == (3, 3)


def test_an_include_without_a_record_breaks_the_whole() -> None:
    assert _read("v=spf1 include:gone.example -all").broken_include == "gone.example"
    two = {"two.example": ("v=spf1 -all", "v=spf1 ~all")}
    assert _read("v=spf1 include:two.example -all", two).broken_include == "two.example"


def test_a_record_that_includes_itself_ends() -> None:
    reading = _read("v=spf1 include:own.example include:own.example -all")
    assert reading.lookups > spf_record.MOST_LOOKUPS


def test_no_answer_is_not_known() -> None:
    assert not spf_record.read("own.example", _OURS, _asking({"own.example": None})).is_known
    reading = _read("v=spf1 include:slow.example -all", {"slow.example": None})
    assert not reading.is_known
    assert reading.broken_include is None


@pytest.mark.parametrize("term", ["foo", "include", "ip4", "include:", "a:b:/33333", "-", "al1", "\x1b[31m", "a//"])
def test_a_term_that_is_none_is_named(term: str) -> None:
    assert _read(f"v=spf1 {term} -all").bad_term == term


def test_an_unknown_modifier_is_ignored() -> None:
    """RFC 7208 section 6."""
    assert _read("v=spf1 moon=full include:_spf.relay.example -all").bad_term is None


@pytest.mark.parametrize("text", ["v=spf10 -all", "spf1", "", "v=spf1-all", " v=spf1 -all"])
def test_other_texts_are_no_spf(text: str) -> None:
    assert spf_record.records_among((text,)) == ()


@pytest.mark.parametrize(
    ("records", "merged"),
    [
        ((), "v=spf1 include:_spf.relay.example ~all"),
        (("v=spf1 mx -all",), "v=spf1 mx include:_spf.relay.example -all"),
        (("v=spf1 mx redirect=a.example",), "v=spf1 mx include:_spf.relay.example redirect=a.example"),
        (("v=spf1 mx",), "v=spf1 mx include:_spf.relay.example ~all"),
        (("v=spf1 mx -all include:_spf.relay.example",), "v=spf1 mx include:_spf.relay.example -all"),
        (("v=spf1 mx -all", "v=spf1 a mx ~all"), "v=spf1 mx a include:_spf.relay.example -all"),
    ],
)
def test_our_include_stands_before_what_ends_the_evaluation(records: tuple[str, ...], merged: str) -> None:
    assert spf_record.with_include(records, _OURS) == merged


_TERMS = st.sampled_from(
    [
        "a",
        "mx",
        "include:hoster.example",
        "ip4:192.0.2.1",
        "-all",
        "~all",
        "redirect=hoster.example",
        "exists:%{i}.x.example",
    ]
)


@given(st.lists(_TERMS, max_size=8))
def test_what_is_proposed_includes_us_and_keeps_every_other_term(terms: list[str]) -> None:
    record = " ".join(["v=spf1", *terms])
    proposed = spf_record.with_include((record,), _OURS)
    assert _read(proposed, {"hoster.example": "v=spf1 ?all"}).includes
    kept = {term for term in terms if "all" not in term and "redirect" not in term}
    assert kept <= set(proposed.split(" "))


@given(st.text(max_size=300))
def test_any_text_is_read_or_named_as_bad(text: str) -> None:
    reading = _read(f"v=spf1 {text}")
    assert reading.lookups >= 0
    spf_record.with_include((f"v=spf1 {text}",), _OURS)
