"""Whose keys sign, and what an account that wants no pixel gets."""

from pathlib import Path

import pytest

from sendproof_testing import dkim_verifier, mail
from sendproof_testing.installation import ACCEPT, OWN_DOMAIN, PROVIDER_DOMAIN, Keys, Options
from sendproof_testing.sandbox import running

pytestmark = pytest.mark.integration


@pytest.mark.parametrize(
    ("keys", "domains"),
    [(Keys.OWN, [OWN_DOMAIN]), (Keys.PROVIDER, [PROVIDER_DOMAIN])],
)
def test_the_domains_that_have_an_active_key_sign(own_folder: Path, keys: Keys, domains: list[str]) -> None:
    with running(own_folder, Options(keys=keys, tracking=False)) as sandbox:
        made = sandbox.installation
        recipient = f"anna@{ACCEPT}"
        sent = mail.html_message(made.login.address, [recipient], "Signed").as_bytes()
        mail.submit(sandbox, [recipient], message=sent)
        (raw,) = mail.wait_until(lambda: mail.received_by(made.mail_folder, recipient), 30, "the received copy")
        verdicts = dkim_verifier.verify(raw, made.public_keys)
        assert [(verdict.domain, verdict.result) for verdict in verdicts] == [(domain, "pass") for domain in domains]
        # Without tracking the body arrives octet for octet (Maildir has bare newlines).
        assert raw.partition(b"\n\n")[2] == sent.replace(b"\r\n", b"\n").partition(b"\n\n")[2]
