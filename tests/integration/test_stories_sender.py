"""What a sender does on the site, with real mail: find the answer, show it, hand it over, set things up."""

import json
import re
import subprocess
import urllib.error
import urllib.request

import dns.zone
import pytest
from selenium.webdriver.common.by import By

from sendproof_testing import browser, letters, mail, people
from sendproof_testing.browser import Album, Browser
from sendproof_testing.installation import ACCEPT, GREYLIST, REFUSE, SPF_INCLUDE, UNREACHABLE
from sendproof_testing.sandbox import Sandbox

pytestmark = [pytest.mark.integration, pytest.mark.browser]

SUBJECT = "Tender 4711 for the harbour"
ANNA, BEN, CARA, DAN = f"anna@{ACCEPT}", f"ben@{GREYLIST}", f"cara@{REFUSE}", f"dan@{UNREACHABLE}"


@pytest.fixture
def site(sandbox: Sandbox, window: Browser) -> str:
    """The address of the site, where max is signed in."""
    made = sandbox.installation
    window.sign_in(made.web_url, made.login.login, made.login.password)
    return made.web_url


def find(window: Browser, site: str, words: str) -> None:
    window.open(f"{site}/messages")
    window.fill_in("Search your messages", words)
    window.press("Search")


def test_a_sender_finds_the_answer_and_hands_it_over(
    sandbox: Sandbox, window: Browser, site: str, album: Album
) -> None:
    mail.submit(sandbox, [ANNA, CARA, DAN], subject=SUBJECT)
    window.open(f"{site}/messages")
    album.look("messages")
    mail.wait_until(lambda: _found(window, site, f'subject:"{SUBJECT}" status:bounced'), 40, "the refused recipient")
    album.look("messages-found")
    for words in (
        "4711 harbour",
        f"to:{CARA}",
        "to:cara@",
        "reply:mailbox",
        "status:delivered 4711",
        "after:today 4711",
    ):
        assert _found(window, site, words), words
    for words in ("4711 nothing-like-that", "to:nobody@nowhere.example", "before:2001-01-01", "status:held 4711"):
        assert not _found(window, site, words), words
    album.look("messages-nothing-found")
    find(window, site, "colour:blue before:someday")
    album.look("messages-not-understood")
    find(window, site, "4711")
    window.follow(SUBJECT)
    window.load_until("took the message")
    text = window.text()
    assert "No mailbox here by that name" in text
    assert "TLS 1.3" in text or "TLSv1.3" in text
    album.look("transcript")
    message = window.path

    for address, name, words in ((ANNA, "accepted", "spam"), (CARA, "refused", "address"), (DAN, "deferred", "tr")):
        window.open(f"{site}{message}")
        card = window.driver.find_element(By.XPATH, f"//article[.//h2[contains(., '{address}')]]")
        card.find_element(By.LINK_TEXT, "They say they did not get it").click()
        window.wait_until(lambda: window.path.endswith("/guide"), "the guide")
        assert words in window.text().lower()
        assert address in window.text()
        album.look(f"guide-{name}")

    window.open(f"{site}{message}")
    card = window.driver.find_element(By.XPATH, f"//article[.//h2[contains(., '{CARA}')]]")
    card.find_element(By.PARTIAL_LINK_TEXT, "Hand over to their IT").click()
    window.wait_until(lambda: "hand-over" in window.path, "the page for hand-overs")
    album.look("hand-over-new")
    window.tick("7 days")
    window.press("Make the link")
    link = window.driver.find_element(By.CSS_SELECTOR, "[id^='link-']").text
    album.look("hand-over-made")
    _what_their_it_sees(link, album)
    window.open(f"{site}/account/hand-overs")
    album.look("hand-overs")
    window.driver.find_element(By.CSS_SELECTOR, "main button.danger").click()
    window.driver.switch_to.alert.accept()
    window.wait_for_text("REVOKED")
    with pytest.raises(urllib.error.HTTPError, match="404"):
        urllib.request.urlopen(link, timeout=10)
    assert not album.wrong, "\n".join(album.wrong)


def _found(window: Browser, site: str, words: str) -> bool:
    find(window, site, words)
    return SUBJECT in window.text()


