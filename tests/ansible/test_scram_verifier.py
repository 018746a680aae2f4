"""PostgreSQL's stored passwords: a server takes what the filter makes; the filter knows again what a server made."""

import importlib.util
from pathlib import Path
from types import ModuleType

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

_SOURCE = Path(__file__).parents[2] / "ansible/filter_plugins/scram_verifier.py"
# RFC 7677, section 3: the user's password is "pencil".
_OF_PENCIL = (
    "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:"
    "wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
)
PASSWORDS = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=40)


@pytest.fixture(scope="module")
def plugin() -> ModuleType:
    specification = importlib.util.spec_from_file_location("scram_verifier", _SOURCE)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def test_it_knows_the_verifier_of_the_rfcs_example(plugin: ModuleType) -> None:
    assert plugin.scram_verifier("pencil", _OF_PENCIL) == _OF_PENCIL
    assert plugin.scram_verifier("pen", _OF_PENCIL) != _OF_PENCIL


@settings(max_examples=20, deadline=None)
@given(password=PASSWORDS, other=PASSWORDS)
def test_a_verifier_is_kept_for_its_password_and_no_other(plugin: ModuleType, password: str, other: str) -> None:
    made = plugin.scram_verifier(password)
    assert plugin.scram_verifier(password, made) == made
    assert (plugin.scram_verifier(other, made) == made) == (other == password)


@pytest.mark.parametrize("stored", ["", "md5" + "0" * 32, "SCRAM-SHA-256$", _OF_PENCIL + "\n", "é"])
def test_what_is_no_verifier_is_replaced(plugin: ModuleType, stored: str) -> None:
    made = plugin.scram_verifier("pencil", stored)
    assert made != stored
    assert made.startswith("SCRAM-SHA-256$4096:")


def test_libpqs_own_verifier_is_known_again(plugin: ModuleType) -> None:
    password = b"a password of 25 octets!!"
    # libpq makes it without a connection when it is told the algorithm.
    connection = psycopg.pq.PGconn.connect_start(b"host=/nowhere")
    made = connection.encrypt_password(password, b"somebody", b"scram-sha-256").decode()
    connection.finish()
    assert plugin.scram_verifier(password.decode(), made) == made
