"""Who may submit, and that ordinary clients can."""

import os
import smtplib
import subprocess
from pathlib import Path

import pytest

from sendproof_testing import mail
from sendproof_testing.installation import ACCEPT
from sendproof_testing.sandbox import Sandbox

pytestmark = [pytest.mark.integration]


def arrives(sandbox: Sandbox, address: str) -> bytes:
    folder = sandbox.installation.mail_folder
    return mail.wait_until(lambda: mail.received_by(folder, address), 30, f"mail for {address}")[0]


def message_file(sandbox: Sandbox, folder: Path, recipient: str) -> Path:
    path = folder / "message.eml"
    path.write_bytes(mail.html_message(sandbox.installation.login.address, [recipient], "From a client").as_bytes())
    return path


def test_a_wrong_password_is_refused(sandbox: Sandbox) -> None:
    with mail.connected(sandbox) as client:
        with pytest.raises(smtplib.SMTPAuthenticationError) as caught:
            client.login(sandbox.installation.login.login, "wrong")
        assert caught.value.smtp_code == 535


def test_mail_without_a_login_is_refused(sandbox: Sandbox) -> None:
    with mail.connected(sandbox) as client, pytest.raises(smtplib.SMTPRecipientsRefused) as caught:
        client.sendmail(sandbox.installation.login.address, [f"x@{ACCEPT}"], b"From: max@own.example\r\n\r\nHello\r\n")
    code, text = caught.value.recipients[f"x@{ACCEPT}"]
    assert code == 554
    assert b"Access denied" in text


def test_a_password_is_not_asked_for_before_encryption(sandbox: Sandbox) -> None:
    with smtplib.SMTP("localhost", sandbox.installation.submission_port, timeout=30) as client:
        client.ehlo()
        assert client.has_extn("starttls")
        assert not client.has_extn("auth")


def test_smtplib_submits_on_465(sandbox: Sandbox) -> None:
    made = sandbox.installation
    recipient = f"smtplib@{ACCEPT}"
    content = mail.html_message(made.login.address, [recipient], "On 465").as_bytes()
    with smtplib.SMTP_SSL("localhost", made.submissions_port, context=mail.trust(sandbox), timeout=30) as client:
        client.login(made.login.login, made.login.password)
        client.sendmail(made.login.address, [recipient], content)
    assert b"On 465" in arrives(sandbox, recipient)


def test_swaks_submits(sandbox: Sandbox, tmp_path: Path) -> None:
    made = sandbox.installation
    recipient = f"swaks@{ACCEPT}"
    command = ["swaks", "--server", "127.0.0.1", "--port", str(made.submission_port), "--tls", "--auth", "LOGIN"]
    command += ["--auth-user", made.login.login, "--from", made.login.address, "--to", recipient, "--hide-all"]
    command += ["--data", f"@{message_file(sandbox, tmp_path, recipient)}"]
    environment = {**os.environ, "SWAKS_OPT_auth_password": made.login.password}
    subprocess.run(command, env=environment, check=True, timeout=60)
    arrives(sandbox, recipient)


def test_curl_submits(sandbox: Sandbox, tmp_path: Path) -> None:
    made = sandbox.installation
    recipient = f"curl@{ACCEPT}"
    config = tmp_path / "curlrc"
    config.touch(mode=0o600)
    config.write_text(f'user = "{made.login.login}:{made.login.password}"\n')
    command = [
        "curl",
        "--silent",
        "--show-error",
        "--config",
        str(config),
        "--ssl-reqd",
        "--cacert",
        str(made.certificate),
    ]
    command += ["--url", f"smtp://localhost:{made.submission_port}", "--mail-from", made.login.address]
    command += ["--mail-rcpt", recipient, "--upload-file", str(message_file(sandbox, tmp_path, recipient))]
    subprocess.run(command, check=True, timeout=60)
    arrives(sandbox, recipient)


def test_msmtp_submits(sandbox: Sandbox, tmp_path: Path) -> None:
    made = sandbox.installation
    recipient = f"msmtp@{ACCEPT}"
    config = tmp_path / "msmtprc"
    config.touch(mode=0o600)
    config.write_text(
        f"account default\nhost localhost\nport {made.submission_port}\nauth on\ntls on\ntls_starttls on\n"
        f"tls_trust_file {made.certificate}\nuser {made.login.login}\npassword {made.login.password}\n"
        f"from {made.login.address}\n"
    )
    content = message_file(sandbox, tmp_path, recipient).read_bytes().replace(b"\r\n", b"\n")
    subprocess.run(["msmtp", f"--file={config}", recipient], input=content, check=True, timeout=60)
    arrives(sandbox, recipient)


@pytest.mark.parametrize("place", ["envelope", "header"])
def test_an_address_of_somebody_else_is_refused_with_its_name(sandbox: Sandbox, place: str) -> None:
    made = sandbox.installation
    foreign, own = "boss@bank.example", made.login.address
    envelope, header = (foreign, own) if place == "envelope" else (own, foreign)
    content = mail.html_message(header, [f"x@{ACCEPT}"], "Not mine").as_bytes()
    with mail.connected(sandbox) as client:
        client.login(made.login.login, made.login.password)
        with pytest.raises(smtplib.SMTPDataError) as caught:
            client.sendmail(envelope, [f"x@{ACCEPT}"], content)
    assert caught.value.smtp_code == 550
    assert foreign in str(caught.value.smtp_error)
