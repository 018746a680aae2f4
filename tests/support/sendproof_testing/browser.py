"""Debian's Chromium, headless, for looking at the site as a person would. Downloads nothing, keeps nothing.

Needs the packages ``chromium`` and ``chromium-driver``, and axe-core, which ``make setup`` puts into ``build/axe``.
Finds fields, buttons and links by the words that a person reads, not by names of the markup.
"""

import contextlib
import functools
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

from flask import Flask
from selenium import webdriver
from selenium.common.exceptions import (
    NoAlertPresentException,
    NoSuchElementException,
    StaleElementReferenceException,
    TimeoutException,
    UnexpectedAlertPresentException,
)
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import Select
from selenium.webdriver.support.wait import WebDriverWait
from werkzeug.serving import make_server

from sendproof_core.errors import UserError

T = TypeVar("T")
CHROMIUM = "/usr/bin/chromium"
CHROMEDRIVER = "/usr/bin/chromedriver"
DESKTOP = (1280, 1000)
PHONE = (390, 844)
SCHEMES = ("light", "dark")
SIZES = {"desktop": DESKTOP, "phone": PHONE}
_AXE = Path(__file__).resolve().parents[3] / "build" / "axe" / "axe.min.js"
# WCAG 2.2 AA and what axe-core itself counts as good practice.
_AXE_RUN = """
const done = arguments[arguments.length - 1];
const rules = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];
axe.run(document, {preload: false, runOnly: rules}).then(
  found => done(found.violations.map(one => one.id + ": " + one.help + ": "
      + one.nodes.slice(0, 3).map(node => node.html.slice(0, 200) + " (" + node.failureSummary + ")").join(" | "))),
  error => done(["axe did not run: " + error]));
"""
_SETTLED = """
const done = arguments[arguments.length - 1];
requestAnimationFrame(() => requestAnimationFrame(() =>
  Promise.allSettled(document.getAnimations().map(one => one.finished)).then(() => done(null))));
"""
# The field that a label speaks of, or one that is named by aria-label.
_FIELD = """
const words = arguments[0], plain = text => text.replace(/\\s+/g, " ").trim();
for (const label of document.querySelectorAll("label"))
  if (plain(label.textContent) === words) return label.control;
for (const field of document.querySelectorAll("input, select, textarea"))
  if (field.getAttribute("aria-label") === words) return field;
return null;
"""
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
        features = [
            {"name": "prefers-color-scheme", "value": scheme},
            {"name": "prefers-reduced-motion", "value": "reduce"},
        ]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        self.driver.execute_async_script(_SETTLED)  # a colour on its way to another is neither

    def open(self, url: str) -> None:
        """Load a page, to its end."""
        self.driver.get(url)

    def sign_in(self, site_url: str, login: str, password: str) -> None:
        """Through the form, as a person does; returns when the list of messages is shown."""
        self.open(f"{site_url}/sign-in")
        self.driver.find_element(By.NAME, "login").send_keys(login)
        self.driver.find_element(By.NAME, "password").send_keys(password)
        self.driver.find_element(By.CSS_SELECTOR, "main form button[type=submit], button.primary").click()
        self.wait_for(f"{site_url}/messages")

    def wait_for(self, url: str) -> None:
        """Wait until the window has come to that address, after a click."""
        self.wait_until(lambda: self.driver.current_url == url, f"the address {url}")

    def wait_until(self, look: Callable[[], T | None], what: str, seconds: float = _PATIENCE_SECONDS) -> T:
        """The first thing that ``look`` finds; a page that changes under its eyes is looked at again.

        Raises:
            AssertionError: nothing in that time; says where the window is and what it shows.
        """
        try:
            found = WebDriverWait(
                self.driver, seconds, ignored_exceptions=(NoSuchElementException, StaleElementReferenceException)
            ).until(lambda _driver: look())
        except TimeoutException:
            raise AssertionError(
                f"after {seconds:.0f} s still not: {what}; at {self.driver.current_url}: {self.text()[:1500]}"
            ) from None
        assert found
        return found

    def wait_for_text(self, words: str, seconds: float = _PATIENCE_SECONDS) -> str:
        """Wait until the page shows these words; all of its text."""
        return self.wait_until(lambda: text if words in (text := self.text()) else None, repr(words), seconds)

    def load_until(self, words: str, seconds: float = _PATIENCE_SECONDS) -> str:
        """Load the page again and again until it shows these words; all of its text."""

        def look() -> str | None:
            if words in (text := self.text()):
                return text
            self.driver.refresh()
            return None

        return self.wait_until(look, repr(words), seconds)

    def load_until_pressed(self, button: str, words: str, seconds: float = _PATIENCE_SECONDS) -> str:
        """Press a button again and again until the page shows these words; all of its text."""

        def look() -> str | None:
            self.press(button)
            return text if words in (text := self.text()) else None

        return self.wait_until(look, repr(words), seconds)

    @property
    def path(self) -> str:
        """Of the address that the window shows, with its query."""
        parts = urlsplit(str(self.driver.current_url))
        return f"{parts.path}?{parts.query}" if parts.query else parts.path

    def field(self, label: str) -> WebElement:
        """The field of that label."""
        found = self.driver.execute_script(_FIELD, label)
        assert isinstance(found, WebElement), f"no field {label!r} at {self.driver.current_url}: {self.text()[:1500]}"
        return found

    def fill(self, **values: str) -> None:
        """Type into the fields of these names, over what stands there."""
        for name, value in values.items():
            self._type(self.driver.find_element(By.CSS_SELECTOR, f"main [name='{name}']"), value)

    def fill_in(self, label: str, value: str) -> None:
        """Type into the field of that label, over what stands there; choose, if it is a list."""
        self._type(self.field(label), value)

    def _type(self, field: WebElement, value: str) -> None:
        if field.tag_name == "select":
            Select(field).select_by_visible_text(value)
            return
        field.clear()
        field.send_keys(value)

    def tick(self, label: str, *, on: bool = True) -> None:
        """Set a check box or choose a radio button."""
        field = self.field(label)
        if field.is_selected() != on:
            field.click()

    def press(self, words: str, *, unchecked: bool = False) -> None:
        """Press the button with these words (the first in the page's main part), and wait for the page that answers.

        ``unchecked``: the browser sends the form whatever it thinks of the fields, as an older one does.
        """
        if unchecked:
            self.driver.execute_script("for (const form of document.forms) form.noValidate = true")
        self._leave_by(f"//main//button[normalize-space()={_quoted(words)}]")

    def follow(self, words: str) -> None:
        """Follow the link with these words, and wait for its page."""
        self._leave_by(f"//a[normalize-space()={_quoted(words)}]")

    def _leave_by(self, xpath: str) -> None:
        element = self.wait_until(
            lambda: next((one for one in self.driver.find_elements(By.XPATH, xpath) if one.is_displayed()), None), xpath
        )
        self.driver.execute_script("document.wasLeft = true; arguments[0].scrollIntoView({block: 'center'})", element)
        element.click()
        with contextlib.suppress(UnexpectedAlertPresentException, NoAlertPresentException):
            self.driver.switch_to.alert.accept()  # "Do you really ...?"
        self.wait_until(self._is_another_page, f"the page after {xpath}")

    def _is_another_page(self) -> bool:
        # Asked of the document: an element of the page before makes chromedriver fail while the page is exchanged.
        return bool(self.driver.execute_script("return !document.wasLeft && document.readyState === 'complete'"))

    def violations(self) -> list[str]:
        """What axe-core finds wrong with the page as it stands."""
        self.driver.execute_script(_axe())
        found = self.driver.execute_async_script(_AXE_RUN)
        self.complaints()  # axe-core tries styles that the policy forbids: those are not the page's
        return [str(one) for one in found]

    def examine(self, name: str, folder: Path) -> list[str]:
        """Look at the page in light and dark, on a desktop and on a phone; what is wrong with it.

        Keeps a picture of each in ``folder``. The page is not loaded again: some are shown but once.
        """
        # That a page of an error has the status of an error is no complaint.
        own = f"{self.driver.current_url} - Failed to load resource"
        wrong = [f"{name}: {complaint}" for complaint in self.complaints() if not complaint.startswith(own)]
        headings = self.driver.find_elements(By.TAG_NAME, "h1")
        if len(headings) != 1:
            wrong.append(f"{name}: {len(headings)} headings h1")
        for where, size in SIZES.items():
            self.resize(*size)
            for scheme in SCHEMES:
                self.prefer(scheme)
                at = f"{name}-{where}-{scheme}"
                with contextlib.suppress(AssertionError):  # a chart takes a moment to become as wide as the page
                    self.wait_until(lambda: self.overflow() == 0, "a page that fits", 2)
                if overflow := self.overflow():
                    wrong.append(f"{at}: {overflow} pixels stick out to the right")
                wrong += [f"{at}: {violation}" for violation in self.violations()]
                self.screenshot(folder / f"{at}.png")
        self.resize(*DESKTOP)
        self.prefer("light")
        return wrong

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


@dataclass
class Album:
    """A walk through pages that are looked at on the way; ``wrong`` is what was wrong with them."""

    window: Browser
    folder: Path
    wrong: list[str] = field(default_factory=list)

    def look(self, name: str) -> None:
        """`Browser.examine` the page as it stands."""
        self.wrong += self.window.examine(name, self.folder)


def _quoted(words: str) -> str:
    """A string as XPath 1.0 writes it."""
    return f"'{words}'" if "'" not in words else f'"{words}"'


@functools.cache
def _axe() -> str:
    if not _AXE.exists():
        raise UserError(f"{_AXE} is missing; `make setup-test` installs it.")
    return _AXE.read_text(encoding="utf-8")


@contextlib.contextmanager
def served(app: Flask) -> Iterator[str]:
    """The address of a server for that site alone, on a port of its own."""
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


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
