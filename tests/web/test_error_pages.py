import pytest

from sendproof_core.settings import SettingsFile
from sendproof_testing.visitor import Visitor
from sendproof_web import access
from sendproof_web.app import create_app


@pytest.mark.parametrize(
    ("method", "path", "status", "words"),
    [
        ("GET", "/nowhere", 404, "There is no such page"),
        ("GET", "/messages/not-an-id", 404, "There is no such page"),
        ("GET", "/static/../app.py", 404, "There is no such page"),
        ("DELETE", "/messages", 405, "That does not work here"),
        ("PUT", "/o/x.gif", 405, "That does not work here"),
    ],
)
def test_every_error_has_a_page_that_helps(max_: Visitor, method: str, path: str, status: int, words: str) -> None:
    answer = max_.client.open(path, method=method)
    assert answer.status_code == status
    assert words in answer.text
    assert "Traceback" not in answer.text


def test_a_form_that_is_too_large_is_refused(stranger: Visitor) -> None:
    answer = stranger.sign_in("max", "x" * 100_000)
    assert answer.status_code == 413
    assert "That is too much at once" in answer.text


def test_a_bug_of_ours_shows_nothing_of_the_inside(settings_file: SettingsFile) -> None:
    app = create_app(settings_file)

    def fail() -> str:
        raise RuntimeError("a secret detail")

    app.add_url_rule("/bug", "bug", access.public(fail))
    answer = app.test_client().get("/bug")
    assert answer.status_code == 500
    assert "Something broke on our side" in answer.text
    assert "secret detail" not in answer.text


def test_what_is_not_allowed_names_what_is(max_: Visitor) -> None:
    assert "POST" in max_.get("/sign-out").headers["Allow"]
