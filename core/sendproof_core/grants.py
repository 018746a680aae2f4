"""Who may read and write which table: the one-writer rule as data, and as PostgreSQL's grants. Executes nothing.

A table's kind says who writes it (`schema`, ARCHITECTURE.md "Where does a datum live?"). On SQLite nothing enforces it.
The operator's role owns the tables: it runs migrations and retention, so no grant binds it.
"""

import enum
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from sendproof_core.database_url import ROLE_SETTINGS, Program


class Kind(enum.StrEnum):
    """What a table is to the programs."""

    DIRECTORY = "directory"
    LEDGER = "ledger"
    RECORD = "record"
    OUTBOX = "outbox"
    # Written by `sendproof database upgrade`; every program looks at its start.
    SCHEMA = "schema"


_MILTER, _LOGPARSER, _WEB, _NOTICES = Program.MILTER, Program.LOGPARSER, Program.WEB, Program.NOTICES
_ALL = frozenset({_MILTER, _LOGPARSER, _WEB, _NOTICES})

# Beside the operator, who owns them all.
WRITERS: Mapping[Kind, frozenset[Program]] = {
    Kind.DIRECTORY: frozenset({_WEB}),
    Kind.LEDGER: frozenset({_MILTER}),
    Kind.RECORD: frozenset({_LOGPARSER}),
    Kind.OUTBOX: frozenset({_NOTICES}),
    Kind.SCHEMA: frozenset(),
}


@dataclass(frozen=True)
class Access:
    """One table's kind, and who reads it beside its writers and the operator."""

    kind: Kind
    readers: frozenset[Program]

    @property
    def writers(self) -> frozenset[Program]:
        """The programs that insert, update and delete rows; each reads them too."""
        return WRITERS[self.kind]


def _of(kind: Kind, *readers: Program) -> Access:
    return Access(kind, frozenset(readers))


_RECORD = _of(Kind.RECORD, _MILTER, _WEB, _NOTICES)
TABLES: Mapping[str, Access] = {
    "plans": _of(Kind.DIRECTORY, _MILTER, _NOTICES),
    "accounts": _of(Kind.DIRECTORY, _MILTER, _LOGPARSER, _NOTICES),
    "own_addresses": _of(Kind.DIRECTORY, _MILTER),
    "credentials": _of(Kind.DIRECTORY, _MILTER, _LOGPARSER),
    "domains": _of(Kind.DIRECTORY, _MILTER, _NOTICES),
    "domain_claims": _of(Kind.DIRECTORY),
    "dkim_keys": _of(Kind.DIRECTORY, _MILTER),
    "recovery_codes": _of(Kind.DIRECTORY),
    "site_sessions": _of(Kind.DIRECTORY),
    "site_links": _of(Kind.DIRECTORY, _NOTICES),
    "throttled_failures": _of(Kind.DIRECTORY),
    "hand_overs": _of(Kind.DIRECTORY),
    "notice_preferences": _of(Kind.DIRECTORY, _NOTICES),
    "mail_requests": _of(Kind.DIRECTORY, _NOTICES),
    "domain_checks": _of(Kind.DIRECTORY),
    "audit_entries": _of(Kind.DIRECTORY),
    "pages": _of(Kind.DIRECTORY),
    "quota_use": _of(Kind.LEDGER, _WEB, _NOTICES),
    "charges": _of(Kind.LEDGER, _WEB, _NOTICES),
    "known_recipients": _of(Kind.LEDGER),
    "messages": _RECORD,
    "refusals": _RECORD,
    "queue_files": _RECORD,
    "recipients": _RECORD,
    "deliveries": _RECORD,
    "attempts": _RECORD,
    "opens": _RECORD,
    "reading_positions": _RECORD,
    "open_conversations": _RECORD,
    "unknown_lines": _RECORD,
    "log_gaps": _RECORD,
    "record_changes": _RECORD,
    "search_entries": _RECORD,
    # The index of words is made by each database's own means, and is not among `schema`'s tables.
    "search_words": _RECORD,
    "delivery_days": _RECORD,
    "acceptance_times": _RECORD,
    "credential_uses": _RECORD,
    "notices": _of(Kind.OUTBOX, _WEB),
    "notice_items": _of(Kind.OUTBOX, _WEB),
    "alembic_version": _of(Kind.SCHEMA, *_ALL),
    "schema_compatibility": _of(Kind.SCHEMA, *_ALL),
}

