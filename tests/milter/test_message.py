import pytest
from hypothesis import given
from hypothesis import strategies as st

from sendproof_milter.message import (
    SUBJECT_CHARACTERS,
    domain_of,
    from_addresses,
    message_id_header,
    printable,
    subject_text,
)
from sendproof_testing.submissions import submission

# What e-mail syntax is made of: finds more than random octets do.
_SYNTAX = st.lists(
    st.sampled_from(
        [
            *(bytes((octet,)) for octet in b'"<>@,;:()[]\\.=? \t\r\n\x00\xff'),
            *(b"=?utf-8?q?", b"=?utf-8?b?", b"=?\xc3\xbc?q?a?=", b"=?hex?q?a?=", b"?=", b"max@own.example", b"\n "),
        ]
    ),
    max_size=20,
).map(b"".join)
_HOSTILE = _SYNTAX | st.binary(max_size=200)


def _from(*values: bytes) -> tuple[str, ...] | None:
    return from_addresses(submission(headers=tuple((b"From", value) for value in values)))


def _subject(value: bytes) -> str | None:
    return subject_text(submission(headers=((b"Subject", value),)))


@pytest.mark.parametrize(
    ("value", "addresses"),
    [
        (b"max@own.example", ("max@own.example",)),
        (b"Max Own <max@own.example>", ("max@own.example",)),
        (b'"Own, Max" <max@own.example>', ("max@own.example",)),
        (b"max@own.example (Max)", ("max@own.example",)),
        (b"Max\n <max@own.example>", ("max@own.example",)),
        (b"max@own.example, eva@second.example", ("max@own.example", "eva@second.example")),
        (b"Sales: max@own.example, Eva <eva@second.example>;", ("max@own.example", "eva@second.example")),
        (b"=?utf-8?q?M=C3=A4x?= <max@own.example>", ("max@own.example",)),
        ("Mäx <max@own.example>".encode(), ("max@own.example",)),
        ("Max <max@münchen.example>".encode(), ("max@münchen.example",)),
        (b"Max <max@xn--mnchen-3ya.example>", ("max@xn--mnchen-3ya.example",)),
        ("mäx@own.example".encode(), ("mäx@own.example",)),
        (b"Team: ;, max@own.example", ("max@own.example",)),
        (b"max@own.example, ,eva@second.example", ("max@own.example", "eva@second.example")),
    ],
)
def test_every_address_in_the_from_field_counts(value: bytes, addresses: tuple[str, ...]) -> None:
    assert _from(value) == addresses


def test_a_display_name_that_looks_like_an_address_is_none() -> None:
    assert _from(b'"boss@bank.example" <max@own.example>') == ("max@own.example",)
    assert _from(b"=?utf-8?q?boss=40bank=2Eexample?= <max@own.example>") == ("max@own.example",)


def test_several_from_fields_are_one_list() -> None:
    assert _from(b"max@own.example", b"boss@bank.example") == ("max@own.example", "boss@bank.example")


def test_the_name_of_the_field_is_matched_in_any_case() -> None:
    assert from_addresses(submission(headers=((b"fRoM", b"max@own.example"),))) == ("max@own.example",)


@pytest.mark.parametrize(
    "value", [b"", b"Max", b"<>", b"max@", b"@own.example", b"undisclosed-recipients:;", b"max own@own.example", b'"']
)
def test_a_from_field_without_an_address_gives_none(value: bytes) -> None:
    assert _from(value) is None


def test_one_field_that_is_no_address_list_spoils_all() -> None:
    assert _from(b"max@own.example", b"nobody") is None


def test_no_from_field_gives_none() -> None:
    assert from_addresses(submission(headers=())) is None


def test_a_from_field_that_would_keep_a_process_busy_is_not_read() -> None:
    assert _from(b'"' * 100_000) is None
    assert _from(*(b'"' * 400 for _ in range(250))) is None
    long = b"Max" + b" Max" * 1000
    assert _from(long + b" <max@own.example>") == ("max@own.example",)
    assert _from(long + long + b" <max@own.example>") is None
    assert _from(*(b"max@own.example",) * 300) is None


# Found by the property below: the library fails with UnboundLocalError, which was a 451 for ever.
def test_a_list_that_the_library_stumbles_over_gives_none() -> None:
    assert _from(b"=?utf-8?q?@[\t") is None


@given(_HOSTILE)
def test_any_octets_in_a_from_field_are_addresses_or_none(value: bytes) -> None:
    addresses = _from(value)
    assert addresses is None or all("@" in address and not address.startswith("@") for address in addresses)


