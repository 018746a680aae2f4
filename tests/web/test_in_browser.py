"""The pages as a person sees them. ``--basetemp`` keeps the screenshots."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask
from selenium.webdriver.common.by import By

from sendproof_testing import browser
from sendproof_testing.browser import Album, Browser
from sendproof_testing.sample_record import HOSTILE_ID, OFFER_ID, PASSWORD

pytestmark = [pytest.mark.browser, pytest.mark.skipif(not browser.available(), reason="needs chromium")]


@pytest.fixture
def site_url(app: Flask) -> Iterator[str]:
    with browser.served(app) as url:
        yield url


@pytest.fixture
def window() -> Iterator[Browser]:
    with browser.start() as started:
        yield started


def test_a_sender_signs_in_and_reads_a_transcript(site_url: str, window: Browser, tmp_path: Path) -> None:
    album = Album(window, tmp_path)
    window.open(f"{site_url}/sign-in")
    album.look("sign-in")
    window.sign_in(site_url, "max", PASSWORD)
    album.look("messages")
    window.follow("Offer 2026-117")
    window.wait_for(f"{site_url}/messages/{OFFER_ID}")
    text = window.text()
    assert "mx1.example.net took the message at 14:18:40" in text
    assert "354 End data with" in text
    album.look("transcript")
    window.driver.find_element(By.CSS_SELECTOR, "#user-menu summary").click()
    album.look("menu")
    window.driver.find_element(By.XPATH, "//header//button[normalize-space()='Sign out']").click()
    window.wait_for(f"{site_url}/sign-in")
    assert not album.wrong, "\n".join(album.wrong)
    assert all(picture.stat().st_size > 5_000 for picture in tmp_path.glob("*.png"))


def test_nothing_is_wrong_with_the_providers_pages(site_url: str, window: Browser, tmp_path: Path) -> None:
    album = Album(window, tmp_path)
    window.sign_in(site_url, "boss", PASSWORD)
    for name in ("", "/accounts", "/plans", "/queue", "/refusals", "/health", "/lines", "/audit", "/pages"):
        window.open(f"{site_url}/provider{name}")
        album.look(f"provider{name.replace('/', '-')}")
    assert not album.wrong, "\n".join(album.wrong)


def test_nothing_hostile_runs_and_nothing_breaks_the_policy(site_url: str, window: Browser) -> None:
    window.sign_in(site_url, "max", PASSWORD)
    for page in ("messages", f"messages/{HOSTILE_ID}", f"messages/{OFFER_ID}"):
        window.open(f"{site_url}/{page}")
        assert not window.driver.find_elements(By.CSS_SELECTOR, "script:not([src]):not([type='application/json'])")
        assert not window.driver.find_elements(By.CSS_SELECTOR, "img[src='x']")
        assert window.complaints() == []
