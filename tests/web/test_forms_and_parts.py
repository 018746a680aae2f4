"""The pieces that all pages are made of."""

import re

import pytest
from flask import Flask, render_template_string
from flask_wtf import FlaskForm  # type: ignore[import-untyped] # it has no types
from markupsafe import escape
from werkzeug.datastructures import MultiDict
from wtforms import (  # type: ignore[import-untyped] # it has no types
    BooleanField,
    IntegerField,
    PasswordField,
    RadioField,
    SelectChoice,
    SelectField,
    StringField,
    TextAreaField,
)
from wtforms.validators import InputRequired, ValidationError  # type: ignore[import-untyped] # it has no types

HOSTILE = '"><script>alert(1)</script>'


class Form(FlaskForm):  # type: ignore[misc] # Flask-WTF has no types
    address = StringField("Address", [InputRequired("Your address, please.")])
    secret = PasswordField("Password", [InputRequired("Your password, please.")])
    note = TextAreaField("Note")
    count = IntegerField("Count")
    plan = SelectField("Plan", choices=[SelectChoice("a", "standard"), SelectChoice("b", HOSTILE)])
    digest = RadioField(
        "Digest", choices=[SelectChoice("none", "One by one"), SelectChoice("daily", "Once a day")], default="none"
    )
    alerts = BooleanField("Opened alerts")

    def validate_note(self, field: TextAreaField) -> None:
        if field.data == "no":
            raise ValidationError("Not that.")


FIELDS = ("address", "secret", "note", "count", "plan", "digest", "alerts")
IMPORTS = """
{% from "forms.html" import form_head, field, submit, problem_summary %}
{% from "parts.html" import pill, pill_of, bar, copy_button, chart, tabs, account_tabs, provider_tabs, with_code %}
"""


def shown(app: Flask, source: str, path: str = "/", **values: object) -> str:
    with app.test_request_context(path):
        return render_template_string(IMPORTS + source, **values)


def form_page(app: Flask, data: dict[str, str], source: str) -> str:
    with app.test_request_context("/", method="POST", data=data):
        form = Form(MultiDict(data), meta={"csrf": False})
        form.validate()
        return render_template_string(IMPORTS + source, form=form)


# --- forms ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in FIELDS if name != "digest"])
def test_every_field_has_its_label(app: Flask, name: str) -> None:
    page = form_page(app, {"address": "a", "secret": "b", "plan": "a"}, f"{{{{ field(form.{name}) }}}}")
    assert f'<label for="{name}">' in page
    assert f'id="{name}"' in page
    assert "aria-invalid" not in page


def test_choices_are_a_group_with_a_name(app: Flask) -> None:
    page = form_page(app, {}, '{{ field(form.digest, help="As you like.") }}')
    assert "<legend>Digest</legend>" in page
    assert re.findall(r'<label class="choice" for="([^"]+)">', page) == ["digest-0", "digest-1"]
    assert 'aria-describedby="digest-help"' in page


def test_an_error_stands_beside_its_field_and_is_told_to_who_cannot_see_it(app: Flask) -> None:
    page = form_page(app, {}, '{{ field(form.address, type="email", autocomplete="email", help="We write to it.") }}')
    assert 'aria-invalid="true"' in page
    assert 'aria-describedby="address-help address-problem"' in page
    assert '<p class="field-problem" id="address-problem">Your address, please.</p>' in page
    assert '<p class="field-help" id="address-help">We write to it.</p>' in page
    assert 'type="email"' in page
    assert 'autocapitalize="none"' in page


def test_what_was_typed_is_kept_and_never_runs_and_passwords_are_not_kept(app: Flask) -> None:
    source = "{{ field(form.address) }}{{ field(form.secret) }}{{ field(form.note) }}{{ field(form.plan) }}"
    page = form_page(app, {"address": HOSTILE, "secret": "hunter2", "note": HOSTILE, "plan": "b"}, source)
    assert page.count(str(escape(HOSTILE))) == 3
    assert "<script" not in page
    assert "hunter2" not in page
    assert '<option selected value="b">' in page


def test_more_keywords_become_attributes(app: Flask) -> None:
    page = form_page(app, {}, '{{ field(form.count, inputmode="numeric", list="zones", **{"data-x": "1"}) }}')
    for attribute in ('inputmode="numeric"', 'list="zones"', 'data-x="1"'):
        assert attribute in page


def test_several_errors_are_listed_above_the_form_with_the_way_to_each(app: Flask) -> None:
    page = form_page(app, {"note": "no"}, "{{ problem_summary(form) }}")
    assert 'role="alert"' in page
    assert re.findall(r'<a href="#(\w+)">', page)[:3] == ["address", "secret", "note"]
    assert form_page(app, {"address": "a", "secret": "b", "plan": "a"}, "{{ problem_summary(form) }}").strip() == ""