@pytest.mark.parametrize(
    ("address", "domain"),
    [
        ("max@own.example", "own.example"),
        ("max@OWN.Example.", "own.example"),
        ('"a@b"@own.example', "own.example"),
        ("max@MÜNCHEN.example", "xn--mnchen-3ya.example"),
        ("max@XN--mnchen-3ya.example", "xn--mnchen-3ya.example"),
        ("max@straße.example", "xn--strae-oqa.example"),  # IDNA 2003 made strasse.example of it
        ("max@[192.0.2.7]", "[192.0.2.7]"),
        ("max", ""),
        ("", ""),
    ],
)
def test_a_domain_is_lower_case_and_without_its_last_dot(address: str, domain: str) -> None:
    assert domain_of(address) == domain


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (b"Offer 2026-117", "Offer 2026-117"),
        (b"=?utf-8?b?R3LDvMOfZQ==?=", "Grüße"),
        (b"=?iso-8859-1?q?Gr=FC=DFe?= =?utf-8?q?_aus_Wien?=", "Grüße aus Wien"),
        (b"a long one\n that was folded", "a long one that was folded"),
        ("Grüße unverpackt".encode(), "Grüße unverpackt"),
        (b"latin \xfc", "latin \N{REPLACEMENT CHARACTER}"),
        (b"bell \x07 and escape \x1b[31m", "bell \N{REPLACEMENT CHARACTER} and escape \N{REPLACEMENT CHARACTER}[31m"),
        (b"=?no-such-charset?q?a?=", "=?no-such-charset?q?a?="),
        # CharsetError of the library, which was a 451 for ever
        ("=?ü?q?a?=".encode(), "=?ü?q?a?="),
    ],
)
def test_a_subject_is_what_a_person_reads(value: bytes, text: str) -> None:
    assert _subject(value) == text


def test_a_message_without_a_subject_has_none() -> None:
    assert subject_text(submission(headers=())) is None


@given(_HOSTILE)
def test_any_octets_in_a_subject_become_printable_text(value: bytes) -> None:
    text = _subject(value)
    assert text is not None
    assert text == printable(text)
    assert len(text) <= SUBJECT_CHARACTERS
    text.encode("utf-8")


@given(st.text(st.characters()))
def test_printable_text_stays_as_it_is(text: str) -> None:
    assert printable(text).isprintable()
    assert printable(printable(text)) == printable(text)


def test_a_message_id_field_is_kept_as_the_client_wrote_it() -> None:
    assert message_id_header(submission(headers=((b"Message-Id", b"<1@own.example> "),))) == "<1@own.example>"
    assert message_id_header(submission(headers=())) is None


def test_the_size_is_what_the_wire_carries() -> None:
    message = submission(headers=((b"From", b"max@own.example"), (b"Subject", b"x")), body=b"Hello\r\n")
    assert message.size_bytes == len(b"From: max@own.example\r\nSubject: x\r\n\r\nHello\r\n")


# Outlook and many programs write the address in the place of the name, without the quotation marks that RFC 5322 wants.
@pytest.mark.parametrize(
    "value",
    [
        b"max@own.example <max@own.example>",
        b"  MAX@Own.Example\n <max@own.example>  ",
        b"max@own.example<max@own.example>",
        "max@münchen.example <max@münchen.example>".encode(),
    ],
)
def test_an_address_that_stands_for_its_own_name_is_understood(value: bytes) -> None:
    addresses = _from(value)
    assert addresses is not None
    assert [domain_of(address) for address in addresses] in (["own.example"], ["xn--mnchen-3ya.example"])
    assert len(addresses) == 1


# A mail reader shows the address in angle brackets; the library's parser reads the one before it.
@pytest.mark.parametrize(
    "value",
    [
        b"max@own.example <ceo@bank.example>",
        b"ceo@bank.example <max@own.example>",
        b"max@own.example <max@own.example> <ceo@bank.example>",
        b"max@own.example <max@own.example>, ceo@bank.example <max@own.example>",
        b"max@own.example max@own.example <max@own.example>",
        b"max@own.example <max@own.example,ceo@bank.example>",
        b"max@own.example <@bank.example:max@own.example>",
        b"max@own.example\0 <max@own.example>",
        b"max@own.example\xa0<max@own.example>",
        b"<max@own.example> <ceo@bank.example>",
        b"max@own.example;ceo@bank.example",
    ],
)
def test_a_from_field_that_readers_understand_differently_gives_none(value: bytes) -> None:
    assert from_addresses(submission(headers=((b"From", value),))) is None
