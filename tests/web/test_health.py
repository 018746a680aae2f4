from pathlib import Path

from flask import Flask

from sendproof_testing import sample_site
from sendproof_testing.visitor import Visitor
from sendproof_web import services
from sendproof_web.app import create_app


def test_a_monitor_learns_that_the_site_is_well(stranger: Visitor) -> None:
    answer = stranger.get("/healthz")
    assert (answer.status_code, answer.json) == (200, {"status": "ok"})


def broken(folder: Path) -> Flask:
    """A site whose database is no database any more."""
    file = sample_site.prepare(folder)
    for path in folder.glob("sendproof.db*"):
        path.unlink()
    (folder / "sendproof.db").write_bytes(b"not a database, but long enough to be looked at" * 100)
    return create_app(file)


def test_a_monitor_learns_that_the_database_is_gone_and_no_more(tmp_path: Path) -> None:
    app = broken(tmp_path)
    answer = app.test_client().get("/healthz")
    assert (answer.status_code, answer.json) == (503, {"status": "database unavailable"})
    with app.app_context():
        services.services().database.close()


def test_a_visitor_is_told_that_the_record_cannot_be_read(tmp_path: Path) -> None:
    app = broken(tmp_path)
    answer = Visitor(app.test_client()).sign_in("max")
    assert answer.status_code == 503
    assert "Your mail goes out all the same." in answer.text
    assert "sqlite" not in answer.text.lower()
    with app.app_context():
        services.services().database.close()
