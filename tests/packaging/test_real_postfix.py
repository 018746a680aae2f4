"""From a stock Debian server that relays mail to transcripts and back: the package, a real Postfix, a real systemd.

One server, in its order: each test goes on where the one before it ended.
"""

import json
import re
import smtplib
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email.message import EmailMessage

import pytest

from sendproof_testing import debian_package, dns_zone, scripted_mx
from sendproof_testing.dns_zone import DnsZone
from sendproof_testing.machines import OWN_ADDRESS, Machine, Network, running_network
from sendproof_testing.scripted_mx import Script, ScriptedServer

pytestmark = pytest.mark.integration

NAME, ADDRESS = "edge.relay.example", "198.51.100.11"
PASSWORD = "a password for the proof"
SERVICES = ("sendproof-milter", "sendproof-logparser", "sendproof-web")
PACKAGE = "/root/sendproof.deb"
# What a machine in namespaces has of its host.
NOT_THE_SERVERS = {"clock"}


@dataclass
class Server:
    """A Debian with Postfix, and what it finds on its network: the names, and one receiving server."""

    machine: Machine
    network: Network
    zone: DnsZone
    receiver: ScriptedServer
    stock: str = ""
    relayed: bytes = b""

    def sendproof(self, *words: str, check: bool = True) -> str:
        return self.machine.run("sendproof", *words, check=check).stdout

    @contextmanager
    def client(self, port: int) -> Iterator[smtplib.SMTP]:
        with self.network.entered():
            client = smtplib.SMTP(ADDRESS, port, local_hostname="client.example", timeout=60)
        with client:
            yield client

    def relay(self, subject: str) -> bytes:
        """Send a mail as a machine of the network does that this server relays for; as it arrived."""
        with self.client(25) as client:
            client.send_message(mail("app@relay.example", subject))
        return self.arrived(subject)

    def submit(self, client: smtplib.SMTP, subject: str) -> None:
        client.starttls(context=unverified())
        client.login("max", PASSWORD)
        client.send_message(mail("max@own.example", subject))

    def arrived(self, subject: str) -> bytes:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            for taken in list(self.receiver.taken):
                if f"Subject: {subject}\r\n".encode() in taken:
                    return taken
            time.sleep(0.1)
        raise AssertionError(f"no mail {subject!r}\n{self.machine.run('journalctl', '-n', '60', check=False).stdout}")

    def configuration(self) -> str:
        """Everything in /etc/postfix: names, modes, owners, times, contents."""
        looks = (
            r"find /etc/postfix ! -type d -printf '%p %y %m %U %G %T@ %l\n' | sort",
            r"find /etc/postfix -type d -printf '%p %y %m %U %G\n' | sort",
            "find /etc/postfix -type f -print0 | sort -z | xargs -0 sha256sum",
        )
        return "".join(self.machine.run("sh", "-c", look).stdout for look in looks)

    def publish(self, said: str) -> None:
        """Put the records into DNS that a command showed."""
        for name, kind, strings in re.findall(r"^(\S+)\. IN (\w+) \( (.*) \)$", said, re.MULTILINE):
            self.zone.set(name, kind, "".join(re.findall(r'"((?:[^"\\]|\\.)*)"', strings)))


def mail(sender: str, subject: str) -> EmailMessage:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = sender, "ann@receiver.example", subject
    message["Message-ID"] = f"<{subject}@own.example>"
    message["Date"] = "Sun, 22 Nov 2026 13:03:05 +0000"
    message.set_content("Hello\n")
    return message


def unverified() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """A stock Postfix as Debian installs it ("Internet Site"), which relays for its network. No Sendproof yet."""
    package = debian_package.built()
    with running_network() as network:
        with network.entered():
            names = dns_zone.running(53, OWN_ADDRESS)
            receivers = scripted_mx.serving(25, Script(), OWN_ADDRESS)
            zone, receiver = names.__enter__(), receivers.__enter__()
        try:
            zone.set(NAME, "A", ADDRESS)
            zone.set("11.100.51.198.in-addr.arpa", "PTR", f"{NAME}.")
            zone.set("receiver.example", "MX", "10 mx.receiver.example.")
            zone.set("mx.receiver.example", "A", OWN_ADDRESS)
            machine = network.start(NAME, ADDRESS)
            machine.run("ip", "route", "add", "default", "via", OWN_ADDRESS)
            machine.put("/etc/resolv.conf", f"nameserver {OWN_ADDRESS}\n")
            answers = f"postfix postfix/main_mailer_type select Internet Site\npostfix postfix/mailname string {NAME}\n"
            machine.run("debconf-set-selections", text_input=answers)
            machine.install("postfix", "dovecot-core", "logrotate")
            machine.run(
                "postconf", "-e", "mynetworks = 127.0.0.0/8 198.51.100.0/24", "smtp_destination_rate_delay = 0s"
            )
            machine.run("systemctl", "restart", "postfix")
            machine.put(PACKAGE, package)
            made = Server(machine, network, zone, receiver)
            made.relayed = made.relay("before")
            made.stock = made.configuration()
            yield made
        finally:
            receivers.__exit__(None, None, None)
            names.__exit__(None, None, None)


