"""Debian's Chromium, headless, for looking at the site as a person would. Downloads nothing, keeps nothing.

Needs the packages ``chromium`` and ``chromium-driver``.
"""

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.support.wait import WebDriverWait

CHROMIUM = "/usr/bin/chromium"
CHROMEDRIVER = "/usr/bin/chromedriver"
DESKTOP = (1280, 1000)
PHONE = (390, 844)
_PATIENCE_SECONDS = 20
_FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
)


def available() -> bool:
    """Whether this machine has the browser."""
    return bool(shutil.which(CHROMIUM) and shutil.which(CHROMEDRIVER))


class Browser:
    """One window, one visitor."""

    def __init__(self, driver: webdriver.Chrome) -> None:
        self.driver = driver

    def resize(self, width: int, height: int) -> None:
        """The page's own size, as a phone or a window has it."""
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)

    def prefer(self, scheme: str) -> None:
        """``light`` or ``dark``: what the reader's system asks for."""
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})

    def open(self, url: str) -> None:
        """Load a page, to its end."""
        self.driver.get(url)

    def sign_in(self, site_url: str, login: str, password: str) -> None:
        """Through the form, as a person does; returns when the list of messages is shown."""
        self.open(f"{site_url}/sign-in")
        self.driver.find_element(By.NAME, "login").send_keys(login)
        self.driver.find_element(By.NAME, "password").send_keys(password)
        self.driver.find_element(By.CSS_SELECTOR, "button.primary").click()
        self.wait_for(f"{site_url}/messages")

    def wait_for(self, url: str) -> None:
        """Wait until the window has come to that address, after a click."""
        WebDriverWait(self.driver, _PATIENCE_SECONDS).until(lambda driver: driver.current_url == url)

    def text(self) -> str:
        """What a reader can see."""
        return self.driver.find_element(By.TAG_NAME, "body").text

    def complaints(self) -> list[str]:
        """What the browser has to say of the pages since the last call: errors, breaches of their policy."""
        entries = self.driver.get_log("browser")  # type: ignore[no-untyped-call] # selenium leaves it untyped
        return [str(entry["message"]) for entry in entries]

    def overflow(self) -> int:
        """How many pixels of the page stick out to the right: 0 on a good page."""
        script = "return document.documentElement.scrollWidth - document.documentElement.clientWidth"
        return int(self.driver.execute_script(script))

    def screenshot(self, path: Path) -> None:
        """The whole page, from top to bottom."""
        size = self.driver.execute_cdp_cmd("Page.getLayoutMetrics", {})["cssContentSize"]
        width = int(self.driver.execute_script("return window.innerWidth"))
        height = int(self.driver.execute_script("return window.innerHeight"))
        self.resize(width, max(height, int(size["height"])))
        self.driver.save_screenshot(str(path))
        self.resize(width, height)


@contextlib.contextmanager
def start(size: tuple[int, int] = DESKTOP) -> Iterator[Browser]:
    """A browser with an empty profile of its own, ended with all its processes."""
    with tempfile.TemporaryDirectory(prefix="sendproof-browser-", ignore_cleanup_errors=True) as profile:
        options = Options()
        options.binary_location = CHROMIUM
        for flag in (*_FLAGS, f"--user-data-dir={profile}"):
            options.add_argument(flag)
        driver = webdriver.Chrome(options=options, service=Service(CHROMEDRIVER))
        try:
            browser = Browser(driver)
            browser.resize(*size)
            yield browser
        finally:
            driver.quit()
