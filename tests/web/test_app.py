from pathlib import Path

import pytest
from flask import request

from sendproof_core import settings
from sendproof_core.errors import UserError
from sendproof_testing import sample_site
from sendproof_testing.visitor import Visitor
from sendproof_web import access
from sendproof_web.app import create_app


def test_the_front_door_leads_to_the_messages(stranger: Visitor) -> None:
    assert stranger.get("/").location == "/messages"


def test_the_stylesheets_address_changes_with_its_content(stranger: Visitor) -> None:
    page = stranger.get("/sign-in").text
    start = page.index("/static/sendproof.css")
    with stranger.get(page[start : page.index('"', start)]) as answer:
        assert answer.status_code == 200
    assert "v=" in page[start : page.index('"', start)]


def test_a_missing_secret_is_a_sentence_and_never_invented(tmp_path: Path) -> None:
    file = sample_site.prepare(tmp_path)
    (tmp_path / "secrets" / "site.key").unlink()
    with pytest.raises(UserError, match=r"site\.key cannot be read"):
        create_app(file)


def test_a_proxys_word_on_the_address_is_believed_only_if_it_is_trusted(tmp_path: Path) -> None:
    forwarded = {"X-Forwarded-For": "203.0.113.9"}
    file = sample_site.prepare(tmp_path)
    before = create_app(file)
    file.path.write_text(file.path.read_text() + "trusted_proxies = 1\n")
    behind = create_app(settings.load(file.path))
    seen = []
    for made in (before, behind):
        made.add_url_rule("/from", "from", access.public(lambda: request.remote_addr or ""))
        seen.append(made.test_client().get("/from", headers=forwarded).text)
    assert seen == ["127.0.0.1", "203.0.113.9"]