def test_a_button_can_ask_first(app: Flask) -> None:
    page = shown(app, """{{ submit("Remove", "danger", confirm="Sure?") }}""")
    assert '<button type="submit" class="danger" data-confirm="Sure?">Remove</button>' in page


def test_a_form_without_fields_has_its_token(app: Flask) -> None:
    assert re.search(r'name="csrf_token" value="[^"]{20,}"', shown(app, "{{ form_head() }}"))


# --- parts ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("used", "limit", "tone", "word"),
    [
        (0, 100, "good", None),
        (79, 100, "good", None),
        (80, 100, "waiting", "Nearly used up"),
        (100, 100, "bad", "Used up"),
        (140, 100, "bad", "Used up"),
        (0, 0, "bad", "Used up"),
    ],
)
def test_a_bar_says_in_words_what_its_colour_says(
    app: Flask, used: int, limit: int, tone: str, word: str | None
) -> None:
    page = shown(app, "{{ bar(used, limit, 'so much') }}", used=used, limit=limit)
    assert f'class="bar {tone}"' in page
    assert (word in page) if word else ("pill" not in page)
    value, most = re.findall(r'<progress value="(\d+)" max="(\d+)"', page)[0]
    assert int(value) <= int(most)
    assert 'aria-label="so much"' in page


def test_where_there_is_no_limit_there_is_no_bar(app: Flask) -> None:
    page = shown(app, "{{ bar(7, none, '7, no limit') }}")
    assert "<progress" not in page
    assert "7, no limit" in page


def test_a_chart_has_its_numbers_as_a_table_for_who_does_not_see_it(app: Flask) -> None:
    data = {
        "x": [1795305600, 1795392000],
        "series": [
            {"label": "Delivered", "values": [1204, None], "tone": "good"},
            {"label": "</script><script>alert(1)", "values": [0, 3], "tone": "bad"},
        ],
        "kind": "bars",
    }
    page = shown(app, "{{ chart('volume', 'The last days', data, 'messages') }}", data=data)
    assert re.findall(r'<th scope="row">([^<]+)</th>', page) == ["23 Nov 2026", "22 Nov 2026"]
    assert re.findall(r'<td class="number">([^<]+)</td>', page) == ["\u2013", "3", "1,204", "0"]
    assert 'data-zone="UTC" data-days="yes"' in page
    assert page.count("<script") == 1
    assert "alert(1)" in page


def test_a_chart_of_hours_is_in_the_readers_zone(app: Flask) -> None:
    data = {"x": [1795309200], "series": [{"label": "a", "values": [1]}], "kind": "lines"}
    page = shown(app, "{{ chart('hours', 'Hours', data, '') }}", data=data)
    assert 'data-days="no"' in page


def test_the_copy_button_is_there_only_for_who_can_use_it(app: Flask) -> None:
    page = shown(app, "{{ copy_button('answer', 'Copy') }}")
    assert re.search(r'<button type="button" [^>]*data-copy="answer"[^>]* hidden>', page)


@pytest.mark.parametrize(
    ("path", "here"),
    [
        ("/account", "Plan and use"),
        ("/account/domains", "Domains"),
        ("/account/domains/7", "Domains"),
        ("/account/security", "Password and sign-in"),
    ],
)
def test_the_page_that_is_shown_is_marked_among_its_neighbours(app: Flask, path: str, here: str) -> None:
    page = shown(app, "{{ account_tabs() }}", path)
    assert re.findall(r'aria-current="page">([^<]+)<', page) == [here]


@pytest.mark.parametrize(("macro", "login"), [("account_tabs", "max_"), ("provider_tabs", "boss")])
def test_every_neighbour_is_a_page(app: Flask, macro: str, login: str, request: pytest.FixtureRequest) -> None:
    visitor = request.getfixturevalue(login)
    for path in re.findall(r'<a href="([^"]+)"', shown(app, f"{{{{ {macro}() }}}}")):
        assert visitor.get(path).status_code in (200, 303), path


@pytest.mark.parametrize("tone", ["good", "waiting", "bad", "unsure"])
def test_every_state_has_its_icon_and_its_word(app: Flask, tone: str) -> None:
    page = shown(app, "{{ pill_of(tone, '<b>') }}", tone=tone)
    assert re.search(r'<span class="pill \w+"><svg .*<(path|circle) .*</svg>&lt;b&gt;</span>', page, re.DOTALL)


def test_what_is_to_be_typed_is_marked_in_a_sentence(app: Flask) -> None:
    page = shown(app, "{{ with_code(text) }}", text=f"`sendproof status` says why. {HOSTILE}")
    assert page.strip() == f"<code>sendproof status</code> says why. {escape(HOSTILE)}"