def _what_their_it_sees(link: str, album: Album) -> None:
    with browser.start() as stranger:
        theirs = Album(stranger, album.folder)
        stranger.open(link)
        text = stranger.wait_for_text("Delivery transcript")
        assert CARA in text
        assert "No mailbox here by that name" in text
        source = stranger.driver.page_source
        for hidden in (ANNA, DAN, "Sandbox client"):
            assert hidden not in source
        theirs.look("hand-over-page")
        assert stranger.driver.get_cookies() == []
        album.wrong += theirs.wrong
    for suffix in (".txt", ".json"):
        with urllib.request.urlopen(f"{link}{suffix}", timeout=10) as answer:
            words = answer.read().decode()
            assert answer.headers["Cache-Control"] == "no-store"
        assert CARA in words
        assert ANNA not in words
        assert DAN not in words
        if suffix == ".json":
            json.loads(words)


def test_states_change_while_one_looks(sandbox: Sandbox, window: Browser, site: str) -> None:
    subject = "Watched on its way"
    mail.submit(sandbox, [BEN], subject=subject)
    window.open(f"{site}/messages")
    window.load_until(subject)
    window.driver.execute_script("window.marked = true")
    window.wait_until(lambda: "accepted" in _row(window, subject).lower(), "the state in the list", 60)
    assert window.driver.execute_script("return window.marked")  # the page was never loaded again
    window.follow(subject)
    assert "reylist" in window.wait_for_text("took the message")


def _row(window: Browser, subject: str) -> str:
    return window.driver.find_element(By.XPATH, f"//main//li[contains(., '{subject}')]").text


def test_everything_works_without_javascript(sandbox: Sandbox, window: Browser) -> None:
    made = sandbox.installation
    mail.submit(sandbox, [ANNA], subject="Without any script")
    window.driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    driver = window.driver
    driver.get(f"{made.web_url}/sign-in")
    driver.find_element(By.NAME, "login").send_keys(made.login.login)
    driver.find_element(By.NAME, "password").send_keys(made.login.password)
    driver.find_element(By.CSS_SELECTOR, "main form button[type=submit]").click()
    mail.wait_until(lambda: driver.current_url.endswith("/messages"), 20, "the messages")

    def listed() -> bool:
        driver.get(f"{made.web_url}/messages?q=script")
        return "Without any script" in driver.page_source

    mail.wait_until(listed, 20, "the message in the list")
    driver.find_element(By.LINK_TEXT, "Without any script").click()
    mail.wait_until(lambda: "/messages/0" in driver.current_url, 20, "the transcript")
    assert ANNA in driver.page_source


def test_credentials_are_made_and_revoked(sandbox: Sandbox, window: Browser, album: Album) -> None:
    person, site = people.add(sandbox, "cora"), sandbox.installation.web_url
    window.sign_in(site, person.login, person.password)
    window.open(f"{site}/account/credentials/new")
    window.fill(label="")
    window.press("Make login and password", unchecked=True)
    window.wait_for_text("Give it a name")
    album.look("credential-new-wrong")
    window.fill(label="Scanner", login="cora-scanner")
    window.press("Make login and password")
    password = window.driver.find_element(By.ID, "new-password").text
    assert len(password) >= 20
    letters.wait_for(sandbox, person.address, "Scanner")
    people.until_dovecot_knows()
    with mail.connected(sandbox) as client:
        assert client.login("cora-scanner", password)[0] == 235
    window.open(f"{site}/account/credentials")
    assert password not in window.driver.page_source
    album.look("credentials")
    window.driver.find_element(By.CSS_SELECTOR, "main a[aria-label='Revoke cora-scanner']").click()
    window.wait_for_text("Revoke a login")
    album.look("credential-revoke")
    window.press("Revoke it")
    window.wait_for_text("revoked login")
    people.until_dovecot_knows()
    with mail.connected(sandbox) as client, pytest.raises(Exception, match="535"):
        client.login("cora-scanner", password)
    assert not album.wrong, "\n".join(album.wrong)


