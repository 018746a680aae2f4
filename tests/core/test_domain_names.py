import pytest
from hypothesis import given
from hypothesis import strategies as st

from sendproof_core import domain_names


@pytest.mark.parametrize(
    ("given", "ascii_name"),
    [
        ("own.example", "own.example"),
        ("OWN.Example.", "own.example"),
        ("a-b.1.example", "a-b.1.example"),
        ("müller.example", "xn--mller-kva.example"),
        ("MÜLLER.example", "xn--mller-kva.example"),
        ("mu\u0308ller.example", "xn--mller-kva.example"),
        ("straße.example", "xn--strae-oqa.example"),  # another domain than strasse.example (RFC 5894 section 7.2)
        ("日本語。example", "xn--wgv71a119e.example"),
        ("XN--MLLER-KVA.example", "xn--mller-kva.example"),
        ("xn--i-7iq.example", "xn--i-7iq.example"),  # a sign that IDNA 2008 has not, but registries sold
    ],
)
def test_every_spelling_of_a_domain_has_one_form(given: str, ascii_name: str) -> None:
    assert domain_names.to_ascii(given) == ascii_name


@pytest.mark.parametrize(
    "name",
    ["", ".", "own", "own..example", "-own.example", "own-.example", "a b.example", "a_b.example",
     "x" * 64 + ".example", "a." * 128 + "example", "192.0.2.1", "[192.0.2.1]", "own.example..", "☃.example",
     "\ud800.example", "a\n.example", "own.example\n"],
)  # fmt: skip
def test_what_is_no_domain_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="not a domain name"):
        domain_names.to_ascii(name)


@given(st.text(max_size=40) | st.text("aüß.-日\u0300\u200d", max_size=40))
def test_the_form_is_ascii_and_final_whatever_comes(name: str) -> None:
    try:
        made = domain_names.to_ascii(name)
    except ValueError:
        return
    assert made.isascii()
    assert domain_names.to_ascii(made) == made


@pytest.mark.parametrize(
    ("stored", "shown"),
    [
        ("own.example", "own.example"),
        ("xn--strae-oqa.example", "straße.example"),
        ("xn--bcher-kva.example", "bücher.example"),
        ("xn--zzzzzzzz.example", "xn--zzzzzzzz.example"),
        ("xn--a.example", "xn--a.example"),
        ("_dmarc.own.example", "_dmarc.own.example"),
    ],
)
def test_a_stored_name_is_shown_as_people_write_it_if_that_leads_back(stored: str, shown: str) -> None:
    assert domain_names.to_unicode(stored) == shown