# Whether `role_statements` has been executed for all of the names: who may not do that need not.
ROLES_ARE_MADE = """
SELECT count(*) = cardinality(CAST(:names AS text[])) FROM pg_roles
WHERE rolname = ANY(CAST(:names AS text[])) AND rolconfig @> CAST(:settings AS text[])"""
# The names that stand in for the words in capitals have been checked (`database_url.roles`).
_OWN_ALL = """
DO $$ DECLARE one regclass; BEGIN
FOR one IN SELECT oid FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')
AND pg_get_userbyid(relowner) <> 'OPERATOR'
LOOP EXECUTE format('ALTER TABLE %s OWNER TO "OPERATOR"', one); END LOOP; END $$"""
# Whatever numbers the rows of a table.
_GRANT_NUMBERS = """
FOR one IN SELECT objid FROM pg_depend JOIN pg_class ON pg_class.oid = objid AND relkind = 'S'
WHERE refobjid = 'TABLE_NAME'::regclass AND deptype IN ('a', 'i')
LOOP EXECUTE format('GRANT USAGE, SELECT ON SEQUENCE %s TO "ROLE_NAME"', one); END LOOP;"""


def role_statements(names: Mapping[Program, str]) -> Iterator[str]:
    """What a superuser (or a role with CREATEROLE) executes: the roles, without passwords, and their settings.

    What the programs ask of a session is with the role, so that a pool between, which takes no options at the start of
    a session, changes nothing. Each statement may be executed again.
    """
    for name in names.values():
        yield (
            f"DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{name}')"
            f' THEN CREATE ROLE "{name}" LOGIN; END IF; END $$'
        )
        for setting, value in ROLE_SETTINGS.items():
            yield f"ALTER ROLE \"{name}\" SET {setting} = '{value}'"


def ownership_statements(names: Mapping[Program, str]) -> Iterator[str]:
    """What a superuser executes in the database: the operator may make tables, and owns those that are there."""
    owner = names[Program.OPERATOR]
    yield f'GRANT USAGE, CREATE ON SCHEMA public TO "{owner}"'
    yield _OWN_ALL.replace("OPERATOR", owner)


def table_statements(names: Mapping[Program, str]) -> Iterator[str]:
    """What the owner executes: each role gets what `TABLES` gives it, and loses what it has beside.

    A role or a table that is missing is passed over. Partitions are reached through their parents.
    """
    for program, name in names.items():
        if program is not Program.OPERATOR:
            lines = "".join(f"\n{_table(table, access, program, name)}" for table, access in TABLES.items())
            yield (
                "DO $$ DECLARE one regclass; BEGIN"
                f" IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{name}') THEN RETURN; END IF;"
                f"{lines}\nEND $$"
            )


def _table(table: str, access: Access, program: Program, name: str) -> str:
    writes = program in access.writers
    rights = "SELECT, INSERT, UPDATE, DELETE" if writes else "SELECT" if program in access.readers else None
    words = [f'REVOKE ALL ON {table} FROM "{name}";']
    if rights is not None:
        words.append(f'GRANT {rights} ON {table} TO "{name}";')
    if writes:
        words.append(_GRANT_NUMBERS.replace("TABLE_NAME", table).replace("ROLE_NAME", name))
    return f"IF to_regclass('{table}') IS NOT NULL THEN {' '.join(words)} END IF;"
