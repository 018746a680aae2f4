import pytest
from flask import Flask

from sendproof_core.password_rules import Weakness
from sendproof_web import new_password
from sendproof_web.new_password import NewPasswordForm


def form_of(app: Flask, password: str) -> NewPasswordForm:
    with app.test_request_context(method="POST", data={"password": password, "repeat": password}):
        return NewPasswordForm(meta={"csrf": False})


@pytest.mark.parametrize(
    ("password", "words"),
    [
        ("short", "use at least 12 characters"),
        ("x" * 201, "use at most 200 characters"),
        ("correct horse\tbattery", "cannot be typed"),
        ("passwordpassword", "easy to guess: many people"),
        ("eva@eva.example", "from your login or address"),
    ],
)
def test_a_refused_password_has_its_reason_beside_the_field(app: Flask, password: str, words: str) -> None:
    form = form_of(app, password)
    with app.test_request_context():
        assert not form.accepts(("eva", "eva@eva.example"))
        assert words in str(form.password.errors[0])


def test_a_good_one_is_taken(app: Flask) -> None:
    assert form_of(app, "violet tractor under rain").accepts(("eva",))


def test_every_reason_can_be_translated_and_says_what_the_rules_say(app: Flask) -> None:
    with app.test_request_context():
        assert {weakness: str(text) for weakness, text in new_password._REASONS.items()} == {
            weakness: weakness.value for weakness in Weakness
        }