def unlike_ids(message: bytes) -> list[bytes]:
    """The lines of a message, without what is another for each message."""
    text = re.sub(rb"(?m)^Received:(?:.*\r\n)(?:[ \t].*\r\n)*", b"", message)
    return [re.sub(rb"before|during|after", b"?", line) for line in text.splitlines()]


def test_the_installation_starts_the_services_and_does_not_touch_postfix(server: Server) -> None:
    server.machine.install(PACKAGE)
    assert server.configuration() == server.stock
    for name in (*SERVICES, "sendproof-maintain.timer", "sendproof-domains.timer"):
        server.machine.wait_until("systemctl", "is-active", name)
    # Nothing in the settings is about notices, and no Dovecot of ours has settings yet.
    for name in ("sendproof-notices", "dovecot-sendproof"):
        assert server.machine.run("systemctl", "is-active", name, check=False).stdout == "inactive\n"
    assert server.machine.run("systemctl", "--failed", "--no-legend").stdout == ""


def test_systemd_finds_nothing_wrong_with_the_units_and_little_that_they_may(server: Server) -> None:
    units = server.machine.run("sh", "-c", "cd /lib/systemd/system && ls -d *sendproof*.*[!d]").stdout.split()
    assert len(units) > 10
    assert server.machine.run("systemd-analyze", "verify", "--man=no", *units).stdout == ""
    for name in SERVICES:
        said = server.machine.run("systemd-analyze", "security", "--no-pager", "--threshold=15", name, check=False)
        assert said.returncode == 0, said.stdout


def test_apply_gives_postfix_what_it_needs_once(server: Server) -> None:
    assert "done" in server.sendproof("postfix", "apply")
    assert "nothing to do" in server.sendproof("postfix", "apply")
    server.machine.wait_until("systemctl", "is-active", "dovecot-sendproof")


def test_postfix_starts_after_what_it_asks(server: Server) -> None:
    for name in ("sendproof-milter", "dovecot-sendproof"):
        before = server.machine.run("systemctl", "show", "--value", "-p", "Before", name).stdout
        assert "postfix@-.service" in before.split()


def test_the_doctor_finds_every_link_whole(server: Server) -> None:
    server.publish(server.sendproof("domain", "add", "relay.example", "--active"))
    server.sendproof("plan", "add", "personal", "--recipients-per-day", "1000")
    server.sendproof("account", "add", "max", "--plan", "personal")
    server.publish(server.sendproof("domain", "add", "own.example", "--account", "max", "--active"))
    words = ("sendproof", "credential", "add", "max", "max", "--label", "Client", "--password-stdin")
    server.machine.run(*words, text_input=f"{PASSWORD}\n")
    words = ("doctor", "--json", "--account", "max", "--from", "max@own.example", "--to", "ann@receiver.example")
    said = server.machine.run("sendproof", *words, check=False)
    assert said.returncode in (0, 1), said.stdout  # 1: the clock
    findings = json.loads(said.stdout)["findings"]
    whole = [one for one in findings if one["severity"] in ("ok", "note") or one["check"] in NOT_THE_SERVERS]
    wrong = [one for one in findings if one not in whole]
    assert wrong == []
    assert {"milter", "sasl", "log-source", "database", "dkim", "names", "mail"} <= {one["check"] for one in findings}


def test_a_mail_from_a_client_has_its_transcript(server: Server) -> None:
    with server.client(587) as client:
        server.submit(client, "with-transcript")
    arrived = server.arrived("with-transcript")
    assert b"DKIM-Signature: v=1;" in arrived
    assert b"d=own.example" in arrived
    shown = server.machine.wait_until(
        "sh", "-c", "sendproof transcript show with-transcript@own.example | grep -B99 -A99 'queued as SCRIPTED1'"
    )
    assert "ann@receiver.example" in shown


def test_mail_that_postfix_relayed_before_still_goes_the_same_way(server: Server) -> None:
    assert unlike_ids(server.relay("during")) == unlike_ids(server.relayed)


