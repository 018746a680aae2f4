"""The one-writer rule: as data, in the architecture, and as PostgreSQL keeps to it."""

import re
from pathlib import Path

import pytest
from sqlalchemy import text

from sendproof_core import database_url, grants, schema_version
from sendproof_core.database import open_database
from sendproof_core.database_url import Program
from sendproof_core.grants import TABLES, Kind
from sendproof_core.schema import Base

_ARCHITECTURE = Path(__file__).parents[2] / "ARCHITECTURE.md"
_RIGHTS = ("SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE")
_NAMES = {program: f"sendproof_{program}" for program in Program}
# The writer's word in ARCHITECTURE.md
_WORDS = {
    Kind.DIRECTORY: "site, `sendproof` command",
    Kind.LEDGER: "milter",
    Kind.RECORD: "logparser",
    Kind.OUTBOX: "notices",
}


def _architecture() -> dict[str, tuple[str, str]]:
    """The kind and the only writer of each table, as the architecture's table says."""
    found: dict[str, tuple[str, str]] = {}
    for line in _ARCHITECTURE.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.split("|")]
        kind = re.search(r"\(\*\*(\w+)\*\*\)", cells[2]) if len(cells) > 3 else None
        if kind:
            found |= dict.fromkeys(re.findall(r"`(\w+)`", cells[2]), (kind[1], cells[3]))
    return found


def test_every_table_has_a_kind_and_no_other_name_has() -> None:
    assert set(TABLES) - set(Base.metadata.tables) <= {"alembic_version", "schema_compatibility", "search_words"}
    assert set(Base.metadata.tables) - set(TABLES) == set()


def test_the_architecture_says_the_same_of_every_table() -> None:
    said = _architecture()
    ours = {name: access for name, access in TABLES.items() if access.kind is not Kind.SCHEMA}
    assert set(said) == set(ours)
    for name, access in ours.items():
        kind, writer = said[name]
        assert kind == access.kind, name
        assert writer.startswith(_WORDS[access.kind]), name


@pytest.mark.postgres
def test_a_role_may_do_what_the_table_says_and_nothing_else(postgres_url: str) -> None:
    operator = open_database(postgres_url)
    schema_version.upgrade(operator)
    with operator.reading() as session:
        for table, access in TABLES.items():
            for program in (Program.MILTER, Program.LOGPARSER, Program.WEB, Program.NOTICES):
                query = text("SELECT has_table_privilege(:role, :table, :right)")
                values = {"role": _NAMES[program], "table": table}
                held = {right for right in _RIGHTS if session.scalar(query, {**values, "right": right})}
                writes = program in access.writers
                wanted = set(_RIGHTS[:4]) if writes else {"SELECT"} if program in access.readers else set()
                assert held == wanted, (table, program)
    operator.close()


@pytest.mark.postgres
def test_a_right_too_many_is_gone_after_the_next_upgrade(postgres_url: str) -> None:
    operator = open_database(postgres_url)
    schema_version.upgrade(operator)
    with operator.writing_connection() as connection:
        connection.execute(text("GRANT ALL ON plans TO sendproof_milter"))
    schema_version.upgrade(operator)
    with operator.reading() as session:
        assert not session.scalar(text("SELECT has_table_privilege('sendproof_milter', 'plans', 'INSERT')"))
        assert session.scalar(text("SELECT has_table_privilege('sendproof_milter', 'plans', 'SELECT')"))
    operator.close()


@pytest.mark.postgres
def test_what_a_session_wants_is_with_the_role(postgres_url: str) -> None:
    """A pool between passes no options of a session's start on."""
    operator = open_database(postgres_url)
    with operator.reading() as session:
        made = session.scalar(
            text(grants.ROLES_ARE_MADE),
            {
                "names": list(_NAMES.values()),
                "settings": [f"{name}={value}" for name, value in database_url.ROLE_SETTINGS.items()],
            },
        )
        more = session.scalar(text(grants.ROLES_ARE_MADE), {"names": ["sendproof_web"], "settings": ["jit=on"]})
    operator.close()
    assert (made, more) == (True, False)


def test_the_words_can_be_repeated_and_hold_no_password() -> None:
    parts = (grants.role_statements, grants.ownership_statements, grants.table_statements)
    words = "\n".join(statement for part in parts for statement in part(_NAMES))
    assert "PASSWORD" not in words.upper()
    assert "IF NOT EXISTS" in words
    for name in _NAMES.values():
        assert name in words
