"""What a database URL means for each program, and what is wrong with one that cannot be used."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sendproof_core import database_url
from sendproof_core.database import open_database
from sendproof_core.database_url import Program
from sendproof_core.errors import UserError

_NAMED = "postgresql+psycopg://sendproof_{program}@db.example.net:6432/mail?passfile=/etc/{program}.pw&sslmode=require"


@pytest.mark.parametrize("program", Program)
def test_each_program_signs_in_with_its_own_name(program: Program) -> None:
    options = database_url.libpq_options(database_url.parse(_NAMED, program))
    assert options == {
        "user": f"sendproof_{program}",
        "host": "db.example.net",
        "port": "6432",
        "dbname": "mail",
        "passfile": f"/etc/{program}.pw",
        "sslmode": "require",
    }
    names = database_url.roles(_NAMED)
    assert names is not None
    assert names[program] == f"sendproof_{program}"


def test_a_url_without_the_place_has_one_role_for_all() -> None:
    assert database_url.roles("postgresql://sendproof@/mail") is None
    assert database_url.roles("sqlite:////var/lib/a.db") is None


def test_a_password_may_hold_braces() -> None:
    url = database_url.parse("postgresql://a_{program}:x{program}@h/d", Program.WEB)
    assert (url.username, url.password) == ("a_web", "x{program}")


def test_names_that_want_quoting_are_refused() -> None:
    for user in ("a%20{program}", "a%27{program}", "{program}%22", "1{program}", "x" * 60 + "{program}"):
        with pytest.raises(UserError, match="is no name for a role"):
            database_url.roles(f"postgresql://{user}@h/d")


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("colour=red", "knows no option 'colour'"),
        ("autocommit=1", "knows no option 'autocommit'"),
        ("prepare_threshold=1", "knows no option 'prepare_threshold'"),
        ("row_factory=x", "knows no option 'row_factory'"),
        ("sslmode=require&sslmode=disable", "the option 'sslmode' stands there twice"),
        ("connect_timeout=soon", "the option 'connect_timeout' must be a whole number"),
        ("port=x", "hosts and ports are mixed up"),
        ("host=a&host=b&port=1&port=2&port=3", "hosts and ports are mixed up"),
    ],
)
def test_an_odd_option_is_named(query: str, said: str) -> None:
    with pytest.raises(UserError, match=said) as caught:
        open_database(f"postgresql://a:secret@h/d?{query}")
    assert "secret" not in str(caught.value)


def test_what_the_url_says_of_the_connection_stands() -> None:
    url = database_url.parse("postgresql://a@h/d?connect_timeout=30&options=-c%20search_path%3Dmail", Program.WEB)
    arguments = database_url.connection_arguments(url, Program.WEB)
    assert "connect_timeout" not in arguments
    assert arguments["options"].endswith("-c search_path=mail")
    assert "-c jit=off" in arguments["options"]


@given(st.text(max_size=60))
def test_any_text_is_a_url_or_a_sentence(text: str) -> None:
    for url in (text, f"postgresql://{text}", f"postgresql://a@h/d?{text}", f"sqlite:///{text}"):
        said = [_said(lambda: database_url.parse(url, Program.MILTER)), _said(lambda: database_url.roles(url))]  # noqa: B023 - called at once
        assert all("[database] url" in words or "folder of the database" in words for words in said if words)


def _said(act: Callable[[], object]) -> str:
    try:
        act()
    except UserError as error:
        return str(error)
    return ""
