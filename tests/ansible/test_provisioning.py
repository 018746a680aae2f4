"""site.yml against whole Debian machines: what it promises of a first run, of the next, and of the mail after it."""

import json
import re
import smtplib
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from sendproof_testing import debian_package, machines, scripted_mx
from sendproof_testing.machines import OWN_ADDRESS, Machine, Network
from sendproof_testing.provisioning import GROUPS, PIXELS, PROVIDER_DOMAIN, SITE, Outcome, Play

LAYOUTS: dict[str, dict[str, tuple[str, ...]]] = {
    "one machine": {SITE: GROUPS},
    "several machines": {
        "edge1.example.net": ("sendproof_edges",),
        "edge2.example.net": ("sendproof_edges",),
        SITE: ("sendproof_web", "sendproof_notices"),
        "database.example.net": ("sendproof_database",),
    },
}
LOGIN, PASSWORD, OWN_DOMAIN = "max", "a password of max's own", "own.example"
TAKEN, REFUSED = "eva@accept.example", "nobody@accept.example"
# What changes by itself, or by looking.
_RESTLESS = r"^/(var/(cache|log|tmp|lib/(apt|systemd|dpkg/lock))|root/\.ansible|etc/(hosts|\.pwd\.lock))"


def addresses(names: Any) -> dict[str, str]:
    return {name: f"198.51.100.{number}" for number, name in enumerate(names, start=11)}


def a_play(folder: Path, layout: str) -> Play:
    hosts = LAYOUTS[layout]
    groups = {group: [name for name, its in hosts.items() if group in its] for group in GROUPS}
    return Play(folder, addresses(hosts), groups)


@dataclass
class Installation:
    """A layout's machines, and what the runs of the play on them said."""

    play: Play
    network: Network
    before: dict[str, str]
    foretold: Outcome
    after_foretelling: dict[str, str]
    first: Outcome
    second: Outcome
    foretold_again: Outcome

    @property
    def edges(self) -> list[Machine]:
        return [self.network.machines[name] for name in self.play.groups["sendproof_edges"]]

    @property
    def site(self) -> Machine:
        return self.network.machines[SITE]

    @property
    def database(self) -> Machine:
        return self.network.machines[self.play.groups["sendproof_database"][0]]


