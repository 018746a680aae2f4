"""A submission service and passwords of the operator's own: Sendproof joins them, and takes nothing of them away."""

import smtplib
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from sendproof_core import transcript_queries
from sendproof_core.states import RecipientState
from sendproof_postfix import postconf
from sendproof_testing import ledger, mail, processes
from sendproof_testing.installation import ACCEPT, REFUSE, Options
from sendproof_testing.sandbox import Sandbox, running

pytestmark = [pytest.mark.integration]

_PASSWORD = "the operator's own"
_SERVICE = """\
{port} inet n - n - - smtpd
  -o syslog_name=postfix/operators
  -o smtpd_tls_cert_file={certificate}
  -o smtpd_tls_key_file={key}
  -o smtpd_tls_security_level=encrypt
  -o smtpd_tls_auth_only=yes
  -o smtpd_sasl_auth_enable=yes
  -o smtpd_sasl_type=dovecot
  -o smtpd_sasl_path=SOCKET
  -o { smtpd_recipient_restrictions = check_recipient_access inline:{ { nobody@accept.example = REJECT not him } } }
  -o smtpd_relay_restrictions=permit_sasl_authenticated,reject
"""
_DOVECOT = """\
protocols =
base_dir = FOLDER/run
log_path = FOLDER/dovecot.log
ssl = no
auth_mechanisms = plain login
disable_plaintext_auth = no
passdb {
  driver = passwd-file
  args = scheme=PLAIN username_format=%u FOLDER/passwd
}
userdb {
  driver = static
  args = uid=nobody gid=nogroup home=/nonexistent
}
service auth {
  unix_listener FOLDER/auth {
    mode = 0666
  }
}
"""


@pytest.fixture(scope="module")
def dovecot() -> Iterator[Path]:
    """The folder of one that runs: its users and Postfix's come to it, as they would not to a test's."""
    with tempfile.TemporaryDirectory(prefix="sendproof-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        (folder / "passwd").write_text(f"max:{_PASSWORD}\n")
        config = folder / "dovecot.conf"
        config.write_text(_DOVECOT.replace("FOLDER", name))
        program = processes.start("dovecot", ["/usr/sbin/dovecot", "-F", "-c", str(config)], folder / "dovecot.out")
        try:
            processes.wait_for_unix(program, folder / "auth", 30)
            yield folder
        finally:
            program.end()


@pytest.fixture(scope="module")
def operators(dovecot: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    options = Options(operators_master=_SERVICE.replace("SOCKET", str(dovecot / "auth")), notice_address=None)
    with running(tmp_path_factory.mktemp("operators") / "box", options) as sandbox:
        yield sandbox


def _send(sandbox: Sandbox, recipients: list[str], password: str = _PASSWORD) -> None:
    made = sandbox.installation
    content = mail.html_message(made.login.address, recipients, "By the operator's service").as_bytes()
    with mail.connected(sandbox) as client:
        client.login(made.login.login, password)
        client.sendmail(made.login.address, recipients, content)


def test_mail_by_the_operators_passwords_is_signed_charged_and_followed(operators: Sandbox) -> None:
    recipients = [f"anna@{ACCEPT}", f"ben@{REFUSE}"]
    _send(operators, recipients)
    made = operators.installation
    (arrived,) = mail.wait_until(lambda: mail.received_by(made.mail_folder, recipients[0]), 30, "the mail")
    assert b"DKIM-Signature: " in arrived
    ledger.settle(operators, seconds=30)
    with closing(operators.database()) as database, database.reading() as session:
        (summary,) = transcript_queries.list_messages(session, 1, limit=5)
        assert dict(summary.recipients) == {
            recipients[0]: RecipientState.DELIVERED,
            recipients[1]: RecipientState.BOUNCED,
        }
        assert summary.login == "max"


def test_a_password_of_ours_does_not_work_there(operators: Sandbox) -> None:
    """`plan` says so: the operator's SASL server is asked."""
    with pytest.raises(smtplib.SMTPAuthenticationError):
        _send(operators, [f"anna@{ACCEPT}"], operators.installation.login.password)


def test_the_operators_restrictions_hold(operators: Sandbox) -> None:
    with pytest.raises(smtplib.SMTPRecipientsRefused, match="not him"):
        _send(operators, ["nobody@accept.example"])


def test_the_operators_service_is_there_once_with_what_it_had_and_our_milter(operators: Sandbox) -> None:
    made = operators.installation
    name = f"127.0.0.1:{made.submission_port}/inet"
    service = postconf.read(made.postfix_config).services[name]
    assert service.options["syslog_name"] == "postfix/operators"
    assert service.options["smtpd_relay_restrictions"] == "permit_sasl_authenticated,reject"
    assert "REJECT not him" in service.options["smtpd_recipient_restrictions"]
    assert str(made.milter_socket) in service.options["smtpd_milters"]
