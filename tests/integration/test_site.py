"""A sender signs in and reads a transcript of real mail in a browser."""

from pathlib import Path

import pytest
from selenium.webdriver.common.by import By

from sendproof_testing import browser, mail
from sendproof_testing.installation import ACCEPT, REFUSE
from sendproof_testing.sandbox import Sandbox

pytestmark = [pytest.mark.integration, pytest.mark.browser]

SUBJECT = "Seen in <b>the</b> browser"
ACCEPTED, REFUSED = f"anna.browser@{ACCEPT}", f"cara.browser@{REFUSE}"


def test_a_sender_signs_in_and_reads_a_transcript(sandbox: Sandbox, tmp_path: Path) -> None:
    made = sandbox.installation
    mail.submit(sandbox, [ACCEPTED, REFUSED], subject=SUBJECT)
    with browser.start() as window:
        window.sign_in(made.web_url, made.login.login, made.login.password)

        def both_final() -> str | None:
            window.open(f"{made.web_url}/messages")
            rows = [row.text for row in window.driver.find_elements(By.CSS_SELECTOR, "main li, main tr, main article")]
            found = [
                text for text in rows if SUBJECT in text and "ACCEPTED" in text.upper() and "BOUNCED" in text.upper()
            ]
            return found[0] if found else None

        mail.wait_until(both_final, 30, "the message with both final states in the list")
        window.driver.find_element(By.PARTIAL_LINK_TEXT, SUBJECT).click()
        page = window.text()
        assert SUBJECT in page
        assert ACCEPTED in page
        assert REFUSED in page
        assert "took the message" in page
        assert "No mailbox here by that name" in page
        assert "own.example" in page
        assert "TLS 1.3" in page
        assert f"RCPT TO:<{ACCEPTED}>" in window.driver.page_source.replace("&lt;", "<").replace("&gt;", ">")
        assert window.complaints() == []
        for scheme, size in (("light", browser.DESKTOP), ("dark", browser.PHONE)):
            window.prefer(scheme)
            window.resize(*size)
            assert window.overflow() == 0
            picture = tmp_path / f"transcript-{scheme}.png"
            window.screenshot(picture)
            assert picture.stat().st_size > 20_000