@pytest.fixture(scope="module", params=LAYOUTS)
def installation(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    play = a_play(tmp_path_factory.mktemp("play"), request.param)
    play.variables["sendproof_common_package_file"] = str(debian_package.built())
    play.variables["sendproof_database_pooler"] = request.param == "several machines"
    with machines.running_network() as network:
        for name, address in play.hosts.items():
            play.admit(network.start(name, address))
        before = files(network)
        foretold = play.run(network, "--check", "--diff")
        after_foretelling = files(network)
        first = play.run(network, "--diff").check()
        found = [network.machines[name] for name in play.groups["sendproof_edges"]]
        for edge in found:
            # The operator's own: there is no DNS here.
            edge.run("postconf", "-e", f"relayhost=[{OWN_ADDRESS}]")
            edge.run("postfix", "reload")
        give_max_an_account(found[0])
        second = play.run(network, "--diff")
        foretold_again = play.run(network, "--check", "--diff")
        yield Installation(play, network, before, foretold, after_foretelling, first, second, foretold_again)


def files(network: Network) -> dict[str, str]:
    """Every file of each machine with its size and its last change."""
    looking = ("find", "/etc", "/usr", "/var", "/root", "-xdev", "-type", "f", "-printf", r"%p %s %T@\n")
    found = {}
    for name, machine in network.machines.items():
        lines = machine.run(*looking).stdout.splitlines()
        found[name] = "\n".join(sorted(line for line in lines if not re.match(_RESTLESS, line)))
    return found


def give_max_an_account(edge: Machine) -> None:
    edge.run("sendproof", "plan", "add", "everybody")
    words = ("account", "add", LOGIN, "--plan=everybody", f"--notice-address={LOGIN}@{OWN_DOMAIN}", "--password-stdin")
    edge.run("sendproof", *words, text_input=PASSWORD)
    edge.run("sendproof", "domain", "add", OWN_DOMAIN, f"--account={LOGIN}", "--active")
    edge.run("sendproof", "domain", "activate", PROVIDER_DOMAIN, "sp1")
    edge.run("sendproof", "domain", "activate", "notices.example.net", "sp1")
    edge.run("sendproof", "credential", "add", LOGIN, LOGIN, "--label=Here", "--password-stdin", text_input=PASSWORD)


@contextmanager
def receiving(network: Network) -> Iterator[scripted_mx.ScriptedServer]:
    script = scripted_mx.Script(rcpt={REFUSED: b"550 5.1.1 No mailbox here by that name"})
    with network.entered(), scripted_mx.serving(25, script, OWN_ADDRESS) as server:
        yield server


@contextmanager
def signed_in(installation: Installation, edge: Machine, login: str, password: str) -> Iterator[smtplib.SMTP]:
    context = ssl.create_default_context(cafile=installation.play.certificate)
    with installation.network.entered(), smtplib.SMTP(timeout=60) as client:
        client.connect(edge.address, 587)
        # The name that the certificate is checked with.
        client._host = edge.name  # type: ignore[attr-defined] # smtplib keeps no other way
        client.starttls(context=context)
        client.login(login, password)
        yield client


def submit(
    installation: Installation,
    edge: Machine,
    recipient: str,
    subject: str,
    login: str = LOGIN,
    password: str = PASSWORD,
) -> None:
    content = f"From: {LOGIN}@{OWN_DOMAIN}\r\nTo: {recipient}\r\nSubject: {subject}\r\n\r\nGood day.\r\n"
    with signed_in(installation, edge, login, password) as client:
        client.sendmail(f"{LOGIN}@{OWN_DOMAIN}", [recipient], content)


class Browser:
    """curl with cookies, at the test's own place on the network."""

    def __init__(self, installation: Installation, folder: Path) -> None:
        self._network = installation.network
        places = [f"{name}:{port}:{installation.site.address}" for name in (SITE, PIXELS) for port in (80, 443)]
        own = [word for place in places for word in ("--resolve", place)]
        jar = str(folder / "cookies")
        self._words = ["curl", "-sS", "-m", "60", "--cacert", str(installation.play.certificate), *own]
        self._words += ["-b", jar, "-c", jar]

    def get(self, url: str, *words: str) -> str:
        done = self._network.run(*self._words, *words, url)
        assert done.returncode == 0, done.stdout
        return done.stdout

    def post(self, url: str, **fields: str) -> str:
        """Fill in the form on that page, and send it."""
        page = self.get(url)
        token = re.search(r'name="csrf_token"[^>]*value="([^"]+)"', page)
        assert token is not None, page
        given = {"csrf_token": token[1], **fields}
        words = [word for name, value in given.items() for word in ("--data-urlencode", f"{name}={value}")]
        return self.get(url, "-e", url, *words)

    def sign_in(self) -> None:
        self.post(f"https://{SITE}/sign-in", login=LOGIN, password=PASSWORD)


def until(look: Any, wanted: str, seconds: float = 60.0) -> str:
    deadline = time.monotonic() + seconds
    while wanted not in (found := str(look())):
        assert time.monotonic() < deadline, f"no {wanted!r} in:\n{found[-3000:]}"
        time.sleep(0.5)
    return found


@pytest.mark.integration
def test_check_mode_tells_of_fresh_machines_and_changes_nothing(installation: Installation) -> None:
    installation.foretold.check()
    assert installation.foretold.changed > 0
    assert installation.after_foretelling == installation.before


@pytest.mark.integration
def test_a_second_run_changes_nothing(installation: Installation) -> None:
    assert installation.first.changed > 0
    assert installation.second.check().changes == []
    assert installation.second.changed == 0
    assert installation.foretold_again.check().changes == []
    assert installation.foretold_again.changed == 0


@pytest.mark.integration
def test_no_secret_is_in_what_a_run_shows(installation: Installation) -> None:
    shown = installation.first.output + installation.second.output + installation.foretold.output
    secret_files = installation.site.run("sh", "-c", "cat /var/lib/sendproof/secrets/*.key").stdout.split()
    key = installation.play.variables["sendproof_certificates_key_content"].splitlines()[1]
    for secret in (*installation.play.secrets.values(), installation.play.notices_password, *secret_files, key):
        assert secret not in shown
    for machine in installation.network.machines.values():
        log = machine.run("journalctl", "--no-pager", "--output=cat").stdout
        assert installation.play.notices_password not in log
        assert not any(secret in log for secret in (*installation.play.secrets.values(), *secret_files))


@pytest.mark.integration
def test_services_are_active_and_the_doctor_finds_nothing_broken(installation: Installation) -> None:
    for edge in installation.edges:
        edge.run("postfix", "check")
        edge.run("systemctl", "is-active", "sendproof-milter", "sendproof-logparser", "dovecot-sendproof", "postfix")
    installation.site.run(
        "systemctl", "is-active", "sendproof-web", "sendproof-logparser", "sendproof-notices", "nginx"
    )
    for machine in {machine.name: machine for machine in (*installation.edges, installation.site)}.values():
        assert machine.run("systemctl", "--failed", "--no-legend", "--plain").stdout == ""
        done = machine.run("sendproof", "doctor", "--json", "--no-mail", check=False)
        errors = [one for one in json.loads(done.stdout)["findings"] if one["severity"] == "error"]
        assert errors == []
        assert done.returncode in (0, 1)


@pytest.mark.integration
def test_mail_goes_out_signed_through_each_edge_and_its_transcript_is_on_the_site(
    installation: Installation, tmp_path: Path
) -> None:
    browser = Browser(installation, tmp_path)
    with receiving(installation.network) as server:
        for number, edge in enumerate(installation.edges):
            # Other edges are told of new credentials within a minute or so.
            edge.wait_until("grep", "-q", f"^{LOGIN}:", "/var/lib/sendproof-dovecot/passwd", seconds=120)
            submit(installation, edge, TAKEN, f"Offer {number}")
            until(lambda: len(server.taken), str(number + 1))
    for content in server.taken:
        assert content.count(b"DKIM-Signature:") == 2
        assert f"d={OWN_DOMAIN};".encode() in content
        assert f"d={PROVIDER_DOMAIN};".encode() in content
    browser.sign_in()
    for number in range(len(installation.edges)):
        page = until(lambda: browser.get(f"https://{SITE}/messages"), f"Offer {number}")
        link = re.search(rf'href="(/messages/[0-9a-f-]{{36}})[^"]*"(?:(?!</li>).)*Offer {number}', page, re.DOTALL)
        assert link is not None, page
        transcript = until(partial(browser.get, f"https://{SITE}{link[1]}"), "queued as SCRIPTED1")
        assert TAKEN in transcript


@pytest.mark.integration
def test_a_login_made_on_the_site_signs_in_until_it_is_revoked_there(
    installation: Installation, tmp_path: Path
) -> None:
    is_beside = installation.site in installation.edges
    login, listed = f"{LOGIN}-telephone", "grep -q '^max-telephone:' /var/lib/sendproof-dovecot/passwd"
    seconds = 1 if is_beside else 120
    browser = Browser(installation, tmp_path)
    with without_timer(installation.site) if is_beside else nullcontext():
        browser.sign_in()
        made = browser.post(f"https://{SITE}/account/credentials/new", label="Telephone", login=login)
        password = re.search(r'id="new-password">([a-z0-9]+)<', made)
        assert password is not None, made
        with receiving(installation.network) as server:
            for number, edge in enumerate(installation.edges):
                edge.wait_until("sh", "-c", listed, seconds=seconds)
                submit(installation, edge, TAKEN, "By telephone", login, password[1])
                until(lambda: len(server.taken), str(number + 1))
        page = browser.get(f"https://{SITE}/account/credentials")
        link = re.search(rf'href="(/account/credentials/\d+/revoke)" aria-label="Revoke {login}"', page)
        assert link is not None, page
        browser.post(f"https://{SITE}{link[1]}")
        for edge in installation.edges:
            edge.wait_until("sh", "-c", f"! {listed}", seconds=seconds)
            # Dovecot remembers for a minute what was right.
            until(partial(is_let_in, installation, edge, login, password[1]), "False", seconds=90)


@contextmanager
def without_timer(site: Machine) -> Iterator[None]:
    """It is for a site on another machine: one that has Dovecot beside it tells it by itself."""
    site.run("systemctl", "stop", "sendproof-credentials.timer")
    try:
        yield
    finally:
        site.run("systemctl", "start", "sendproof-credentials.timer")


def is_let_in(installation: Installation, edge: Machine, login: str, password: str) -> bool:
    try:
        with signed_in(installation, edge, login, password):
            return True
    except smtplib.SMTPAuthenticationError:
        return False


@pytest.mark.integration
def test_a_notice_of_a_refusal_is_mailed_to_the_sender(installation: Installation) -> None:
    with receiving(installation.network) as server:
        submit(installation, installation.edges[0], REFUSED, "To nobody")
        until(lambda: b"\n".join(server.taken), "notices@notices.example.net", seconds=240)


@pytest.mark.integration
def test_the_nights_backup_can_be_restored(installation: Installation) -> None:
    edge = installation.edges[0]
    edge.run("systemctl", "is-active", "sendproof-backup.timer")
    edge.run("systemctl", "start", "sendproof-backup.service")
    (backup,) = edge.run("sh", "-c", "ls /var/lib/sendproof/backups/*.backup").stdout.split()
    assert "can be restored" in edge.run("sendproof", "database", "verify", backup).stdout


@pytest.mark.integration
def test_nginx_answers_both_names_and_writes_no_address_of_a_link_down(
    installation: Installation, tmp_path: Path
) -> None:
    browser = Browser(installation, tmp_path)
    assert "301" in browser.get(f"http://{SITE}/t/abc", "-o", "/dev/null", "-w", "%{http_code}")
    assert browser.get(f"https://{PIXELS}/healthz", "-o", "/dev/null", "-w", "%{http_code}") == "200"
    assert browser.get(f"https://{PIXELS}/sign-in", "-o", "/dev/null", "-w", "%{http_code}") == "404"
    path = "/reset/not-for-a-log"
    browser.get(f"https://{SITE}{path}")
    installation.site.run("systemctl", "stop", "sendproof-web")
    assert browser.get(f"https://{SITE}{path}", "-o", "/dev/null", "-w", "%{http_code}") == "502"
    installation.site.run("systemctl", "start", "sendproof-web")
    assert path not in installation.site.run("sh", "-c", "cat /var/log/nginx/*").stdout


@pytest.mark.integration
def test_a_machine_has_the_secrets_and_the_ways_in_that_it_needs(installation: Installation) -> None:
    if len(installation.network.machines) == 1:
        pytest.skip("one machine has all of them")
    wanted = ("key-encryption.key", "tokens-1.key", "site.key", "links.key")
    theirs = [installation.site, *installation.edges]
    found = {
        name: [machine.run("cat", f"/var/lib/sendproof/secrets/{name}").stdout for machine in theirs] for name in wanted
    }
    for name in ("key-encryption.key", "tokens-1.key"):
        assert len(set(found[name])) == 1
    for name in ("site.key", "links.key"):
        assert len(set(found[name])) == len(theirs)  # each has one of its own, of no use elsewhere
    for edge in installation.edges:
        roles = edge.run("cut", "-d:", "-f4", "/etc/sendproof/database.passwords").stdout.split()
        assert [role for role in roles if role.startswith("sendproof_")] == [
            f"sendproof_{program}" for program in ("logparser", "milter", "operator")
        ]
        assert edge.run("stat", "-c", "%a %U", "/etc/sendproof/database.passwords").stdout.split() == [
            "400",
            "sendproof",
        ]


@pytest.mark.integration
def test_the_firewall_lets_in_what_the_groups_need_and_nothing_else(installation: Installation) -> None:
    for machine in installation.network.machines.values():
        assert _connects(installation, machine, 22)
    for edge in installation.edges:
        assert _connects(installation, edge, 587)
        assert _connects(installation, edge, 465)
    assert _connects(installation, installation.site, 443)
    for port in (5432, 6432, 8025, 9102, 9103):
        assert not _connects(installation, installation.database, port)
        assert not _connects(installation, installation.site, port)
    # Its answers come from a server's own address, to a question to all.
    assert _takes_datagrams(installation, installation.site, 546)  # DHCPv6
    assert not _takes_datagrams(installation, installation.site, 547)


@pytest.mark.integration
def test_an_edge_is_asked_for_a_password_only_in_the_place_of_its_own_programs(installation: Installation) -> None:
    if len(installation.network.machines) == 1:
        pytest.skip("one machine's programs come by the socket")

    def answer(role: str) -> str:
        words = f"host={installation.database.address} port=6432 user={role} dbname=sendproof sslmode=require"
        limit = {"PGCONNECT_TIMEOUT": "10"}
        return installation.edges[0].run("psql", "--no-password", words, check=False, environment=limit).stdout

    assert "no password supplied" in answer("sendproof_milter")
    for role in ("sendproof_web", "sendproof_notices", "postgres"):
        assert "no password supplied" not in answer(role)


def _connects(installation: Installation, machine: Machine, port: int) -> bool:
    with installation.network.entered():
        try:
            socket.create_connection((machine.address, port), timeout=1).close()
        except OSError:
            return False
    return True


def _takes_datagrams(installation: Installation, machine: Machine, port: int) -> bool:
    """Whether the machine says that nobody listens there; a firewall says nothing. By its link-local address."""
    (line,) = machine.run("ip", "-6", "-oneline", "address", "show", "dev", "eth0", "scope", "link").stdout.splitlines()
    address = line.split()[3].partition("/")[0]
    with installation.network.entered(), socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sender:
        sender.settimeout(2)
        sender.connect((address, port, 0, socket.if_nametoindex("switch")))
        sender.send(b"?")
        try:
            sender.recv(1)
        except ConnectionRefusedError:
            return True
        except TimeoutError:
            return False
    raise AssertionError("somebody listens there")


@pytest.mark.integration
def test_the_database_listens_when_the_network_is_there(installation: Installation) -> None:
    if len(installation.network.machines) == 1:
        pytest.skip("SQLite listens nowhere")
    for unit in ("postgresql@15-main.service", "pgbouncer.service"):
        after = installation.database.run("systemctl", "show", "--value", "-p", "After", unit).stdout
        assert "network-online.target" in after.split()


@pytest.mark.integration
def test_check_mode_tells_of_postgresql_before_it_is_there(installation: Installation) -> None:
    if len(installation.network.machines) > 1:
        pytest.skip("it is there")
    foretold = installation.play.run(installation.network, "--check", sendproof_database_backend="postgresql").check()
    assert "Install PostgreSQL" in " ".join(foretold.changes)


@pytest.mark.integration
def test_another_password_of_the_notices_reaches_both_sides(installation: Installation) -> None:
    if len(installation.network.machines) > 1:
        pytest.skip("as on one machine")
    given = {"sendproof_notices_password": "another password of notices"}
    outcome = installation.play.run(installation.network, **given).check()
    assert outcome.changed == 3
    for task in ("Keep the password", "Create the account that notices are submitted with"):
        assert f"sendproof_notices : {task}: {SITE}" in outcome.changes
    assert "RUNNING HANDLER [sendproof_notices : Restart the notices]" in outcome.output
    edge = installation.edges[0]
    with signed_in(installation, edge, "notices", given["sendproof_notices_password"]):
        pass
    with (
        pytest.raises(smtplib.SMTPAuthenticationError),
        signed_in(installation, edge, "notices", installation.play.notices_password),
    ):
        pass
    assert installation.play.run(installation.network, **given).check().changes == []


@pytest.mark.parametrize(
    ("layout", "name", "value", "said"),
    [
        ("one machine", "sendproof_common_site_url", None, "missing required arguments: sendproof_common_site_url"),
        ("one machine", "sendproof_common_site_url", "https://x.example/", "without a slash at the end"),
        ("one machine", "sendproof_database_backend", "mysql", "must be one of: sqlite, postgresql"),
        ("one machine", "sendproof_web_lisen", "127.0.0.1:8025", "No role knows sendproof_web_lisen"),
        ("one machine", "sendproof_certificates_from", "acme", "sendproof_certificates_acme_email"),
        ("one machine", "sendproof_common_secrets", {"site.key": "x"}, "sendproof_common_secrets holds all of"),
        ("several machines", "sendproof_database_backend", "sqlite", "must be postgresql on several machines"),
        ("several machines", "sendproof_database_passwords", {"web": "x"}, "must hold a password for each of"),
        ("several machines", "sendproof_common_address", "edge1", "must be the IP address"),
        ("several machines", "sendproof_common_hostname", "edge.example.net", "must be another on each machine"),
        ("one machine", "sendproof_notices_from_address", "notices", "must be an address in a domain of its own"),
        ("one machine", "sendproof_notices_from_address", "x@Example.net", "must be an address in a domain of its own"),
        ("one machine", "sendproof_notices_password", "a password\n", "printable ASCII on one line"),
        ("one machine", "sendproof_notices_password", "Passw\u00f6rter", "printable ASCII on one line"),
        ("one machine", "sendproof_firewall_ssh_ports", [2222], "set sendproof_firewall_ssh_forwarded to true"),
        ("one machine", "sendproof_monitoring_sources", ["192.0.2.9"], "so it needs sendproof_common_address"),
        (
            "several machines",
            "sendproof_monitoring_prometheus_folder",
            "/etc",
            "set sendproof_monitoring_sources there",
        ),
    ],
)
def test_a_wrong_variable_fails_before_any_host_is_asked(
    tmp_path: Path, layout: str, name: str, value: Any, said: str
) -> None:
    play = a_play(tmp_path, layout)
    # Nobody's addresses (RFC 5737): a host that was asked would be "unreachable".
    play.hosts = {name: f"203.0.113.{number}" for number, name in enumerate(play.hosts)}
    play.variables["sendproof_common_package_file"] = "sendproof_1_amd64.deb"
    outcome = play.run(None, "-e", json.dumps({name: value})) if value else play.run(None, **{name: None})
    assert outcome.status == 2
    assert said in " ".join(outcome.output.split())
    assert all(counts[:2] == (0, 0) for counts in outcome.counts.values()), outcome.output
    assert any(failed for *_, failed in outcome.counts.values())
    assert "Look at the machines" not in outcome.output
