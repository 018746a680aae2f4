"""What was applied to a Postfix that runs, beside settings of an operator's for a smarthost; no milter is there."""

import base64
import smtplib
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from sendproof_postfix import apply as applying
from sendproof_postfix.plan import Instance
from sendproof_testing import mail
from sendproof_testing.operators_postfix import Operators, OperatorsPostfix
from sendproof_testing.ports import PortBlock
from sendproof_testing.scripted_mx import Script, ScriptedServer, serving

pytestmark = pytest.mark.integration

_SECONDS = 30.0
_PASSWORD = "word-of-the-smarthost"
_MAIN = """\
smtp_tls_wrappermode = yes
smtp_sasl_auth_enable = yes
smtp_sasl_password_maps = inline:{{ {{[127.0.0.1]:{server} = login:{password}}} }}
smtp_sasl_security_options = noanonymous
smtp_delivery_status_filter = inline:{{ {{4.7.1 = 5.7.1}} }}
smtpd_delay_reject = no
message_size_limit = 20000
minimal_backoff_time = 1s
queue_run_delay = 1s
transport_maps = inline:{{ {{plain.example = plain:[127.0.0.1]:{server}}}
  {{signed.example = signed:[127.0.0.1]:{server}}} }}
maillog_file = {log}/mail.log
maillog_file_prefixes = {log}
"""
_OPEN = "-o smtp_tls_wrappermode=no -o smtp_tls_security_level=none"
_MASTER = f"""\
plain unix - - n - - smtp {_OPEN} -o smtp_sasl_auth_enable=no
signed unix - - n - - smtp {_OPEN}
127.0.0.1:{{to_split}} inet n - n - - smtpd -o content_filter=sendproof-split:[127.0.0.1]:{{resubmit}}
127.0.0.1:{{to_cleanup}} inet n - n - - smtpd -o cleanup_service_name=sendproof-cleanup -o message_size_limit=0
"""


@dataclass(frozen=True)
class Running:
    """The Postfix, its ports, and the server that takes what it sends."""

    made: OperatorsPostfix
    instance: Instance
    ports: dict[str, int]
    server: ScriptedServer

    def send(self, port: str, domain: str, octets: int = 10) -> None:
        """Into one of the operator's services."""
        text = b"Subject: x\r\n\r\n" + b"abcdefgh\r\n" * (octets // 10)
        with smtplib.SMTP("127.0.0.1", self.ports[port], timeout=_SECONDS) as client:
            client.sendmail("a@edge.operator.example", [f"b@{domain}"], text)

    def log(self) -> str:
        """What Postfix has said so far."""
        return (self.made.folder / "log" / "mail.log").read_text()


@pytest.fixture
def folder() -> Iterator[Path]:
    """Through which Postfix's user may go, which pytest forbids in its own folder whenever it is started again."""
    with tempfile.TemporaryDirectory(prefix="sendproof-") as made:
        yield Path(made)


@pytest.fixture
def running(folder: Path) -> Iterator[Running]:
    block = PortBlock()
    ports = {name: block.take() for name in ("server", "to_split", "to_cleanup", "resubmit", "submission")}
    log = folder / "log"
    log.mkdir()
    operators = Operators(
        main=_MAIN.format(log=log, password=_PASSWORD, **ports),
        master=_MASTER.format(**ports),
        replaced=(
            ("smtp      inet  n", f"127.0.0.1:{block.take()} inet n"),
            ("pickup    unix  n       -       y       60", "pickup unix n - y 2"),
        ),
    )
    made = OperatorsPostfix(folder, operators)
    instance = made.with_settings(
        submission_port=f"127.0.0.1:{ports['submission']}",
        submissions_port="",
        resubmit_port=ports["resubmit"],
        transports=("smtp", "plain", "signed"),
    )
    applying.apply(instance)
    command = ["/usr/sbin/postfix", "-c", str(made.directory)]
    hello = Script(hello=b"250-mx.example\r\n250-AUTH PLAIN\r\n250 8BITMIME")
    with serving(ports["server"], hello) as server:
        subprocess.run([*command, "start"], check=True, timeout=60)
        try:
            yield Running(made, instance, ports, server)
        finally:
            subprocess.run([*command, "stop"], check=True, timeout=60)
            block.release()


def test_copies_on_their_way_back_wait_and_are_sent_after_revert(running: Running) -> None:
    running.send("to_split", "plain.example")
    # Neither TLS nor a login nor a filter of replies stands between the two services of ours.
    mail.wait_until(lambda: "status=deferred (host 127.0.0.1[127.0.0.1] said: 451" in running.log(), _SECONDS, "a 451")
    (note,) = (note for note in applying.revert(running.instance).notes if "queue" in note)
    assert running.server.taken == []
    command = note.partition("`")[2].partition("`")[0]
    subprocess.run(command.split(), check=True, timeout=60)
    mail.wait_until(lambda: len(running.server.taken) == 1, _SECONDS, "the message")
    assert running.made.tree().keys() == {str(running.made.directory / name) for name in ("main.cf", "master.cf")}


def test_without_mail_in_the_queue_nothing_is_said_of_it(running: Running) -> None:
    assert [note for note in applying.revert(running.instance).notes if "queue" in note] == []


def test_what_smtpd_took_is_never_too_large_afterwards(running: Running) -> None:
    running.send("to_cleanup", "plain.example", octets=25_000)
    mail.wait_until(lambda: len(running.server.taken) == 1, _SECONDS, "the message")


def test_a_smarthosts_password_is_not_in_the_log_and_other_conversations_are(running: Running) -> None:
    running.send("to_cleanup", "signed.example")
    running.send("to_cleanup", "plain.example")
    mail.wait_until(lambda: running.log().count("status=sent") == 2, _SECONDS, "both messages")
    assert running.log().count(": EHLO edge") == 1
    secrets = (_PASSWORD, base64.b64encode(f"\0login\0{_PASSWORD}".encode()).decode(), "AUTH PLAIN AG")
    assert [text for text in secrets if text in running.log()] == []


def test_users_are_greeted_where_main_cf_refuses_at_once(running: Running) -> None:
    with smtplib.SMTP("127.0.0.1", running.ports["submission"], timeout=_SECONDS) as client:
        assert client.ehlo()[0] == 250
