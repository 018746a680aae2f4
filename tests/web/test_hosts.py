from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient

from sendproof_core import settings
from sendproof_core.settings import SiteSettings
from sendproof_testing import sample_site
from sendproof_web import services
from sendproof_web.app import create_app
from sendproof_web.hosts import Host, host_of
from sendproof_web.pixel import GIF

_TWO = SiteSettings(url="https://mail.example", tracking_url="https://t.example:8443")
_ONE = SiteSettings(url="https://mail.example", tracking_url="https://mail.example")


@pytest.mark.parametrize(
    ("name", "site", "expected"),
    [
        ("mail.example", _TWO, Host.CONSOLE),
        ("MAIL.example:443", _TWO, Host.CONSOLE),
        ("mail.example.", _TWO, Host.CONSOLE),
        ("t.example", _TWO, Host.TRACKING),
        ("t.example:8443", _TWO, Host.TRACKING),
        ("127.0.0.1:8025", _TWO, Host.CONSOLE),
        ("[::1]:8025", _TWO, Host.CONSOLE),
        ("mail.example", _ONE, Host.BOTH),
        ("localhost", _ONE, Host.BOTH),
        ("evil.example", _TWO, Host.NOBODY),
        ("mail.example.evil.example", _TWO, Host.NOBODY),
        ("evil.example@mail.example.evil", _TWO, Host.NOBODY),
        ("", _TWO, Host.NOBODY),
        ("[", _TWO, Host.NOBODY),
        ("mail.example/../x", _TWO, Host.NOBODY),
        ("max@mail.example", _TWO, Host.NOBODY),
        ("mail.example evil.example", _TWO, Host.NOBODY),
    ],
)
def test_a_host_name_stands_for_one_thing(name: str, site: SiteSettings, expected: Host) -> None:
    assert host_of(name, site) is expected


@pytest.fixture
def client(tmp_path: Path) -> Iterator[FlaskClient]:
    """A site whose pixels have a host name of their own."""
    file = sample_site.prepare(tmp_path)
    text = file.path.read_text().replace('tracking_url = "http://127.0.0.1', 'tracking_url = "http://t.example')
    file.path.write_text(text)
    made: Flask = create_app(settings.load(file.path))
    yield made.test_client()
    with made.app_context():
        services.services().database.close()
        services.services().journal.close()


def test_the_tracking_host_serves_pixels_and_nothing_else(client: FlaskClient) -> None:
    there = "http://t.example"
    assert client.get("/o/x.gif", base_url=there).data == GIF
    assert client.get("/healthz", base_url=there).status_code == 200
    for path in ("/", "/sign-in", "/messages", "/static/sendproof.css", "/t/x", "/nowhere"):
        answer = client.get(path, base_url=there)
        assert answer.status_code == 404, path
        assert answer.mimetype == "text/plain"
        assert "Set-Cookie" not in answer.headers
        assert "Content-Security-Policy" in answer.headers
    assert client.post("/sign-in", base_url=there, data={"login": "max"}).status_code == 404


def test_a_name_that_is_not_ours_gets_nothing(client: FlaskClient) -> None:
    for path in ("/", "/sign-in", "/o/x.gif", "/static/sendproof.css"):
        answer = client.get(path, base_url="http://evil.example")
        assert answer.status_code == 421, path
        assert b"evil" not in answer.data
    assert client.get("/healthz", base_url="http://10.0.0.7").status_code == 200


def test_the_console_answers_by_its_own_name(client: FlaskClient) -> None:
    assert client.get("/sign-in", base_url="http://127.0.0.1:8025").status_code == 200
    assert client.get("/", base_url="http://127.0.0.1:8025").headers["Location"] == "/messages"