def test_commands_of_root_make_nothing_that_the_services_may_not_have(server: Server) -> None:
    words = ("find", "/var/lib/sendproof", "/var/lib/sendproof-dovecot", "!", "-user", "sendproof")
    assert server.machine.run(*words).stdout == ""


def test_the_timers_do_their_work(server: Server) -> None:
    for name in ("maintain", "domains", "credentials"):
        server.machine.run("systemctl", "start", f"sendproof-{name}.service")
    server.machine.run("systemctl", "start", "sendproof-doctor.service", check=False)
    found = json.loads(server.machine.run("cat", "/run/sendproof-doctor/findings.json").stdout)
    errors = [one for one in found["findings"] if one["severity"] == "error"]
    assert errors == []
    server.machine.run("logrotate", "--force", "/etc/logrotate.d/sendproof")


def test_an_upgrade_loses_no_mail(server: Server) -> None:
    accepted: list[str] = []
    refusals: list[int] = []
    over = threading.Event()

    def send() -> None:
        number = 0
        while not over.is_set():
            number += 1
            try:
                with server.client(587) as client:
                    server.submit(client, f"upgrade-{number}")
            except smtplib.SMTPResponseException as refused:
                refusals.append(refused.smtp_code)
            except smtplib.SMTPRecipientsRefused as refused:
                refusals.extend(code for code, _ in refused.recipients.values())
            else:
                accepted.append(f"upgrade-{number}")
            time.sleep(0.1)

    before = server.machine.run("systemctl", "show", "--value", "-p", "MainPID", *SERVICES).stdout
    sender = threading.Thread(target=send)
    sender.start()
    try:
        server.machine.run("apt-get", "install", "--yes", "--quiet", "--reinstall", PACKAGE)
        after = server.machine.run("systemctl", "show", "--value", "-p", "MainPID", *SERVICES).stdout
        time.sleep(2)
    finally:
        over.set()
        sender.join()
    assert set(before.split()).isdisjoint(after.split())
    assert len(accepted) > 2
    assert all(400 <= code < 500 for code in refusals)
    for subject in accepted:
        assert b"DKIM-Signature" in server.arrived(subject)
    assert "nothing to do" in server.sendproof("postfix", "apply")


def test_a_package_that_is_deconfigured_leaves_postfix_and_the_services_alone(server: Server) -> None:
    """As dpkg does it to make room for another package; afterwards it is configured again."""
    before = server.configuration()
    server.machine.run("/var/lib/dpkg/info/sendproof.prerm", "deconfigure", "in-favour", "another", "1")
    assert server.configuration() == before
    server.machine.run("systemctl", "is-active", *SERVICES, "dovecot-sendproof")


def test_a_removal_that_cannot_take_postfix_back_removes_nothing(server: Server) -> None:
    settings = server.machine.path("/etc/sendproof/sendproof.toml")
    good = settings.read_text()
    settings.write_text("[host]\n")
    removed = server.machine.run("apt-get", "remove", "--yes", "sendproof", check=False)
    settings.write_text(good)
    assert removed.returncode != 0
    assert "settings could not be taken back" in removed.stdout
    for name in SERVICES:
        server.machine.run("systemctl", "is-active", name)
    with server.client(587) as client:
        server.submit(client, "not-removed")
    server.arrived("not-removed")


def test_removal_and_purge_leave_the_stock_server(server: Server) -> None:
    said = server.machine.run("apt-get", "purge", "--yes", "sendproof").stdout
    assert "Postfix's configuration is as it was." in said
    assert server.configuration() == server.stock
    left = server.machine.run(
        "sh", "-c", "find / -xdev -iname '*sendproof*' ! -path '/proc/*' ! -path '/root/*' ! -path '/tmp/*'"
    )
    assert left.stdout == ""
    assert server.machine.run("pgrep", "-u", "sendproof", check=False).returncode == 1
    units = server.machine.run("systemctl", "list-units", "--all", "--no-legend", "*sendproof*").stdout
    assert units == ""
    assert server.machine.run("systemctl", "--failed", "--no-legend").stdout == ""
    assert unlike_ids(server.relay("after")) == unlike_ids(server.relayed)
    with pytest.raises((ConnectionError, TimeoutError)), server.client(587):
        pass


def test_the_package_can_be_installed_again(server: Server) -> None:
    server.machine.install(PACKAGE)
    for name in SERVICES:
        server.machine.wait_until("systemctl", "is-active", name)
    server.machine.run("apt-get", "purge", "--yes", "sendproof")
    assert server.configuration() == server.stock
