"""What the provider does on the site: looks after accounts, plans, queue, health, pages; and acts as an account."""

import pytest
from selenium.webdriver.common.by import By

from sendproof_testing import browser, letters, mail, people
from sendproof_testing.browser import Album, Browser
from sendproof_testing.crawl import Crawl, name_of
from sendproof_testing.installation import ACCEPT, REFUSE, UNREACHABLE
from sendproof_testing.sandbox import Sandbox

pytestmark = [pytest.mark.integration, pytest.mark.browser]


@pytest.fixture
def site(sandbox: Sandbox, window: Browser) -> str:
    """The address of the site, where the provider is signed in."""
    made = sandbox.installation
    window.sign_in(made.web_url, made.provider.login, made.provider.password)
    return made.web_url


def open_account(window: Browser, site: str, login: str) -> None:
    window.open(f"{site}/provider/accounts?q={login}")
    window.follow(login)


def test_an_account_is_made_suspended_and_reinstated(
    sandbox: Sandbox, window: Browser, site: str, album: Album
) -> None:
    address = "ivan@ivans-inbox.example"
    window.open(f"{site}/provider/accounts/new")
    album.look("account-new")
    window.fill(login="not a login", address="nowhere")
    _send(window)
    album.look("account-new-wrong")
    window.fill(login="ivan", address=address)
    _send(window)
    album.look("account-made")
    letter = letters.wait_for(sandbox, address, "/invitation/")
    with browser.start() as other:
        other.open(letters.link(letter, "/invitation/"))
        other.fill(password=people.PASSWORD, repeat=people.PASSWORD)
        other.driver.find_element(By.CSS_SELECTOR, "main form button[type=submit]").click()
        other.wait_for_text("Your password is set")
        other.sign_in(site, "ivan", people.PASSWORD)

    open_account(window, site, "ivan")
    album.look("account")
    window.fill(reason="Too many complaints about your newsletter")
    window.press("Suspend")
    window.wait_for_text("Too many complaints about your newsletter")
    album.look("account-suspended")
    letters.wait_for(sandbox, address, "Too many complaints about your newsletter")
    with browser.start() as other:
        other.sign_in(site, "ivan", people.PASSWORD)
        other.open(f"{site}/account")
        assert "Too many complaints about your newsletter" in other.text()
        theirs = Album(other, album.folder)
        theirs.look("suspended-account")
        album.wrong += theirs.wrong
    open_account(window, site, "ivan")
    window.press("Let it send again")
    letters.wait_for(sandbox, address, "again")
    window.open(f"{site}/provider/audit")
    text = window.text().lower()
    assert "suspended" in text
    assert "ivan" in text
    album.look("audit")
    assert not album.wrong, "\n".join(album.wrong)


def _send(window: Browser) -> None:
    window.driver.execute_script("for (const form of document.forms) form.noValidate = true")
    window.driver.find_element(By.CSS_SELECTOR, "main form button[type=submit].primary").click()


def test_the_provider_sees_what_an_account_sees(sandbox: Sandbox, window: Browser, site: str, album: Album) -> None:
    subject = "Only for those whose it is"
    mail.submit(sandbox, [f"anna@{ACCEPT}"], subject=subject)
    window.open(f"{site}/messages?q=whose")
    assert subject not in window.text()
    open_account(window, site, "max")
    window.driver.find_element(By.XPATH, "//main//form[contains(@action, '/act')]//button").click()
    window.wait_for_text("You see the account max")
    window.open(f"{site}/messages?q=whose")
    window.load_until(subject)
    album.look("acting")
    window.open(f"{site}/account/credentials/new")
    assert "Only the owner of the account can do this" in window.text()
    album.look("acting-closed")
    window.open(f"{site}/messages")
    window.driver.find_element(By.CSS_SELECTOR, "form.acting button").click()
    window.wait_until(lambda: "You see the account" not in window.text(), "the end of acting")
    window.open(f"{site}/provider/audit")
    assert "act" in window.text().lower()
    assert not album.wrong, "\n".join(album.wrong)


def test_a_plan_is_tried_before_it_changes(sandbox: Sandbox, window: Browser, site: str, album: Album) -> None:
    mail.submit(sandbox, [f"anna@{ACCEPT}", f"ben@{ACCEPT}"], subject="Counts for the plan")
    window.open(f"{site}/provider/plans")
    album.look("plans")
    window.open(f"{site}/provider/plans/new")
    album.look("plan-new")
    window.fill(name="small", recipients_per_day="-3")
    _send(window)
    album.look("plan-new-wrong")
    window.fill(recipients_per_day="30")
    _send(window)
    window.wait_for_text("small")
    window.open(f"{site}/provider/plans")
    window.follow("sandbox")
    album.look("plan")
    assert not album.wrong, "\n".join(album.wrong)


def test_the_queue_and_the_health_of_each_part(sandbox: Sandbox, window: Browser, site: str, album: Album) -> None:
    mail.submit(sandbox, [f"dan@{UNREACHABLE}", f"cara@{REFUSE}"], subject="Waits")
    window.open(f"{site}/provider/queue")
    window.load_until(UNREACHABLE, 60)
    album.look("queue")
    for name in ("health", "lines", "refusals"):
        window.open(f"{site}/provider/{name}")
        album.look(name)
    window.open(f"{site}/provider")
    album.look("overview")
    assert not album.wrong, "\n".join(album.wrong)


def test_pages_are_written_in_markdown(sandbox: Sandbox, window: Browser, site: str, album: Album) -> None:
    window.open(f"{site}/provider/pages")
    album.look("pages")
    window.open(f"{site}/provider/pages/new")
    window.fill(title="How to reach us", slug="reach-us", position="1")
    markdown = (
        "# Opening hours\n\nWrite to **us**.\n\n<script>window.hostile=1</script>\n\n[x](javascript:window.hostile=1)"
    )
    window.driver.find_element(By.NAME, "markdown").send_keys(markdown)
    album.look("page-new")
    _send(window)
    window.open(f"{site}/pages/reach-us")
    assert "Opening hours" in window.text()
    assert not window.driver.execute_script("return 'hostile' in window")
    assert window.driver.find_elements(By.CSS_SELECTOR, "main a[href^='javascript']") == []
    album.look("page")
    with browser.start() as stranger:
        stranger.open(f"{sandbox.installation.web_url}/pages/reach-us")
        assert "Write to us" in stranger.text()
    assert not album.wrong, "\n".join(album.wrong)


def test_nothing_is_wrong_with_any_page(sandbox: Sandbox, window: Browser, album: Album) -> None:
    """Whatever links lead to, for a sender and for the provider, whether a story went there or not."""
    made = sandbox.installation
    person = people.add(sandbox, "vera")
    mail.submit(sandbox, [f"anna@{ACCEPT}", f"cara@{REFUSE}"], subject="Looked at from all sides")
    seen = set()
    for login in (made.login, made.provider, person):
        window.driver.delete_all_cookies()
        window.sign_in(made.web_url, login.login, login.password)
        is_provider = login is made.provider
        starts = ["/provider"] if is_provider else ["/messages", "/account"]
        for path in Crawl(window, made.web_url).pages(starts):
            name = f"{login.login}-{name_of(path)}"
            if name not in seen:
                seen.add(name)
                album.look(name)
    assert not album.wrong, "\n".join(album.wrong)
    assert len(seen) > 30
