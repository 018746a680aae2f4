import pytest
from flask import Flask
from sqlalchemy.exc import OperationalError

from sendproof_testing.visitor import Visitor
from sendproof_web import access, page_reader, sessions


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> None:
    """A database that does not answer."""

    def fail() -> None:
        raise OperationalError("SELECT", {}, Exception("gone"))

    monkeypatch.setattr(page_reader, "visitor", fail)
    monkeypatch.setattr(access, "visitor", fail)


@pytest.mark.usefixtures("broken")
def test_the_page_about_a_broken_database_does_not_need_it(max_: Visitor) -> None:
    answer = max_.get("/messages")
    assert answer.status_code == 503
    assert "The record cannot be read at the moment" in answer.text


@pytest.mark.parametrize("path", ["/messages", "/provider", "/nowhere", "/pages/nowhere"])
def test_a_database_that_does_not_answer_is_asked_once_who_reads(
    boss: Visitor, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def fail(*_arguments: object) -> None:
        asked.append(1)
        raise OperationalError("SELECT", {}, Exception("gone"))

    monkeypatch.setattr(sessions, "find", fail)
    answer = boss.get(path)
    assert answer.status_code == (404 if "nowhere" in path else 503)
    assert "<h1" in answer.text
    assert len(asked) == 1  # each time may take until a time-out


def test_nobody_reads_where_nobody_is_signed_in(app: Flask) -> None:
    with app.test_request_context("/"):
        assert page_reader.page_reader() is None
