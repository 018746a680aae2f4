import datetime as dt
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from sendproof_core import audit, provider_pages
from sendproof_core.database import Database
from sendproof_core.errors import UserError
from sendproof_core.schema import AuditEntry, Page

NOW = dt.datetime(2026, 11, 22, 13, 3, 5, tzinfo=dt.UTC)


def _save(session: Session, page: Page | None = None, **values: Any) -> Page:
    wanted = {"slug": "plans", "title": "Plans", "markdown": "text", "position": 1, **values}
    return provider_pages.save(session, page, actor=audit.COMMAND, now=NOW, **wanted)


def _events(session: Session) -> list[str]:
    return list(session.scalars(select(AuditEntry.event).order_by(AuditEntry.id)))


def test_pages_of_the_footer_come_first_in_their_order(either_database: Database) -> None:
    with either_database.writing() as session:
        for slug, position in (("z", None), ("b", 2), ("a", None), ("c", 1)):
            _save(session, slug=slug, position=position)
        assert [page.slug for page in provider_pages.listed(session)] == ["c", "b", "a", "z"]


def test_every_change_is_in_the_audit_log_and_no_change_is_not(sqlite_database: Database) -> None:
    with sqlite_database.writing() as session:
        page = _save(session)
        before = provider_pages.edition(page)
        _save(session, page)
        assert provider_pages.edition(page) == before
        _save(session, page, markdown="other text")
        assert provider_pages.edition(page) != before
        provider_pages.remove(session, page, audit.COMMAND, NOW)
        assert _events(session) == ["page created", "page changed", "page deleted"]
        assert provider_pages.find(session, "plans") is None


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"slug": "Ünser"}, "cannot be in an address"),
        ({"slug": "a/b"}, "cannot be in an address"),
        ({"slug": "-a"}, "cannot be in an address"),
        ({"title": " "}, "a title has"),
        ({"title": "a\nb"}, "a title has"),
        ({"markdown": "x" * 20_001}, "at most 20,000 characters"),
        ({"markdown": "a\0b"}, "text only"),
        ({"position": 1000}, "from 0 to 999"),
    ],
)
def test_what_cannot_be_a_page_is_refused(sqlite_database: Database, values: dict[str, Any], said: str) -> None:
    with sqlite_database.writing() as session, pytest.raises(UserError, match=said):
        _save(session, **values)


def test_two_pages_never_share_an_address(sqlite_database: Database) -> None:
    with sqlite_database.writing() as session:
        _save(session)
        other = _save(session, slug="help")
        with pytest.raises(UserError, match="a page 'plans' already"):
            _save(session, other)


def test_defaults_leave_alone_what_is_there(sqlite_database: Database) -> None:
    with sqlite_database.writing() as session:
        _save(session, slug="help", markdown="our own help")
        made = provider_pages.add_defaults(session, audit.COMMAND, NOW)
        assert [page.slug for page in made] == ["plans", "contact"]
        kept = provider_pages.find(session, "help")
        assert kept is not None
        assert kept.markdown == "our own help"
        assert provider_pages.add_defaults(session, audit.COMMAND, NOW) == []
