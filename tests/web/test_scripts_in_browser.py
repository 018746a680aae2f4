"""What the pages do beyond themselves, in a browser: live states, copying, charts, keys, asking first."""

import datetime as dt
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask, render_template_string
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.wait import WebDriverWait
from sqlalchemy import select, update

from sendproof_core.database import Database
from sendproof_core.schema import QueueFile, Recipient
from sendproof_core.settings import SettingsFile
from sendproof_core.states import RecipientState
from sendproof_testing import browser, sample_site
from sendproof_testing.browser import Browser
from sendproof_testing.sample_record import OFFER_ID, PASSWORD, SENT_AT
from sendproof_web import access, messages
from sendproof_web.app import create_app

pytestmark = [pytest.mark.browser, pytest.mark.skipif(not browser.available(), reason="needs chromium")]

PIECES = """
{% extends "layout.html" %}
{% from "parts.html" import chart, copy_button %}
{% from "forms.html" import form_head, submit %}
{% block main %}
<h1>Pieces</h1>
<code id="words">v=DKIM1; &lt;b&gt; &amp;</code>{{ copy_button("words", "Copy") }}
<form method="post">{{ form_head() }}{{ submit("Remove", "danger", confirm="Sure?") }}</form>
{{ chart("volume", "Volume", data, "messages") }}
{% endblock %}
"""
DATA = {
    "x": [1795305600 + 86400 * day for day in range(30)],
    "series": [
        {"label": "Delivered", "values": [day % 7 * 10 for day in range(30)], "tone": "good"},
        {"label": "<b>Bounced</b>", "values": [day % 3 for day in range(30)], "tone": "bad"},
    ],
    "kind": "bars",
}
NOT_QUIET_SECONDS = 20


@pytest.fixture
def settings_file(tmp_path: Path) -> SettingsFile:
    return sample_site.prepare(tmp_path)


@pytest.fixture
def database(settings_file: SettingsFile) -> Iterator[Database]:
    made = sample_site.database_of(settings_file)
    yield made
    made.close()


@pytest.fixture
def site(settings_file: SettingsFile) -> Flask:
    made = create_app(settings_file, now=lambda: SENT_AT + dt.timedelta(minutes=40))
    pieces = access.signed_in(lambda: render_template_string(PIECES, data=DATA))
    made.add_url_rule("/pieces", "pieces", pieces, methods=["GET", "POST"])
    return made


@pytest.fixture
def site_url(site: Flask) -> Iterator[str]:
    with browser.served(site) as url:
        yield url


@pytest.fixture
def window(site_url: str) -> Iterator[Browser]:
    with browser.start() as started:
        started.sign_in(site_url, "max", PASSWORD)
        yield started


def until(window: Browser, script: str) -> None:
    WebDriverWait(window.driver, NOT_QUIET_SECONDS).until(lambda driver: driver.execute_script(f"return {script}"))


def test_states_change_while_one_looks_and_the_focus_stays(
    site_url: str, window: Browser, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(messages, "_LATER_SECONDS", 1)
    window.open(f"{site_url}/messages?q=offer")
    link = window.driver.find_element(By.LINK_TEXT, "Offer 2026-117")
    link.send_keys(Keys.SHIFT)  # any key: it has the focus now
    assert "DEFERRED" in window.text()
    with database.writing() as session:
        own = select(QueueFile.id).where(QueueFile.message_id == OFFER_ID)
        session.execute(
            update(Recipient).where(Recipient.queue_file_id.in_(own)).values(state=RecipientState.DELIVERED)
        )
    until(window, "!document.body.innerText.includes('DEFERRED')")
    assert window.text().count("ACCEPTED") == 4
    assert window.driver.switch_to.active_element == link
    assert window.complaints() == []


def test_a_chart_is_drawn_and_nothing_breaks_the_policy(site_url: str, window: Browser) -> None:
    for scheme in ("light", "dark"):
        window.prefer(scheme)
        window.open(f"{site_url}/pieces")
        until(window, "document.querySelector('#volume canvas')")
        assert "<b>Bounced</b>" in window.driver.find_element(By.CSS_SELECTOR, ".u-legend").text
        assert not window.driver.find_elements(By.CSS_SELECTOR, ".u-legend b")
        assert window.complaints() == []
    window.resize(*browser.PHONE)
    until(window, "document.querySelector('#volume canvas').clientWidth <= 390")
    assert window.overflow() == 0


def test_a_text_is_copied_as_it_is_shown(site_url: str, window: Browser) -> None:
    permissions = {"origin": site_url, "permissions": ["clipboardReadWrite", "clipboardSanitizedWrite"]}
    window.driver.execute_cdp_cmd("Browser.grantPermissions", permissions)
    window.open(f"{site_url}/pieces")
    window.driver.find_element(By.CSS_SELECTOR, "[data-copy]").click()
    until(window, "document.querySelector('.copy').innerText.includes('Copied')")
    copied = window.driver.execute_async_script("navigator.clipboard.readText().then(arguments[0])")
    assert copied == "v=DKIM1; <b> &"
    assert window.driver.find_element(By.ID, "voice").get_attribute("role") == "status"


def test_the_slash_leads_to_the_search_box_unless_one_types(site_url: str, window: Browser) -> None:
    window.open(f"{site_url}/messages")
    window.driver.find_element(By.TAG_NAME, "body").send_keys("/")
    box = window.driver.switch_to.active_element
    assert box.get_attribute("id") == "q"
    assert box.get_attribute("value") == ""
    box.send_keys("a/b")
    assert box.get_attribute("value") == "a/b"


def test_the_menu_closes_with_escape_and_gives_the_focus_back(site_url: str, window: Browser) -> None:
    window.open(f"{site_url}/messages")
    summary = window.driver.find_element(By.CSS_SELECTOR, "#user-menu summary")
    summary.click()
    sign_out = window.driver.find_element(By.XPATH, "//button[text()='Sign out']")
    assert sign_out.is_displayed()
    sign_out.send_keys(Keys.ESCAPE)
    assert not sign_out.is_displayed()
    assert window.driver.switch_to.active_element == summary


def test_what_is_dangerous_is_asked_first(site_url: str, window: Browser) -> None:
    window.open(f"{site_url}/pieces")
    window.driver.execute_script("document.querySelector('h1').textContent = 'untouched'")
    window.driver.find_element(By.CSS_SELECTOR, "button.danger").click()
    window.driver.switch_to.alert.dismiss()
    assert "untouched" in window.text()
    window.driver.find_element(By.CSS_SELECTOR, "button.danger").click()
    window.driver.switch_to.alert.accept()
    until(window, "document.querySelector('h1').textContent === 'Pieces'")
