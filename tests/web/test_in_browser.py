"""The pages as a person sees them. ``--basetemp`` keeps the screenshots."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask
from selenium.webdriver.common.by import By
from werkzeug.serving import make_server

from sendproof_testing import browser
from sendproof_testing.browser import Browser
from sendproof_testing.sample_record import HOSTILE_ID, OFFER_ID, PASSWORD

pytestmark = [pytest.mark.browser, pytest.mark.skipif(not browser.available(), reason="needs chromium")]


@pytest.fixture
def site_url(app: Flask) -> Iterator[str]:
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def window() -> Iterator[Browser]:
    with browser.start() as started:
        yield started


def test_a_sender_signs_in_and_reads_a_transcript(site_url: str, window: Browser, tmp_path: Path) -> None:
    window.sign_in(site_url, "max", PASSWORD)
    window.driver.find_element(By.LINK_TEXT, "Offer 2026-117").click()
    window.wait_for(f"{site_url}/messages/{OFFER_ID}")
    text = window.text()
    assert "mx1.example.net took the message at 14:18:40" in text
    assert "354 End data with" in text
    for size in (browser.DESKTOP, browser.PHONE):
        window.resize(*size)
        for scheme in ("light", "dark"):
            window.prefer(scheme)
            for name, page in (("list", "messages"), ("transcript", f"messages/{OFFER_ID}")):
                window.open(f"{site_url}/{page}")
                assert window.overflow() == 0
                shot = tmp_path / f"{name}-{size[0]}-{scheme}.png"
                window.screenshot(shot)
                assert shot.stat().st_size > 10_000
    window.driver.find_element(By.XPATH, "//button[text()='Sign out']").click()
    window.wait_for(f"{site_url}/sign-in")


def test_nothing_hostile_runs_and_nothing_breaks_the_policy(site_url: str, window: Browser) -> None:
    window.sign_in(site_url, "max", PASSWORD)
    for page in ("messages", f"messages/{HOSTILE_ID}", f"messages/{OFFER_ID}"):
        window.open(f"{site_url}/{page}")
        assert not window.driver.execute_script("return document.scripts.length")
        assert window.complaints() == []
