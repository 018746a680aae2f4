import pytest
from hypothesis import given
from hypothesis import strategies as st

from sendproof_core.source_names import host_of, import_name, is_import, source_name

_HOSTS = st.from_regex(r"[a-z0-9]([a-z0-9.-]{0,30}[a-z0-9])?", fullmatch=True)


@given(_HOSTS, st.text())
def test_the_host_is_found_again_whatever_the_place_is_called(host: str, place: str) -> None:
    assert host_of(source_name(host, place)) == host_of(import_name(host, place)) == host


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (source_name("relay.example", "/var/log/mail.log"), False),
        (source_name("relay.example", "/import:/mail.log"), False),
        (source_name("relay.example", "journald"), False),
        (import_name("relay.example", "/var/log/mail.log.3.gz"), True),
        (import_name("relay.example", "-"), True),
    ],
)
def test_an_import_is_told_from_what_is_followed(source: str, expected: bool) -> None:
    assert is_import(source) is expected