def test_a_domain_is_proved_by_what_its_owner_publishes(sandbox: Sandbox, window: Browser, album: Album) -> None:
    person, site, name = people.add(sandbox, "dora"), sandbox.installation.web_url, "doras-shop.example"
    window.sign_in(site, person.login, person.password)
    window.open(f"{site}/account/domains")
    album.look("domains")
    window.follow("Add a domain")
    album.look("domain-new")
    window.fill(name="not a domain")
    window.press("Add")
    album.look("domain-new-wrong")
    window.fill(name=name)
    window.press("Add")
    window.wait_for_text("You cannot send from this domain yet")
    album.look("domain-unproved")
    window.press("Check now")
    album.look("domain-missing")
    sandbox.dns.set(name, "MX", f"10 mx.{name}.")
    sandbox.dns.set(f"mx.{name}", "A", "192.0.2.25")
    sandbox.dns.set("mail.elsewhere.example", "TXT", "v=spf1 ip4:192.0.2.0/24 -all")
    sandbox.dns.set(name, "TXT", "v=spf1 include:mail.elsewhere.example ~all")
    for record_type, record_name, value in _wanted(window):
        if record_type == "CNAME":
            sandbox.dns.set(record_name, record_type, f"{value.rstrip('.')}.")
    window.open(f"{site}/account/domains/{name}")
    window.load_until_pressed("Check now", "Proved:", 60)  # DNS is asked twice a minute at the most
    album.look("domain-proved")
    _serve_the_providers_zone(sandbox)
    for record_type, record_name, value in _wanted(window):
        if record_type == "TXT":
            sandbox.dns.set(record_name, record_type, value)
    assert f"v=spf1 include:mail.elsewhere.example include:{SPF_INCLUDE} ~all" in window.text()

    def all_is_seen() -> bool:
        window.press("Check now")
        return not any(words in window.text() for words in ("Nearly there", "Missing", "Wrong"))

    window.wait_until(all_is_seen, "nothing left to do", 60)
    album.look("domain-published")
    assert not album.wrong, "\n".join(album.wrong)


def _serve_the_providers_zone(sandbox: Sandbox) -> None:
    """What the provider's name server does with `sendproof domain zone`."""
    said = subprocess.run(sandbox.command("domain", "zone"), capture_output=True, text=True, check=True, timeout=60)
    zone = dns.zone.from_text(f"$TTL 60\n{said.stdout}", origin=".", relativize=False, check_origin=False)
    for name, records in zone.iterate_rdatasets("TXT"):
        text = b"".join(part for record in records for part in record.strings)
        sandbox.dns.set(name.to_text(omit_final_dot=True), "TXT", text.decode())


def _wanted(window: Browser) -> list[tuple[str, str, str]]:
    """The records that the page asks for: type, name, value."""
    found = []
    for box in window.driver.find_elements(By.XPATH, "//main//dl[.//dt[normalize-space()='Value']]"):
        record_type = box.find_element(By.XPATH, ".//dt[normalize-space()='Type']/following-sibling::dd").text
        name, value = (box.find_element(By.CSS_SELECTOR, f"[id$='-{part}']").text for part in ("name", "value"))
        found.append((record_type, name.rstrip("."), value))
    return found


def test_preferences_are_kept_and_change_what_is_shown(sandbox: Sandbox, window: Browser, album: Album) -> None:
    person, site = people.add(sandbox, "pia"), sandbox.installation.web_url
    window.sign_in(site, person.login, person.password)
    window.open(f"{site}/account")
    album.look("account")
    window.open(f"{site}/account/preferences")
    album.look("preferences")
    window.fill(time_zone="Middle-earth/Shire")
    window.press("Save")
    assert window.field("Time zone").get_attribute("value") == "Middle-earth/Shire"
    album.look("preferences-wrong")
    window.fill(time_zone="Asia/Tokyo")
    window.tick("Tell me when my mail is opened")
    window.tick("Keep the address and the mail program of who opened it")
    window.press("Save")
    window.open(f"{site}/account/preferences")
    assert window.field("Time zone").get_attribute("value") == "Asia/Tokyo"
    assert window.field("Tell me when my mail is opened").is_selected()
    window.open(f"{site}/account/notices")
    album.look("notices")
    window.press("Save")
    album.look("notices-saved")
    assert not album.wrong, "\n".join(album.wrong)


def test_a_refused_submission_says_which_limit_and_what_to_do(
    sandbox: Sandbox, window: Browser, site: str, album: Album
) -> None:
    content = re.sub(
        rb"From: .*", b"From: somebody@else.example", mail.html_message("x@x.example", [ANNA], "Foreign").as_bytes()
    )
    with pytest.raises(Exception, match="belong"):
        mail.submit(sandbox, [ANNA], message=content)
    find(window, site, "status:refused")
    window.load_until("somebody@else.example")
    album.look("messages-refused")
    window.driver.find_element(By.XPATH, "//main//li//a[starts-with(@href, '/refusals/')]").click()
    window.wait_until(lambda: "/refusals/" in window.path, "the refusal")
    assert "somebody@else.example" in window.text()
    album.look("refusal")
    assert not album.wrong, "\n".join(album.wrong)
