"""The playbooks against test machines: an inventory, a way in by SSH, and what came of each run. Decides no test."""

import json
import os
import re
import secrets
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sendproof_testing import debian_package
from sendproof_testing.machines import Machine, Network

ANSIBLE = debian_package.REPOSITORY / "ansible"
SITE = "console.example.net"
PIXELS = "pixel.example.net"
SUBMISSION = "smtp.example.net"
PROVIDER_DOMAIN = "example.net"
GROUPS = ("sendproof_database", "sendproof_edges", "sendproof_web", "sendproof_notices")
_RECAP = re.compile(r"^(\S+) +: ok=\d+ +changed=(\d+) +unreachable=(\d+) +failed=(\d+)", re.MULTILINE)
_CHANGED = re.compile(
    r"^(?:TASK|RUNNING HANDLER) \[([^\]]+)\] \*+$|^(?:changed|fatal|failed): \[([^\]]+)\]", re.MULTILINE
)
# Never those of this machine.
_OPTIONS = "-o UserKnownHostsFile=/dev/null -o StrictHostKeyChecking=no -o LogLevel=ERROR -F /dev/null"


@dataclass(frozen=True)
class Outcome:
    """How a run ended."""

    status: int
    output: str

    @property
    def counts(self) -> dict[str, tuple[int, int, int]]:
        """What was changed, not reached and failed, by host."""
        return {host: (int(one), int(two), int(three)) for host, one, two, three in _RECAP.findall(self.output)}

    @property
    def changed(self) -> int:
        """What was changed on all hosts together."""
        return sum(changed for changed, _, _ in self.counts.values())

    @property
    def changes(self) -> list[str]:
        """The tasks that changed something or failed, with their hosts."""
        found, task = [], ""
        for name, host in _CHANGED.findall(self.output):
            task = name or task
            found += [f"{task}: {host}"] if host else []
        return found

    def check(self) -> "Outcome":
        """Itself.

        Raises:
            AssertionError: something failed; with the last that was said.
        """
        assert self.status == 0, self.output[-8000:]
        return self


class Play:
    """An inventory of test machines and the variables that every installation decides."""

    def __init__(self, folder: Path, hosts: dict[str, str], groups: dict[str, list[str]]) -> None:
        """``hosts``: addresses by name. ``groups``: names of hosts by group."""
        self.folder = folder
        self.hosts = hosts
        self.groups = groups
        self.certificate = folder / "certificate.pem"
        key = folder / "key.pem"
        names = (SITE, PIXELS, SUBMISSION, *(name for name in hosts if name != SITE))
        _make_certificate(self.certificate, key, names)
        self.secrets = {name: secrets.token_hex(16) for name in ("milter", "logparser", "web", "notices", "operator")}
        self.notices_password = secrets.token_hex(16)
        self.variables: dict[str, Any] = {
            "ansible_user": "root",
            "ansible_python_interpreter": "/usr/bin/python3",
            "sendproof_common_provider_domain": PROVIDER_DOMAIN,
            "sendproof_common_site_url": f"https://{SITE}",
            "sendproof_common_tracking_url": f"https://{PIXELS}",
            "sendproof_certificates_chain_content": self.certificate.read_text(),
            "sendproof_certificates_key_content": key.read_text(),
            "sendproof_notices_from_address": "notices@notices.example.net",
            "sendproof_notices_password": self.notices_password,
            "sendproof_notices_smtp_host": groups["sendproof_edges"][0],
            "sendproof_notices_settings": {"ca_file": "/etc/sendproof/tls/chain.pem"},
        }
        if len(hosts) > 1:
            self.variables["sendproof_database_passwords"] = self.secrets
        self._key = folder / "ssh"
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(self._key)], check=True)

    def admit(self, machine: Machine) -> None:
        """Let Ansible into a machine."""
        machine.put("/root/.ssh/authorized_keys", self._key.with_suffix(".pub"), 0o600)

    def run(self, network: Network | None, *arguments: str, **variables: Any) -> Outcome:
        """Run site.yml at the test's own place on the network; without one, on this machine. ``variables`` go last."""
        inventory = self.folder / "hosts.json"
        hosts = {
            name: {"ansible_host": address, **({"sendproof_common_address": address} if len(self.hosts) > 1 else {})}
            for name, address in self.hosts.items()
        }
        children = {group: {"hosts": {name: hosts[name] for name in names}} for group, names in self.groups.items()}
        given = {name: value for name, value in {**self.variables, **variables}.items() if value is not None}
        inventory.write_text(json.dumps({"sendproof": {"vars": given, "children": children}}))
        inventory.chmod(0o600)
        programs = Path(sys.executable).parent
        command = [str(programs / "ansible-playbook"), "--inventory", str(inventory), "--private-key", str(self._key)]
        done = subprocess.run(
            [*(network.entering() if network else ()), *command, *arguments, "site.yml"],
            cwd=ANSIBLE,
            env={
                "PATH": f"{programs}:{os.environ['PATH']}",
                "HOME": str(self.folder),
                "LC_ALL": "C.UTF-8",
                "ANSIBLE_CONFIG": str(ANSIBLE / "ansible.cfg"),
                "ANSIBLE_HOME": str(self.folder / "ansible"),
                "ANSIBLE_SSH_EXTRA_ARGS": _OPTIONS,
                "ANSIBLE_NOCOLOR": "1",
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            check=False,
            timeout=1500,
        )
        return Outcome(done.returncode, done.stdout)


def _make_certificate(certificate: Path, key: Path, names: tuple[str, ...]) -> None:
    """One that nobody need renew soon."""
    words = ["openssl", "req", "-x509", "-nodes", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-days", "90"]
    words += ["-subj", f"/CN={names[0]}", "-addext", f"subjectAltName={','.join(f'DNS:{name}' for name in names)}"]
    subprocess.run([*words, "-keyout", str(key), "-out", str(certificate)], check=True, capture_output=True)
